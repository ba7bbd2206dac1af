// Whether the server's history is the one that the log has: a copy of its files that was put back,
// with the slot in it, and written to since, has another one, though its WAL reaches beyond the
// log's end.
//
// Method:  where the slot stands in front of the log's end, the session begins with the last
//          transaction with changes that the log has of what the slot was not confirmed. The server
//          must send just that one first. One without any, as where all of it was rolled back after
//          it came in parts, may come again or not. Nothing more is confirmed before it has: else
//          the next start would find nothing to compare.
// Place:   capture makes one for each session; the receiver asks it what to confirm, the writer
//          shows it what comes.
// Threads: look() on one, the rest on any.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/result.h"
#include "log/log.h"
#include "model/position.h"
#include "postgres/replication_stream.h"
#include "postgres/streamed.h"

namespace pgweir::pipeline {

class HistoryCheck {
 public:
  // `log` must outlive the check. `confirmed`: the slot's; zero when there is nothing to compare.
  // `end`: of the log, a moment ago: what an earlier session has left may still be on its way into
  // it. Reads what the log has between the two.
  HistoryCheck(log::Log& log, model::Lsn confirmed, model::Lsn end);

  // Whether it is known that the log goes on there.
  bool settled() const { return settled_; }
  // Where the session is to begin.
  model::Lsn start_lsn() const { return start_; }
  // How much of what is durable may be confirmed by now.
  model::Lsn confirmable(model::Lsn durable) const {
    return settled_ ? durable : std::min(durable, confirmed_);
  }
  // The next messages of the session. kCorruption: another history.
  Status look(const postgres::Gulp& gulp);

 private:
  using OnTransaction = std::function<void(const postgres::StreamCommit&, bool has_changes)>;
  // Gives the server's transactions that the log has from the slot's position to its end, without
  // their ends. False when it has not all of them any more: there is nothing to compare with.
  bool each_transaction(const OnTransaction& take) const;
  bool is_in_log(const postgres::StreamCommit& transaction) const;
  Status compare(const postgres::StreamCommit& found);
  Error other_history(const std::string& found) const;

  log::Log& log_;
  const model::Lsn confirmed_;
  const model::Lsn end_;  // of the log
  model::Lsn start_;
  std::optional<postgres::StreamCommit> last_;  // with changes
  std::atomic<bool> settled_;
};

}  // namespace pgweir::pipeline
