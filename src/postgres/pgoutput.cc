#include "postgres/pgoutput.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "model/copy_text.h"

namespace pgweir::postgres {
namespace {
using model::BeforeImage;
using model::Cell;
using model::CellKind;
using model::Change;
using model::Op;
using model::Table;

constexpr std::size_t kArenaBlockBytes = 64 * 1024;
constexpr std::uint32_t kTextOid = 25;
// Types below it are PostgreSQL's own in every installation.
constexpr std::uint32_t kFirstOtherOid = 10'000;

Error damaged(std::string_view message, std::size_t offset, std::string_view what) {
  return error(Code::kCorruption, "a pgoutput message is damaged",
               fmt::format("message '{}' of {} bytes, at byte {}: {}",
                           message.empty() ? '?' : message[0], message.size(), offset, what));
}

Status check_end(std::string_view message, const NetworkReader& in) {
  if (!in.ok()) return damaged(message, in.offset(), "it ends too early");
  if (!in.at_end()) return damaged(message, in.offset(), "it is longer than it should be");
  return {};
}

std::uint32_t read_length(const char* at) {
  std::uint32_t raw = 0;
  std::memcpy(&raw, at, sizeof(raw));
  return __builtin_bswap32(raw);
}

}  // namespace

Result<Table> parse_relation(std::string_view message) {
  NetworkReader in(message);
  if (in.read<char>() != 'R') return damaged(message, 0, "not a Relation");
  Table table;
  table.id = model::Oid{in.read<std::uint32_t>()};
  table.schema = in.c_string();
  if (table.schema.empty()) table.schema = "pg_catalog";
  table.name = in.c_string();
  const char identity = in.read<char>();
  if (in.ok() && std::string_view("dnfi").find(identity) == std::string_view::npos)
    return damaged(message, in.offset() - 1, "no such replica identity");
  table.replica_identity = model::ReplicaIdentity{identity};
  const auto count = in.read<std::uint16_t>();
  for (std::uint16_t i = 0; i < count && in.ok(); ++i) {
    model::Column column;
    column.in_key = (in.read<std::uint8_t>() & 1) != 0;
    column.name = in.c_string();
    column.type = model::Oid{in.read<std::uint32_t>()};
    column.type_modifier = in.read<std::int32_t>();
    column.base_type =
        model::value(column.type) < kFirstOtherOid ? column.type : model::Oid{kTextOid};
    table.columns.push_back(std::move(column));
  }
  TRY(check_end(message, in));
  return table;
}

Table with_facts(Table relation, const Table& facts) {
  const auto find = [](const Table& table, const std::string& name, std::size_t guess) {
    if (guess < table.columns.size() && table.columns[guess].name == name) return guess;
    std::size_t at = 0;
    while (at < table.columns.size() && table.columns[at].name != name) ++at;
    return at;
  };
  for (std::size_t i = 0; i < relation.columns.size(); ++i) {
    model::Column& column = relation.columns[i];
    const std::size_t at = find(facts, column.name, i);
    if (at == facts.columns.size()) continue;
    const model::Column& known = facts.columns[at];
    if (known.type != column.type || known.type_modifier != column.type_modifier) continue;
    column.type_name = known.type_name;
    column.base_type = known.base_type;
    column.not_null = known.not_null;
    column.number = known.number;
    column.revision = known.revision;
    column.missing = known.missing;
    column.facts = known.facts;
    column.default_value = known.default_value;
  }
  relation.storage = facts.storage;
  relation.numbers_max = facts.numbers_max;
  relation.partitions = facts.partitions;
  relation.row_filter = facts.row_filter;
  relation.published_by = facts.published_by;
  relation.presence = facts.presence;
  relation.primary_key.clear();
  for (const std::uint32_t key : facts.primary_key) {
    const std::size_t at = find(relation, facts.columns[key].name, key);
    if (at == relation.columns.size()) {
      relation.primary_key.clear();
      break;
    }
    relation.primary_key.push_back(static_cast<std::uint32_t>(at));
  }
  return relation;
}

PgoutputDecoder::PgoutputDecoder(const model::Position& after)
    : after_(after), position_(after), epoch_(after.epoch) {
  batch_.from = after;
}

void PgoutputDecoder::start_epoch(std::uint32_t epoch) {
  PGWEIR_ASSERT(!open_, "an epoch begins between transactions");
  epoch_ = epoch;
}

void PgoutputDecoder::resume(const OpenTransaction& transaction) {
  PGWEIR_ASSERT(!open_, "only one transaction can be open");
  begin_transaction(model::Transaction::Kind::kStream, transaction);
}

void PgoutputDecoder::begin_transaction(model::Transaction::Kind kind,
                                        const OpenTransaction& transaction) {
  current_ = {};
  current_.kind = kind;
  current_.xid = transaction.xid;
  current_.commit_lsn = transaction.commit_lsn;
  current_.commit_time = transaction.commit_time;
  sequence_ = transaction.next_sequence - 1;
  begins_here_ = sequence_ == 0;
  open_ = true;
  in_batch_ = false;
}

void PgoutputDecoder::add_table(std::shared_ptr<const Table> table) {
  Entry& entry = tables_[model::value(table->id)];
  entry.batch_number = 0;
  entry.table = std::move(table);
}

std::shared_ptr<const Table> PgoutputDecoder::table(model::Oid id) const {
  const auto found = tables_.find(model::value(id));
  return found == tables_.end() ? nullptr : found->second.table;
}

void PgoutputDecoder::keep_alive(std::shared_ptr<const void> arena) {
  source_ = std::move(arena);
  source_kept_ = false;
}

Status PgoutputDecoder::feed(std::string_view message) {
  if (message.empty()) return damaged(message, 0, "it is empty");
  NetworkReader in(message);
  switch (in.read<char>()) {
    case 'I':
      return row_change(Op::kInsert, message);
    case 'U':
      return row_change(Op::kUpdate, message);
    case 'D':
      return row_change(Op::kDelete, message);
    case 'B':
      return begin(message);
    case 'C':
      return commit(message);
    case 'R':
      return relation(message);
    case 'T':
      return truncate(message);
    case 'O':
      return origin(message);
    case 'Y':
      in.read<std::uint32_t>();
      in.c_string();
      in.c_string();
      return check_end(message, in);
    case 'M':
      return logical_message(message, MessagePlace::kPlain);
    default:
      return error(Code::kUnsupported,
                   fmt::format("pgoutput message '{}' is not known here", message[0]), {},
                   "Read the slot with protocol version 1 or 2, and without two_phase");
  }
}

void PgoutputDecoder::begin_streamed(const OpenTransaction& transaction, XidSet rolled_back) {
  resume(transaction);
  rolled_back_ = std::move(rolled_back);
}

Status PgoutputDecoder::feed_streamed(std::string_view message) {
  if (message.empty()) return damaged(message, 0, "it is empty");
  if (!has_streamed_xid(message)) return feed(message);
  if (message.size() < kStreamedHeaderBytes)
    return damaged(message, message.size(), "it ends before its xid");
  const model::Xid xid = streamed_xid(message);
  if (message[0] == 'c') {
    TRY_ASSIGN(const StreamCommit commit, parse_stream_commit(message));
    if (!open_ || commit.commit_lsn != current_.commit_lsn || commit.xid != current_.xid)
      return damaged(message, 1, "it ends another transaction than the one that is open");
    end_transaction(commit.end_lsn);
    rolled_back_ = {};
    return {};
  }
  if (rolled_back_.contains(xid)) return {};
  // Without the xid it is an ordinary message. The rows' kind is looked at only here: what stands
  // in its place from there on is the xid's last byte.
  const std::string_view plain = message.substr(kStreamedHeaderBytes - 1);
  switch (message[0]) {
    case 'I':
      return row_change(Op::kInsert, plain);
    case 'U':
      return row_change(Op::kUpdate, plain);
    case 'D':
      return row_change(Op::kDelete, plain);
    case 'T':
      return truncate(plain);
    case 'M':
      return logical_message(message, MessagePlace::kInBlock);
    default: {
      TRY_ASSIGN(const std::string copy, without_xid(message));
      return feed(copy);
    }
  }
}

Status PgoutputDecoder::begin(std::string_view message) {
  NetworkReader in(message.substr(1));
  OpenTransaction transaction;
  transaction.commit_lsn = model::Lsn{in.read<std::uint64_t>()};
  transaction.commit_time = from_wire_time(in.read<std::int64_t>());
  transaction.xid = model::Xid{in.read<std::uint32_t>()};
  TRY(check_end(message, in));
  if (open_) return damaged(message, 0, "the transaction before it has no commit");
  begin_transaction(model::Transaction::Kind::kStream, transaction);
  return {};
}

Status PgoutputDecoder::commit(std::string_view message) {
  NetworkReader in(message.substr(1));
  in.read<std::uint8_t>();  // flags, none defined
  const auto commit_lsn = model::Lsn{in.read<std::uint64_t>()};
  const auto end_lsn = model::Lsn{in.read<std::uint64_t>()};
  in.read<std::int64_t>();
  TRY(check_end(message, in));
  if (!open_ || current_.kind != model::Transaction::Kind::kStream ||
      commit_lsn != current_.commit_lsn)
    return damaged(message, 2, "it ends another transaction than the one that is open");
  end_transaction(end_lsn);
  return {};
}

void PgoutputDecoder::end_transaction(model::Lsn end_lsn) {
  if (count_record()) {
    if (!in_batch_) add_transaction();
    batch_.transactions.back().ends = true;
    batch_.transactions.back().end_lsn = end_lsn;
  }
  open_ = false;
  in_batch_ = false;
}

bool PgoutputDecoder::count_record() {
  const model::Position position{epoch_, current_.commit_lsn, ++sequence_};
  if (position <= after_) [[unlikely]] {
    begins_here_ = false;
    return false;
  }
  position_ = position;
  return true;
}

void PgoutputDecoder::add_transaction() {
  current_.begins = begins_here_;
  current_.first_change = static_cast<std::uint32_t>(batch_.changes.size());
  batch_.transactions.push_back(current_);
  begins_here_ = false;
  in_batch_ = true;
}

void PgoutputDecoder::push(Change change, Entry& entry) {
  if (!in_batch_) [[unlikely]]
    add_transaction();
  if (!source_kept_) [[unlikely]] {
    if (source_) batch_.arenas.push_back(source_);
    source_kept_ = true;
  }
  if (entry.batch_number != batch_number_) [[unlikely]] {
    entry.batch_number = batch_number_;
    entry.batch_index = static_cast<std::uint32_t>(batch_.tables.size());
    batch_.tables.push_back(entry.table);
  }
  change.transaction = static_cast<std::uint32_t>(batch_.transactions.size() - 1);
  change.table = entry.batch_index;
  change.sequence = sequence_;
  bytes_ += change.bytes;
  batch_.changes.push_back(change);
  ++batch_.transactions.back().change_count;
}

PgoutputDecoder::Entry* PgoutputDecoder::find_entry(std::uint32_t id) {
  if (last_entry_ != nullptr && last_id_ == id) [[likely]]
    return last_entry_;
  const auto found = tables_.find(id);
  if (found == tables_.end()) return nullptr;
  last_id_ = id;
  last_entry_ = &found->second;  // the map's nodes do not move
  return last_entry_;
}

Status PgoutputDecoder::relation(std::string_view message) {
  TRY_ASSIGN(Table parsed, parse_relation(message));
  const std::uint32_t id = model::value(parsed.id);
  if (const Entry* known = find_entry(id)) {
    parsed = with_facts(std::move(parsed), *known->table);
    if (parsed == *known->table) return {};
  }
  add_table(std::make_shared<const Table>(std::move(parsed)));
  return {};
}

// The columns of one row, as slices of the message. `offset` moves behind them.
Status PgoutputDecoder::tuple(std::string_view message, std::size_t& offset, const Table& table,
                              std::uint32_t& first_cell) {
  const std::size_t count = table.columns.size();
  if (message.size() < offset + 2) return damaged(message, offset, "a row ends too early");
  const auto sent = static_cast<std::size_t>((static_cast<unsigned char>(message[offset]) << 8) |
                                             static_cast<unsigned char>(message[offset + 1]));
  if (sent != count) {
    return damaged(
        message, offset,
        fmt::format("a row of {} columns for {} of {}", sent, table.qualified_name(), count));
  }
  first_cell = static_cast<std::uint32_t>(batch_.cells.size());
  batch_.cells.resize(batch_.cells.size() + count);
  Cell* cell = batch_.cells.data() + first_cell;
  const char* at = message.data() + offset + 2;
  const char* const end = message.data() + message.size();
  const auto here = [&] { return static_cast<std::size_t>(at - message.data()); };
  for (const Cell* const last = cell + count; cell != last; ++cell) {
    if (at == end) return damaged(message, here(), "a row ends too early");
    const char kind = *at++;
    if (kind == 't') [[likely]] {
      if (end - at < 4) return damaged(message, here(), "a value's length ends too early");
      const std::uint32_t size = read_length(at);
      at += 4;
      if (static_cast<std::size_t>(end - at) < size)
        return damaged(message, here(), "a value is longer than its message");
      *cell = {at, size, CellKind::kText};
      at += size;
    } else if (kind == 'u') {
      cell->kind = CellKind::kUnchanged;
      unchanged_seen_ = true;
    } else if (kind == 'b') {
      return error(Code::kUnsupported, "a pgoutput message holds a binary value",
                   fmt::format("table {}, at byte {}", table.qualified_name(), here()));
    } else if (kind != 'n') {
      return damaged(message, here() - 1, "no such kind of value");
    }
  }
  offset = here();
  return {};
}

Status PgoutputDecoder::before_image(std::string_view message, std::size_t& offset,
                                     const Table& table, Change& change) {
  const bool whole = message[offset++] == 'O';
  change.before_image = whole ? BeforeImage::kFull : BeforeImage::kKey;
  TRY(tuple(message, offset, table, change.before));
  if (whole) return {};
  // Columns outside the key come as NULL: they are not known.
  Cell* cells = batch_.cells.data() + change.before;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (!table.columns[i].in_key) cells[i] = {nullptr, 0, CellKind::kAbsent};
  }
  return {};
}

