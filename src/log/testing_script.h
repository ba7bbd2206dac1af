// For tests: a script of one letter a step drives a log over FakeFs, beside a model of what it must
// hold.
//
//   a-z  append a frame with this letter     S  append the next version of a schema: A, B, ...
//   ^    the epoch rises                     |  sync
//   <    a spool begins, in place of one that is open; letters go into it ...
//   /    ... until this: from here on into the log
//   >    the spool is adopted: the log has a frame '<', its letters, a frame '>'. A z in a spool is
//        a record that was rolled back: it has no sequence.
//   !    power loss                          ~  power loss, 5 unsynced bytes of each file are left
//   *    power loss, any sectors are left    O  kill -9
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "io/clock.h"
#include "io/fake_fs.h"
#include "log/log.h"
#include "log/spool.h"

namespace pgweir::log {

inline constexpr const char* kTestDirectory = "data/wal";

// Segments of a few frames, a buffer of a few frames, and a tip of a few frames.
inline LogOptions small_options() {
  LogOptions options;
  options.segment_bytes_max = 2000;
  options.write_buffer_bytes_max = 700;
  options.tip_bytes_max = 2000;
  options.spool_head_bytes_min = 2000;
  return options;
}

inline Frame letter_frame(char letter, const model::Position& position) {
  Frame frame;
  frame.header.first = frame.header.last = position;
  frame.header.end_lsn = model::Lsn{model::value(position.lsn) + 8};
  frame.header.record_count = 1;
  frame.header.time_us = 1'700'000'000'000'000;
  std::string text(1, letter);
  // Some large, some small; some that compress and some that do not.
  const auto size = letter < 'A' ? 0u : static_cast<unsigned>((letter - 'A') * 53 % 400);
  for (unsigned i = 0; i < size; ++i)
    text += static_cast<char>(letter % 2 == 0 ? '.' : (i * 7919u) >> 3);
  append_record(frame.payload, text);
  return frame;
}

inline char letter_of(const Frame& frame) {
  RecordReader reader(frame.payload);
  std::string_view record;
  return reader.next(record) && !record.empty() ? record[0] : '?';
}

// Calls again after a disk error: one that happens once must do no harm to a reader.
template <typename Call>
auto retried(Call call) {
  auto result = call();
  if (result.ok()) return result;
  const Code code = result.error().code;
  return code == Code::kIo || code == Code::kNoSpace ? call() : std::move(result);
}

// Everything that a cursor gives; the error text when it fails.
inline std::string drain(Log::Cursor& cursor) {
  std::string letters;
  while (true) {
    const auto frame = retried([&] { return cursor.next(Microseconds(0)); });
    if (!frame.ok()) return letters + " error: " + frame.error().text();
    if (frame.value() == nullptr) return letters;
    letters += letter_of(*frame.value());
  }
}

inline std::string read_all(Log& log, const model::Position& after = {}) {
  auto cursor = retried([&] { return log.read(after); });
  return cursor.ok() ? drain(*cursor.value()) : "error: " + cursor.error().text();
}

class Script {
 public:
  explicit Script(io::FakeFs& fs, LogOptions options = small_options())
      : fs_(fs), options_(options) {}

  // Opens the log if it is not open.
  Status open() {
    if (log_) return {};
    TRY_ASSIGN(log_, Log::open(fs_, clock_, kTestDirectory, options_));
    return {};
  }

  // Stops at the first error.
  Status run(const std::string& steps) {
    TRY(open());
    for (const char step : steps) TRY(run_step(step));
    return {};
  }

  Status run_step(char step) {
    switch (step) {
      case '|':
        return sync();
      case '^':
        ++epoch_;
        return {};
      case '!':
        fs_.crash();
        return reopen();
      case '~':
        fs_.crash(5);
        return reopen();
      case '*':
        fs_.crash_at_random(seed_++);
        return reopen();
      case 'O':
        fs_.kill();
        return reopen();
      case '<':
        return begin_spool();
      case '/':
        spooling_ = false;
        return {};
      case '>':
        return adopt();
      case 'S':
        return append_schema();
      default:
        return append(step);
    }
  }

  // After a crash: the log holds all that was synced, and of the rest a beginning.
  Status reopen() {
    drop_spool();
    log_.reset();
    TRY(open());
    return check_survivors();
  }

