// Turns the stream of pgoutput messages into log frames with positions, undecoded.
//
// Place:   between the replication stream and the log, on the log-writing thread.
// Frames:  whole transactions wherever they fit; a transaction larger than a frame is cut, and
// every
//          further frame of it starts with a copy of its Begin message, so that a frame can be read
//          without the ones before it. A Relation message becomes a kSchema frame of its own.
// Again:   after a reconnect PostgreSQL sends again what was not confirmed. Records at or before
// the
//          log's last position are dropped by their position, which is the same each time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/clock.h"
#include "log/frame.h"
#include "model/position.h"
#include "model/table.h"
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

  // Takes the messages of a gulp; frames that they complete are appended to `out`.
  Status add(const postgres::Gulp& gulp, std::vector<log::Frame>& out);

  // Closes the open frame if it ends with a commit. What is inside a transaction stays open: it
  // cannot be confirmed yet anyhow.
  void flush(std::vector<log::Frame>& out);

  // A frame that says "nothing up to `end_lsn`": for keepalives. Requires !in_transaction().
  log::Frame mark(model::Lsn end_lsn);

  bool in_transaction() const { return tracker_.in_transaction(); }
  // Behind the last commit taken.
  model::Lsn end_lsn() const { return tracker_.end_lsn(); }
  model::Timestamp commit_time() const { return tracker_.commit_time(); }
  // Taken since this builder began, without what was in the log already.
  std::uint64_t changes() const { return changes_; }
  std::uint64_t transactions() const { return transactions_; }

 private:
  void start_frame(const postgres::Gulp::Message& message, const model::Position& first);
  void drop_held();
  void take_run(const postgres::Gulp& gulp);
  void close_frame(std::vector<log::Frame>& out);
  Status add_relation(std::string_view message, model::Lsn start_lsn, std::vector<log::Frame>& out);

  const io::Clock& clock_;
  const std::uint32_t epoch_;
  const FrameBuilderOptions options_;
  const DescribeTable describe_;

  postgres::StreamTracker tracker_;
  model::Position last_;  // of the last record or mark in the log or in the open frame
  std::string begin_;     // the open transaction's Begin message
  // Messages without a position of their own (Type, Origin), as records, until one that has
  // follows.
  std::string held_;
  std::uint32_t held_count_ = 0;
  log::Frame frame_;  // open
  bool begin_in_frame_ = false;
  std::uint64_t changes_ = 0;
  std::uint64_t transactions_ = 0;
  // Messages of the current gulp that follow each other unbroken and are still to be copied.
  std::size_t run_begin_ = 0;
  std::size_t run_end_ = 0;
};

}  // namespace pgweir::pipeline
