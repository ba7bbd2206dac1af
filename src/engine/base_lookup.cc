#include "engine/base_lookup.h"

#include <fmt/core.h>

#include <algorithm>

namespace pgweir::engine {
namespace {

// Fewer row groups are read in less time than a further reader takes to begin.
constexpr std::uint64_t kRowGroupsOfReaderMin = 12;
constexpr std::uint64_t kRowGroupRows = 4096;

}  // namespace

// Hashes are spread evenly, so that each is in a row group of its own while there are enough.
std::size_t BaseLookup::parts_for(std::uint64_t hashes, std::uint64_t base_rows) const {
  const std::uint64_t row_groups = std::min(hashes, base_rows / kRowGroupRows);
  return std::min<std::size_t>(row_groups / kRowGroupsOfReaderMin, readers_->size());
}

bool BaseLookup::can_read(std::uint64_t hashes, std::uint64_t base_rows) const {
  return readers_ != nullptr && work_ != nullptr && work_->commits > changed_at_ &&
         parts_for(hashes, base_rows) > 1;
}

Result<std::string> BaseLookup::read(std::span<const std::uint64_t> hashes,
                                     std::uint64_t base_rows) {
  const std::string table = "temp.main." + sql_.from_base;
  if (appender_ == nullptr) {
    TRY(connection_.execute(sql_.create_from_base()));
    TRY_ASSIGN(appender_, connection_.appender("temp", "main", sql_.from_base));
    clear_.set("DELETE FROM " + table);
  }
  TRY(clear());
  filled_ = true;
  const std::string select = sql_.read_base(BaseReaders::kWantedTable);
  const Status read = readers_->read({&select, hashes, connection_.catalog_changes()},
                                     parts_for(hashes.size(), base_rows), *appender_);
  if (read.ok()) return table;
  // What it holds would be written at its end, be it after a rollback.
  appender_.reset();
  return read.error();
}

Status BaseLookup::clear() {
  if (!filled_) return {};
  TRY(clear_.run(connection_));
  filled_ = false;
  return {};
}

void BaseLookup::forget() {
  appender_.reset();
  filled_ = false;
}

}  // namespace pgweir::engine
