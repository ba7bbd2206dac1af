#include "views/arrangement.h"

#include <fmt/core.h>

namespace pgweir::views {

Status drop_store(duck::Connection& connection, const std::string& name) {
  const Status dropped = engine::Store::drop(connection, name);
  if (!dropped.ok() && dropped.error().code != Code::kNotFound) return dropped;
  return {};
}

Arrangement::Arrangement(const Relation& relation, std::vector<engine::StoreColumn> columns,
                         std::size_t key_count, std::size_t id,
                         const engine::StoreOptions& store_options)
    : relation_(relation),
      store_options_(store_options),
      delta_(fmt::format("pgweir_arrangement_{}", id), delta_columns(columns)) {
  spec_.columns = std::move(columns);
  spec_.unique = false;
  spec_.distinct = relation.unique;
  for (std::uint32_t i = 0; i < key_count; ++i) spec_.key.push_back(i);
  spec_.name = "arrangement " + name_of(relation.name, key());
}

std::vector<engine::StoreColumn> Arrangement::key() const {
  return {spec_.columns.begin(),
          spec_.columns.begin() + static_cast<std::ptrdiff_t>(spec_.key.size())};
}

std::string Arrangement::name_of(const std::string& relation,
                                 const std::vector<engine::StoreColumn>& key) {
  std::string names;
  for (const auto& column : key) names += (names.empty() ? "" : ", ") + column.name;
  return fmt::format("{} by {}", relation, names);
}

std::string Arrangement::shape() const {
  std::string text = fmt::format("{} key {}:", spec_.name, spec_.key.size());
  for (const auto& column : spec_.columns) text += fmt::format(" {} {}", column.name, column.type);
  return text;
}

Status Arrangement::setup(duck::Connection& connection, bool keep) {
  if (!keep) TRY(drop_store(connection, spec_.name));
  TRY_ASSIGN(store_, engine::Store::open(connection, spec_, store_options_));
  TRY(delta_.create(connection));
  fill_delta_ = PreparedSql();
  if (keep) return {};
  return store_->load(
      fmt::format("SELECT {} FROM {}", name_list(spec_.columns), relation_.content));
}

Status Arrangement::changed(duck::Connection& connection) {
  const std::string source =
      fmt::format("SELECT {}, {} AS pgweir_w FROM {}", name_list(spec_.columns),
                  engine::kWeightColumn, relation_.delta);
  const std::string sql = fmt::format("INSERT INTO {} {}", delta_.name(),
                                      consolidated(source, spec_.columns, key(), !spec_.distinct));
  if (fill_delta_.sql() != sql) fill_delta_ = PreparedSql(sql);
  TRY_ASSIGN(const std::uint64_t rows, fill_delta_.run(connection));
  if (rows == 0) return {};
  TRY(store_->apply(delta_.name()));
  TRY(store_->maintain());
  return delta_.clear(connection);
}

}  // namespace pgweir::views
