// Compares the mirrors of a running pipeline with their source at one LSN, and names what differs.
//
// Place:   reads the source on a connection of its own, the mirrors through an engine reader, and
//          the log. Holds nothing back: capture, engine and the source's applications go on.
// Life:    construct, run() once. cancel() makes run() return kCancelled soon.
// Threads: run() one thread, cancel() any.
// Memory:  the options' limits; nothing grows with a table.
//
// Why the answer is exact
//
//   A look is a REPEATABLE READ transaction P on the source; the LSN W where its WAL ends just
//   afterwards; and a read-only transaction of the engine at a position p >= W. Whatever P sees has
//   its commit record in front of W, so the mirror has it. What the mirror has more are the changes
//   of transactions that P does not see with a commit up to p. A row that none of those touched
//   must be equal in both: if it is not, the mirror is wrong at W.
//
//   1. First look: checksums of a few thousand ranges of rows (by the hash of the key, so that
//      nobody needs an index), both sides; then the rows' hashes of those ranges that differ. What
//      is left are suspects. Between P and p there are a few milliseconds, so that even under load
//      the suspects are few.
//   2. Further looks, each with a new P, W and p, at the suspects alone. One that is equal now was
//      on its way: it is dropped. Of the others the log is asked: was its key touched by a
//      transaction that this P does not see? If not, it is a difference, with the values of this
//      look. If so, it is looked at again, until the patience ends: then it is `unsettled`, never a
//      difference.
//
//   From where must the log be read, so that no such transaction is missed? From where it ended
//   before the look before this one. A transaction that committed earlier had its xid before that
//   look; it is invisible now only if it still counts as running, that is, it waits for a
//   synchronous standby after its commit. So where the source has such standbys, and a transaction
//   from before that look still runs (most likely a long one without a commit), the log is read
//   from much further back. What stands there as a whole, as a first snapshot, leaves every row of
//   its tables open.
//
//   Nothing is missed: a row that differs at the first W gives another range checksum, but for
//   equal hashes of 64 bits. It is dropped only when a later look finds it equal: then a change
//   that came in between has put it right. What the mirror makes of changes behind W is the next
//   run's business.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "engine/engine.h"
#include "engine/row_text.h"
#include "io/waker.h"
#include "log/log.h"
#include "model/position.h"
#include "postgres/connection.h"

