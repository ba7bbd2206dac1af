#include "views/append_mode.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/store.h"

namespace pgweir::views {
namespace {

using duck::quote_literal;

std::string closed_table() {
  return fmt::format("{}.closed_windows", engine::kInternalSchema);
}

std::string late_table() {
  return fmt::format("{}.late_rows", engine::kInternalSchema);
}

Error refused(const std::string& why, const std::string& hint) {
  return error(Code::kInvalid, why, "", hint);
}

// The result's column that shows a window's start or end as it is.
struct WindowColumn {
  std::string name;
  std::string table;  // by which the SQL calls the windowed relation; may be empty
  bool is_end = false;
};

std::optional<WindowColumn> find_window_column(const Json& node, bool end) {
  const char* wanted = end ? "window_end" : "window_start";
  for (const Json& item : child(node, "select_list")) {
    if (is_class(item, "STAR")) {
      bool excluded = false;
      for (const Json& name : child(item, "exclude_list"))
        excluded = excluded || (name.is_string() && same_name(name.get<std::string>(), wanted));
      const bool plain = child(item, "columns") != true && child(item, "expr").is_null() &&
                         child(item, "replace_list").empty() &&
                         child(item, "rename_list").empty() &&
                         child(item, "qualified_exclude_list").empty();
      if (plain && !excluded) return WindowColumn{wanted, text_of(item, "relation_name"), end};
      continue;
    }
    const auto names = names_of(item);
    if (!is_class(item, "COLUMN_REF") || names.empty() || !same_name(names.back(), wanted))
      continue;
    const std::string alias = text_of(item, "alias");
    return WindowColumn{alias.empty() ? names.back() : alias,
                        names.size() > 1 ? names[names.size() - 2] : "", end};
  }
  return std::nullopt;
}

Status check_shape(const Json& node) {
  const char* kHint =
      "use mode: update, or put what chooses among windows into a view over this one";
  if (text_of(node, "type") != "SELECT_NODE")
    return refused("mode append needs a plain SELECT, not several put together", kHint);
  for (const Json& modifier : child(node, "modifiers"))
    if (text_of(modifier, "type") == "LIMIT_MODIFIER" ||
        text_of(modifier, "type") == "LIMIT_PERCENT_MODIFIER")
      return refused("mode append cannot have LIMIT: it chooses among all windows", kHint);
  bool across = false;
  walk(node, [&](const Json& below) {
    if (!is_class(below, "WINDOW")) return true;
    const Json& partitions = child(below, "partitions");
    across = across || std::none_of(partitions.begin(), partitions.end(), [](const Json& by) {
               const auto names = names_of(by);
               return !names.empty() && (same_name(names.back(), "window_end") ||
                                         same_name(names.back(), "window_start"));
             });
    return true;
  });
  if (across)
    return refused("mode append: a window function would look across windows of time",
                   "add window_end to its PARTITION BY, or use mode: update");
  return {};
}

}  // namespace

bool aggregates(const FunctionCatalog& functions, const Json& node) {
  if (text_of(node, "aggregate_handling") == "FORCE_AGGREGATES" ||
      !child(node, "group_expressions").empty() || !child(node, "having").is_null())
    return true;
  bool found = false;
  walk(child(node, "select_list"), [&](const Json& below) {
    found = found || (is_class(below, "FUNCTION") &&
                      functions.is_aggregate(text_of(below, "function_name")));
    return !found && !is_class(below, "SUBQUERY") && !is_class(below, "WINDOW");
  });
  return found;
}

Result<std::optional<AppendPlan>> plan_mode(const ViewDefinition& view, bool aggregates,
                                            const std::vector<const Relation*>& relations,
                                            const std::vector<std::optional<Window>>& windows,
                                            const std::vector<engine::StoreColumn>& columns,
                                            const Watermarks& watermarks) {
  const OutputMode mode = view.source.mode;
  if (mode == OutputMode::kUpdate) return std::optional<AppendPlan>();
  if (mode == OutputMode::kComplete) {
    if (aggregates) return std::optional<AppendPlan>();
    return refused(
        "mode complete needs totals or GROUP BY: this view's result is as large as what "
        "it reads",
        "use mode: update, or mode: append with windows");
  }
  TRY(check_shape(view.node));
  AppendPlan plan;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (!windows[i]) continue;
    const Relation& relation = *relations[i];
    const std::string column = relation.name + "." + windows[i]->time_column;
    if (windows[i]->kind == WindowKind::kSession)
      return refused("mode append cannot follow session() yet: its windows grow with their rows",
                     "use mode: update");
    const auto mark = watermarks.find(relation.schema, relation.table, windows[i]->time_column);
    if (!mark)
      return refused(fmt::format("mode append needs a watermark on {}: nothing says when its "
                                 "windows are complete",
                                 column),
                     fmt::format("add it to the configuration, as watermarks: {{{}: 10s}}; only "
                                 "columns of tables have one",
                                 column));
    plan.inputs.push_back({i, *mark, *windows[i], relations[i]});
  }
  if (plan.inputs.empty())
    return refused(
        "mode append needs windows: any row of this view may change or go at any time, "
        "so none is ever final",
        "read the table through tumble(), hop() or cumulate(), or use mode: update");
  auto shown = find_window_column(view.node, true);
  const auto start = find_window_column(view.node, false);
  if (!shown) shown = start;
  if (!shown)
    return refused(
        "mode append needs window_end or window_start as a column: by it a row's window "
        "is known",
        "add window_end to the SELECT list, and to GROUP BY");
  for (std::size_t i = 0; i < plan.inputs.size(); ++i) {
    const RelationRef& ref = view.refs[plan.inputs[i].ref];
    if (same_name(ref.alias.empty() ? ref.name : ref.alias, shown->table)) plan.shown = i;
  }
  plan.shows_end = shown->is_end;
  if (!plan.shows_end && plan.window().kind == WindowKind::kCumulate)
    return refused(
        "mode append over cumulate() needs window_end as a column: windows with one "
        "start end at different times",
        "add window_end to the SELECT list, and to GROUP BY");
  const auto found = std::find_if(
      columns.begin(), columns.end(),
      [&](const engine::StoreColumn& column) { return same_name(column.name, shown->name); });
  if (found == columns.end() || found->type != plan.window().type)
    return refused("mode append: the window's column cannot be followed", "use mode: update");
  plan.column = static_cast<std::size_t>(found - columns.begin());
  return std::optional(std::move(plan));
}