Status PgoutputDecoder::row_change(Op op, std::string_view message) {
  constexpr std::size_t kHeader = 1 + 4 + 1;  // kind, relation, kind of row
  if (message.size() < kHeader) return damaged(message, message.size(), "it ends too early");
  if (!open_) return damaged(message, 0, "it is outside a transaction");
  const std::uint32_t id = read_length(message.data() + 1);
  Entry* const entry = find_entry(id);
  if (entry == nullptr)
    return damaged(message, 1, fmt::format("no Relation message for table {} came before", id));
  const Table& table = *entry->table;
  // One that nobody asked for, of a publication that has it, is a record all the same.
  if (!count_record() || table.presence != model::Presence::kCaptured) return {};

  Change change;
  change.op = op;
  change.bytes = static_cast<std::uint32_t>(message.size());
  std::size_t offset = kHeader - 1;
  const bool key_or_old = message[offset] == 'K' || message[offset] == 'O';
  unchanged_seen_ = false;
  if (op == Op::kDelete && !key_or_old) return damaged(message, offset, "a DELETE without a row");
  if (op != Op::kInsert && key_or_old) TRY(before_image(message, offset, table, change));
  if (op != Op::kDelete) {
    if (offset >= message.size() || message[offset] != 'N')
      return damaged(message, offset, "the new row is missing");
    ++offset;
    TRY(tuple(message, offset, table, change.after));
    if (unchanged_seen_ && change.before != model::kNoRow) complete(table, change);
  }
  if (offset != message.size()) return damaged(message, offset, "it is longer than it should be");
  push(change, *entry);
  return {};
}

