// Decoded changes as followers get them: immutable, shared, rows as slices into arenas.
//
// Place:   made by pipeline/feed from log frames, through postgres/pgoutput; read by engine and
// sinks. Threads: immutable once shared (shared_ptr<const Batch>).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/position.h"
#include "model/table.h"

namespace pgweir::model {

// Microseconds since 1970-01-01 UTC. (PostgreSQL's wire counts from 2000-01-01: converted on
// decode.)
enum class Timestamp : std::int64_t {};
constexpr std::int64_t value(Timestamp time) {
  return static_cast<std::int64_t>(time);
}

enum class Xid : std::uint32_t {};

// The letters are those that people see; 'r' is a row read by a snapshot.
// 'm' is a logical message, of the table that message.h describes.
enum class Op : char {
  kInsert = 'i',
  kUpdate = 'u',
  kDelete = 'd',
  kTruncate = 't',
  kRead = 'r',
  kMessage = 'm'
};

enum class CellKind : std::uint8_t {
  kNull,
  kText,       // PostgreSQL's output text, not zero-terminated
  kUnchanged,  // a TOAST value that the update did not touch and PostgreSQL did not send
  kAbsent,     // not part of this image: the non-key columns of a key-only before image
};

struct Cell {
  const char* data = nullptr;
  std::uint32_t size = 0;
  CellKind kind = CellKind::kNull;

  std::string_view text() const { return {data, size}; }
};

inline constexpr std::uint32_t kNoRow = 0xffffffff;

enum class BeforeImage : std::uint8_t { kNone, kKey, kFull };

struct Change {
  Op op = Op::kInsert;
  BeforeImage before_image = BeforeImage::kNone;
  std::uint32_t transaction = 0;  // index into Batch::transactions
  std::uint32_t table = 0;        // index into Batch::tables
  // First cell of the row in Batch::cells, or kNoRow; as many cells as the table has columns.
  // A truncate has neither row: one Change for each table that it names.
  std::uint32_t before = kNoRow;
  std::uint32_t after = kNoRow;
  std::uint32_t bytes = 0;  // size of the message that PostgreSQL sent
  std::uint64_t sequence = 0;
  Lsn lsn{};  // where it stands in the WAL; zero where that is not known
};

// A transaction, or the part of one that this batch holds. Every row of a snapshot belongs to one
// transaction of kind kSnapshot at the slot's consistent point.
struct Transaction {
  enum class Kind : std::uint8_t { kStream, kSnapshot };

  Kind kind = Kind::kStream;
  Xid xid{};
  Lsn commit_lsn{};  // of the commit record: the position's LSN
  Lsn end_lsn{};     // behind the commit record; zero while `ends` is false
  Timestamp commit_time{};
  std::uint32_t first_change = 0;  // range in Batch::changes
  std::uint32_t change_count = 0;
  bool begins = false;  // its first record is in this batch
  bool ends = false;    // its commit (or the snapshot's end) is in this batch
  // The replication origin that the source's session had, where PostgreSQL told of one; else null.
  std::shared_ptr<const std::string> origin;
};

struct Batch {
  // (from, to]: `from` is the position before the first record, `to` that of the last one.
  Position from;
  Position to;
  // Only the first transaction may lack its begin, and only the last one its end.
  std::vector<Transaction> transactions;
  std::vector<Change> changes;
  std::vector<Cell> cells;
  // Each version of a table that a change here refers to.
  std::vector<std::shared_ptr<const Table>> tables;
  // Keeps alive what the cells point into.
  std::vector<std::shared_ptr<const void>> arenas;

  std::span<const Cell> row(std::uint32_t first_cell, const Table& table) const {
    return {cells.data() + first_cell, table.columns.size()};
  }
  const Table& table_of(const Change& change) const { return *tables[change.table]; }
  // For Spares: what can be used again is the memory of its vectors.
  void clear();
  std::size_t used_bytes() const;
  std::size_t memory_bytes() const;
  // True when `to` is the end of a transaction: only then may a follower show its state.
  bool ends_transaction() const { return transactions.empty() || transactions.back().ends; }
};

using BatchPtr = std::shared_ptr<const Batch>;

}  // namespace pgweir::model
