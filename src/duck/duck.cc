#include "duck/duck.h"

#include <duckdb.h>
#include <fmt/core.h>

#include <cstring>

namespace pgweir::duck {
namespace {

duckdb_database as_database(void* handle) {
  return static_cast<duckdb_database>(handle);
}
duckdb_connection as_connection(void* handle) {
  return static_cast<duckdb_connection>(handle);
}
duckdb_prepared_statement as_statement(void* handle) {
  return static_cast<duckdb_prepared_statement>(handle);
}
duckdb_data_chunk as_chunk(void* handle) {
  return static_cast<duckdb_data_chunk>(handle);
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool is_out_of_memory(std::string_view text) {
  // The second stands in errors of other types that have run out of memory on their way.
  return text.starts_with("Out of Memory Error") || contains(text, "Increasing the memory limit");
}

Code code_of(duckdb_error_type type, std::string_view text) {
  // Some calls tell no type; the message starts with its name.
  const bool untold = type == DUCKDB_ERROR_INVALID;
  const auto is = [&](duckdb_error_type wanted, const char* name) {
    return type == wanted || (untold && text.starts_with(name));
  };
  if (is(DUCKDB_ERROR_FATAL, "FATAL Error") || is(DUCKDB_ERROR_INTERNAL, "INTERNAL Error") ||
      contains(text, "has been invalidated"))
    return Code::kBroken;
  if (contains(text, "No space left on device")) return Code::kNoSpace;
  if (type == DUCKDB_ERROR_OUT_OF_MEMORY || is_out_of_memory(text)) return Code::kUnavailable;
  // A failed COMMIT has a type that says nothing of the reason.
  if (is(DUCKDB_ERROR_IO, "IO Error") || contains(text, "Could not write file")) return Code::kIo;
  if (is(DUCKDB_ERROR_INTERRUPT, "INTERRUPT")) return Code::kCancelled;
  if (type == DUCKDB_ERROR_SERIALIZATION) return Code::kCorruption;
  return Code::kInvalid;
}

Error to_error(duckdb_error_type type, const char* message) {
  std::string text = message != nullptr ? message : "DuckDB gave no message";
  const Code code = code_of(type, text);
  // Its advice is about settings that nobody but the engine can make.
  const std::size_t advice = text.find("\n\nPossible solutions:");
  if (advice != std::string::npos) text.resize(advice);
  return error(code, text);
}

Type kind_of(duckdb_type type) {
  switch (type) {
    case DUCKDB_TYPE_BOOLEAN:
      return Type::kBoolean;
    case DUCKDB_TYPE_TINYINT:
      return Type::kTinyint;
    case DUCKDB_TYPE_SMALLINT:
      return Type::kSmallint;
    case DUCKDB_TYPE_INTEGER:
      return Type::kInteger;
    case DUCKDB_TYPE_BIGINT:
      return Type::kBigint;
    case DUCKDB_TYPE_UBIGINT:
      return Type::kUbigint;
    case DUCKDB_TYPE_HUGEINT:
      return Type::kHugeint;
    case DUCKDB_TYPE_FLOAT:
      return Type::kFloat;
    case DUCKDB_TYPE_DOUBLE:
      return Type::kDouble;
    case DUCKDB_TYPE_DECIMAL:
      return Type::kDecimal;
    case DUCKDB_TYPE_VARCHAR:
      return Type::kVarchar;
    case DUCKDB_TYPE_BLOB:
      return Type::kBlob;
    case DUCKDB_TYPE_DATE:
      return Type::kDate;
    case DUCKDB_TYPE_TIME:
      return Type::kTime;
    case DUCKDB_TYPE_TIMESTAMP:
      return Type::kTimestamp;
    case DUCKDB_TYPE_TIMESTAMP_TZ:
      return Type::kTimestampTz;
    case DUCKDB_TYPE_UUID:
      return Type::kUuid;
    case DUCKDB_TYPE_INTERVAL:
      return Type::kInterval;
    default:
      return Type::kOther;
  }
}

// DuckDB's text of a type, for those with a fixed one.
const char* name_of(duckdb_type type) {
  switch (type) {
    case DUCKDB_TYPE_BOOLEAN:
      return "BOOLEAN";
    case DUCKDB_TYPE_TINYINT:
      return "TINYINT";
    case DUCKDB_TYPE_SMALLINT:
      return "SMALLINT";
    case DUCKDB_TYPE_INTEGER:
      return "INTEGER";
    case DUCKDB_TYPE_BIGINT:
      return "BIGINT";
    case DUCKDB_TYPE_UTINYINT:
      return "UTINYINT";
    case DUCKDB_TYPE_USMALLINT:
      return "USMALLINT";
    case DUCKDB_TYPE_UINTEGER:
      return "UINTEGER";
    case DUCKDB_TYPE_UBIGINT:
      return "UBIGINT";
    case DUCKDB_TYPE_HUGEINT:
      return "HUGEINT";
    case DUCKDB_TYPE_UHUGEINT:
      return "UHUGEINT";
    case DUCKDB_TYPE_FLOAT:
      return "FLOAT";
    case DUCKDB_TYPE_DOUBLE:
      return "DOUBLE";
    case DUCKDB_TYPE_VARCHAR:
      return "VARCHAR";
    case DUCKDB_TYPE_BLOB:
      return "BLOB";
    case DUCKDB_TYPE_DATE:
      return "DATE";
    case DUCKDB_TYPE_TIME:
      return "TIME";
    case DUCKDB_TYPE_TIME_TZ:
      return "TIME WITH TIME ZONE";
    case DUCKDB_TYPE_TIMESTAMP:
      return "TIMESTAMP";
    case DUCKDB_TYPE_TIMESTAMP_S:
      return "TIMESTAMP_S";
    case DUCKDB_TYPE_TIMESTAMP_MS:
      return "TIMESTAMP_MS";
    case DUCKDB_TYPE_TIMESTAMP_NS:
      return "TIMESTAMP_NS";
    case DUCKDB_TYPE_TIMESTAMP_TZ:
      return "TIMESTAMP WITH TIME ZONE";
    case DUCKDB_TYPE_UUID:
      return "UUID";
    case DUCKDB_TYPE_INTERVAL:
      return "INTERVAL";
    case DUCKDB_TYPE_BIT:
      return "BIT";
    default:
      return "OTHER";
  }
}

class LogicalType {
 public:
  explicit LogicalType(duckdb_logical_type type) : type_(type) {}
  ~LogicalType() { duckdb_destroy_logical_type(&type_); }
  LogicalType(const LogicalType&) = delete;
  LogicalType& operator=(const LogicalType&) = delete;
  duckdb_logical_type get() const { return type_; }
  duckdb_type id() const { return duckdb_get_type_id(type_); }

  std::string text() const {
    if (id() == DUCKDB_TYPE_DECIMAL)
      return fmt::format("DECIMAL({},{})", duckdb_decimal_width(type_),
                         duckdb_decimal_scale(type_));
    if (id() == DUCKDB_TYPE_LIST)
      return LogicalType(duckdb_list_type_child_type(type_)).text() + "[]";
    return name_of(id());
  }

 private:
  duckdb_logical_type type_;
};

}  // namespace

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
  all.emplace_back("disabled_optimizers", "statistics_propagation");
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
  return std::unique_ptr<Connection>(new Connection(connection));
}

// --- Rows ------------------------------------------------------------------------------------

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

// --- Appender --------------------------------------------------------------------------------

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
