#include "engine/consolidate.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <functional>

namespace pgweir::engine {
namespace {

using model::Cell;
using model::CellKind;

constexpr std::size_t kTextBlockBytes = 64 * 1024;
constexpr std::size_t kSlotsMin = 64;
constexpr std::uint32_t kNullLength = 0xffffffff;

Error does_not_follow(const model::Batch& batch, const model::Change& change, const char* what) {
  return error(
      Code::kCorruption,
      fmt::format("a change of table {} does not follow from those before it",
                  batch.table_of(change).qualified_name()),
      fmt::format("{}; operation {}, commit {}, record {}", what, static_cast<char>(change.op),
                  model::to_string(batch.transactions[change.transaction].commit_lsn),
                  change.sequence));
}

}  // namespace

void Consolidator::begin(const RowIdentity& identity, Rows rows) {
  identity_ = &identity;
  rows_known_ = rows;
  truncated_ = false;
  truncate();
  texts_.clear();
  text_used_ = text_size_ = 0;
  rows_.clear();
}

void Consolidator::truncate() {
  entries_.clear();
  std::fill(slots_.begin(), slots_.end(), 0);
  has_unchanged_ = false;
}

std::string_view Consolidator::copy_text(std::string_view text) {
  if (text.size() > text_size_ - text_used_) {
    text_size_ = std::max(kTextBlockBytes, text.size());
    text_used_ = 0;
    texts_.push_back(std::make_unique<char[]>(text_size_));
  }
  char* at = texts_.empty() ? nullptr : texts_.back().get() + text_used_;
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  text_used_ += text.size();
  return {at, text.size()};
}

Cell* Consolidator::copy_row(std::span<const Cell> row) {
  rows_.push_back(std::make_unique<Cell[]>(row.size()));
  std::copy(row.begin(), row.end(), rows_.back().get());
  return rows_.back().get();
}

// A key of one column that is not NULL is its text; others are all their texts with their lengths.
std::string_view Consolidator::key_of(const Cell* row) {
  const auto& key = identity_->key;
  if (key.size() == 1 && row[key[0]].kind == CellKind::kText) return row[key[0]].text();
  thread_local std::string joined;
  joined.clear();
  for (const std::uint32_t column : key) {
    const Cell& cell = row[column];
    const std::uint32_t length = cell.kind == CellKind::kText ? cell.size : kNullLength;
    joined.append(reinterpret_cast<const char*>(&length), sizeof length);
    if (cell.kind == CellKind::kText) joined.append(cell.data, cell.size);
  }
  return copy_text(joined);
}

Consolidator::Found Consolidator::find(std::string_view key) {
  if (entries_.size() * 2 >= slots_.size()) grow();
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>{}(key)&mask;
  while (slots_[slot] != 0) {
    NetChange& entry = entries_[slots_[slot] - 1];
    if (entry.key == key) return {&entry, false};
    slot = (slot + 1) & mask;
  }
  entries_.push_back({.key = key});
  slots_[slot] = static_cast<std::uint32_t>(entries_.size());
  return {&entries_.back(), true};
}

void Consolidator::grow() {
  slots_.assign(std::max(kSlotsMin, slots_.size() * 2), 0);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    std::size_t slot = std::hash<std::string_view>{}(entries_[i].key) & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = static_cast<std::uint32_t>(i + 1);
  }
}

// `after` with its unchanged cells taken from `from` (nullptr: from nowhere) as far as they are
// known.
const Cell* Consolidator::complete(const Cell* after, const Cell* from, std::size_t width,
                                   bool& incomplete) {
  const auto unknown = [&](const Cell* row) {
    return std::any_of(identity_->kept.begin(), identity_->kept.end(),
                       [&](std::uint32_t i) { return row[i].kind == CellKind::kUnchanged; });
  };
  incomplete = unknown(after);
  if (!incomplete || from == nullptr) return after;
  Cell* row = copy_row({after, width});
  for (std::size_t i = 0; i < width; ++i) {
    if (row[i].kind == CellKind::kUnchanged && from[i].kind != CellKind::kAbsent) row[i] = from[i];
  }
  incomplete = unknown(row);
  return row;
}

void Consolidator::add_to_bag(const Cell* row, std::int32_t count) {
  const Found found = find(key_of(row));
  if (found.is_new) found.entry->key_row = row;
  found.entry->count += count;
}

