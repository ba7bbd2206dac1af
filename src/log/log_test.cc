// What the log promises its writer and its readers while nothing breaks.
#include "log/log.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <thread>

#include "harness/scratch.h"
#include "log/segment.h"
#include "log/testing_script.h"

namespace pgweir::log {
namespace {

model::Position at(std::uint64_t lsn, std::uint32_t epoch = 1) {
  return {epoch, model::Lsn{lsn}, 1};
}

// A log over FakeFs that was driven by a script.
class LogTest : public testing::Test {
 protected:
  Log& run(const std::string& steps) {
    const Status done = script_.run(steps);
    EXPECT_TRUE(done.ok()) << done.error().text();
    return script_.log();
  }

  // After a power loss, for a log that the script's model no longer describes.
  Log& reopen() {
    script_.close();
    fs_.crash();
    EXPECT_TRUE(script_.open().ok());
    return script_.log();
  }

  io::FakeFs fs_;
  Script script_{fs_};
};

TEST(LogRecords, PayloadGivesItsRecordsBack) {
  std::string payload;
  for (const char* record : {"one", "", "three"}) append_record(payload, record);
  RecordReader reader(payload);
  std::string_view record;
  std::string joined;
  while (reader.next(record)) joined += fmt::format("{},", record);
  EXPECT_EQ(joined, "one,,three,");
  EXPECT_TRUE(reader.ok());
}

TEST(LogRecords, CutPayloadIsNotOk) {
  std::string payload;
  append_record(payload, "record");
  for (std::size_t size = 1; size < payload.size(); ++size) {
    RecordReader reader(std::string_view(payload).substr(0, size));
    std::string_view record;
    EXPECT_FALSE(reader.next(record));
    EXPECT_FALSE(reader.ok());
  }
}

TEST(LogFrame, EveryFieldComesBackFromTheFile) {
  io::FakeFs fs;
  io::FakeClock clock;
  for (const Codec codec : {Codec::kNone, Codec::kLz4}) {
    LogOptions options;
    options.codec = codec;
    options.tip_bytes_max = 0;
    const std::string directory = codec == Codec::kNone ? "none" : "lz4";
    auto log = Log::open(fs, clock, directory, options).value();
    Frame frame = letter_frame('q', at(7));
    frame.header.first = {1, model::Lsn{5}, 3};
    frame.header.last = {1, model::Lsn{7}, 1ull << 40};
    frame.header.start_lsn = model::Lsn{4};
    frame.header.xid = 4'000'000'000u;
    frame.header.key = 77;
    frame.payload.append(10'000, 'x');
    ASSERT_TRUE(log->append(frame).ok());
    ASSERT_TRUE(log->sync().ok());
    auto cursor = log->read({}).value();
    const FramePtr read = cursor->next(Microseconds(0)).value();
    EXPECT_EQ(read->payload, frame.payload);
    EXPECT_EQ(read->header, frame.header);
  }
  EXPECT_LT(fs.content("lz4/000000000001.log").size(), 1000u);
}

TEST_F(LogTest, NewLogIsEmptyAndKeepsItsIdentity) {
  const std::string identity = run("").identity();
  EXPECT_EQ(identity.size(), 32u);
  EXPECT_EQ(run("").durable_position(), model::Position{});
  EXPECT_EQ(run("!").identity(), identity);
  EXPECT_EQ(run("a|!").identity(), identity);
  io::FakeFs other_fs;
  Script other(other_fs);
  ASSERT_TRUE(other.run("").ok());
  EXPECT_NE(other.log().identity(), identity);
}

TEST_F(LogTest, NothingIsShownBeforeSync) {
  Log& log = run("ab");
  auto cursor = log.read({}).value();
  EXPECT_EQ(drain(*cursor), "");
  EXPECT_EQ(log.durable_position(), model::Position{});
  EXPECT_EQ(log.sync().value(), model::Lsn{40});
  EXPECT_EQ(drain(*cursor), "ab");
  EXPECT_EQ(log.durable_position(), at(32));
}

TEST_F(LogTest, StateSurvivesOpening) {
  for (const char* steps : {"abcdefghijkl|^mno|", "!"}) {
    Log& log = run(steps);
    EXPECT_EQ(log.durable_position(), at(240, 2));
    EXPECT_EQ(log.epoch(), 2u);
    EXPECT_EQ(log.durable_end_lsn(), model::Lsn{248});
  }
}

TEST_F(LogTest, FrameThatGoesBackIsRefused) {
  Log& log = run("ab|");
  EXPECT_EQ(log.append(letter_frame('c', at(16))).error().code, Code::kInvalid);
  EXPECT_TRUE(log.append(letter_frame('c', at(32))).ok());
}

TEST_F(LogTest, FrameAboveTheLimitIsRefused) {
  LogOptions options;
  options.frame_bytes_max = 100;
  io::FakeClock clock;
  auto log = Log::open(fs_, clock, "d", options).value();
  Frame frame = letter_frame('a', at(1));
  frame.payload.assign(101, 'x');
  EXPECT_EQ(log->append(frame).error().code, Code::kInvalid);
  frame.payload.resize(100);
  EXPECT_TRUE(log->append(frame).ok());
}

TEST_F(LogTest, SnapshotIsIncompleteUntilItsEndIsDurable) {
  Log& log = run("a|");
  EXPECT_TRUE(log.snapshot_complete());
  Frame begin = letter_frame('b', at(64));
  begin.header.kind = FrameKind::kSnapshotBegin;
  ASSERT_TRUE(log.append(begin).ok());
  ASSERT_TRUE(log.sync().ok());
  EXPECT_FALSE(log.snapshot_complete());
  EXPECT_FALSE(reopen().snapshot_complete());
  Frame end = letter_frame('c', at(80));
  end.header.kind = FrameKind::kSnapshotEnd;
  ASSERT_TRUE(script_.log().append(end).ok());
  EXPECT_FALSE(script_.log().snapshot_complete());
  ASSERT_TRUE(script_.log().sync().ok());
  EXPECT_TRUE(script_.log().snapshot_complete());
}

TEST_F(LogTest, ReadFromAPositionGivesTheSchemasThatHoldThereAndWhatFollows) {
  // Keys of the schemas: A 0, B 1, C 2, D 0; letters are at 16, 32, 48, ...
  Log& log = run("SaSbSc|Sdefgh|ijklmnop|");
  const std::string all = read_all(log);
  EXPECT_EQ(all, "AaBbCcDdefghijklmnop");
  EXPECT_EQ(read_all(log, at(16)), "ABbCcDdefghijklmnop");
  EXPECT_EQ(read_all(log, at(32)), "ABCcDdefghijklmnop");
  EXPECT_EQ(read_all(log, at(48)), "BCDdefghijklmnop");
  EXPECT_EQ(read_all(log, at(50)), "BCDdefghijklmnop");
  // From every position, wherever its segment begins.
  for (std::uint64_t lsn = 64; lsn < 16 * 16; lsn += 16) {
    std::string schemas = read_all(log, at(lsn)).substr(0, 3);
    std::sort(schemas.begin(), schemas.end());
    EXPECT_EQ(schemas, "BCD");
    EXPECT_EQ(read_all(log, at(lsn)).substr(3), all.substr(all.find('d') + (lsn - 48) / 16));
  }
  EXPECT_EQ(drain(*log.read(log.durable_position()).value()).size(), 3u);
}

TEST_F(LogTest, PositionBehindTheEndIsRefused) {
  const auto cursor = run("ab|").read(at(33));
  ASSERT_FALSE(cursor.ok());
  EXPECT_EQ(cursor.error().code, Code::kCorruption);
  EXPECT_EQ(cursor.error().message, "position 1:0/21:1 lies behind the end of the log");
  EXPECT_EQ(cursor.error().detail, "the log ends at 1:0/20:1");
}

TEST_F(LogTest, EachSegmentCanBeReadAlone) {
  run("SaSbSc|Sdefgh|ijklmnop|!");
  script_.close();
  const auto names = fs_.list(kTestDirectory).value();
  ASSERT_GT(names.size(), 2u);
  io::FakeFs alone;
  alone.overwrite(std::string(kTestDirectory) + "/" + names.back(),
                  fs_.content(std::string(kTestDirectory) + "/" + names.back()));
  const auto report = verify(alone, kTestDirectory).value();
  EXPECT_TRUE(report.damages.empty());
  ASSERT_EQ(report.segments.size(), 1u);
  io::FakeClock clock;
  auto log = Log::open(alone, clock, kTestDirectory, small_options()).value();
  // It begins somewhere, with the schemas that hold there.
  EXPECT_EQ(log->read({}).error().code, Code::kNotFound);
  std::string letters;
  for (std::uint64_t lsn = 16; letters.empty(); lsn += 16) {
    if (log->read(at(lsn)).ok()) letters = read_all(*log, at(lsn));
  }
  EXPECT_EQ(letters.substr(0, 3), "DBC");
  EXPECT_EQ(letters.back(), 'p');
}

TEST_F(LogTest, EveryEpochBeginsASegment) {
  const auto segments = run("a|^b^c|^").segments();
  ASSERT_EQ(segments.size(), 3u);
  for (std::uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(segments[i].first.epoch, i + 1);
    EXPECT_EQ(segments[i].last.epoch, i + 1);
  }
}

TEST_F(LogTest, SegmentsTellTheSameAfterOpening) {
  const auto before = run("SaSbSc|Sdefgh|ijklmnop|").segments();
  const auto after = run("O").segments();
  const auto verified = verify(fs_, kTestDirectory).value().segments;
  ASSERT_GT(before.size(), 2u);
  ASSERT_EQ(before.size(), after.size());
  ASSERT_EQ(before.size(), verified.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    for (const SegmentInfo& other : {after[i], verified[i]}) {
      EXPECT_EQ(before[i].file, other.file);
      EXPECT_EQ(before[i].first, other.first) << i;
      EXPECT_EQ(before[i].last, other.last);
      EXPECT_EQ(before[i].bytes, other.bytes);
      EXPECT_EQ(before[i].created_us, other.created_us);
      EXPECT_EQ(before[i].last_frame_us, other.last_frame_us);
    }
  }
}

TEST_F(LogTest, OtherOptionsTakeEffectInANewSegment) {
  io::FakeClock clock;
  LogOptions options;
  (void)Log::open(fs_, clock, "d", options).value();
  options.protocol_version = 2;
  {
    auto log = Log::open(fs_, clock, "d", options).value();
    ASSERT_TRUE(log->append(letter_frame('a', at(1))).ok());
    ASSERT_TRUE(log->sync().ok());
    EXPECT_EQ(log->segments().size(), 1u);
  }
  options.protocol_version = 3;
  auto log = Log::open(fs_, clock, "d", options).value();
  ASSERT_TRUE(log->append(letter_frame('b', at(2))).ok());
  ASSERT_TRUE(log->sync().ok());
  ASSERT_EQ(log->segments().size(), 2u);
  for (const std::uint32_t version : {2u, 3u}) {
    const std::string bytes = fs_.content("d/" + segment_file_name(version - 1));
    EXPECT_EQ(decode_segment_header(bytes).value().protocol_version, version);
  }
}

TEST_F(LogTest, RetentionByAgeKeepsWhatAFollowerNeeds) {
  Log& log = run("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz|");
  const auto segments = log.segments();
  ASSERT_GT(segments.size(), 3u);
  const Retention retention{std::chrono::hours(1), 0};
  script_.clock().advance(std::chrono::hours(1));
  ASSERT_TRUE(log.prune(retention, log.durable_position()).ok());
  EXPECT_EQ(log.segments().size(), segments.size()) << "not yet older than an hour";
  script_.clock().advance(std::chrono::seconds(1));
  ASSERT_TRUE(log.prune(retention, segments[0].first).ok());
  EXPECT_EQ(log.segments().size(), segments.size()) << "a follower needs the first";
  ASSERT_TRUE(log.prune(retention, segments[0].last).ok());
  EXPECT_EQ(log.segments().front().file, segments[1].file);
  ASSERT_TRUE(log.prune({}, log.durable_position()).ok());
  EXPECT_EQ(log.segments().size(), segments.size() - 1) << "no limit, nothing goes";
  ASSERT_TRUE(log.prune(retention, log.durable_position()).ok());
  EXPECT_EQ(log.segments().size(), 1u) << "the last is being written";
  EXPECT_EQ(fs_.list(kTestDirectory).value().size(), 1u);
}

TEST_F(LogTest, RetentionBySizeMakesALateFollowerLost) {
  Log& log = run("Sabcdefghijklmnopqrstuvwxyz|");
  auto late = log.read({}).value();
  EXPECT_EQ(letter_of(*late->next(Microseconds(0)).value()), 'A');
  const auto segments = log.segments();
  const std::uint64_t keep = segments.back().bytes + segments[segments.size() - 2].bytes;
  ASSERT_TRUE(log.prune({Milliseconds(0), keep}, {}).ok());
  EXPECT_EQ(log.segments().size(), 2u);
  EXPECT_LE(log.bytes(), keep);

  std::string got;
  Error failure;
  while (true) {
    const auto frame = late->next(Microseconds(0));
    if (!frame.ok()) {
      failure = frame.error();
      break;
    }
    ASSERT_NE(frame.value(), nullptr) << "the loss was not noticed after " << got;
    got += letter_of(*frame.value());
  }
  EXPECT_EQ(failure.code, Code::kNotFound);
  EXPECT_EQ(log.read({}).error().code, Code::kNotFound);
  EXPECT_EQ(log.read(at(16)).error().message,
            "what follows position 1:0/10:1 is no longer in the log: retention has removed it");
  // Whoever has taken all that is gone goes on, with the schema that holds.
  const std::string rest = read_all(log, segments[segments.size() - 3].last);
  EXPECT_EQ(rest.front(), 'A');
  EXPECT_EQ(rest.back(), 'z');
  EXPECT_EQ(read_all(reopen(), segments[segments.size() - 3].last), rest);
}

TEST_F(LogTest, CrashInTheMiddleOfPruningLeavesAWholeLog) {
  const std::string steps = "Sabcdefghijklmnopqrstuvwxyz|";
  run(steps);
  const std::uint64_t before = fs_.operations();
  ASSERT_TRUE(script_.log().prune({Milliseconds(0), 1}, {}).ok());
  const std::uint64_t operations = fs_.operations() - before;
  for (std::uint64_t k = 0; k < operations; ++k) {
    for (unsigned seed = 0; seed < 5; ++seed) {
      io::FakeFs fs;
      Script script(fs);
      ASSERT_TRUE(script.run(steps).ok());
      const model::Position last = script.log().durable_position();
      fs.die_at(fs.operations() + k);
      EXPECT_FALSE(script.log().prune({Milliseconds(0), 1}, {}).ok());
      script.close();
      fs.crash_at_random(seed);
      ASSERT_TRUE(script.open().ok());
      EXPECT_EQ(script.log().durable_position(), last);
      EXPECT_TRUE(verify(fs, kTestDirectory).value().damages.empty());
    }
  }
}

TEST_F(LogTest, FailureInTheMiddleOfPruningLeavesAWholeLog) {
  const std::string steps = "Sabcdefghijklmnopqrstuvwxyz|";
  for (std::uint64_t k = 0; k < 2; ++k) {
    io::FakeFs fs;
    Script script(fs);
    ASSERT_TRUE(script.run(steps).ok());
    const Retention retention{Milliseconds(0), script.log().bytes() - 1};
    fs.fail_at(fs.operations() + k, Code::kIo);
    (void)script.log().prune(retention, {});
    ASSERT_TRUE(script.log().prune({Milliseconds(0), 1}, {}).ok());
    const std::size_t left = script.log().segments().size();
    script.close();
    fs.crash();
    ASSERT_TRUE(script.open().ok());
    EXPECT_EQ(script.log().segments().size(), left);
  }
}

TEST_F(LogTest, SchemasAreNotLostWhenAllButANewSegmentIsPruned) {
  Log& log = run("Sabcdefghijklmnopqrstuvwxyz|");
  // Fill the segment, so that the next frame begins one, which is not made durable.
  const std::size_t count = log.segments().size();
  while (log.segments().size() == count) ASSERT_TRUE(script_.append('k').ok());
  ASSERT_TRUE(log.prune({Milliseconds(0), 1}, log.durable_position()).ok());
  EXPECT_EQ(log.segments().size(), 2u);
  const model::Position durable = log.durable_position();
  EXPECT_EQ(read_all(reopen(), durable).front(), 'A');
}

TEST_F(LogTest, WaitingCursorIsWokenByWakeAlsoBeforeItWaits) {
  Log& log = run("a|");
  auto cursor = log.read(at(16)).value();
  log.wake();
  EXPECT_EQ(cursor->next(std::chrono::minutes(5)).value(), nullptr);
  std::jthread waker([&] { log.wake(); });
  EXPECT_EQ(cursor->next(std::chrono::minutes(5)).value(), nullptr);
  waker.join();
  EXPECT_EQ(cursor->next(Microseconds(1000)).value(), nullptr);
}

TEST_F(LogTest, WaitingCursorGetsTheFrameThatIsSynced) {
  Log& log = run("a|");
  auto cursor = log.read(at(16)).value();
  std::jthread writer([&] { ASSERT_TRUE(script_.run("b|").ok()); });
  EXPECT_EQ(letter_of(*cursor->next(std::chrono::minutes(5)).value()), 'b');
  writer.join();
}

TEST_F(LogTest, CursorAtTheTipTouchesNoFile) {
  Log& log = run("a|");
  auto cursor = log.read(at(16)).value();
  ASSERT_TRUE(script_.run("bcd|").ok());
  const std::uint64_t before = fs_.operations();
  EXPECT_EQ(drain(*cursor), "bcd");
  EXPECT_EQ(fs_.operations(), before);
}

TEST_F(LogTest, FollowersAtTheTipShareOneFrame) {
  Log& log = run("a|");
  auto first = log.read(at(16)).value();
  auto second = log.read(at(16)).value();
  ASSERT_TRUE(script_.run("b|").ok());
  EXPECT_EQ(first->next(Microseconds(0)).value(), second->next(Microseconds(0)).value());
}

// Takes the frames of a log as they come, from `after` on, until it has seen `last`.
void follow(Log& log, const model::Position& after, std::uint64_t last, bool slow) {
  auto cursor = log.read(after).value();
  std::uint64_t expected = value(after.lsn) + 1;
  while (expected <= last) {
    const auto frame = cursor->next(std::chrono::seconds(1));
    ASSERT_TRUE(frame.ok()) << frame.error().text();
    if (frame.value() == nullptr) continue;
    if (frame.value()->header.kind == FrameKind::kSchema) continue;
    ASSERT_EQ(value(frame.value()->header.last.lsn), expected);
    ++expected;
    if (slow) std::this_thread::yield();
  }
}

TEST(LogThreads, FollowersSeeEveryFrameOnceWhateverTheirPace) {
  constexpr std::uint64_t kFrames = 4000;
  harness::ScratchFolder scratch;
  io::RealFs fs;
  io::RealClock clock;
  LogOptions options = small_options();
  options.segment_bytes_max = 32 * kKiB;
  auto log = Log::open(fs, clock, scratch.file("wal"), options).value();
  std::vector<std::jthread> threads;
  for (const bool slow : {false, true, true})
    threads.emplace_back([&, slow] { follow(*log, {}, kFrames, slow); });
  threads.emplace_back([&] {
    while (value(log->durable_position().lsn) < kFrames) {
      (void)log->segments();
      (void)log->bytes();
      (void)log->durable_end_lsn();
      follow(*log, log->durable_position(), value(log->durable_position().lsn), false);
    }
  });
  for (std::uint64_t lsn = 1; lsn <= kFrames; ++lsn) {
    ASSERT_TRUE(log->append(letter_frame(static_cast<char>('a' + lsn % 26), at(lsn))).ok());
    if (lsn % 100 == 0) {
      Frame schema = letter_frame('A', at(lsn));
      schema.header.kind = FrameKind::kSchema;
      ASSERT_TRUE(log->append(schema).ok());
    }
    if (lsn % 7 == 0 || lsn == kFrames) {
      ASSERT_TRUE(log->sync().ok());
    }
  }
  for (std::jthread& thread : threads) thread.join();
  EXPECT_GT(log->segments().size(), 5u);
}

TEST(LogThreads, FollowerOfAPrunedLogIsLostAndNeverSkips) {
  constexpr std::uint64_t kFrames = 3000;
  harness::ScratchFolder scratch;
  io::RealFs fs;
  io::RealClock clock;
  auto log = Log::open(fs, clock, scratch.file("wal"), small_options()).value();
  std::jthread follower([&] {
    const auto cursor = log->read({});
    if (!cursor.ok()) {
      EXPECT_EQ(cursor.error().code, Code::kNotFound) << cursor.error().text();
      return;
    }
    for (std::uint64_t expected = 1; expected <= kFrames;) {
      const auto frame = cursor.value()->next(std::chrono::seconds(1));
      if (!frame.ok()) {
        EXPECT_EQ(frame.error().code, Code::kNotFound) << frame.error().text();
        return;
      }
      if (frame.value() == nullptr) continue;
      ASSERT_EQ(value(frame.value()->header.last.lsn), expected);
      ++expected;
    }
  });
  for (std::uint64_t lsn = 1; lsn <= kFrames; ++lsn) {
    ASSERT_TRUE(log->append(letter_frame('m', at(lsn))).ok());
    if (lsn % 5 == 0) {
      ASSERT_TRUE(log->sync().ok());
      ASSERT_TRUE(log->prune({Milliseconds(0), 8000}, {}).ok());
    }
  }
  follower.join();
}

}  // namespace
}  // namespace pgweir::log
