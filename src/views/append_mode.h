// What a view's output mode asks of its SELECT, and how far the windows of one in append mode are
// closed.
//
// Place:   between the binding of a view and its AppendStrategy.
// Threads: plain data and functions; ClosedWindows: the engine's write connection only.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "duck/duck.h"
#include "views/analysis.h"
#include "views/relation.h"
#include "views/watermarks.h"
#include "views/window.h"

namespace pgweir::views {

// Before the first row of a watermark: every window is open.
inline constexpr std::int64_t kNothingClosed = std::numeric_limits<std::int64_t>::min();

struct AppendPlan {
  struct Input {
    std::size_t ref = 0;   // of the definition
    std::size_t mark = 0;  // of the Watermarks
    Window window;
    const Relation* relation = nullptr;
  };
  std::vector<Input> inputs;  // those in windows
  std::size_t column = 0;     // of the view: tells a row's window
  bool shows_end = false;     // the column is window_end, not window_start
  std::size_t shown = 0;      // the input whose window that is

  const Window& window() const { return inputs[shown].window; }
  // Up to which end windows are complete: a time at which a window ends, or kNothingClosed.
  std::int64_t complete(const Watermarks& watermarks) const;
  // The end of the window of a row of the view, over the view's columns.
  std::string end_sql(const std::vector<engine::StoreColumn>& columns) const;
};

// The rules of a mode, those of Spark's structured streaming; kInvalid with what to write instead.
// A plan for append mode, else nothing. `windows` are those of view.refs.
Result<std::optional<AppendPlan>> plan_mode(const ViewDefinition& view, bool aggregates,
                                            const std::vector<const Relation*>& relations,
                                            const std::vector<std::optional<Window>>& windows,
                                            const std::vector<engine::StoreColumn>& columns,
                                            const Watermarks& watermarks);

// Whether the SELECT counts rows together.
bool aggregates(const FunctionCatalog& functions, const Json& node);

// How far the windows of each view in append mode are closed, and what came too late for them: a
// table in the engine's database, written in the transactions that close windows.
class ClosedWindows {
 public:
  struct Entry {
    std::int64_t up_to = kNothingClosed;
    std::uint64_t late = 0;  // changes of rows in windows that were closed
  };

  // The tables, and pgweir.late_rows.
  static Status create(duck::Connection& connection);
  static Result<Entry> read(duck::Connection& connection, const std::string& view);
  static Status write(duck::Connection& connection, const std::string& view, const Entry& entry);
  static Status forget(duck::Connection& connection, const std::string& view);
  // The condition, over window_end of this type, that a window of the view is open.
  static std::string open_sql(const std::string& view, const std::string& type);
};

}  // namespace pgweir::views
