// What the configuration says of time: watermarks of columns, and the output mode of a view.
//
// Place:   given to the ViewSet; docs/decisions/ says what the modes promise.
// Threads: plain data.
#pragma once

#include <cstdint>
#include <string>

#include "base/units.h"

namespace pgweir::views {

// As Spark calls them. The order is that of the configuration's choices.
enum class OutputMode : std::uint8_t {
  kUpdate,    // always what its SELECT gives
  kAppend,    // each window once, when it is complete; it never changes again
  kComplete,  // as update; who follows the view gets all of its rows
};
const char* output_mode_name(OutputMode mode);

// Rows of a table may come so late by one of its columns.
struct WatermarkSource {
  std::string column;  // "schema.table.column"
  Milliseconds delay{0};
  // A time that lies further after the commit of its transaction moves no watermark: one wrong
  // clock would close all windows.
  Milliseconds future{3'600'000};
  // By commit times: a table without rows for so long does not hold back views that read others,
  // too.
  Milliseconds idle{60'000};
};

}  // namespace pgweir::views
