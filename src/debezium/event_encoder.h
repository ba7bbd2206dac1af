// Changes as the events that Debezium's PostgreSQL connector sends: envelopes, keys, tombstones,
// logical messages, the boundaries of transactions.
//
// Place:   between a follower's batches and a sink. Takes batches in the log's order; what depends
// on
//          those before (the end of the transaction before, the counts of an open one, the last row
//          of a snapshot) is its state.
// Life:    one for a connector; its tables are made when first met, and again when they change.
// Threads: one thread at a time.
// Source:  messages recorded from Debezium 3.6.3. docs/debezium.md lists what differs, and why.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "debezium/event.h"
#include "debezium/source_block.h"
#include "debezium/table_encoding.h"
#include "model/batch.h"

namespace pgweir::debezium {

// The connector's properties, with its defaults.
struct EventOptions {
  TableOptions tables;   // topic.prefix among them
  std::string database;  // source.db
  std::string version = "3.6.3.Final";
  bool key_schemas = true;    // key.converter.schemas.enable
  bool value_schemas = true;  // value.converter.schemas.enable
  bool tombstones_on_delete = true;
  std::string skipped_operations = "t";  // letters of c, u, d, t
  bool skip_unchanged = false;           // skip.messages.without.change
  bool transaction_metadata = false;     // provide.transaction.metadata
  std::string transaction_topic = "transaction";
  std::string heartbeat_topic_prefix = "__debezium-heartbeat";
  bool context_headers = true;  // extended.headers.enabled
  std::string task_id = "0";
  std::string run_id;
  // Tables whose changes are events. Asked once for each version of a table; none: all are.
  std::function<bool(const model::Table&)> wanted;
};

class EventEncoder {
 public:
  explicit EventEncoder(EventOptions options);
  ~EventEncoder();
  EventEncoder(const EventEncoder&) = delete;
  EventEncoder& operator=(const EventEncoder&) = delete;

  // What the events to come depend on, beside their changes: kept with a follower's position.
  struct State {
    model::Lsn last_commit_lsn{};  // behind the transaction before; zero: none was seen
    // Of the open transaction, with transaction metadata.
    std::uint64_t total_order = 0;
    std::map<std::string, std::uint64_t> collections;  // events of each
    // Of the open snapshot: rows that were given out, and the table of the last one.
    bool in_snapshot = false;
    std::uint64_t snapshot_rows = 0;
    std::uint32_t snapshot_table = 0;

    bool operator==(const State&) const = default;
  };
  const State& state() const { return state_; }
  // Change::sequence of the row of a first snapshot that is held back: a follower that starts again
  // must be given it again.
  std::optional<std::uint64_t> held_sequence() const;
  // Before the first batch.
  void resume(State state) { state_ = std::move(state); }

  // A first snapshot begins: the rows of snapshots that come are its rows until it ends, and know
  // whether they are the first or last. The newest row is held back for that. One that is open
  // already has failed, and is void.
  void begin_snapshot();
  void end_snapshot(Events& out);

  // Takes all events that there are, and clears them: with schemas those of a batch may be a
  // hundred times as large as its changes.
  struct Drain {
    std::size_t bytes_max = 0;  // called as soon as there are so many
    std::function<Status(Events&)> take;
  };
  // Appends the events of a batch. `now_us`: when they were made. kInvalid names a value that is
  // none of its type and the place of its record. After an error, of `drain` too, the encoder and
  // `out` are of no more use.
  Status encode(const model::Batch& batch, std::int64_t now_us, Events& out) {
    return encode(batch, now_us, {}, out);
  }
  Status encode(const model::Batch& batch, std::int64_t now_us, const Drain& drain, Events& out);

  void append_heartbeat(std::int64_t now_ms, Events& out);

  const std::string& topic(std::uint32_t number) const { return *topics_[number]; }
  // Headers that most events have, in their order.
  const std::vector<std::pair<std::string, std::string>>& context() const { return context_; }

 private:
  struct Known;
  struct Place;
  struct Held;

  std::shared_ptr<const Known> known(const std::shared_ptr<const model::Table>& table);
  std::uint32_t topic_number(const std::string& name);
  Status encode_transaction(const model::Batch& batch, std::uint32_t index, const Drain& drain,
                            Events& out);
  Status encode_change(const Place& place, Events& out);
  Status encode_row(const Place& place, Events& out);
  Status encode_key_change(const Place& place, Events& out);
  Status encode_message(const Place& place, Events& out);
  std::string_view marker_of(const model::Transaction& transaction) const;
  Status encode_snapshot_row(const Place& place, Events& out);
  void release_held(std::string_view marker, Events& out);
  // The parts of an event of `table`; each appends to `out.bytes`.
  Status append_key(const Known& table, std::span<const model::Cell> row, Events& out,
                    EventText& piece) const;
  struct Rows {
    std::span<const model::Cell> before, after;
  };
  Status append_envelope(const Place& place, char op, const Rows& rows, Events& out,
                         EventText& piece);
  void append_tombstone(const Event& of, Events& out) const;
  void append_transaction_block(const Place& place, std::string& out);
  void append_begin(const Place& place, Events& out);
  void append_end(const model::Transaction& transaction, std::uint32_t index, Events& out);
  void append_boundary(std::string_view status, std::string_view id, std::string_view counts,
                       const model::Transaction& transaction, Event event, Events& out);

  const EventOptions options_;
  SourceBlock source_;
  std::vector<std::pair<std::string, std::string>> context_;
  std::vector<std::unique_ptr<const std::string>> topics_;
  std::map<std::string, std::uint32_t> topic_numbers_;
  std::map<std::uint32_t, std::shared_ptr<const Known>> tables_;  // by OID, the newest of each
  State state_;
  // Of the batch: a table may be there in several shapes.
  std::vector<std::shared_ptr<const Known>> batch_tables_;
  std::unique_ptr<Held> held_, next_;  // the newest row of a snapshot; memory for the next one
  std::string scratch_;
  std::int64_t now_us_ = 0;
  std::string times_;  // of `now_us_`, as an envelope's end has them
};

}  // namespace pgweir::debezium
