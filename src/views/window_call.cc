#include "views/window_call.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

namespace pgweir::views {
namespace {

struct Form {
  WindowKind kind;
  const char* name;
  const char* usage;
  std::size_t lengths;
};

constexpr Form kForms[] = {
    {WindowKind::kTumble, "tumble", "tumble takes (table, time column, INTERVAL size[, offset])",
     1},
    {WindowKind::kHop, "hop", "hop takes (table, time column, INTERVAL slide, size[, offset])", 2},
    {WindowKind::kCumulate, "cumulate",
     "cumulate takes (table, time column, INTERVAL step, size[, offset])", 2},
    {WindowKind::kSession, "session",
     "session takes (table, time column, INTERVAL gap[, partition column ...])", 1},
};

const Form& form_of(WindowKind kind) {
  return *std::find_if(std::begin(kForms), std::end(kForms),
                       [&](const Form& form) { return form.kind == kind; });
}

bool is_constant(const Json& expression) {
  bool constant = true;
  walk(expression, [&](const Json& below) {
    constant = constant && !is_class(below, "COLUMN_REF") && !is_class(below, "SUBQUERY");
    return constant;
  });
  return constant;
}

bool is_column(const Json& expression) {
  return is_class(expression, "COLUMN_REF") && names_of(expression).size() == 1;
}

}  // namespace

const char* window_function_name(WindowKind kind) {
  return form_of(kind).name;
}

std::optional<WindowKind> window_kind_of(const std::string& function) {
  for (const Form& form : kForms)
    if (same_name(form.name, function)) return form.kind;
  return std::nullopt;
}

std::optional<WindowCallProblem> read_window_call(const Json& call, WindowKind kind,
                                                  WindowCall* out) {
  const Form& form = form_of(kind);
  const Json& arguments = child(call, "children");
  const std::size_t needed = 2 + form.lengths;
  const bool session = kind == WindowKind::kSession;
  if (arguments.size() < needed || (!session && arguments.size() > needed + 1) ||
      !is_class(arguments[0], "COLUMN_REF") || !is_column(arguments[1]))
    return WindowCallProblem{form.usage, offset_of(call)};
  out->kind = kind;
  out->time_column = names_of(arguments[1])[0];
  out->time_offset = offset_of(arguments[1]);
  for (std::size_t i = 2; i < arguments.size(); ++i) {
    const Json& argument = arguments[i];
    if (session && i >= needed) {
      if (!is_column(argument)) return WindowCallProblem{form.usage, offset_of(argument)};
      out->partition.emplace_back(names_of(argument)[0], offset_of(argument));
    } else if (!is_constant(argument)) {
      return WindowCallProblem{"the window's length must be a constant", offset_of(argument)};
    } else if (i < needed) {
      out->lengths.push_back(argument);
    } else {
      out->offset = argument;
    }
  }
  return std::nullopt;
}

}  // namespace pgweir::views