Status Consolidator::add(const model::Batch& batch, const model::Change& change) {
  if (change.op == model::Op::kTruncate) {
    truncated_ = true;
    truncate();
    return {};
  }
  const std::size_t width = batch.table_of(change).columns.size();
  const Cell* after = change.after == model::kNoRow ? nullptr : batch.cells.data() + change.after;
  const Cell* before =
      change.before == model::kNoRow ? nullptr : batch.cells.data() + change.before;
  switch (identity_->kind) {
    case MirrorKind::kAppendOnly:
      if (after == nullptr || before != nullptr || change.op == model::Op::kUpdate)
        return does_not_follow(batch, change, "only inserts of this table can be taken");
      entries_.push_back({.key_row = after, .after = after, .count = 1});
      return {};
    case MirrorKind::kBag: {
      const bool takes = change.op == model::Op::kUpdate || change.op == model::Op::kDelete;
      if (takes && change.before_image != model::BeforeImage::kFull)
        return does_not_follow(batch, change, "the whole old row is needed");
      if (takes) add_to_bag(before, -1);
      bool incomplete = false;
      if (after != nullptr) add_to_bag(complete(after, before, width, incomplete), 1);
      if (incomplete) return does_not_follow(batch, change, "an unchanged value is not known");
      return {};
    }
    case MirrorKind::kKeyed:
      break;
  }
  const Status status = add_keyed(batch, change);
  if (status.ok()) return {};
  return does_not_follow(batch, change, status.error().message.c_str());
}

Status Consolidator::add_keyed(const model::Batch& batch, const model::Change& change) {
  const std::size_t width = batch.table_of(change).columns.size();
  const Cell* after = change.after == model::kNoRow ? nullptr : batch.cells.data() + change.after;
  const Cell* before =
      change.before == model::kNoRow ? nullptr : batch.cells.data() + change.before;
  if (change.op == model::Op::kDelete) {
    if (before == nullptr) return error(Code::kInternal, "the key of the deleted row is missing");
    NetChange gone;
    return remove(before, key_of(before), gone);
  }
  if (after == nullptr) return error(Code::kInternal, "the new row is missing");
  const std::string_view key = key_of(after);
  if (change.op != model::Op::kUpdate) return insert(after, nullptr, key);
  if (before == nullptr) return update(nullptr, after, width, key);
  const std::string_view old_key = key_of(before);
  if (old_key == key) return update(before, after, width, key);

  // The key changes: the old row goes, the new one comes and brings its unchanged values along.
  NetChange gone;
  TRY(remove(before, old_key, gone));
  bool incomplete = false;
  const Cell* from = gone.after != nullptr ? gone.after : before;
  const Cell* row = complete(after, from, width, incomplete);
  has_unchanged_ = has_unchanged_ || incomplete;
  const Cell* source = gone.after != nullptr ? gone.unchanged_from : before;
  return insert(row, incomplete ? source : nullptr, key);
}

Status Consolidator::insert(const Cell* after, const Cell* unchanged_from, std::string_view key) {
  const Found found = find(key);
  if (!found.is_new && found.entry->after != nullptr && !some())
    return error(Code::kInternal, "its key is there already");
  if (found.is_new && some()) found.entry->had_old = !truncated_;
  found.entry->key_row = after;
  found.entry->after = after;
  found.entry->unchanged_from = unchanged_from;
  return {};
}

// `gone` becomes what was known of the row.
Status Consolidator::remove(const Cell* before, std::string_view key, NetChange& gone) {
  const Found found = find(key);
  NetChange& entry = *found.entry;
  if (found.is_new) {
    if (truncated_ && !some()) return error(Code::kInternal, "its row was truncated before");
    entry.key_row = entry.before = before;
    entry.had_old = !truncated_;
    return {};
  }
  if (entry.after == nullptr && !some())
    return error(Code::kInternal, "its row was deleted before");
  gone = entry;
  entry.after = nullptr;
  entry.unchanged_from = nullptr;
  entry.key_row = before;
  return {};
}

Status Consolidator::update(const Cell* before, const Cell* after, std::size_t width,
                            std::string_view key) {
  const Found found = find(key);
  NetChange& entry = *found.entry;
  bool incomplete = false;
  if (found.is_new) {
    if (truncated_ && !some()) return error(Code::kInternal, "its row was truncated before");
    entry.had_old = !truncated_;
    entry.before = before;
    entry.after = complete(after, before, width, incomplete);
    entry.unchanged_from = incomplete ? after : nullptr;
  } else {
    if (entry.after == nullptr && !some())
      return error(Code::kInternal, "its row was deleted before");
    if (entry.after == nullptr) entry.unchanged_from = after;
    entry.after = complete(after, entry.after, width, incomplete);
    if (!incomplete) entry.unchanged_from = nullptr;
  }
  entry.key_row = entry.after;
  has_unchanged_ = has_unchanged_ || incomplete;
  return {};
}

}  // namespace pgweir::engine