// A value that the update did not touch and PostgreSQL did not send again is the old row's.
void PgoutputDecoder::complete(const Table& table, const Change& change) {
  const Cell* before = batch_.cells.data() + change.before;
  Cell* after = batch_.cells.data() + change.after;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const bool known = before[i].kind == CellKind::kText || before[i].kind == CellKind::kNull;
    if (after[i].kind == CellKind::kUnchanged && known) after[i] = before[i];
  }
}

Status PgoutputDecoder::truncate(std::string_view message) {
  NetworkReader in(message.substr(1));
  const auto count = in.read<std::uint32_t>();
  in.read<std::uint8_t>();  // CASCADE, RESTART IDENTITY: the tables are all named
  if (!in.ok() || in.remaining() != count * std::uint64_t{4})
    return damaged(message, 1, "not the length of a Truncate");
  if (!open_) return damaged(message, 0, "it is outside a transaction");
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto id = in.read<std::uint32_t>();
    Entry* const entry = find_entry(id);
    if (entry == nullptr) {
      return damaged(message, in.offset() - 3,
                     fmt::format("no Relation message for table {} came before", id));
    }
    if (!count_record() || entry->table->presence != model::Presence::kCaptured) continue;
    Change change;
    change.op = Op::kTruncate;
    change.bytes = i == 0 ? static_cast<std::uint32_t>(message.size()) : 0;
    push(change, *entry);
  }
  return {};
}

