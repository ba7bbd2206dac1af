#include "engine/base_readers.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/store.h"

namespace pgweir::engine {
namespace {

// One statement for each store that is read, mostly.
constexpr std::size_t kSelectsMax = 64;

}  // namespace

// --- One reader -------------------------------------------------------------------------------

BaseReader::~BaseReader() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

Status BaseReader::prepare() {
  TRY(connection_->execute(fmt::format("CREATE TEMP TABLE {} ({} UBIGINT, n INTEGER)",
                                       BaseReaders::kWantedTable, kHashColumn)));
  TRY_ASSIGN(wanted_, connection_->appender("temp", "main", "pgweir_wanted"));
  return {};
}

// The hashes are never committed: DuckDB would keep the room of temporary rows that were deleted.
Result<duck::Rows> BaseReader::read(const BasePart& part) {
  TRY(connection_->execute("BEGIN TRANSACTION"));
  Result<duck::Rows> rows = select_rows(part);
  // Before the rollback: it would write what it holds.
  if (!rows.ok()) wanted_.reset();
  const Status ended = connection_->execute("ROLLBACK");
  if (rows.ok() && !ended.ok()) return ended.error();
  return rows;
}

Result<duck::Rows> BaseReader::select_rows(const BasePart& part) {
  if (catalog_changes_ != part.catalog_changes || selects_.size() >= kSelectsMax) selects_.clear();
  catalog_changes_ = part.catalog_changes;
  PreparedSql& select = selects_.try_emplace(*part.select, *part.select).first->second;
  if (wanted_ == nullptr) {
    TRY_ASSIGN(wanted_, connection_->appender("temp", "main", "pgweir_wanted"));
  }
  for (const std::uint64_t hash : part.hashes) {
    wanted_->append_int(static_cast<std::int64_t>(hash));
    wanted_->append_int(0);
    TRY(wanted_->end_row());
  }
  TRY(wanted_->flush());
  return select.query(*connection_);
}

void BaseReader::begin(const BasePart& part) {
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  MutexLock lock(mutex_);
  part_ = part;
  changed_.notify_all();
}

Result<duck::Rows> BaseReader::finish() {
  MutexLock lock(mutex_);
  while (!rows_) changed_.wait(mutex_);
  Result<duck::Rows> rows = std::move(*rows_);
  rows_.reset();
  return rows;
}

void BaseReader::work() {
  for (;;) {
    BasePart part;
    {
      MutexLock lock(mutex_);
      while (!part_ && !stopping_) changed_.wait(mutex_);
      if (!part_) return;
      part = *part_;
      part_.reset();
    }
    Result<duck::Rows> rows = read(part);
    MutexLock lock(mutex_);
    rows_ = std::move(rows);
    changed_.notify_all();
  }
}

// --- All of them ------------------------------------------------------------------------------

void BaseReaders::close() {
  readers_.clear();
  connect_ = nullptr;
}

Status BaseReaders::add_reader() {
  TRY_ASSIGN(auto connection, connect_());
  auto reader = std::make_unique<BaseReader>(std::move(connection));
  TRY(reader->prepare());
  readers_.push_back(std::move(reader));
  return {};
}

std::vector<Result<duck::Rows>> BaseReaders::read_beside(const BasePart& part, std::size_t first,
                                                         std::size_t end, std::size_t parts) {
  const auto part_of = [&](std::size_t i) {
    const std::size_t from = part.hashes.size() * i / parts;
    const std::size_t to = part.hashes.size() * (i + 1) / parts;
    return BasePart{part.select, part.hashes.subspan(from, to - from), part.catalog_changes};
  };
  for (std::size_t i = first + 1; i < end; ++i) readers_[i - first]->begin(part_of(i));
  std::vector<Result<duck::Rows>> found;
  found.push_back(readers_[0]->read(part_of(first)));
  for (std::size_t i = first + 1; i < end; ++i) found.push_back(readers_[i - first]->finish());
  return found;
}

Result<std::uint64_t> BaseReaders::read(const BasePart& part, std::size_t parts,
                                        std::uint64_t rows_max, duck::Appender& out) {
  const std::size_t beside = std::min(parts, size());
  while (readers_.size() < beside) TRY(add_reader());
  std::uint64_t count = 0;
  for (std::size_t first = 0; first < parts && count < rows_max; first += beside) {
    auto found = read_beside(part, first, std::min(first + beside, parts), parts);
    for (Result<duck::Rows>& rows : found) {
      if (!rows.ok()) return rows.error();
      TRY_ASSIGN(const std::uint64_t own, out.append(*rows));
      count += own;
    }
  }
  TRY(out.flush());
  return count;
}

}  // namespace pgweir::engine
