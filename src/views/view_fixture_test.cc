#include "views/view_fixture.h"

#include <fmt/core.h>

namespace pgweir::views {

TablePtr make_table(std::uint32_t oid, const std::string& name, std::vector<model::Column> columns,
                    model::ReplicaIdentity identity, const std::string& schema) {
  model::Table table{
      .id = model::Oid{oid}, .schema = schema, .name = name, .replica_identity = identity};
  for (std::uint32_t i = 0; i < columns.size(); ++i) {
    if (columns[i].in_key) table.primary_key.push_back(i);
  }
  table.columns = std::move(columns);
  return std::make_shared<const model::Table>(std::move(table));
}

model::Column key_column(model::Column column) {
  column.in_key = true;
  return column;
}

void ViewFixture::open(const std::vector<TablePtr>& tables, const std::vector<ViewSource>& views) {
  close();
  auto set = ViewSet::create(views, logger_, view_options_);
  ASSERT_TRUE(set.ok()) << set.error().text();
  views_ = std::move(set).value();
  auto engine = engine::Engine::open(
      {.directory = scratch_.path(),
       .memory_bytes = 512 * kMiB,
       .part_changes_max = part_changes_max_,
       .rows_are_read = releases_mirrors_,
       .releases_mirrors = releases_mirrors_,
       .store = store_options_},
      [this](const model::Table& table) {
        // Every table, as with mirrors: all.
        std::vector<std::uint32_t> all(table.columns.size());
        for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
        return views_->wanted_columns(table).value_or(all);
      },
      logger_);
  ASSERT_TRUE(engine.ok()) << engine.error().text();
  engine_ = std::move(engine).value();
  for (const TablePtr& table : tables) {
    const Status defined = engine_->define_table(*table);
    ASSERT_TRUE(defined.ok()) << defined.error().text();
  }
  const Status opened = views_->open(*engine_);
  ASSERT_TRUE(opened.ok()) << opened.error().text();
  engine_->set_maintainer(views_.get());
  next_ = engine_->position().position;
}

void ViewFixture::close() {
  builder_.reset();
  if (views_ != nullptr) views_->close();
  engine_.reset();
  views_.reset();
}

void ViewFixture::begin() {
  lsn_ = std::max(lsn_, model::value(next_.lsn)) + 10;
  builder_ = std::make_unique<engine::BatchBuilder>(next_);
  // 2026-01-01 00:00:00 UTC.
  builder_->begin(lsn_, model::Timestamp{1767225600000000});
}

std::string ViewFixture::commit(bool ends) {
  builder_->end(ends);
  const Status status = engine_->apply(builder_->batch());
  if (status.ok()) next_ = builder_->batch().to;
  return status.ok() ? "" : status.error().text();
}

std::string ViewFixture::commit_setting_aside() {
  builder_->end(true);
  for (;;) {
    const Status status = engine_->apply(builder_->batch());
    if (status.ok()) {
      next_ = builder_->batch().to;
      return "";
    }
    const auto aside = views_->set_aside_failed();
    if (!aside.ok()) return aside.error().text();
    if (!*aside) return status.error().text();
  }
}

std::string ViewFixture::rows(const std::string& select) {
  auto reader = engine_->reader(Milliseconds{1000});
  if (!reader.ok()) return reader.error().text();
  const auto result =
      (*reader)->connection().query_texts(fmt::format("SELECT * FROM ({}\n) ORDER BY ALL", select));
  if (!result.ok()) return result.error().message;
  std::string out;
  for (const duck::TextRow& row : result->rows) {
    if (!out.empty()) out += ";";
    for (std::size_t i = 0; i < row.size(); ++i)
      out += (i == 0 ? "" : "|") + row[i].value_or("NULL");
  }
  return out;
}

std::string ViewFixture::difference(const std::string& view, const std::string& select) {
  const std::string name = "main." + duck::quote_identifier(view);
  const std::string extra =
      rows(fmt::format("SELECT * FROM {} EXCEPT ALL SELECT * FROM ({}\n)", name, select));
  const std::string missing =
      rows(fmt::format("SELECT * FROM ({}\n) EXCEPT ALL SELECT * FROM {}", select, name));
  if (extra.empty() && missing.empty()) return "";
  return fmt::format("{} should not have [{}] and lacks [{}]", view, extra, missing);
}

std::string ViewFixture::strategy(const std::string& view) {
  const auto info = views_->view(view);
  if (!info.ok()) return info.error().text();
  return fmt::format("{}: {}", info->strategy, info->reason);
}

std::string ViewFixture::error_of(const std::string& view) {
  const auto info = views_->view(view);
  if (!info.ok()) return info.error().text();
  return std::string(view_state_name(info->state)) +
         (info->error ? ": " + info->error->text() : "");
}

}  // namespace pgweir::views