  Status check_survivors() {
    const std::string left = read_all(*log_);
    if (fs_.dead()) return error(Code::kIo, "died");
    EXPECT_EQ(left.substr(0, synced_.size()), synced_) << "synced frames are lost";
    EXPECT_EQ(left, attempted_.substr(0, left.size())) << "frames were invented";
    EXPECT_EQ(std::count(left.begin(), left.end(), '<'), std::count(left.begin(), left.end(), '>'))
        << "half a transaction is left: " << left;
    const auto spools = fs_.list(std::string(kTestDirectory) + "/spool");
    EXPECT_TRUE(!spools.ok() || spools->empty()) << "a spool is left";
    const auto report = retried([&] { return verify(fs_, kTestDirectory); });
    if (!report.ok()) return report.error();
    for (const Damage& damage : report.value().damages)
      ADD_FAILURE() << damage.file << " at " << damage.offset << ": " << damage.what;
    EXPECT_EQ(report.value().torn_tail_bytes, 0u);
    appended_ = synced_ = attempted_ = left;
    log_last_ = log_->durable_position();
    schemas_ = static_cast<unsigned>(std::count_if(left.begin(), left.end(), is_schema));
    return {};
  }

  Status append(char letter) {
    if (spooling_) return append_to_spool(letter);
    lsn_ += 16;
    return append_frame(letter_frame(letter, {epoch_, model::Lsn{lsn_}, 1}), letter);
  }

  Status append_schema() {
    const auto letter = static_cast<char>('A' + schemas_ % 26);
    Frame frame = letter_frame(letter, log_last_);
    frame.header.kind = FrameKind::kSchema;
    // A reader begins with the newest of each key: those in front of the first record are all there
    // only where each has a key of its own.
    frame.header.key = log_last_ == model::Position{} ? schemas_ : schemas_ % 3;
    TRY(append_frame(std::move(frame), letter));
    ++schemas_;
    return {};
  }

  Status begin_spool() {
    drop_spool();
    TRY_ASSIGN(spool_, log_->begin_spool());
    spooling_ = true;
    return {};
  }

  Status append_to_spool(char letter) {
    Frame frame = letter_frame(letter, {0, model::Lsn{}, spooled_.size() + 1});
    frame.header.end_lsn = {};
    frame.header.xid = 7;
    TRY(spool_->append(frame.header, frame.payload));
    spooled_ += letter;
    // As when there are too many open files.
    return spooled_.size() % 2 == 0 ? spool_->close() : Status();
  }

  // Of what is adopted from here on; 0 is a table's rows.
  void set_adopted_xid(std::uint32_t xid) { adopted_xid_ = xid; }

  Status adopt() {
    if (!spool_ || spooled_.empty()) return {};
    TRY(sync());  // as adopt() does, also where it fails then
    lsn_ += 16;
    const model::Lsn lsn{lsn_};
    Adoption adoption;
    adoption.transaction = letter_frame('<', {epoch_, lsn, 0});
    adoption.transaction.header.kind = FrameKind::kTransaction;
    adoption.transaction.header.end_lsn = {};
    adoption.transaction.header.xid = adopted_xid_;
    std::uint64_t sequence = 0;
    const bool skips = spooled_.find('z') != std::string::npos;
    for (const char letter : spooled_) {
      if (letter != 'z') ++sequence;
      if (skips) adoption.last_sequences.push_back(sequence);
    }
    adoption.tail.push_back(letter_frame('>', {epoch_, lsn, sequence + 1}));
    const std::string whole = appended_ + "<" + spooled_ + ">";
    attempted_ = whole;
    TRY(log_->adopt(*spool_, adoption));
    appended_ = synced_ = whole;
    log_last_ = adoption.tail.back().header.last;
    drop_spool();
    return {};
  }

  Status sync() {
    const auto synced = log_->sync();
    if (!synced.ok()) return synced.error();
    synced_ = appended_;
    return {};
  }

  Log& log() { return *log_; }
  void close() {
    drop_spool();
    log_.reset();
  }
  io::FakeClock& clock() { return clock_; }
  // What append() took, what of that sync() covered.
  const std::string& appended() const { return appended_; }
  const std::string& synced() const { return synced_; }
  model::Position last() const { return log_last_; }

  static bool is_schema(char letter) { return letter >= 'A' && letter <= 'Z'; }

 private:
  void drop_spool() {
    spool_.reset();
    spooled_.clear();
    spooling_ = false;
  }

  Status append_frame(Frame frame, char letter) {
    attempted_ = appended_ + letter;
    const model::Position last = frame.header.last;
    TRY(log_->append(std::move(frame)));
    log_last_ = last;
    appended_ += letter;
    return {};
  }

  io::FakeFs& fs_;
  const LogOptions options_;
  io::FakeClock clock_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Spool> spool_;
  std::string spooled_;
  bool spooling_ = false;
  std::uint32_t epoch_ = 1;
  std::uint64_t lsn_ = 0;
  unsigned schemas_ = 0;
  std::uint32_t adopted_xid_ = 7;
  unsigned seed_ = 1;
  model::Position log_last_;
  std::string attempted_;  // appended_ and the letter that append() was given last
  std::string appended_;
  std::string synced_;
};

}  // namespace pgweir::log