std::int64_t AppendPlan::complete(const Watermarks& watermarks) const {
  std::optional<std::int64_t> least;
  bool any_live = false;
  for (const Input& input : inputs)
    any_live = any_live || (inputs.size() > 1 && !watermarks.idle(input.mark));
  for (const Input& input : inputs) {
    if (any_live && watermarks.idle(input.mark)) continue;
    const auto& at = watermarks.marks()[input.mark].at;
    if (!at) return kNothingClosed;
    least = std::min(least.value_or(*at), *at);
  }
  if (!least) return kNothingClosed;
  // Between this time and the watermark no window of any input ends.
  std::int64_t last = kNothingClosed;
  for (const Input& input : inputs) last = std::max(last, input.window.ends.last_at(*least));
  return last;
}

std::string AppendPlan::end_sql(const std::vector<engine::StoreColumn>& columns) const {
  const std::string name = duck::quote_identifier(columns[column].name);
  return shows_end ? name : window().end_of(name);
}

// --- In the database ---------------------------------------------------------------------------

Status ClosedWindows::create(duck::Connection& connection) {
  TRY(connection.execute(fmt::format(
      "CREATE TABLE IF NOT EXISTS {} (view VARCHAR, up_to BIGINT, late BIGINT, ends TIMESTAMP, "
      "ends_zoned TIMESTAMP WITH TIME ZONE)",
      closed_table())));
  TRY(connection.execute(fmt::format(
      "CREATE TABLE IF NOT EXISTS {} (view VARCHAR, \"table\" VARCHAR, weight BIGINT, window_start "
      "TIMESTAMP, window_end TIMESTAMP, closed_up_to TIMESTAMP, \"row\" VARCHAR)",
      late_table())));
  return connection.execute(fmt::format(
      "CREATE SCHEMA IF NOT EXISTS pgweir; CREATE OR REPLACE VIEW pgweir.late_rows AS FROM {}",
      late_table()));
}

Result<ClosedWindows::Entry> ClosedWindows::read(duck::Connection& connection,
                                                 const std::string& view) {
  Entry entry;
  TRY_ASSIGN(const auto rows,
             connection.query_texts(fmt::format("SELECT up_to, late FROM {} WHERE view = {}",
                                                closed_table(), quote_literal(view))));
  if (rows.rows.empty()) return entry;
  if (rows.rows[0][0]) entry.up_to = std::stoll(*rows.rows[0][0]);
  if (rows.rows[0][1]) entry.late = std::stoull(*rows.rows[0][1]);
  return entry;
}

Status ClosedWindows::write(duck::Connection& connection, const std::string& view,
                            const Entry& entry) {
  TRY(connection.execute(
      fmt::format("DELETE FROM {} WHERE view = {}", closed_table(), quote_literal(view))));
  const bool nothing = entry.up_to == kNothingClosed;
  const auto at = [&](const char* function, const char* type) {
    return nothing ? fmt::format("{} '-infinity'", type)
                   : fmt::format("{}({})", function, entry.up_to);
  };
  return connection.execute(
      fmt::format("INSERT INTO {} VALUES ({}, {}, {}, {}, {})", closed_table(), quote_literal(view),
                  nothing ? "NULL" : std::to_string(entry.up_to), entry.late,
                  at("make_timestamp", "TIMESTAMP"), at("make_timestamptz", "TIMESTAMPTZ")));
}

Status ClosedWindows::forget(duck::Connection& connection, const std::string& view) {
  return connection.execute(
      fmt::format("DELETE FROM {0} WHERE view = {2}; DELETE FROM {1} WHERE "
                  "view = {2}",
                  closed_table(), late_table(), quote_literal(view)));
}

std::string ClosedWindows::open_sql(const std::string& view, const std::string& type) {
  return fmt::format("window_end > (SELECT {} FROM {} WHERE view = {})",
                     type == "TIMESTAMP" ? "ends" : "ends_zoned", closed_table(),
                     quote_literal(view));
}

}  // namespace pgweir::views
