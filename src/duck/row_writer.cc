#include "duck/row_writer.h"

#include <cstring>

#include "duck/c_api_internal.h"

namespace pgweir::duck {

void RowWriter::add_column(void* logical_type) {
  const auto type = static_cast<duckdb_logical_type>(logical_type);
  Column& column = columns_.emplace_back();
  column.type = kind_of(duckdb_get_type_id(type));
  if (column.type == Type::kDecimal) column.decimal_width = duckdb_decimal_width(type);
}

void RowWriter::begin_chunk(void* chunk) {
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const duckdb_vector vector = duckdb_data_chunk_get_vector(as_chunk(chunk), i);
    columns_[i].vector = vector;
    columns_[i].data = duckdb_vector_get_data(vector);
    columns_[i].validity = nullptr;
  }
  row_ = 0;
}

void RowWriter::next_row() {
  PGWEIR_ASSERT(column_ == columns_.size(), "a row needs every column");
  column_ = 0;
  ++row_;
}

void RowWriter::append_null() {
  Column& column = columns_[column_];
  if (column.validity == nullptr) {
    const auto vector = static_cast<duckdb_vector>(column.vector);
    duckdb_vector_ensure_validity_writable(vector);
    column.validity = duckdb_vector_get_validity(vector);
  }
  duckdb_validity_set_row_invalid(column.validity, row_);
  ++column_;
}

void RowWriter::append_bool(bool value) {
  put(value);
}

void RowWriter::append_int(std::int64_t value) {
  const Column& column = columns_[column_];
  switch (column.type) {
    case Type::kTinyint:
      return put(static_cast<std::int8_t>(value));
    case Type::kSmallint:
      return put(static_cast<std::int16_t>(value));
    case Type::kInteger:
    case Type::kDate:
      return put(static_cast<std::int32_t>(value));
    case Type::kDecimal:
      if (column.decimal_width <= 4) return put(static_cast<std::int16_t>(value));
      if (column.decimal_width <= 9) return put(static_cast<std::int32_t>(value));
      if (column.decimal_width <= 18) return put(value);
      return append_int128(static_cast<std::uint64_t>(value), value < 0 ? -1 : 0);
    case Type::kHugeint:
      return append_int128(static_cast<std::uint64_t>(value), value < 0 ? -1 : 0);
    default:
      return put(value);
  }
}

void RowWriter::append_int128(std::uint64_t low, std::int64_t high) {
  put(duckdb_hugeint{low, high});
}

void RowWriter::append_double(double value) {
  if (columns_[column_].type == Type::kFloat)
    put(static_cast<float>(value));
  else
    put(value);
}

void RowWriter::append_interval(std::int32_t months, std::int32_t days, std::int64_t micros) {
  put(duckdb_interval{months, days, micros});
}

void RowWriter::append_text(std::string_view value) {
  duckdb_vector_assign_string_element_len(static_cast<duckdb_vector>(columns_[column_].vector),
                                          row_, value.data(), value.size());
  ++column_;
}

void RowWriter::append_lasting_text(std::string_view value) {
  if (lasting_texts_ == Texts::kCopied) return append_text(value);
  duckdb_string_t text{};
  text.value.pointer.length = static_cast<std::uint32_t>(value.size());
  if (value.size() <= sizeof text.value.inlined.inlined) {
    if (!value.empty()) std::memcpy(text.value.inlined.inlined, value.data(), value.size());
  } else {
    std::memcpy(text.value.pointer.prefix, value.data(), sizeof text.value.pointer.prefix);
    text.value.pointer.ptr = const_cast<char*>(value.data());
  }
  put(text);
}

}  // namespace pgweir::duck