Status PgoutputDecoder::origin(std::string_view message) {
  NetworkReader in(message.substr(1));
  in.read<std::uint64_t>();  // where its commit stands at the origin
  const std::string_view name = in.c_string();
  TRY(check_end(message, in));
  const bool known = current_.origin && *current_.origin == name;
  if (open_ && !known) current_.origin = std::make_shared<const std::string>(name);
  if (in_batch_) batch_.transactions.back().origin = current_.origin;
  return {};
}

Status PgoutputDecoder::begin_snapshot(model::Lsn at, model::Timestamp time,
                                       std::uint64_t next_sequence) {
  if (open_) {
    return error(Code::kCorruption, "a snapshot begins inside a transaction",
                 "after " + model::to_string(position_));
  }
  begin_transaction(model::Transaction::Kind::kSnapshot, {{}, at, time, next_sequence});
  return {};
}

Status PgoutputDecoder::end_snapshot() {
  if (!open_ || current_.kind != model::Transaction::Kind::kSnapshot)
    return error(Code::kCorruption, "a snapshot ends that has not begun");
  end_transaction(current_.commit_lsn);
  return {};
}

Status PgoutputDecoder::begin_read(model::Lsn at, model::Timestamp time,
                                   std::uint64_t next_sequence) {
  TRY(begin_snapshot(at, time, next_sequence));
  begins_here_ = true;
  return {};
}

