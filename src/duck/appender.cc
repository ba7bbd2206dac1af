// Rows into a table, column by column.
#include "duck/c_api_internal.h"

namespace pgweir::duck {

struct Appender::State {
  struct Column {
    Type type = Type::kOther;
    int decimal_width = 0;
    duckdb_vector vector = nullptr;
    void* data = nullptr;
    std::uint64_t* validity = nullptr;  // nullptr until the chunk holds a NULL in this column
  };

  duckdb_appender appender = nullptr;
  duckdb_data_chunk chunk = nullptr;
  std::vector<Column> columns;
  std::size_t column = 0;
  std::size_t row = 0;
  const std::size_t row_max = duckdb_vector_size();

  ~State() {
    if (chunk != nullptr) duckdb_destroy_data_chunk(&chunk);
    if (appender != nullptr) duckdb_appender_destroy(&appender);
  }

  void start_chunk() {
    duckdb_data_chunk_reset(chunk);
    for (std::size_t i = 0; i < columns.size(); ++i) {
      columns[i].vector = duckdb_data_chunk_get_vector(chunk, i);
      columns[i].data = duckdb_vector_get_data(columns[i].vector);
      columns[i].validity = nullptr;
    }
    row = 0;
  }

  Status flush_chunk() {
    if (row == 0) return {};
    duckdb_data_chunk_set_size(chunk, row);
    if (duckdb_append_data_chunk(appender, chunk) != DuckDBSuccess)
      return to_error(DUCKDB_ERROR_INVALID, duckdb_appender_error(appender));
    start_chunk();
    return {};
  }

  template <typename T>
  void put(T value) {
    static_cast<T*>(columns[column].data)[row] = value;
    ++column;
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
  const idx_t count = duckdb_appender_column_count(state->appender);
  std::vector<std::unique_ptr<LogicalType>> owners;
  std::vector<duckdb_logical_type> types;
  for (idx_t i = 0; i < count; ++i) {
    owners.push_back(
        std::make_unique<LogicalType>(duckdb_appender_column_type(state->appender, i)));
    types.push_back(owners.back()->get());
    auto& column = state->columns.emplace_back();
    column.type = kind_of(owners.back()->id());
    if (column.type == Type::kDecimal) column.decimal_width = duckdb_decimal_width(types.back());
  }
  state->chunk = duckdb_create_data_chunk(types.data(), count);
  state->start_chunk();
  return std::unique_ptr<Appender>(new Appender(std::move(state)));
}

Appender::Appender(std::unique_ptr<State> state) : state_(std::move(state)) {}
Appender::~Appender() = default;

std::size_t Appender::column_count() const {
  return state_->columns.size();
}
Type Appender::column_type(std::size_t column) const {
  return state_->columns[column].type;
}

void Appender::append_null() {
  auto& column = state_->columns[state_->column];
  if (column.validity == nullptr) {
    duckdb_vector_ensure_validity_writable(column.vector);
    column.validity = duckdb_vector_get_validity(column.vector);
  }
  duckdb_validity_set_row_invalid(column.validity, state_->row);
  ++state_->column;
}

void Appender::append_bool(bool value) {
  state_->put(value);
}

void Appender::append_int(std::int64_t value) {
  const auto& column = state_->columns[state_->column];
  switch (column.type) {
    case Type::kTinyint:
      return state_->put(static_cast<std::int8_t>(value));
    case Type::kSmallint:
      return state_->put(static_cast<std::int16_t>(value));
    case Type::kInteger:
    case Type::kDate:
      return state_->put(static_cast<std::int32_t>(value));
    case Type::kDecimal:
      if (column.decimal_width <= 4) return state_->put(static_cast<std::int16_t>(value));
      if (column.decimal_width <= 9) return state_->put(static_cast<std::int32_t>(value));
      if (column.decimal_width <= 18) return state_->put(value);
      return append_int128(static_cast<std::uint64_t>(value), value < 0 ? -1 : 0);
    case Type::kHugeint:
      return append_int128(static_cast<std::uint64_t>(value), value < 0 ? -1 : 0);
    default:
      return state_->put(value);
  }
}

void Appender::append_int128(std::uint64_t low, std::int64_t high) {
  state_->put(duckdb_hugeint{low, high});
}

void Appender::append_double(double value) {
  if (state_->columns[state_->column].type == Type::kFloat)
    state_->put(static_cast<float>(value));
  else
    state_->put(value);
}

void Appender::append_interval(std::int32_t months, std::int32_t days, std::int64_t micros) {
  state_->put(duckdb_interval{months, days, micros});
}

void Appender::append_text(std::string_view value) {
  duckdb_vector_assign_string_element_len(state_->columns[state_->column].vector, state_->row,
                                          value.data(), value.size());
  ++state_->column;
}

Status Appender::end_row() {
  PGWEIR_ASSERT(state_->column == state_->columns.size(), "a row needs every column");
  state_->column = 0;
  if (++state_->row == state_->row_max) return state_->flush_chunk();
  return {};
}

Status Appender::flush() {
  TRY(state_->flush_chunk());
  if (duckdb_appender_flush(state_->appender) != DuckDBSuccess)
    return to_error(DUCKDB_ERROR_INVALID, duckdb_appender_error(state_->appender));
  return {};
}

}  // namespace pgweir::duck
