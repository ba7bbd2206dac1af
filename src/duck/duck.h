// RAII over DuckDB's C API, with errors as values.
//
// Place:   the only folder that includes duckdb.h; its types stay behind opaque pointers here.
// Life:    a Connection outlives its Statements and Appenders; a Rows outlives nothing (it owns its
//          data). A Connection may outlive its Database, and keeps what is behind it open.
// Threads: a Database may be used from many threads; a Connection and what is made from it from one
//          at a time, except Connection::interrupt().
// Errors:  kInvalid with DuckDB's message for an SQL error; kNoSpace when the disk is full;
//          kUnavailable when the memory limit is reached; kIo, kCorruption for a file's faults;
//          kBroken once DuckDB has given up a database, or itself, after a failure (a checkpoint
//          that could not be written, a fault of its own): only a new Database helps.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "duck/row_writer.h"

namespace pgweir::duck {

struct ColumnInfo {
  std::string name;
  std::string type;  // DuckDB's own text: "DECIMAL(18,3)", "VARCHAR"
  Type kind = Type::kOther;
};

// A small result with every value as DuckDB prints it; nothing is NULL.
using TextRow = std::vector<std::optional<std::string>>;
struct TextRows {
  std::vector<ColumnInfo> columns;
  std::vector<TextRow> rows;
};

class Connection;
class RowSource;   // row_source.h
class RowSources;  // those that statements run over, by connection

class Database {
 public:
  // `path` "" is a database in memory. `options` are DuckDB's settings at open, by name.
  // Extensions are never installed or loaded by themselves. Plans do not use table statistics, so
  // that a prepared statement is right however its tables change later.
  static Result<std::unique_ptr<Database>> open(
      const std::string& path, const std::vector<std::pair<std::string, std::string>>& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  Result<std::unique_ptr<Connection>> connect();

 private:
  friend class Connection;
  explicit Database(void* handle);
  void* handle_;
  const std::shared_ptr<RowSources> sources_;
};

// One chunk of a result, column by column. Valid until the next one is fetched.
class Chunk {
 public:
  std::size_t row_count() const { return row_count_; }
  std::size_t column_count() const { return columns_.size(); }
  bool is_null(std::size_t column, std::size_t row) const;
  // The column's values as DuckDB stores them; T must be its physical type (int64_t for kBigint,
  // kTimestamp, kTime; int32_t for kInteger, kDate; double for kDouble; bool for kBoolean ...).
  template <typename T>
  const T* data(std::size_t column) const {
    return static_cast<const T*>(columns_[column].data);
  }
  // Requires kVarchar or kBlob.
  std::string_view string(std::size_t column, std::size_t row) const;

 private:
  friend class Rows;
  struct Column {
    const void* data = nullptr;
    const std::uint64_t* validity = nullptr;
  };
  std::vector<Column> columns_;
  std::size_t row_count_ = 0;
};

// The result of a statement.
class Rows {
 public:
  Rows(Rows&& other) noexcept;
  Rows& operator=(Rows&& other) noexcept;
  ~Rows();

  const std::vector<ColumnInfo>& columns() const { return columns_; }
  std::uint64_t rows_changed() const;
  // The next chunk, or nullptr at the end.
  const Chunk* next();
  // Of a stream(): whether next() has come to the end, or what went wrong before it.
  Status ended() const;

 private:
  friend class Appender;
  friend class Connection;
  friend class Statement;
  explicit Rows(void* result);
  void release();
  void* result_ = nullptr;  // duckdb_result*, owned
  void* chunk_ = nullptr;   // duckdb_data_chunk, owned
  std::vector<ColumnInfo> columns_;
  Chunk view_;
};

// What a statement does, as far as we care.
enum class StatementKind { kSelect, kExplain, kOther };

class Statement {
 public:
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  StatementKind kind() const;
  std::size_t parameter_count() const;
  // Of its result.
  std::vector<ColumnInfo> columns() const;
  // Parameters are numbered from 1.
  Status bind_null(std::size_t parameter);
  Status bind(std::size_t parameter, std::int64_t value);
  Status bind(std::size_t parameter, std::string_view text);
  Result<Rows> execute();

 private:
  friend class Connection;
  Statement(Connection& connection, void* handle, std::string sql, std::uint64_t catalog_changes)
      : connection_(connection),
        handle_(handle),
        sql_(std::move(sql)),
        catalog_changes_(catalog_changes) {}
  Status renew_plan();

