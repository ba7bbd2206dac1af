// Results, chunk by chunk.
#include "duck/c_api_internal.h"

namespace pgweir::duck {

bool Chunk::is_null(std::size_t column, std::size_t row) const {
  const std::uint64_t* validity = columns_[column].validity;
  return validity != nullptr && (validity[row / 64] >> (row % 64) & 1) == 0;
}

std::string_view Chunk::string(std::size_t column, std::size_t row) const {
  // The C API's accessor takes a mutable pointer but does not write.
  auto* text = const_cast<duckdb_string_t*>(data<duckdb_string_t>(column) + row);
  return {duckdb_string_t_data(text), duckdb_string_t_length(*text)};
}

Rows::Rows(void* result) : result_(result) {
  auto* typed = static_cast<duckdb_result*>(result_);
  const idx_t count = duckdb_column_count(typed);
  for (idx_t i = 0; i < count; ++i) {
    const LogicalType type(duckdb_column_logical_type(typed, i));
    columns_.push_back({duckdb_column_name(typed, i), type.text(), kind_of(type.id())});
  }
}

Rows::Rows(Rows&& other) noexcept
    : result_(std::exchange(other.result_, nullptr)),
      chunk_(std::exchange(other.chunk_, nullptr)),
      columns_(std::move(other.columns_)),
      view_(std::move(other.view_)) {}

Rows& Rows::operator=(Rows&& other) noexcept {
  std::swap(result_, other.result_);
  std::swap(chunk_, other.chunk_);
  std::swap(columns_, other.columns_);
  std::swap(view_, other.view_);
  return *this;
}

Rows::~Rows() {
  release();
}

void Rows::release() {
  if (chunk_ != nullptr) {
    auto chunk = as_chunk(chunk_);
    duckdb_destroy_data_chunk(&chunk);
    chunk_ = nullptr;
  }
  if (result_ != nullptr) {
    auto* result = static_cast<duckdb_result*>(result_);
    duckdb_destroy_result(result);
    delete result;
    result_ = nullptr;
  }
}

std::uint64_t Rows::rows_changed() const {
  return duckdb_rows_changed(static_cast<duckdb_result*>(result_));
}

Status Rows::ended() const {
  auto* typed = static_cast<duckdb_result*>(result_);
  const char* failure = duckdb_result_error(typed);
  if (failure == nullptr || *failure == '\0') return {};
  return to_error(duckdb_result_error_type(typed), failure);
}

const Chunk* Rows::next() {
  if (chunk_ != nullptr) {
    auto chunk = as_chunk(chunk_);
    duckdb_destroy_data_chunk(&chunk);
  }
  chunk_ = duckdb_fetch_chunk(*static_cast<duckdb_result*>(result_));
  if (chunk_ == nullptr) return nullptr;
  view_.row_count_ = duckdb_data_chunk_get_size(as_chunk(chunk_));
  view_.columns_.resize(columns_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    duckdb_vector vector = duckdb_data_chunk_get_vector(as_chunk(chunk_), i);
    view_.columns_[i] = {duckdb_vector_get_data(vector), duckdb_vector_get_validity(vector)};
  }
  return &view_;
}

}  // namespace pgweir::duck
