// Turns the stream of pgoutput messages into log frames with positions, undecoded.
//
// Place:   between the replication stream and the log, on the log-writing thread.
// Frames:  whole transactions wherever they fit; a transaction larger than a frame is cut, and
// every
//          further frame of it starts with a copy of its Begin message (and of its Origin), so that
//          a frame can be read without the ones before it. A Relation message becomes a kSchema
//          frame of its own.
// Messages: a logical message of the users outside of transactions becomes one of its own, that
//          stands one byte in front of the place where the message ends, so behind every commit
//          before it and in front of every one after it.
// Again:   after a reconnect PostgreSQL sends again what was not confirmed. Records at or before
// the
//          log's last position are dropped by their position, which is the same each time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/clock.h"
#include "log/frame.h"
#include "model/position.h"
#include "model/table.h"
#include "pipeline/streamed_transactions.h"
#include "postgres/replication_stream.h"
#include "postgres/stream_tracker.h"

namespace pgweir::pipeline {

struct FrameBuilderOptions {
  std::uint32_t frame_bytes_soft = 256 * 1024;  // closed at the next commit
  std::uint32_t frame_bytes_max = 1024 * 1024;  // closed inside a transaction
};

class FrameBuilder {
 public:
  // Gives the record of a kSchema frame for a Relation message: the table with its catalog facts,
  // encoded. An empty text means that the log knows all of it already.
  using DescribeTable = std::function<Result<std::string>(std::string_view relation)>;

  // `last`: the log's last position. `clock` must outlive the builder.
  FrameBuilder(const io::Clock& clock, std::uint32_t epoch, model::Position last,
               DescribeTable describe, FrameBuilderOptions options = {});

  // Transactions that come before they commit are kept in `streamed`, which must outlive the
  // builder; at their commit they go into the log as its segments, or as frames like any others.
  // Before and while that happens `drain` appends the frames that are finished to the log, and
  // empties the vector. `describe` gives the record of every Relation message, also of one that
  // tells nothing new; `adopted` is called when such records have entered the log.
  // A transaction of which the server's blocks do not tell what was rolled back is kUnavailable,
  // after a call of `unclear` with its end: it must come again, without streaming up to there.
  // Without this call such a transaction is kUnsupported.
  struct ForStreamed {
    std::function<Status(std::vector<log::Frame>& frames)> drain;
    DescribeTable describe;
    std::function<Status()> adopted;
    std::function<void(model::Lsn end_lsn)> unclear;
  };
  void take_streamed(StreamedTransactions& streamed, ForStreamed with);

  // Takes the messages of a gulp; frames that they complete are appended to `out`.
  Status add(const postgres::Gulp& gulp, std::vector<log::Frame>& out);
  // The same from message `first` on, and no further than the first commit that ends at or behind
  // `stop_lsn`. Returns the first message that was not taken.
  static constexpr model::Lsn kNoStop{~std::uint64_t{0}};
  Result<std::size_t> add_until(const postgres::Gulp& gulp, std::size_t first, model::Lsn stop_lsn,
                                std::vector<log::Frame>& out);

  // Closes the open frame if it ends with a commit. What is inside a transaction stays open: it
  // cannot be confirmed yet anyhow.
  void flush(std::vector<log::Frame>& out);

  // A Relation message that tells nothing to followers, unless rows of the table come: then it is
  // described as with a streamed transaction.
  void set_aside(model::Oid table, std::string_view relation) {
    aside_[model::value(table)] = relation;
  }

  // What a table looks like from here on, known otherwise than by a Relation message.
  void place_schema(model::Oid table, std::string_view record, model::Lsn start_lsn,
                    std::vector<log::Frame>& out);

  // A frame that says "nothing up to `end_lsn`": for keepalives. Requires !in_transaction().
  log::Frame mark(model::Lsn end_lsn);

  // Frames of others between two transactions, once everything up to `boundary` was taken: they
  // stand one byte in front of it, where no commit begins, behind what stands there already. No
  // position yet: the log has a mark of `boundary` itself; wait for a later one.
  // Requires !in_transaction() and no open frame: flush() first.
  std::optional<model::Position> before(model::Lsn boundary) const;
  // They are in the log, up to `last`.
  void placed(const model::Position& last) { last_ = last; }

  bool in_transaction() const { return tracker_.in_transaction(); }
  // Behind the last commit taken.
  model::Lsn end_lsn() const { return tracker_.end_lsn(); }
  model::Timestamp commit_time() const { return tracker_.commit_time(); }
  // Taken since this builder began, without what was in the log already.
  std::uint64_t changes() const { return changes_; }
  std::uint64_t transactions() const { return transactions_; }

 private:
  Result<bool> add_lone_message(const postgres::Gulp& from, std::string_view message,
                                std::vector<log::Frame>& out);
  Status commit_streamed(std::string_view message, std::vector<log::Frame>& out);
  Result<bool> adopt(const postgres::StreamCommit& commit, std::string_view message,
                     std::vector<log::Frame>& out);
  Status replay(const StreamedTransaction& transaction, const postgres::StreamCommit& commit,
                std::vector<log::Frame>& out);
  Status replay_payload(const StreamedTransaction& transaction, model::Lsn at,
                        std::string_view payload, postgres::Gulp& gulp,
                        std::vector<log::Frame>& out);
  void start_frame(const postgres::Gulp::Message& message, const model::Position& first);
  void drop_held();
  void take_run(const postgres::Gulp& gulp);
  void close_frame(std::vector<log::Frame>& out);
  Status add_relation(std::string_view message, model::Lsn start_lsn, std::vector<log::Frame>& out);
  Status add_repeated(const postgres::Gulp& gulp, const postgres::Gulp::Message& message,
                      std::string_view bytes, std::vector<log::Frame>& out);
  Status add_aside(const postgres::Gulp& gulp, const postgres::Gulp::Message& message,
                   std::string_view bytes, std::vector<log::Frame>& out);

  const io::Clock& clock_;
  const std::uint32_t epoch_;
  const FrameBuilderOptions options_;
  const DescribeTable describe_;
  StreamedTransactions* streamed_ = nullptr;
  ForStreamed with_;

  postgres::StreamTracker tracker_;
  model::Position last_;  // of the last record or mark in the log or in the open frame
  std::string begin_;     // the open transaction's Begin message ...
  std::string origin_;    // ... and its Origin message, if there is one
  // Messages without a position of their own (Type, Origin), as records, until one that has
  // follows.
  std::string held_;
  std::uint32_t held_count_ = 0;
  // Relation messages, by OID, among records that are in the log already. What the log knows may be
  // newer: such a message counts only once a new record follows that needs it.
  std::map<std::uint32_t, std::string> repeated_;
  std::map<std::uint32_t, std::string> aside_;  // the same of tables that mostly have no rows
  std::uint32_t not_aside_ = 0;                 // the table of the last row
  log::Frame frame_;                            // open
  bool begin_in_frame_ = false;
  std::uint64_t changes_ = 0;
  std::uint64_t transactions_ = 0;
  // Messages of the current gulp that follow each other unbroken and are still to be copied.
  std::size_t run_begin_ = 0;
  std::size_t run_end_ = 0;
};

}  // namespace pgweir::pipeline