  Connection& connection_;
  void* handle_;
  // DuckDB plans a statement anew at every execution once the catalog has changed since it was
  // prepared; so after such a change (of this connection) it is prepared anew, once.
  const std::string sql_;
  std::uint64_t catalog_changes_;  // the connection's, when it was prepared
  bool has_parameters_ = false;    // bound since the last execution
};

// Writes rows into a table in chunks.
//
//   appender->append_text("x"); ...; appender->end_row();
class Appender : public RowWriter {
 public:
  ~Appender();

  // Ends the row; every column must have been given. Flushes a chunk when it is full.
  Status end_row();

  // All rows that are left of a result with the table's columns, of any connection. Requires that
  // no row is begun. Returns their number.
  Result<std::uint64_t> append(Rows& rows);

  // Makes all rows visible to the connection. Required before the Appender is destroyed: that
  // writes what is left, in a transaction of its own where none is open, and tells no error.
  Status flush();

 private:
  friend class Connection;
  struct State;
  explicit Appender(std::unique_ptr<State> state);
  Status flush_chunk();
  std::unique_ptr<State> state_;
};

class Connection {
 public:
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Runs one or more statements and drops the results.
  Status execute(const std::string& sql);
  // Runs one statement.
  Result<Rows> query(const std::string& sql);
  // The same, with the rows made as they are asked for: a result of any size. Take them to the end,
  // or drop them, before anything else is done on this connection.
  Result<Rows> stream(const std::string& sql);
  // Runs one SELECT and prints every value. For small results: all of it is held in memory.
  Result<TextRows> query_texts(const std::string& select);
  // One statement; kInvalid for several.
  Result<std::unique_ptr<Statement>> prepare(const std::string& sql);
  // `catalog` "" is the default database, "temp" that of temporary tables.
  Result<std::unique_ptr<Appender>> appender(const std::string& catalog, const std::string& schema,
                                             const std::string& table);
  // Result columns of a SELECT, without running it.
  Result<std::vector<ColumnInfo>> describe(const std::string& select);
  // The first value of a SELECT's first row as an integer; kNotFound when there is no row.
  Result<std::int64_t> query_int(const std::string& select);

  // How many ROLLBACKs were executed: who remembers what a transaction did compares it.
  std::uint64_t rollbacks() const { return rollbacks_; }
  // Another number after every change of the catalog by this connection, and once it is committed.
  std::uint64_t catalog_changes() const { return catalog_changes_; }

  // Makes NAME(VARCHAR, BIGINT) -> BIGINT known to the whole database, until it is closed: NULL
  // where an argument is NULL, else what `function` says, which threads of DuckDB's call. Requires
  // that no transaction is open.
  using TextFunction = std::int64_t (*)(std::string_view text, std::int64_t number);
  Status add_function(const std::string& name, TextFunction function);

  // Makes run_over() possible on all connections of the database. Requires that no transaction is
  // open.
  Status add_row_sources();
  // Runs one statement in which kRowSource stands in FROM as the relation of the source's rows; it
  // has the columns of `columns`, a SELECT. Returns how many rows changed. The first error of the
  // source's comes back as it is.
  Result<std::uint64_t> run_over(RowSource& source, const std::string& columns,
                                 const std::string& statement);

  // Stops what runs on this connection, from any thread; it then fails with kCancelled.
  void interrupt();

 private:
  friend class Database;
  friend class Statement;
  Connection(void* handle, std::shared_ptr<RowSources> sources);
  Result<void*> prepare_handle(const std::string& sql);
  void note_catalog_change(std::string_view sql);

  void* handle_;
  const std::shared_ptr<RowSources> sources_;
  std::uint64_t catalog_changes_ = 0;
  std::uint64_t rollbacks_ = 0;
  bool changed_in_transaction_ = false;
};

// BEGIN; body; COMMIT, with ROLLBACK when the body or the commit fails. (COMMIT of an aborted
// transaction succeeds silently in DuckDB, so its status alone proves nothing.)
Status in_transaction(Connection& connection, const std::function<Status()>& body);

// "name" with quotes doubled; 'text' with quotes doubled.
std::string quote_identifier(std::string_view name);
std::string quote_literal(std::string_view text);

// DuckDB's own version, "v1.5.5".
std::string library_version();

}  // namespace pgweir::duck
