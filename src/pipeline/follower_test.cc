// What a follower does when its target fails: it waits, opens the target anew, and says why.
//
// Method: a log with one transaction of a few rows each, and a target that fails as it is told.
#include "pipeline/follower.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>

#include "harness/wait.h"
#include "io/fake_fs.h"
#include "pipeline/frame_builder.h"
#include "pipeline/pgoutput_script.h"
#include "postgres/catalog.h"

namespace pgweir::pipeline {
namespace {
using namespace std::chrono_literals;

class FailingTarget final : public FollowerTarget {
 public:
  struct Record {
    Mutex mutex;
    std::vector<std::size_t> batch_rows GUARDED_BY(mutex);
    int recovered GUARDED_BY(mutex) = 0;
  };

  // `fail` is asked at each take with the number of failures so far, and at each recover.
  FailingTarget(Record& record, std::function<std::optional<Error>(int)> fail)
      : record_(record), fail_(std::move(fail)) {}

  const std::string& name() const override { return name_; }
  const char* kind() const override { return "test"; }
  model::Position position() const override {
    MutexLock lock(record_.mutex);
    return position_;
  }
  Status take(const LogEvent& event) override {
    if (event.kind != LogEvent::Kind::kBatch) return {};
    MutexLock lock(record_.mutex);
    record_.batch_rows.push_back(event.batch->changes.size());
    if (auto failure = fail_(failures_)) {
      ++failures_;
      return *failure;
    }
    if (event.batch->ends_transaction()) position_ = event.position;
    return {};
  }
  Status recover() override {
    MutexLock lock(record_.mutex);
    ++record_.recovered;
    return {};
  }

 private:
  const std::string name_ = "target";
  Record& record_;
  const std::function<std::optional<Error>(int)> fail_;
  int failures_ = 0;
  model::Position position_;
};

class FollowerTest : public testing::Test {
 protected:
  FollowerTest() {
    (void)fs_.create_directories("log");
    log_ = log::Log::open(fs_, clock_, "log", {}).value();
    append("1Rabcdefgh.");
  }

  // pgoutput_script.h's.
  static model::Table table() {
    model::Table out{.id = model::Oid{7}, .schema = "public", .name = "t"};
    out.columns = {{.name = "v", .type = model::Oid{25}, .type_name = "text", .in_key = true}};
    return out;
  }

  // In frames of a record each, so that a batch may be as small.
  void append(const std::string& script) {
    const auto describe = [](std::string_view relation) -> Result<std::string> {
      return postgres::encode_schema({std::string(relation), table()});
    };
    FrameBuilder builder(clock_, 1, log_->durable_position(), describe, {1, 1});
    std::vector<log::Frame> frames;
    std::uint64_t open_lsn = 0;
    for (const char step : script)
      EXPECT_TRUE(builder.add(gulp_of({&step, 1}, open_lsn), frames).ok());
    for (log::Frame& frame : frames) EXPECT_TRUE(log_->append(std::move(frame)).ok());
    EXPECT_TRUE(log_->sync().ok());
  }

  void follow(std::function<std::optional<Error>(int)> fail) {
    FollowerOptions options;
    options.reader.batch_rows_max = batch_rows_max_;
    options.reader.batch_wait = batch_wait_;
    options.retry_interval = options.retry_interval_max = retry_interval_;
    options.retry_batch_rows_min = 2;
    options.idle_interval = Milliseconds{1};
    follower_ = std::make_unique<Follower>(
        *log_, std::make_unique<FailingTarget>(record_, std::move(fail)), clock_, logger_, options);
    follower_->start();
  }
  bool wait_for_state(FollowerState state) {
    return harness::wait_for(30s, [&] {
      const FollowerStatus status = follower_->status();
      return status.state == state &&
             (state != FollowerState::kFollowing ||
              (!status.error && status.position == log_->durable_position()));
    });
  }

