#include "engine/pending_finder.h"

#include <fmt/core.h>

#include <algorithm>

namespace pgweir::engine {

void PendingFinder::forget() {
  ready_ = false;
  recent_.clear();
  dead_.clear();
  read_keys_.clear();
  found_recent_ = {};
  found_dead_ = {};
  leaving_recent_.clear();
  dying_.clear();
  coming_.clear();
}

Status PendingFinder::build() {
  forget();
  TRY(connection_.execute(sql_.create_found()));
  TRY(read_into(recent_, sql_.recent));
  TRY(read_into(dead_, sql_.dead));
  found_recent_.name = sql_.found_recent;
  found_dead_.name = sql_.found_dead;
  ready_ = true;
  return {};
}

Status PendingFinder::read_into(PendingIndex& index, const std::string& table) {
  TRY_ASSIGN(duck::Rows rows, connection_.query(sql_.read_pending(table)));
  while (const duck::Chunk* chunk = rows.next()) {
    const auto* hash = chunk->data<std::uint64_t>(0);
    const auto* run = chunk->data<std::int32_t>(1);
    for (std::size_t i = 0; i < chunk->row_count(); ++i)
      index.add(hash[i], static_cast<std::uint32_t>(run[i]));
  }
  return {};
}

Status PendingFinder::read_keys(const std::string& keys) {
  // The same few texts come with every batch.
  constexpr std::size_t kTextsMax = 16;
  if (read_keys_.size() >= kTextsMax && !read_keys_.contains(keys)) read_keys_.clear();
  PreparedSql& statement = read_keys_.try_emplace(keys, keys).first->second;
  TRY_ASSIGN(duck::Rows rows, statement.query(connection_));
  wanted_.clear();
  while (const duck::Chunk* chunk = rows.next()) {
    for (std::size_t i = 0; i < chunk->row_count(); ++i) {
      if (!chunk->is_null(0, i)) wanted_.push_back(chunk->data<std::uint64_t>(0)[i]);
    }
  }
  std::sort(wanted_.begin(), wanted_.end());
  wanted_.erase(std::unique(wanted_.begin(), wanted_.end()), wanted_.end());
  return {};
}

Status PendingFinder::find_keys() {
  TRY(find_in(recent_, found_recent_));
  return find_in(dead_, found_dead_);
}

Status PendingFinder::find_in(const PendingIndex& index, FoundTable& table) {
  std::vector<Found> found;
  std::vector<std::uint32_t> runs;
  for (const std::uint64_t hash : wanted_) {
    runs.clear();
    index.find(hash, runs);
    for (const std::uint32_t run : runs) found.push_back({hash, run});
  }
  return fill(table, found);
}

// Each pair once: it stands for all rows of that hash in that run.
Status PendingFinder::fill(FoundTable& table, std::vector<Found>& rows) {
  if (table.filled) {
    if (table.clear.sql().empty()) table.clear.set("DELETE FROM temp.main." + table.name);
    TRY(table.clear.run(connection_));
    table.filled = false;
  }
  if (rows.empty()) return {};
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  table.filled = true;
  if (table.appender == nullptr) {
    TRY_ASSIGN(table.appender, connection_.appender("temp", "main", table.name));
  }
  for (const Found& row : rows) {
    table.appender->append_int(static_cast<std::int64_t>(row.hash));
    table.appender->append_int(row.run);
    TRY(table.appender->end_row());
  }
  return table.appender->flush();
}

Result<std::uint64_t> PendingFinder::find_delta(PreparedSql& read_delta, bool fill_table) {
  TRY_ASSIGN(duck::Rows rows, read_delta.query(connection_));
  leaving_recent_.clear();
  dying_.clear();
  coming_.clear();
  std::vector<Found> found;
  std::vector<std::uint32_t> runs;
  while (const duck::Chunk* chunk = rows.next()) {
    const auto* key_hash = chunk->data<std::uint64_t>(0);
    const auto* identity = chunk->data<std::uint64_t>(1);
    const auto* goes = chunk->data<bool>(2);
    for (std::size_t i = 0; i < chunk->row_count(); ++i) {
      if (!goes[i]) {
        coming_.push_back(identity[i]);
        continue;
      }
      runs.clear();
      recent_.find(identity[i], runs);
      if (runs.empty()) dying_.push_back(identity[i]);
      for (const std::uint32_t run : runs) {
        leaving_recent_.emplace_back(identity[i], run);
        found.push_back({key_hash[i], run});
      }
    }
  }
  if (fill_table) TRY(fill(found_recent_, found));
  return leaving_recent_.size();
}

void PendingFinder::delta_applied(std::uint64_t removed_from_recent, std::uint32_t run) {
  // Two rows with equal hashes: what is known here is no longer sure.
  bool sure = removed_from_recent == leaving_recent_.size();
  for (const auto& [identity, of_run] : leaving_recent_)
    sure = sure && recent_.erase(identity, of_run);
  if (!sure) return forget();
  for (const std::uint64_t identity : dying_) dead_.add(identity, run);
  for (const std::uint64_t identity : coming_) recent_.add(identity, run);
}

Status PendingFinder::leave(const StoreSql::Range& range) {
  if (!ready_) return {};
  TRY(leave_from(recent_, sql_.recent, range));
  return ready_ ? leave_from(dead_, sql_.dead, range) : Status{};
}

Status PendingFinder::leave_from(PendingIndex& index, const std::string& table,
                                 const StoreSql::Range& range) {
  TRY_ASSIGN(duck::Rows rows, connection_.query(sql_.read_pending_in(table, range)));
  while (const duck::Chunk* chunk = rows.next()) {
    for (std::size_t i = 0; i < chunk->row_count(); ++i) {
      const auto run = static_cast<std::uint32_t>(chunk->data<std::int32_t>(1)[i]);
      if (index.erase(chunk->data<std::uint64_t>(0)[i], run)) continue;
      forget();
      return {};
    }
  }
  return {};
}

}  // namespace pgweir::engine
