// Remembers what the log says of tables that are being read, for as long as a snapshot may not have
// seen it.
//
// Place:   follows the log like any follower, on the log-writing thread; table_reads.h owns it.
// Memory:  bounded by the options; what is too much is forgotten, and said so.
// Threads: one thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "log/log.h"
#include "pipeline/batch_reader.h"
#include "pipeline/chunk_merge.h"
#include "postgres/xid_snapshot.h"

namespace pgweir::pipeline {

struct RecorderOptions {
  // Changes kept for chunks on their way. Too little: chunks are given up and read smaller.
  std::size_t record_bytes_max = 32 * kMiB;
  // Keys of a table that are to be read again. Too little: the table is read once more.
  std::size_t listed_keys_max = 200'000;
};

// A table being read, as the log describes it.
struct RecordedTable {
  std::shared_ptr<const model::Table> table;  // null until the log has told
  std::vector<std::uint32_t> key;
  bool only_shape = false;  // its changes are not recorded
  // Keys whose rows followers may not have: changed without all their values.
  std::set<std::string> listed;
  // Every row is with the followers, or listed: only what was listed gets onto the list.
  bool closed = false;
  bool listed_too_much = false;  // the list was emptied
  // It was emptied: all rows that it has came behind that, and so to the followers. (Of a table
  // with a key.)
  bool truncated = false;
  // The table has other columns than when its reading began, or a partition was away since.
  bool reshaped = false;
};

class ChangeRecorder {
 public:
  // Follows the log behind `after`. Errors as BatchReader::open().
  static Result<std::unique_ptr<ChangeRecorder>> open(log::Log& log, const model::Position& after,
                                                      const RecorderOptions& options);

  // Takes in everything that is durable. Errors as BatchReader::next(): the recorder is of no more
  // use then.
  Status catch_up();
  // Of the last record taken in.
  const model::Position& position() const { return position_; }

  // From here on changes of the table are recorded. Replaces what was recorded of it.
  RecordedTable& add(model::Oid table);
  void remove(model::Oid table) { tables_.erase(model::value(table)); }
  // Null when it is not recorded.
  RecordedTable* find(model::Oid table);

  // Changes of the table that `snapshot` does not see, in order.
  std::vector<const RecordedChange*> unseen(model::Oid table,
                                            const postgres::XidSnapshot& snapshot) const;
  // Forgets the changes for which `seen` is true.
  void forget(const std::function<bool(model::Xid)>& seen);
  // Rises when changes had to be forgotten that a snapshot taken before may not have seen.
  std::uint64_t generation() const { return generation_; }

 private:
  struct Entry {
    model::Oid table{};
    RecordedChange change;
    std::size_t bytes = 0;
  };

  ChangeRecorder(std::unique_ptr<BatchReader> reader, const model::Position& after,
                 const RecorderOptions& options)
      : reader_(std::move(reader)), position_(after), options_(options) {}
  void see(const std::shared_ptr<const model::Table>& shape);
  void take(const model::Batch& batch);
  void record(RecordedTable& table, const model::Batch& batch, const model::Change& change);
  void list(RecordedTable& table, const RecordedChange& change);

  const std::unique_ptr<BatchReader> reader_;
  model::Position position_;
  const RecorderOptions options_;
  std::map<std::uint32_t, RecordedTable> tables_;
  std::deque<Entry> entries_;
  std::size_t bytes_ = 0;
  std::uint64_t generation_ = 0;
};

}  // namespace pgweir::pipeline
