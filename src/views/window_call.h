// tumble(), hop(), cumulate() and session() as they stand in a view's FROM.
//
// Place:   read by the first half of the analysis; window.h makes windows of them, over a relation
//          with known columns. The order of the arguments is that of Flink's functions of the same
//          names, TUMBLE(TABLE data, DESCRIPTOR(timecol), size [, offset]) and so on.
// Threads: plain data.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "views/ast.h"

namespace pgweir::views {

enum class WindowKind { kTumble, kHop, kCumulate, kSession };

// "tumble".
const char* window_function_name(WindowKind kind);
// Nothing when `function` makes no windows; upper and lower case are the same.
std::optional<WindowKind> window_kind_of(const std::string& function);

struct WindowCall {
  WindowKind kind = WindowKind::kTumble;
  std::string time_column;
  std::uint64_t time_offset = kNoOffset;
  // Expressions without columns: the size; slide and size; step and size; the gap.
  std::vector<Json> lengths;
  Json offset;  // null without
  // Of sessions, with their offsets in the text.
  std::vector<std::pair<std::string, std::uint64_t>> partition;
};

// What is wrong with a call, and where.
struct WindowCallProblem {
  std::string why;
  std::uint64_t offset = kNoOffset;
};

// Reads everything but the table, which is the first of the call's arguments.
std::optional<WindowCallProblem> read_window_call(const Json& call, WindowKind kind,
                                                  WindowCall* out);

}  // namespace pgweir::views
