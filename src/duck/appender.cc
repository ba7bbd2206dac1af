// Rows into a table, column by column.
#include "duck/c_api_internal.h"

namespace pgweir::duck {

struct Appender::State {
  duckdb_appender appender = nullptr;
  duckdb_data_chunk chunk = nullptr;
  const std::size_t row_max = duckdb_vector_size();

  ~State() {
    if (chunk != nullptr) duckdb_destroy_data_chunk(&chunk);
    if (appender != nullptr) duckdb_appender_destroy(&appender);
  }
};

Result<std::unique_ptr<Appender>> Connection::appender(const std::string& catalog,
                                                       const std::string& schema,
                                                       const std::string& table) {
  auto state = std::make_unique<Appender::State>();
  if (duckdb_appender_create_ext(as_connection(handle_),
                                 catalog.empty() ? nullptr : catalog.c_str(),
                                 schema.empty() ? nullptr : schema.c_str(), table.c_str(),
                                 &state->appender) != DuckDBSuccess) {
    return to_error(DUCKDB_ERROR_INVALID, duckdb_appender_error(state->appender));
  }
  auto made = std::unique_ptr<Appender>(new Appender(std::move(state)));
  Appender::State& own = *made->state_;
  const idx_t count = duckdb_appender_column_count(own.appender);
  std::vector<std::unique_ptr<LogicalType>> owners;
  std::vector<duckdb_logical_type> types;
  for (idx_t i = 0; i < count; ++i) {
    owners.push_back(std::make_unique<LogicalType>(duckdb_appender_column_type(own.appender, i)));
    types.push_back(owners.back()->get());
    made->add_column(types.back());
  }
  own.chunk = duckdb_create_data_chunk(types.data(), count);
  made->begin_chunk(own.chunk);
  return made;
}

Appender::Appender(std::unique_ptr<State> state)
    : RowWriter(Texts::kCopied), state_(std::move(state)) {}
Appender::~Appender() = default;

Status Appender::flush_chunk() {
  if (row_count() == 0) return {};
  duckdb_data_chunk_set_size(state_->chunk, row_count());
  if (duckdb_append_data_chunk(state_->appender, state_->chunk) != DuckDBSuccess)
    return to_error(DUCKDB_ERROR_INVALID, duckdb_appender_error(state_->appender));
  duckdb_data_chunk_reset(state_->chunk);
  begin_chunk(state_->chunk);
  return {};
}

Status Appender::end_row() {
  next_row();
  return row_count() == state_->row_max ? flush_chunk() : Status{};
}

Result<std::uint64_t> Appender::append(Rows& rows) {
  TRY(flush_chunk());
  std::uint64_t count = 0;
  while (const Chunk* chunk = rows.next()) {
    if (duckdb_append_data_chunk(state_->appender, as_chunk(rows.chunk_)) != DuckDBSuccess)
      return to_error(DUCKDB_ERROR_INVALID, duckdb_appender_error(state_->appender));
    count += chunk->row_count();
  }
  return count;
}

Status Appender::flush() {
  TRY(flush_chunk());
  if (duckdb_appender_flush(state_->appender) != DuckDBSuccess)
    return to_error(DUCKDB_ERROR_INVALID, duckdb_appender_error(state_->appender));
  return {};
}

}  // namespace pgweir::duck
