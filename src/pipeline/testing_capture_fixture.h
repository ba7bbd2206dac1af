// A capture of a real PostgreSQL into a log on a disk that can be full or forget (FakeFs), and a
// reader that prints every change of the log as "op table key". For tests only.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "harness/cluster.h"
#include "io/fake_fs.h"
#include "pipeline/batch_reader.h"
#include "pipeline/capture.h"

namespace pgweir::pipeline {

using Changes = std::vector<std::string>;

inline bool wait_until(const std::function<bool()>& done,
                       std::chrono::seconds timeout = std::chrono::seconds(30)) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

// The real clock, whose wall time somebody sets.
class ShiftedClock final : public io::Clock {
 public:
  std::int64_t now_us() const override { return real_.now_us() + shift_us_; }
  std::chrono::microseconds steady() const override { return real_.steady(); }
  void set_by(std::chrono::microseconds shift) { shift_us_ += shift.count(); }

 private:
  io::RealClock real_;
  std::atomic<std::int64_t> shift_us_{0};
};

class CaptureFixture : public testing::Test {
 protected:
  explicit CaptureFixture(harness::Cluster& cluster = harness::shared_cluster())
      : cluster_(cluster), database_(cluster.create_database()), slot_("slot_" + database_) {
    (void)fs_.create_directories("data");
  }
  ~CaptureFixture() override {
    stop();
    cluster_.sql(
        fmt::format("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE "
                    "slot_name = '{}'",
                    slot_));
  }

  harness::Cluster& cluster() { return cluster_; }
  std::string sql(const std::string& statements) { return cluster_.sql(statements, database_); }

  // What a test wants to be different from the quick options below.
  virtual void adjust(CaptureOptions&) {}

  void start() {
    using namespace std::chrono_literals;
    log_ = log::Log::open(fs_, clock_, "data/log", {}).value();
    CaptureOptions options;
    options.url = cluster_.url(database_);
    options.source = {slot_, "pub_" + database_, {"public.*"}, {}};
    options.data_directory = "data";
    options.mark_interval = 20ms;
    options.feedback_interval = 10ms;
    options.backoff_min = 20ms;
    options.disk_retry_interval = 10ms;
    options.slot_interval = 20ms;
    adjust(options);
    capture_ = std::make_unique<Capture>(*log_, fs_, clock_, logger_, options);
    capture_->start();
  }

  // Clean, as by SIGTERM.
  void stop() {
    if (capture_) capture_->stop();
    capture_.reset();
    log_.reset();
  }

  bool wait_state(CaptureState state) {
    const bool reached = wait_until([&] { return capture_->status().state == state; });
    if (!reached) ADD_FAILURE() << "state is " << capture_->status().message;
    return reached;
  }

  // Waits until the log has everything that is committed now.
  void settle() {
    const auto lsn = model::parse_lsn(sql("SELECT pg_current_wal_insert_lsn()")).value();
    EXPECT_TRUE(wait_beyond(lsn)) << capture_->status().message << " "
                                  << model::to_string(log_->durable_end_lsn());
  }
  // The last record of a quiet server's WAL gets to its disk, and so to us, with a later commit.
  bool wait_beyond(model::Lsn lsn) {
    using namespace std::chrono_literals;
    const auto there = [&] { return log_->durable_end_lsn() >= lsn; };
    if (wait_until(there, 2s)) return true;
    sql("SELECT pg_logical_emit_message(true, 'pgweir', '')");
    return wait_until(there);
  }

  // "r t 1", "i t 2", ... of the whole log; keys are the first column.
  std::vector<std::string> changes() {
    std::vector<std::string> out;
    auto reader = BatchReader::open(*log_, {}, {}).value();
    while (true) {
      const LogEvent event = reader->next(Microseconds(0)).value();
      if (event.kind == LogEvent::Kind::kNothing) break;
      if (event.kind != LogEvent::Kind::kBatch) continue;
      for (const model::Change& change : event.batch->changes) {
        const model::Table& table = event.batch->table_of(change);
        const std::uint32_t row = change.after != model::kNoRow ? change.after : change.before;
        out.push_back(
            fmt::format("{} {} {}", static_cast<char>(change.op), table.name,
                        row == model::kNoRow ? "" : event.batch->row(row, table)[0].text()));
      }
    }
    return out;
  }

  harness::Cluster& cluster_;
  io::FakeFs fs_;
  ShiftedClock clock_;
  Logger logger_{LogLevel::kOff};
  std::string database_;
  std::string slot_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<Capture> capture_;
};

}  // namespace pgweir::pipeline