  std::size_t batch_rows_max_ = 8;
  Milliseconds batch_wait_{50};
  Milliseconds retry_interval_{1};
  io::FakeFs fs_;
  io::FakeClock clock_;
  Logger logger_{LogLevel::kOff};
  std::unique_ptr<log::Log> log_;
  FailingTarget::Record record_;
  std::unique_ptr<Follower> follower_;
};

TEST_F(FollowerTest, FailuresAreWaitedOutInSmallerBatches) {
  follow([](int failures) -> std::optional<Error> {
    if (failures == 3) return std::nullopt;
    return error(Code::kUnavailable, "out of memory", "", "raise it");
  });
  ASSERT_TRUE(wait_for_state(FollowerState::kFollowing));
  append("2ijklmn.");
  ASSERT_TRUE(wait_for_state(FollowerState::kFollowing));
  follower_->stop();
  MutexLock lock(record_.mutex);
  EXPECT_EQ(record_.recovered, 3);
  // The first transaction in halves, down to the least, and its end; the next one whole again.
  EXPECT_EQ(record_.batch_rows, (std::vector<std::size_t>{8, 4, 2, 2, 2, 2, 2, 0, 6}));
}

// The first does not wait for an hour; what comes soon behind it does, until the batch is full.
TEST_F(FollowerTest, ABatchWaitsOnlySoonBehindAnother) {
  batch_rows_max_ = 16;
  batch_wait_ = std::chrono::hours(1);
  follow([](int) -> std::optional<Error> { return std::nullopt; });
  const auto batches = [&] {
    MutexLock lock(record_.mutex);
    return record_.batch_rows;
  };
  ASSERT_TRUE(harness::wait_for(30s, [&] { return batches().size() == 1; }));
  append("2ijklmnop.");
  append("3qrstuvwx");
  ASSERT_TRUE(harness::wait_for(30s, [&] { return batches().size() == 2; }));
  EXPECT_EQ(batches(), (std::vector<std::size_t>{8, 16}));
}

TEST_F(FollowerTest, TheStatusTellsHowOftenInARow) {
  follow([](int failures) {
    return error(failures < 4 ? Code::kUnavailable : Code::kInvalid, "no memory", "", "Raise it");
  });
  ASSERT_TRUE(wait_for_state(FollowerState::kFailed));
  EXPECT_EQ(follower_->status().error->text(), "no memory (5 times in a row at 0:0/0:0). Raise it");
}

TEST_F(FollowerTest, TheReasonStandsInTheStatusWhileItWaits) {
  retry_interval_ = std::chrono::hours(1);
  follow([](int) { return error(Code::kUnavailable, "no memory"); });
  EXPECT_TRUE(harness::wait_for(30s, [&] {
    const FollowerStatus status = follower_->status();
    return status.state == FollowerState::kCatchingUp && status.error;
  }));
  follower_->stop();
}

TEST_F(FollowerTest, ABrokenTargetIsGivenUpInTheEnd) {
  follow([](int) { return error(Code::kBroken, "given up"); });
  ASSERT_TRUE(wait_for_state(FollowerState::kFailed));
  EXPECT_EQ(follower_->status().error->text(), "given up (8 times in a row at 0:0/0:0)");
  MutexLock lock(record_.mutex);
  EXPECT_EQ(record_.recovered, 7);
}

// As the engine while it sorts a first snapshot.
class LongTarget final : public FollowerTarget {
 public:
  const std::string& name() const override { return name_; }
  const char* kind() const override { return "test"; }
  model::Position position() const override { return {}; }
  Status take(const LogEvent&) override {
    taking_ = true;
    told_.wait(0);
    return error(Code::kCancelled, "asked to stop");
  }
  void stop_soon() override {
    if (!taking_) return;  // too early: it is told again
    told_ = 1;
    told_.notify_all();
  }
  bool taking() const { return taking_; }

 private:
  const std::string name_ = "target";
  std::atomic<bool> taking_ = false;
  std::atomic<int> told_ = 0;
};

TEST_F(FollowerTest, ATargetThatTakesLongIsToldToStop) {
  for (const bool waits : {true, false}) {
    auto target = std::make_unique<LongTarget>();
    LongTarget& taking = *target;
    FollowerOptions options;
    options.idle_interval = Milliseconds{1};
    Follower follower(*log_, std::move(target), clock_, logger_, options);
    follower.start();
    if (waits) {
      EXPECT_TRUE(harness::wait_for(30s, [&] { return taking.taking(); }));
    }
    follower.stop();
    EXPECT_EQ(follower.status().state, FollowerState::kStopped);
    EXPECT_FALSE(follower.status().error);
  }
}

TEST_F(FollowerTest, AnyOtherErrorStopsItAtOnce) {
  follow([](int) { return error(Code::kInvalid, "wrong"); });
  ASSERT_TRUE(wait_for_state(FollowerState::kFailed));
  EXPECT_EQ(follower_->status().error->text(), "wrong");
}

}  // namespace
}  // namespace pgweir::pipeline
