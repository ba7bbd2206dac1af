#include "views/row_state.h"

#include <fmt/core.h>

#include "views/arrangement.h"

namespace pgweir::views {

RowState::RowState(const StrategyInput& input, engine::StoreSpec spec, SelectText select)
    : spec_(std::move(spec)),
      store_options_(input.store_options),
      select_(std::move(select)),
      delta_(fmt::format("pgweir_view_{}", input.id), delta_columns(spec_.columns)) {
  relation_.name = input.title.empty() ? input.view : input.title;
  relation_.schema = "main";
  relation_.table = input.view;
  relation_.columns = input.columns;
  relation_.unique = spec_.unique;
  for (const std::uint32_t i : spec_.key) relation_.key.push_back(spec_.columns[i]);
  relation_.rows = duck::quote_identifier(input.schema) + "." + duck::quote_identifier(input.view);
  relation_.stored = select_ == nullptr;
  relation_.delta = delta_.name();
  relation_.delta_in_store = true;
}

Status RowState::open(duck::Connection& connection, bool keep) {
  if (select_ != nullptr) {
    relation_.content = fmt::format("{}.{}", engine::kInternalSchema,
                                    duck::quote_identifier("view " + relation_.table));
    TRY(connection.execute(fmt::format("CREATE OR REPLACE VIEW {} AS SELECT *, {} AS {} FROM ({})",
                                       relation_.content, hash_of(relation_.key),
                                       engine::kHashColumn, select_())));
  } else {
    if (!keep) TRY(drop_store(connection, spec_.name));
    TRY_ASSIGN(store_, engine::Store::open(connection, spec_, store_options_));
    relation_.content = store_->content_name();
    relation_.store = store_;
  }
  TRY(connection.execute(fmt::format("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {}",
                                     relation_.rows, name_list(relation_.columns),
                                     relation_.content)));
  return delta_.create(connection);
}

std::string RowState::fill_statement(const std::string& into, const std::string& source) const {
  return fmt::format(
      "INSERT INTO {} {}", into,
      consolidated(source, spec_.columns, relation_.key, !spec_.unique && !spec_.distinct));
}

std::string rows_of_select(const StrategyInput& input, const std::string& also) {
  std::string list;
  for (const auto& column : input.columns) {
    const std::string name = duck::quote_identifier(column.name);
    list +=
        fmt::format("{}CAST({} AS {}) AS {}", list.empty() ? "" : ", ", name, column.type, name);
  }
  return fmt::format("SELECT {}{} FROM ({}\n) AS pgweir_new({})", list, also, input.select,
                     name_list(input.columns));
}

Result<ViewStrategy::Change> RowState::take_delta() {
  if (store_ == nullptr) return ViewStrategy::Change{true, 0};
  TRY_ASSIGN(const engine::Store::DeltaRows rows, store_->count_rows(delta_.name()));
  TRY(store_->apply(delta_.name(), rows));
  TRY(store_->maintain());
  return ViewStrategy::Change{
      true, static_cast<std::int64_t>(rows.all) - 2 * static_cast<std::int64_t>(rows.removals)};
}

Result<std::uint64_t> RowState::forget_rows(duck::Connection& connection,
                                            const std::string& condition) {
  TRY_ASSIGN(const duck::Rows rows,
             connection.query(fmt::format("INSERT INTO {} SELECT {}, {}, -1 FROM {} WHERE {}",
                                          delta_.name(), name_list(spec_.columns),
                                          engine::kHashColumn, relation_.content, condition)));
  const std::uint64_t gone = rows.rows_changed();
  if (gone == 0) return 0;
  TRY(store_->apply(delta_.name()));
  TRY(store_->maintain());
  TRY(delta_.clear(connection));
  return gone;
}

}  // namespace pgweir::views