Status PgoutputDecoder::end_read(model::Lsn end_lsn) {
  if (!open_ || current_.kind != model::Transaction::Kind::kSnapshot)
    return error(Code::kCorruption, "rows end that have not begun");
  end_transaction(end_lsn);
  return {};
}

Status PgoutputDecoder::feed_copy_rows(model::Oid id, std::string_view lines) {
  Entry* const entry = find_entry(model::value(id));
  if (!open_ || current_.kind != model::Transaction::Kind::kSnapshot || entry == nullptr) {
    return error(Code::kCorruption, "snapshot rows do not fit here",
                 fmt::format("table {}: {}", model::value(id),
                             open_ ? "it is not known" : "no snapshot has begun"));
  }
  while (!lines.empty()) {
    const std::string_view line = model::next_line(lines);
    if (!count_record()) continue;
    Change change;
    change.op = Op::kRead;
    change.bytes = static_cast<std::uint32_t>(line.size());
    TRY(copy_row(*entry->table, line, change));
    push(change, *entry);
  }
  return {};
}

Status PgoutputDecoder::copy_row(const Table& table, std::string_view line, Change& change) {
  struct Room {
    PgoutputDecoder& decoder;
    char* space(std::size_t size) { return decoder.arena_space(size); }
    void keep(std::size_t size) {
      decoder.arena_ += size;
      decoder.arena_left_ -= size;
    }
  };
  const std::size_t count = table.columns.size();
  change.after = static_cast<std::uint32_t>(batch_.cells.size());
  batch_.cells.resize(batch_.cells.size() + count);
  Room room{*this};
  if (model::split_copy_row(line, count, batch_.cells.data() + change.after, room)) return {};
  return model::not_a_row_of(table, line);
}

void PgoutputDecoder::skip_to(const model::Position& position) {
  PGWEIR_ASSERT(!open_ && batch_empty(), "only between transactions can records be passed over");
  if (position <= position_) return;
  position_ = batch_.from = position;
}

char* PgoutputDecoder::arena_space(std::size_t size) {
  if (arena_left_ < size) {
    arena_left_ = std::max(size, kArenaBlockBytes);
    const std::shared_ptr<char[]> block(new char[arena_left_]);
    arena_ = block.get();
    batch_.arenas.push_back(block);
  }
  return arena_;
}

void PgoutputDecoder::reuse(model::Batch spent) {
  if (!batch_.transactions.empty() || !batch_.cells.empty()) return;
  spent.clear();
  batch_.transactions = std::move(spent.transactions);
  batch_.changes = std::move(spent.changes);
  batch_.cells = std::move(spent.cells);
}

model::Batch PgoutputDecoder::take() {
  model::Batch out = std::move(batch_);
  out.to = position_;
  batch_ = {};
  batch_.from = position_;
  ++batch_number_;
  bytes_ = 0;
  in_batch_ = false;
  source_kept_ = false;
  arena_ = nullptr;
  arena_left_ = 0;
  return out;
}

}  // namespace pgweir::postgres