namespace pgweir::pipeline {

struct VerifyOptions {
  std::string url;                           // of the source
  engine::TypeOptions types;                 // the engine's
  std::uint64_t range_rows = 2'048;          // a range has about so many rows ...
  std::uint64_t ranges_max = 64 * 1024;      // ... but there are no more of them than this
  std::uint64_t rows_at_once_max = 200'000;  // of ranges that differ: pairs of hashes in memory
  std::size_t suspects_max = 10'000;         // of one table; what differs beyond is only said to be
  std::size_t differences_max = 100;         // of one table, reported with their values
  std::size_t value_length_max = 1'000;      // characters of a value in the report
  Milliseconds engine_wait{60'000};          // for the engine to reach W, and for a free reader
  Milliseconds patience{30'000};             // for suspects that keep changing
  // How far back the log is read while old transactions run: a commit that waits for its standby
  // while more than this is captured is taken for none.
  std::uint64_t log_back_bytes = 256 * kMiB;
  Milliseconds look_interval{20};  // between two looks
};

struct ColumnDifference {
  std::string name;
  std::optional<std::string> source;  // nothing is NULL
  std::optional<std::string> mirror;
};

struct RowDifference {
  // The key's columns; of a table without a key, all columns. As the side that has the row says.
  std::vector<std::pair<std::string, std::optional<std::string>>> key;
  // How many such rows each side has: 0 or 1 for a table with a key.
  std::uint64_t source_rows = 0;
  std::uint64_t mirror_rows = 0;
  std::vector<ColumnDifference> columns;  // where both have it: those that differ
};

struct TableVerdict {
  std::string table;
  std::string reason;              // why it could not be compared; else empty
  bool stopped = false;            // for the reason that its mirror takes no more changes
  std::uint64_t source_count = 0;  // rows at the first look
  std::uint64_t mirror_count = 0;
  std::uint64_t ranges = 0;
  std::uint64_t ranges_differing = 0;
  std::uint64_t differing = 0;  // rows that differ
  bool more = false;            // there are more than `differing`: looking for them was ended
  std::vector<RowDifference> differences;  // of the first differences_max
  std::uint64_t unsettled = 0;             // rows that changed at every look
  // Transactions that ran all the while that the differences were looked at, if any did.
  std::vector<std::uint64_t> running_xids;

  bool equal() const { return reason.empty() && differing == 0 && !more && unsettled == 0; }
};

struct VerifyReport {
  model::Lsn lsn{};  // W of the first look
  std::vector<TableVerdict> tables;
  std::uint64_t looks = 0;
};

// What a source's snapshot sees.
class VisibleXids {
 public:
  // `snapshot` is pg_current_snapshot(), "10:20:10,14,15"; `next` the lower half of the xid that is
  // given out next. (The snapshot's own end is not that: it is behind the newest transaction that
  // has ended.) kInternal for a text that is no snapshot.
  static Result<VisibleXids> parse(std::string_view snapshot, std::uint32_t next);
  bool sees(model::Xid xid) const;
  // The first xids, ten at most, that are not seen though they were given out before `next`: of
  // running transactions, and of those whose commit is not shown yet.
  std::vector<std::uint64_t> unseen_before(std::uint64_t next) const;
  std::uint64_t next() const { return next_; }

 private:
  std::uint64_t end_ = 0;  // nothing is seen from here on
  std::uint64_t next_ = 0;
  std::vector<std::uint64_t> running_;
};

class Verifier {
 public:
  // Called now and then by run(): what it does at the moment, in words.
  using OnProgress = std::function<void(const std::string&)>;

  // All references must outlive it.
  Verifier(engine::Engine& engine, log::Log& log, VerifyOptions options);

  // `tables`: qualified names of mirrors. kNotFound for one that is none; kTimeout when the engine
  // does not reach the source's LSN; kUnavailable when the source or the engine goes away
  // meanwhile.
  Result<VerifyReport> run(const std::vector<std::string>& tables, const OnProgress& on_progress);
  void cancel() EXCLUDES(mutex_);

 private:
  struct HashPair {
    std::int64_t key = 0;
    std::int64_t row = 0;
    // clang-tidy 14 takes the zero in the generated code for a null pointer.
    auto operator<=>(const HashPair&) const = default;  // NOLINT(modernize-use-nullptr)
  };
  struct Range {
    std::uint64_t count = 0;
    std::string sum;
    bool operator==(const Range&) const = default;
  };
  using Ranges = std::map<std::int64_t, Range>;
  struct Look {
    VisibleXids visible;
    model::Lsn lsn{};
    model::Position log_before;  // where the log ended before P was made
    bool commits_wait = false;   // for a standby, before they are seen
    std::unique_ptr<engine::Reader> reader;
  };
  struct Touched {
    bool all = false;
    std::unordered_set<std::int64_t> keys;
  };
  // Equal rows of one key hash, with the texts and their hashes, column by column, of the first.
  struct ShownRow {
    std::uint64_t count = 0;
    std::vector<std::optional<std::int64_t>> hashes;
    std::vector<std::optional<std::string>> texts;
  };
  using ShownRows = std::map<std::int64_t, ShownRow>;
  // A table in a look.
  struct Side {
    engine::Mirror mirror;
    std::optional<engine::RowHash> hash;
    std::string from;  // of the source
  };
  struct Suspects {
    TableVerdict* verdict = nullptr;
    std::unordered_set<std::int64_t> keys;
    bool overflown = false;  // there were more
  };

  Result<Look> look();
  Status wait_for_engine(model::Lsn lsn);
  Result<std::unique_ptr<engine::Reader>> free_reader();
  void end_look(Look& look) EXCLUDES(mutex_);
  Result<engine::Mirror> mirror_of(const std::string& table) const;
  Result<Side> sides_of(const std::string& table);
  Status first_look(Look& look, Suspects& suspects, const OnProgress& on_progress);
  Status compare_ranges(Look& look, const Side& side, Suspects& suspects);
  Status compare_rows(Look& look, const Side& side, std::int64_t mask,
                      const std::vector<std::int64_t>& ranges, Suspects& suspects);
  Status further_look(const Look& before, Look& now, bool is_last, std::vector<Suspects>& open);
  model::Position far_back() const;
  Result<std::map<std::uint32_t, Touched>> touched_since(
      const model::Position& from, const Look& look, const std::map<std::uint32_t, Side>& sides);
  Status compare_again(Look& look, Suspects& suspects, std::map<std::uint32_t, Side>& sides);
  Status report(Look& look, const Side& side, const std::vector<std::int64_t>& keys,
                TableVerdict& verdict);
  static RowDifference difference_of(const engine::RowHash& hash, const ShownRow* source,
                                     const ShownRow* mirror);
  Result<Ranges> source_ranges(const Side& side, std::int64_t mask);
  Result<Ranges> mirror_ranges(Look& look, const Side& side, std::int64_t mask);
  // The rows that only one side has.
  Result<std::vector<HashPair>> differing_pairs(Look& look, const Side& side,
                                                const std::string& condition);
  Result<std::vector<HashPair>> source_pairs(const Side& side, const std::string& condition);
  Result<std::vector<HashPair>> mirror_pairs(Look& look, const Side& side,
                                             const std::string& condition);
  Result<ShownRows> source_rows(const Side& side, const std::string& condition);
  Result<ShownRows> mirror_rows(Look& look, const Side& side, const std::string& condition);
  // Both sides at a time.
  static Status both(const std::function<Status()>& source, const std::function<Status()>& mirror);
  Status per_table(const std::function<Status()>& body, TableVerdict& verdict);
  Status check_cancelled() const;
  void move_source();
  Result<postgres::QueryResult> ask(const std::string& sql);

  engine::Engine& engine_;
  log::Log& log_;
  const VerifyOptions options_;
  io::Waker cancelled_;
  std::optional<postgres::Connection> source_;
  Mutex mutex_;
  duck::Connection* reading_ GUARDED_BY(mutex_) = nullptr;  // interrupted by cancel()
};

}  // namespace pgweir::pipeline
