// What the log says about a table that is read beside the stream, at its begin and at its end.
//
// Format:  docs/formats/log.md: JSON, so that an older program passes over what it does not know.
// Threads: plain values.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace pgweir::pipeline {

struct ReadNote {
  // The table has no key: its rows are those that `snapshot` sees, all of them come between begin
  // and end, and changes of transactions that it sees are in them already. Else each row is what it
  // is at its place in the log.
  bool whole = false;
  // What is known of the table before the begin is void.
  bool replaces = false;
  // At the end of a whole reading: pg_snapshot's text.
  std::string snapshot;

  bool operator==(const ReadNote&) const = default;
};

std::string encode_read_note(const ReadNote& note);
// kCorruption for bytes that are none.
Result<ReadNote> decode_read_note(std::string_view bytes);

}  // namespace pgweir::pipeline
