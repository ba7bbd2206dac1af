// Functions of our own in SQL.
#include <fmt/core.h>

#include "duck/c_api_internal.h"

namespace pgweir::duck {
namespace {

bool is_valid(const std::uint64_t* validity, idx_t row) {
  return validity == nullptr || (validity[row / 64] >> (row % 64) & 1) != 0;
}

void call_text_function(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output) {
  const auto function =
      *static_cast<Connection::TextFunction*>(duckdb_scalar_function_get_extra_info(info));
  const duckdb_vector text_vector = duckdb_data_chunk_get_vector(input, 0);
  const duckdb_vector number_vector = duckdb_data_chunk_get_vector(input, 1);
  auto* texts = static_cast<duckdb_string_t*>(duckdb_vector_get_data(text_vector));
  const auto* numbers = static_cast<std::int64_t*>(duckdb_vector_get_data(number_vector));
  const std::uint64_t* text_validity = duckdb_vector_get_validity(text_vector);
  const std::uint64_t* number_validity = duckdb_vector_get_validity(number_vector);
  auto* results = static_cast<std::int64_t*>(duckdb_vector_get_data(output));
  std::uint64_t* result_validity = nullptr;
  const idx_t count = duckdb_data_chunk_get_size(input);
  for (idx_t row = 0; row < count; ++row) {
    if (is_valid(text_validity, row) && is_valid(number_validity, row)) {
      duckdb_string_t& text = texts[row];
      results[row] =
          function({duckdb_string_t_data(&text), duckdb_string_t_length(text)}, numbers[row]);
      continue;
    }
    if (result_validity == nullptr) {
      duckdb_vector_ensure_validity_writable(output);
      result_validity = duckdb_vector_get_validity(output);
    }
    duckdb_validity_set_row_invalid(result_validity, row);
  }
}

}  // namespace

Status Connection::add_function(const std::string& name, TextFunction function) {
  const LogicalType varchar(duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR));
  const LogicalType bigint(duckdb_create_logical_type(DUCKDB_TYPE_BIGINT));
  duckdb_scalar_function made = duckdb_create_scalar_function();
  duckdb_scalar_function_set_name(made, name.c_str());
  duckdb_scalar_function_add_parameter(made, varchar.get());
  duckdb_scalar_function_add_parameter(made, bigint.get());
  duckdb_scalar_function_set_return_type(made, bigint.get());
  duckdb_scalar_function_set_extra_info(made, new TextFunction(function), [](void* extra) {
    delete static_cast<TextFunction*>(extra);
  });
  duckdb_scalar_function_set_function(made, call_text_function);
  const duckdb_state state = duckdb_register_scalar_function(as_connection(handle_), made);
  duckdb_destroy_scalar_function(&made);
  if (state != DuckDBSuccess)
    return error(Code::kInternal, fmt::format("DuckDB does not take the function {}", name));
  return {};
}

}  // namespace pgweir::duck
