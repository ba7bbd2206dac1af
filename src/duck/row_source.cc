#include "duck/row_source.h"

#include <fmt/core.h>

#include <map>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "duck/c_api_internal.h"

namespace pgweir::duck {
namespace {

constexpr const char* kFunction = "pgweir_rows";

// A source while a statement runs over it.
struct Running {
  explicit Running(RowSource& of) : source(of) {}

  RowSource& source;
  std::vector<std::string> names;
  std::vector<std::unique_ptr<LogicalType>> types;

  Mutex mutex;
  std::optional<Error> failure GUARDED_BY(mutex);

  void fail(const Error& error) EXCLUDES(mutex) {
    MutexLock lock(mutex);
    if (!failure) failure = error;
  }
};

// A statement may be planned, and run, by threads that outlive nothing of ours: they hold it.
using RunningPtr = std::shared_ptr<Running>;

// What one thread has.
struct Part {
  RunningPtr running;
  std::unique_ptr<RowMaker> maker;
  std::unique_ptr<SourceRows> rows;
};

template <typename T>
void destroy(void* data) {
  delete static_cast<T*>(data);
}

idx_t id_of(duckdb_client_context context) {
  const idx_t id = duckdb_client_context_get_connection_id(context);
  duckdb_destroy_client_context(&context);
  return id;
}

}  // namespace

// By connection: a statement of another one, as those from outside, finds nothing there.
class RowSources {
 public:
  void add(idx_t connection, RunningPtr running) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    running_[connection] = std::move(running);
  }
  void remove(idx_t connection) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    running_.erase(connection);
  }
  RunningPtr find(idx_t connection) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto found = running_.find(connection);
    return found == running_.end() ? nullptr : found->second;
  }

  static void bind(duckdb_bind_info info) {
    auto& sources = **static_cast<std::shared_ptr<RowSources>*>(duckdb_bind_get_extra_info(info));
    duckdb_client_context context = nullptr;
    duckdb_table_function_get_client_context(info, &context);
    RunningPtr running = sources.find(id_of(context));
    if (running == nullptr)
      return duckdb_bind_set_error(info, "pgweir_rows() has no rows for this connection");
    for (std::size_t i = 0; i < running->names.size(); ++i)
      duckdb_bind_add_result_column(info, running->names[i].c_str(), running->types[i]->get());
    duckdb_bind_set_bind_data(info, new RunningPtr(std::move(running)), destroy<RunningPtr>);
  }

  static void init(duckdb_init_info info) {
    const auto& running = *static_cast<RunningPtr*>(duckdb_init_get_bind_data(info));
    duckdb_init_set_max_threads(info, running->source.makers_max());
  }

  static void init_part(duckdb_init_info info) {
    const auto& running = *static_cast<RunningPtr*>(duckdb_init_get_bind_data(info));
    auto part = std::make_unique<Part>();
    part->running = running;
    part->maker = running->source.maker();
    part->rows = std::make_unique<SourceRows>();
    for (const auto& type : running->types) part->rows->add_column(type->get());
    part->rows->row_max_ = duckdb_vector_size();
    duckdb_init_set_init_data(info, part.release(), destroy<Part>);
  }

  static void fill(duckdb_function_info info, duckdb_data_chunk output) {
    Part& part = *static_cast<Part*>(duckdb_function_get_local_init_data(info));
    part.rows->begin_chunk(output);
    const Status made = part.maker->make(*part.rows);
    if (!made.ok()) {
      part.running->fail(made.error());
      return duckdb_function_set_error(info, made.error().message.c_str());
    }
    duckdb_data_chunk_set_size(output, part.rows->row_count());
  }

 private:
  Mutex mutex_;
  std::map<idx_t, RunningPtr> running_ GUARDED_BY(mutex_);
};

Database::Database(void* handle) : handle_(handle), sources_(std::make_shared<RowSources>()) {}

Connection::Connection(void* handle, std::shared_ptr<RowSources> sources)
    : handle_(handle), sources_(std::move(sources)) {}

Status Connection::add_row_sources() {
  duckdb_table_function made = duckdb_create_table_function();
  duckdb_table_function_set_name(made, kFunction);
  using Sources = std::shared_ptr<RowSources>;
  duckdb_table_function_set_extra_info(made, new Sources(sources_), destroy<Sources>);
  duckdb_table_function_set_bind(made, RowSources::bind);
  duckdb_table_function_set_init(made, RowSources::init);
  duckdb_table_function_set_local_init(made, RowSources::init_part);
  duckdb_table_function_set_function(made, RowSources::fill);
  const duckdb_state state = duckdb_register_table_function(as_connection(handle_), made);
  duckdb_destroy_table_function(&made);
  if (state != DuckDBSuccess)
    return error(Code::kInternal, fmt::format("DuckDB does not take the function {}", kFunction));
  return {};
}

Result<std::uint64_t> Connection::run_over(RowSource& source, const std::string& columns,
                                           const std::string& statement) {
  const auto running = std::make_shared<Running>(source);
  TRY_ASSIGN(const auto described, prepare(columns));
  const auto prepared = as_statement(described->handle_);
  for (const ColumnInfo& column : described->columns()) {
    running->types.push_back(std::make_unique<LogicalType>(
        duckdb_prepared_statement_column_logical_type(prepared, running->names.size())));
    running->names.push_back(column.name);
  }
  duckdb_client_context context = nullptr;
  duckdb_connection_get_client_context(as_connection(handle_), &context);
  const idx_t id = id_of(context);
  sources_->add(id, running);
  const Result<Rows> done = query(statement);
  sources_->remove(id);
  if (done.ok()) return done->rows_changed();
  MutexLock lock(running->mutex);
  return running->failure ? *running->failure : done.error();
}

}  // namespace pgweir::duck
