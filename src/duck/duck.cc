#include "duck/duck.h"

#include <fmt/core.h>

#include "duck/c_api_internal.h"

namespace pgweir::duck {

// --- Database --------------------------------------------------------------------------------

Result<std::unique_ptr<Database>> Database::open(
    const std::string& path, const std::vector<std::pair<std::string, std::string>>& options) {
  duckdb_config config = nullptr;
  if (duckdb_create_config(&config) != DuckDBSuccess)
    return error(Code::kInternal, "DuckDB could not make a configuration");
  auto all = options;
  all.emplace_back("autoinstall_known_extensions", "false");
  all.emplace_back("autoload_known_extensions", "false");
  // DuckDB 1.5 plans a prepared statement with the statistics that its tables have at that moment
  // (ranges of values, "never NULL", sizes of groups) and runs that plan on later contents too:
  // rows are then missed without an error. Without this pass a plan depends on the catalog alone.
  // And it leaves row groups out of ORDER BY ... LIMIT by how many rows each had before some of
  // them were deleted: the first rows are then others.
  all.emplace_back("disabled_optimizers", "statistics_propagation,row_group_pruner");
  for (const auto& [name, value] : all) {
    if (duckdb_set_config(config, name.c_str(), value.c_str()) != DuckDBSuccess) {
      duckdb_destroy_config(&config);
      return error(Code::kInvalid, fmt::format("DuckDB refuses the setting {}={}", name, value));
    }
  }
  duckdb_database database = nullptr;
  char* message = nullptr;
  const auto state =
      duckdb_open_ext(path.empty() ? nullptr : path.c_str(), &database, config, &message);
  duckdb_destroy_config(&config);
  if (state != DuckDBSuccess) {
    Error failure = to_error(DUCKDB_ERROR_INVALID, message);
    duckdb_free(message);
    return failure;
  }
  return std::unique_ptr<Database>(new Database(database));
}

Database::~Database() {
  auto database = as_database(handle_);
  duckdb_close(&database);
}

Result<std::unique_ptr<Connection>> Database::connect() {
  duckdb_connection connection = nullptr;
  if (duckdb_connect(as_database(handle_), &connection) != DuckDBSuccess)
    return error(Code::kInternal, "DuckDB could not make a connection");
  return std::unique_ptr<Connection>(new Connection(connection, sources_));
}

// --- Statement -------------------------------------------------------------------------------

Statement::~Statement() {
  auto statement = as_statement(handle_);
  duckdb_destroy_prepare(&statement);
}

StatementKind Statement::kind() const {
  switch (duckdb_prepared_statement_type(as_statement(handle_))) {
    case DUCKDB_STATEMENT_TYPE_SELECT:
      return StatementKind::kSelect;
    case DUCKDB_STATEMENT_TYPE_EXPLAIN:
      return StatementKind::kExplain;
    default:
      return StatementKind::kOther;
  }
}

std::size_t Statement::parameter_count() const {
  return duckdb_nparams(as_statement(handle_));
}

std::vector<ColumnInfo> Statement::columns() const {
  const auto handle = as_statement(handle_);
  std::vector<ColumnInfo> columns;
  const idx_t count = duckdb_prepared_statement_column_count(handle);
  for (idx_t i = 0; i < count; ++i) {
    const LogicalType type(duckdb_prepared_statement_column_logical_type(handle, i));
    const char* name = duckdb_prepared_statement_column_name(handle, i);
    columns.push_back({name != nullptr ? name : "", type.text(), kind_of(type.id())});
    duckdb_free(const_cast<char*>(name));
  }
  return columns;
}

namespace {
Status bound(duckdb_state state, void* handle) {
  if (state == DuckDBSuccess) return {};
  return to_error(DUCKDB_ERROR_INVALID, duckdb_prepare_error(as_statement(handle)));
}
}  // namespace

// Before the first parameter is bound or, without any, before an execution.
Status Statement::renew_plan() {
  if (has_parameters_ || catalog_changes_ == connection_.catalog_changes_) return {};
  TRY_ASSIGN(void* handle, connection_.prepare_handle(sql_));
  auto old = as_statement(handle_);
  duckdb_destroy_prepare(&old);
  handle_ = handle;
  catalog_changes_ = connection_.catalog_changes_;
  return {};
}

Status Statement::bind_null(std::size_t parameter) {
  TRY(renew_plan());
  has_parameters_ = true;
  return bound(duckdb_bind_null(as_statement(handle_), parameter), handle_);
}

Status Statement::bind(std::size_t parameter, std::int64_t value) {
  TRY(renew_plan());
  has_parameters_ = true;
  return bound(duckdb_bind_int64(as_statement(handle_), parameter, value), handle_);
}

Status Statement::bind(std::size_t parameter, std::string_view text) {
  TRY(renew_plan());
  has_parameters_ = true;
  return bound(
      duckdb_bind_varchar_length(as_statement(handle_), parameter, text.data(), text.size()),
      handle_);
}

Result<Rows> Statement::execute() {
  TRY(renew_plan());
  has_parameters_ = false;
  auto result = std::make_unique<duckdb_result>();
  if (duckdb_execute_prepared(as_statement(handle_), result.get()) != DuckDBSuccess) {
    Error failure =
        to_error(duckdb_result_error_type(result.get()), duckdb_result_error(result.get()));
    duckdb_destroy_result(result.get());
    return failure;
  }
  return Rows(result.release());
}

// --- Connection ------------------------------------------------------------------------------

Connection::~Connection() {
  auto connection = as_connection(handle_);
  duckdb_disconnect(&connection);
}

Status Connection::execute(const std::string& sql) {
  duckdb_result result{};
  Status status;
  if (duckdb_query(as_connection(handle_), sql.c_str(), &result) != DuckDBSuccess)
    status = to_error(duckdb_result_error_type(&result), duckdb_result_error(&result));
  duckdb_destroy_result(&result);
  note_catalog_change(sql);
  return status;
}

// A change counts when it is made, and once more when its transaction ends: plans made in between
// are those of a catalog that nobody else has seen.
void Connection::note_catalog_change(std::string_view sql) {
  const bool ends = contains(sql, "COMMIT") || contains(sql, "ROLLBACK");
  if (contains(sql, "ROLLBACK")) ++rollbacks_;
  const bool changes =
      contains(sql, "CREATE ") || contains(sql, "DROP ") || contains(sql, "ALTER ");
  if (changes || (ends && changed_in_transaction_)) ++catalog_changes_;
  if (changes) changed_in_transaction_ = true;
  if (ends) changed_in_transaction_ = false;
}

Result<Rows> Connection::query(const std::string& sql) {
  auto result = std::make_unique<duckdb_result>();
  if (duckdb_query(as_connection(handle_), sql.c_str(), result.get()) != DuckDBSuccess) {
    Error failure =
        to_error(duckdb_result_error_type(result.get()), duckdb_result_error(result.get()));
    duckdb_destroy_result(result.get());
    return failure;
  }
  return Rows(result.release());
}

Result<Rows> Connection::stream(const std::string& sql) {
  TRY_ASSIGN(void* const prepared, prepare_handle(sql));
  auto statement = as_statement(prepared);
  auto result = std::make_unique<duckdb_result>();
  const bool done = duckdb_execute_prepared_streaming(statement, result.get()) == DuckDBSuccess;
  duckdb_destroy_prepare(&statement);
  if (done) return Rows(result.release());
  Error failure =
      to_error(duckdb_result_error_type(result.get()), duckdb_result_error(result.get()));
  duckdb_destroy_result(result.get());
  return failure;
}

Result<TextRows> Connection::query_texts(const std::string& select) {
  TextRows out;
  TRY_ASSIGN(out.columns, describe(select));
  // Names of our own: those of the SELECT may repeat.
  std::string names, casts;
  for (std::size_t i = 0; i < out.columns.size(); ++i) {
    names += fmt::format("{}c{}", i == 0 ? "" : ", ", i);
    casts += fmt::format("{}CAST(c{} AS VARCHAR)", i == 0 ? "" : ", ", i);
  }
  // The line break ends a comment that the SELECT may close with.
  TRY_ASSIGN(Rows rows,
             query(fmt::format("SELECT {} FROM ({}\n) AS texts({})", casts, select, names)));
  while (const Chunk* chunk = rows.next()) {
    for (std::size_t row = 0; row < chunk->row_count(); ++row) {
      TextRow& texts = out.rows.emplace_back(out.columns.size());
      for (std::size_t column = 0; column < out.columns.size(); ++column) {
        if (!chunk->is_null(column, row)) texts[column] = std::string(chunk->string(column, row));
      }
    }
  }
  return out;
}

Result<void*> Connection::prepare_handle(const std::string& sql) {
  duckdb_extracted_statements extracted = nullptr;
  const idx_t count = duckdb_extract_statements(as_connection(handle_), sql.c_str(), &extracted);
  if (count != 1) {
    const char* message = duckdb_extract_statements_error(extracted);
    Error failure = message != nullptr
                        ? to_error(DUCKDB_ERROR_INVALID, message)
                        : error(Code::kInvalid, count == 0 ? "there is no SQL statement"
                                                           : "only one SQL statement is allowed");
    duckdb_destroy_extracted(&extracted);
    return failure;
  }
  duckdb_prepared_statement statement = nullptr;
  const auto state =
      duckdb_prepare_extracted_statement(as_connection(handle_), extracted, 0, &statement);
  duckdb_destroy_extracted(&extracted);
  if (state != DuckDBSuccess) {
    Error failure = to_error(DUCKDB_ERROR_INVALID, duckdb_prepare_error(statement));
    duckdb_destroy_prepare(&statement);
    return failure;
  }
  return static_cast<void*>(statement);
}

Result<std::unique_ptr<Statement>> Connection::prepare(const std::string& sql) {
  TRY_ASSIGN(void* handle, prepare_handle(sql));
  return std::unique_ptr<Statement>(new Statement(*this, handle, sql, catalog_changes_));
}

Result<std::vector<ColumnInfo>> Connection::describe(const std::string& select) {
  TRY_ASSIGN(const auto statement, prepare(select));
  return statement->columns();
}

Result<std::int64_t> Connection::query_int(const std::string& select) {
  TRY_ASSIGN(Rows rows, query(fmt::format("SELECT CAST(v AS BIGINT) FROM ({}\n) AS t(v)", select)));
  const Chunk* chunk = rows.next();
  if (chunk == nullptr || chunk->row_count() == 0 || chunk->is_null(0, 0))
    return error(Code::kNotFound, "the query gave no number", select);
  return chunk->data<std::int64_t>(0)[0];
}

void Connection::interrupt() {
  duckdb_interrupt(as_connection(handle_));
}

// --- Helpers ---------------------------------------------------------------------------------

Status in_transaction(Connection& connection, const std::function<Status()>& body) {
  TRY(connection.execute("BEGIN TRANSACTION"));
  Status status = body();
  if (status.ok()) status = connection.execute("COMMIT");
  if (!status.ok()) {
    // Fails when the failed COMMIT has ended the transaction already; the first error counts.
    const Status ignored = connection.execute("ROLLBACK");
    (void)ignored;
  }
  return status;
}

namespace {
std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote) out += quote;
    out += c;
  }
  return out + quote;
}
}  // namespace

std::string quote_identifier(std::string_view name) {
  return quoted(name, '"');
}
std::string quote_literal(std::string_view text) {
  return quoted(text, '\'');
}

std::string library_version() {
  return duckdb_library_version();
}

}  // namespace pgweir::duck
