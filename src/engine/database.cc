#include "engine/database.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "base/units.h"
#include "engine/postgres_semantics.h"
#include "engine/row_text.h"

namespace pgweir::engine {
namespace {

// Rows of one group: what a lookup by the hash of a key must read at the least. Every group costs
// a few KiB of memory for each column, so they must not be too small
// (docs/decisions/0001-finding-rows-by-key.md).
constexpr int kRowGroupRows = 4096;
// A lookup reads whole blocks, of which a column of a row group needs one or a part.
constexpr int kBlockBytes = 65'536;
// Of the memory that the engine may use, what DuckDB's buffers do not get: for a batch on its way,
// whatever the memory is, and for what DuckDB does not count, as what it knows of each row group,
// plans and results and the allocators' slack.
constexpr std::uint64_t kBatchBytes = 48 * kMiB;
constexpr double kUncountedShare = 0.25;
constexpr double kBufferShareMin = 0.5;
// Keys of a batch for which a join prunes row groups one by one.
constexpr int kPrunedKeysMax = 1000;

std::uint64_t buffer_bytes_of(std::uint64_t memory_bytes) {
  const auto memory = static_cast<double>(memory_bytes);
  const double wanted = memory * (1 - kUncountedShare) - static_cast<double>(kBatchBytes);
  return static_cast<std::uint64_t>(std::max(wanted, memory * kBufferShareMin));
}

}  // namespace

Result<std::unique_ptr<EngineDatabase>> EngineDatabase::open(const DatabaseOptions& options) {
  std::error_code failed;
  std::filesystem::create_directories(options.directory, failed);
  if (failed)
    return error(Code::kIo, fmt::format("the folder {} could not be made", options.directory),
                 failed.message());
  const std::string path = options.directory + "/engine.duckdb";
  auto opened = std::unique_ptr<EngineDatabase>(new EngineDatabase(path));
  const std::uint64_t buffer_bytes = buffer_bytes_of(options.memory_bytes);
  // The database proper is attached to an empty one in memory: only so can it have small row
  // groups.
  TRY_ASSIGN(
      opened->database_,
      duck::Database::open("", {{"threads", std::to_string(options.threads)},
                                {"memory_limit", fmt::format("{}B", buffer_bytes)},
                                {"temp_directory", options.directory + "/spill"},
                                {"preserve_insertion_order", "false"},
                                {"allocator_background_threads", "true"},
                                {"checkpoint_threshold", "1TB"},
                                {"force_compression", options.for_loading ? "dictionary" : "auto"},
                                {"dynamic_or_filter_threshold", std::to_string(kPrunedKeysMax)}}));
  TRY_ASSIGN(opened->first_, opened->database_->connect());
  duck::Connection* const connection = opened->first_.get();
  TRY(connection->execute("PRAGMA disable_checkpoint_on_shutdown"));
  const Status attached = connection->execute(
      fmt::format("ATTACH {} AS {} (ROW_GROUP_SIZE {}, BLOCK_SIZE {})", duck::quote_literal(path),
                  kCatalog, kRowGroupRows, kBlockBytes));
  if (!attached.ok()) {
    Error failure = attached.error();
    failure.detail = failure.message;
    failure.message = fmt::format("the engine's database {} cannot be opened", path);
    if (failure.code == Code::kInvalid) failure.code = Code::kCorruption;
    return failure;
  }
  TRY(
      connection->execute(fmt::format("USE {0}; CREATE SCHEMA IF NOT EXISTS \"public\"; "
                                      "CREATE SCHEMA IF NOT EXISTS pgweir; "
                                      "CREATE SCHEMA IF NOT EXISTS pgweir_internal",
                                      kCatalog)));
  TRY(connection->add_function(kTextHashFunction, text_hash));
  TRY(connection->add_row_sources());
  TRY(set_postgres_semantics(*connection));
  // DuckDB gets ready to measure every operator of every statement, if it is asked to or not: a
  // fifth of what a small statement costs. (The setting also begins to measure.)
  TRY(connection->execute("SET custom_profiling_settings = '{}'; PRAGMA disable_profiling"));
  TRY(connection->execute("SET GLOBAL enable_external_access = false"));
  TRY(connection->execute("SET GLOBAL lock_configuration = true"));
  return opened;
}

EngineDatabase::~EngineDatabase() {
  if (database_ == nullptr || wal_bytes() == 0) return;
  const auto connection = database_->connect();
  if (!connection.ok()) return;
  const Status ignored = checkpoint(**connection);  // what is left is replayed
  (void)ignored;
}

Status EngineDatabase::check(duck::Connection& connection) {
  TRY_ASSIGN(const duck::Rows rows,
             connection.query(fmt::format("SELECT 1 FROM {}.pgweir_internal.version", kCatalog)));
  return {};
}

Result<std::unique_ptr<duck::Connection>> EngineDatabase::connect() {
  TRY_ASSIGN(auto connection, database_->connect());
  TRY(get_ready(*connection));
  return connection;
}

Result<std::unique_ptr<duck::Connection>> EngineDatabase::take_first() {
  TRY(get_ready(*first_));
  return std::move(first_);
}

Status EngineDatabase::get_ready(duck::Connection& connection) {
  TRY(connection.execute(fmt::format("SET search_path = '{0}.main,{0}.public'", kCatalog)));
  return add_postgres_macros(connection);
}

std::uint64_t EngineDatabase::wal_bytes() const {
  std::error_code missing;
  const std::uintmax_t size = std::filesystem::file_size(path_ + ".wal", missing);
  return missing ? 0 : size;
}

std::uint64_t EngineDatabase::file_bytes() const {
  std::error_code missing;
  const std::uintmax_t size = std::filesystem::file_size(path_, missing);
  return missing ? 0 : size;
}

Status EngineDatabase::checkpoint(duck::Connection& connection) {
  return connection.execute(fmt::format("CHECKPOINT {}", kCatalog));
}

}  // namespace pgweir::engine
