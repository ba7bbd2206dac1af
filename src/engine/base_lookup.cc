#include "engine/base_lookup.h"

#include <fmt/core.h>

#include <algorithm>

namespace pgweir::engine {
namespace {

// Fewer row groups are read in less time than a further reader takes to begin.
constexpr std::uint64_t kRowGroupsOfReaderMin = 12;
constexpr std::uint64_t kRowGroupRows = 4096;
// For more hashes DuckDB reads every row group (database.cc: kPrunedKeysMax).
constexpr std::uint64_t kHashesOfStatementMax = 1000;
constexpr std::uint64_t kHashesOfPartMax = 500;
// How often a store is not read so after its keys had too many rows.
constexpr int kLeftOutAfterTooMany = 100;

}  // namespace

// Hashes are spread evenly, so that each is in a row group of its own while there are enough.
std::size_t BaseLookup::parts_for(std::uint64_t hashes, std::uint64_t base_rows) const {
  const std::uint64_t row_groups = std::min(hashes, base_rows / kRowGroupRows);
  const auto parts = std::min<std::size_t>(row_groups / kRowGroupsOfReaderMin, readers_->size());
  return hashes <= kHashesOfStatementMax ? parts : std::max(parts, hashes / kHashesOfPartMax + 1);
}

bool BaseLookup::may_read(std::uint64_t base_rows) const {
  return readers_ != nullptr && readers_->size() > 1 && work_ != nullptr &&
         work_->commits > changed_at_ && base_rows >= 2 * kRowGroupsOfReaderMin * kRowGroupRows;
}

bool BaseLookup::can_read(std::uint64_t hashes, std::uint64_t base_rows) const {
  if (!may_read(base_rows) || parts_for(hashes, base_rows) < 2) return false;
  // Of so many the base is read as a whole in less time.
  if (hashes > kHashesOfStatementMax && hashes > base_rows / kRowGroupRows) return false;
  return true;
}

Result<std::optional<std::string>> BaseLookup::read(std::span<const std::uint64_t> hashes,
                                                    std::uint64_t base_rows,
                                                    std::uint64_t rows_max) {
  const std::string table = "temp.main." + sql_.from_base;
  if (std::ranges::includes(held_, hashes)) return std::optional(table);
  if (left_out_ > 0) {
    --left_out_;
    return std::optional<std::string>();
  }
  if (appender_ == nullptr) {
    TRY(connection_.execute(sql_.create_from_base()));
    TRY_ASSIGN(appender_, connection_.appender("temp", "main", sql_.from_base));
    clear_.set("DELETE FROM " + table);
  }
  TRY(clear());
  filled_ = true;
  const std::string select = sql_.read_base(BaseReaders::kWantedTable, rows_max);
  const auto rows = readers_->read({&select, hashes, connection_.catalog_changes()},
                                   parts_for(hashes.size(), base_rows), rows_max, *appender_);
  if (!rows.ok()) {
    // What it holds would be written at its end, be it after a rollback.
    appender_.reset();
    return rows.error();
  }
  if (*rows < rows_max) {
    held_.assign(hashes.begin(), hashes.end());
    return std::optional(table);
  }
  left_out_ = kLeftOutAfterTooMany;
  TRY(clear());
  return std::optional<std::string>();
}

Status BaseLookup::clear() {
  held_.clear();
  if (!filled_) return {};
  TRY(clear_.run(connection_));
  filled_ = false;
  return {};
}

void BaseLookup::forget() {
  held_.clear();
  appender_.reset();
  filled_ = false;
}

}  // namespace pgweir::engine
