// Decodes pgoutput messages (protocols 1 and 2) and snapshot rows into batches of changes.
//
// Place:   between raw messages (from the log or the socket) and the followers' batches.
// Life:    feed() messages, take() a batch whenever it is large enough, also inside a transaction.
//          Cells point into the messages: hand their owner to keep_alive() before feeding them.
// Images:  a key-only before image has kAbsent outside the key. A value that an update did not
// touch
//          is taken from the before image where that has it, else it is kUnchanged.
// Threads: one thread at a time; the batches and tables given out are immutable.
// Errors:  kCorruption with message kind and byte offset for bytes that are not a whole message or
//          do not fit here; kUnsupported for two-phase messages and binary values. After an error
//          the decoder is of no use.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "model/batch.h"
#include "model/message.h"
#include "model/position.h"
#include "model/table.h"
#include "postgres/logical_message.h"
#include "postgres/streamed.h"

namespace pgweir::postgres {

// Microseconds between 1970-01-01 and 2000-01-01, where PostgreSQL's clock starts.
inline constexpr std::int64_t kPostgresEpochUs = 946'684'800'000'000;

// A time of the protocol as ours. Any bytes may come: out of range it wraps around.
constexpr model::Timestamp from_wire_time(std::int64_t since_2000_us) {
  return model::Timestamp{static_cast<std::int64_t>(static_cast<std::uint64_t>(since_2000_us) +
                                                    std::uint64_t{kPostgresEpochUs})};
}

// The table that a Relation message describes. What the message leaves out is empty: type_name,
// primary_key, not_null; base_type is `type` for built-in types, else text's OID.
Result<model::Table> parse_relation(std::string_view message);

// The same table with the catalog's facts: `relation` decides columns, types and keys; every column
// that `facts` knows by the same name, type and modifier gets its facts, and so does the table.
model::Table with_facts(model::Table relation, const model::Table& facts);

// Where to begin in the middle of a transaction whose Begin message will not be seen.
struct OpenTransaction {
  model::Xid xid{};
  model::Lsn commit_lsn{};
  model::Timestamp commit_time{};
  std::uint64_t next_sequence = 1;
};

class PgoutputDecoder {
 public:
  // Everything up to and including `after` is skipped. Its epoch is the epoch of what follows.
  explicit PgoutputDecoder(const model::Position& after);

  // Goes on inside a transaction. Requires that none is open.
  void resume(const OpenTransaction& transaction);
  // A new slot, timeline or system: what follows belongs to `epoch`. Requires no open transaction.
  void start_epoch(std::uint32_t epoch);

  // Forgets the transaction that is open, if there is one.
  void abandon() { open_ = in_batch_ = false; }

  // Makes a table known, or a new version of it; the next change of it uses this version. Feeding
  // its Relation message afterwards keeps the facts where they still fit.
  void add_table(std::shared_ptr<const model::Table> table);
  // The newest version, or null.
  std::shared_ptr<const model::Table> table(model::Oid id) const;

  // What is fed from here on lives in `arena`: every batch that holds some of it holds the arena.
  void keep_alive(std::shared_ptr<const void> arena);
  // One message, whose bytes live in the arena given last.
  Status feed(std::string_view message);

  // A transaction that PostgreSQL sent before it committed, once it has: its messages follow
  // through feed_streamed(), and its Stream Commit. What belongs to `rolled_back` is passed over
  // and counts as no record, as if it had never been. Requires that none is open.
  void begin_streamed(const OpenTransaction& transaction, XidSet rolled_back);
  Status feed_streamed(std::string_view message);
  // Of the open transaction.
  bool is_rolled_back(model::Xid xid) const { return rolled_back_.contains(xid); }

  // Snapshot rows: one transaction of kind kSnapshot at `at` (CreatedSlot::snapshot_lsn()), one
  // sequence a row. begin_snapshot() with rows already taken goes on at `next_sequence`.
  Status begin_snapshot(model::Lsn at, model::Timestamp time, std::uint64_t next_sequence = 1);
  // COPY text lines of one table, each ended by a newline (the last one's may be missing). The
  // table's columns are those that add_table() gave.
  Status feed_copy_rows(model::Oid table, std::string_view lines);
  // Records of a snapshot up to here are taken in elsewhere. Requires that the batch is empty and
  // no transaction is open.
  void skip_to(const model::Position& position);
  // The snapshot's last record; its end_lsn is `at`.
  Status end_snapshot();
  // Rows read beside the stream, of one frame: a whole transaction of kind kSnapshot at `at`.
  Status begin_read(model::Lsn at, model::Timestamp time, std::uint64_t next_sequence);
  Status end_read(model::Lsn end_lsn);

  bool in_transaction() const { return open_; }
  std::size_t change_count() const { return batch_.changes.size(); }
  std::size_t byte_count() const { return bytes_; }  // of messages whose changes the batch holds
  bool batch_empty() const { return batch_.transactions.empty(); }
  // Of the last record taken in.
  const model::Position& position() const { return position_; }

  // The batch so far; the decoder goes on with an empty one. Inside a transaction the batch's last
  // transaction has ends=false and the next batch's first has begins=false.
  model::Batch take();
  // The next batch uses the memory of one that nobody reads any more. Does nothing when the batch
  // has something already.
  void reuse(model::Batch spent);

 private:
  struct Entry {
    std::shared_ptr<const model::Table> table;
    std::uint64_t batch_number = 0;  // where batch_index holds
    std::uint32_t batch_index = 0;
  };

  Status begin(std::string_view message);
  Status commit(std::string_view message);
  Status relation(std::string_view message);
  Status row_change(model::Op op, std::string_view message);
  Status truncate(std::string_view message);
  Status origin(std::string_view message);
  // (logical_message.cc)
  Status logical_message(std::string_view message, MessagePlace place);
  Status tuple(std::string_view message, std::size_t& offset, const model::Table& table,
               std::uint32_t& first_cell);
  Status before_image(std::string_view message, std::size_t& offset, const model::Table& table,
                      model::Change& change);
  void complete(const model::Table& table, const model::Change& change);
  Status copy_row(const model::Table& table, std::string_view line, model::Change& change);
  char* arena_space(std::size_t size);
  Entry* find_entry(std::uint32_t id);
  // Counts the next record; false when it is to be skipped.
  bool count_record();
  void begin_transaction(model::Transaction::Kind kind, const OpenTransaction& transaction);
  void add_transaction();
  void end_transaction(model::Lsn end_lsn);
  void push(model::Change change, Entry& entry);

  model::Position after_;
  model::Position position_;
  std::uint32_t epoch_;
  std::unordered_map<std::uint32_t, Entry> tables_;
  Entry* last_entry_ = nullptr;
  std::uint32_t last_id_ = 0;

  bool open_ = false;         // a transaction is open in the stream ...
  bool in_batch_ = false;     // ... and the batch has an entry for it
  bool begins_here_ = false;  // the next batch entry for it is its first
  model::Transaction current_;
  std::uint64_t sequence_ = 0;
  XidSet rolled_back_;           // of the open transaction, if it is streamed
  bool unchanged_seen_ = false;  // in the message being decoded

  std::shared_ptr<const void> source_;  // what the messages fed now live in ...
  bool source_kept_ = true;             // ... and whether the batch holds it already
  model::Batch batch_;
  std::uint64_t batch_number_ = 1;
  std::size_t bytes_ = 0;
  char* arena_ = nullptr;  // unescaped COPY fields; owned by batch_.arenas
  std::size_t arena_left_ = 0;
};

}  // namespace pgweir::postgres
