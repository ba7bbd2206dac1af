// How far event time has come, by column: the newest time that a transaction brought, less the
// delay that the configuration allows. It only rises, and it rises where a transaction ends: what
// is late does not depend on how transactions are packed into batches.
//
// Place:   owned by the ViewSet; a table in the engine's database, written in the transaction of
//          the batch. Snapshots and readings beside the stream move no watermark: their rows come
//          in no order. A snapshot's end is one transaction.
// Life:    create() and read(); begin() for every batch, then take() for its transactions in order,
//          then write(). After a rollback read() again.
// Threads: the engine's write connection only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "duck/duck.h"
#include "model/batch.h"
#include "views/event_time.h"

namespace pgweir::views {

class Watermarks {
 public:
  struct Mark {
    WatermarkSource source;
    std::string schema, table, column;
    // Microseconds since 1970-01-01 UTC. Nothing before the first row.
    std::optional<std::int64_t> at;           // no row before this is expected any more
    std::optional<std::int64_t> newest;       // of transactions that have ended
    std::optional<std::int64_t> open_newest;  // of the transaction that has not
    std::optional<std::int64_t> last_commit;  // of a transaction with rows of the table
  };

  explicit Watermarks(std::vector<WatermarkSource> sources);

  bool empty() const { return marks_.empty(); }
  const std::vector<Mark>& marks() const { return marks_; }
  // The watermark of a table's column; names as SQL compares them.
  std::optional<std::size_t> find(const std::string& schema, const std::string& table,
                                  const std::string& column) const;

  // The table, and pgweir.watermarks over it.
  static Status create(duck::Connection& connection);
  Status read(duck::Connection& connection);
  // Nothing happens when nothing has changed.
  Status write(duck::Connection& connection);

  void begin(const model::Batch& batch);
  // The changes of one of its transactions, or of the part of it that the batch has.
  void take(const model::Batch& batch, const model::Transaction& transaction);
  // All rows of a snapshot are there: `newest` of them is the first transaction's.
  void start(std::size_t mark, std::int64_t newest);
  // Another snapshot begins from nothing.
  void forget();

  // No rows of its table came for the time that the configuration says; or none at all.
  bool idle(std::size_t mark) const;

 private:
  // Where a table of the batch has the times of a watermark.
  struct Watched {
    std::size_t mark = 0;
    std::size_t column = 0;
    std::uint32_t type = 0;
  };
  void look_at(const model::Batch& batch, const model::Change& change, std::int64_t commit_us);
  void advance(Mark& mark);

  std::vector<Mark> marks_;
  std::vector<std::vector<Watched>> watched_;  // by the batch's tables
  std::int64_t clock_us_ = 0;                  // the newest commit
  bool changed_ = false;
};

}  // namespace pgweir::views
