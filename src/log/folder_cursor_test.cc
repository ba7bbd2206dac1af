// What is read out of a log's folder is what the log itself gives: from every position, beside its
// writer, and behind a crash.
//
// Method: scripts drive a log over FakeFs; the folder is read beside it, or after its files were
//         cut or damaged.
#include "log/folder_cursor.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "harness/scratch.h"
#include "log/testing_script.h"

namespace pgweir::log {
namespace {
using testing::HasSubstr;
using testing::StartsWith;

// The letters in front of an error's text.
std::string before_error(const std::string& read) {
  const std::size_t at = read.find("error: ");
  return at == std::string::npos ? read : read.substr(0, at == 0 ? 0 : at - 1);
}

class FolderCursorTest : public testing::Test {
 protected:
  void run(const std::string& steps) {
    const Status done = script_.run(steps);
    ASSERT_TRUE(done.ok()) << done.error().text();
  }
  Result<std::unique_ptr<FolderCursor>> open(const model::Position& after = {}) {
    return FolderCursor::open(fs_, kTestDirectory, after);
  }
  // Everything, or the error's text behind what came before it.
  std::string read_folder(const model::Position& after = {}) {
    auto cursor = open(after);
    return cursor.ok() ? drain(**cursor) : "error: " + cursor.error().text();
  }
  // Of every frame, in order.
  std::vector<model::Position> positions() {
    std::vector<model::Position> out;
    const auto cursor = script_.log().read({}).value();
    while (const FramePtr frame = cursor->next(Microseconds(0)).value())
      out.push_back(frame->header.last);
    return out;
  }
  std::string file(std::size_t number) const {
    return fmt::format("{}/{:012}.log", kTestDirectory, number);
  }
  std::size_t file_count() { return script_.log().segments().size(); }

  io::FakeFs fs_;
  Script script_{fs_};
};

// Several segments, schemas, two epochs, an adopted transaction with a record rolled back.
constexpr const char* kLong = "SabcSdefghij|SklmnopqrS|<uvzwx>^abSc|defghSijklmn|opq|";

}  // namespace

TEST_F(FolderCursorTest, GivesWhatTheLogGivesFromEveryPosition) {
  run(kLong);
  ASSERT_GT(file_count(), 4u);
  EXPECT_EQ(read_folder(), script_.synced());
  for (const model::Position& position : positions()) {
    EXPECT_EQ(read_folder(position), read_all(script_.log(), position))
        << model::to_string(position.lsn) << " " << position.sequence;
  }
}

TEST_F(FolderCursorTest, GivesWhatTheLogGivesAfterAnyScript) {
  std::mt19937 random(harness::test_seed());
  constexpr std::string_view kSteps = "abcdefghijklmnopqrstuvwxyzSS|||^</>O!";
  for (int round = 0; round < 60; ++round) {
    // Schemas in front of every position are given as they hold at last, not each as it came.
    std::string steps = "a|";
    for (int step = 0; step < 60; ++step) steps += kSteps[random() % kSteps.size()];
    SCOPED_TRACE(steps);
    io::FakeFs fs;
    Script script(fs);
    const Status done = script.run(steps + "/|");
    ASSERT_TRUE(done.ok()) << steps << ": " << done.error().text();
    const auto from = [&](const model::Position& after) {
      auto cursor = FolderCursor::open(fs, kTestDirectory, after);
      return cursor.ok() ? drain(**cursor) : "error: " + cursor.error().text();
    };
    EXPECT_EQ(from({}), script.synced()) << steps;
    std::vector<model::Position> all;
    const auto cursor = script.log().read({}).value();
    while (const FramePtr frame = cursor->next(Microseconds(0)).value())
      all.push_back(frame->header.last);
    if (all.empty()) continue;
    for (int look = 0; look < 5; ++look) {
      const model::Position& after = all[random() % all.size()];
      EXPECT_EQ(from(after), read_all(script.log(), after)) << steps;
    }
  }
}

TEST_F(FolderCursorTest, WithoutALogThereIsNone) {
  const auto cursor = open();
  ASSERT_FALSE(cursor.ok());
  EXPECT_EQ(cursor.error().code, Code::kNotFound);
  EXPECT_THAT(cursor.error().text(), HasSubstr(kTestDirectory));
  run("");
  EXPECT_EQ(read_folder(), "");
}

TEST_F(FolderCursorTest, BesideItsWriterItFindsWhatComesBeforeItsEnd) {
  run("abc|");
  const auto cursor = open().value();
  EXPECT_EQ(letter_of(*cursor->next(Microseconds(0)).value()), 'a');
  run("defghijklmnopqrstuvw|");
  EXPECT_EQ(drain(*cursor), "bcdefghijklmnopqrstuvw");
  // At its end it stays there.
  run("xyz|");
  EXPECT_EQ(drain(*cursor), "");
  EXPECT_EQ(read_folder(), script_.synced());
}

TEST_F(FolderCursorTest, WhatWasPrunedIsNotThere) {
  run(kLong);
  const model::Position middle = script_.log().segments()[3].first;
  ASSERT_TRUE(script_.log().prune({.bytes_max = 1}, middle).ok());
  const auto cursor = open().value();
  EXPECT_GT(cursor->begin(), model::Position{});
  const std::string left = drain(*cursor);
  EXPECT_LT(left.size(), script_.synced().size());
  EXPECT_EQ(left, read_all(script_.log(), cursor->begin()));
}

// A power loss keeps any part of what was not synced.
TEST_F(FolderCursorTest, ATornTailIsTheEnd) {
  for (std::uint64_t kept = 0; kept < 900; kept += 13) {
    io::FakeFs fs;
    Script script(fs);
    ASSERT_TRUE(script.run("SabcSdef|ghSijklm").ok());
    const std::string appended = script.appended(), synced = script.synced();
    script.close();
    fs.crash(kept);
    const auto cursor = FolderCursor::open(fs, kTestDirectory, {});
    ASSERT_TRUE(cursor.ok()) << kept << ": " << cursor.error().text();
    const std::string read = drain(**cursor);
    EXPECT_THAT(read, StartsWith(synced)) << kept;
    EXPECT_THAT(appended, StartsWith(read)) << kept;
  }
}

// The next segment's file is there, and its header is not yet.
TEST_F(FolderCursorTest, ALastSegmentThatIsBeingMadeIsTheEnd) {
  run(kLong);
  const std::string whole = fs_.content(file(file_count()));
  const std::string expected = script_.synced();
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{10}}) {
    fs_.overwrite(file(file_count()), whole.substr(0, size));
    const std::string read = read_folder();
    EXPECT_THAT(expected, StartsWith(read)) << size;
    EXPECT_GT(read.size(), expected.size() / 2) << size;
  }
}

TEST_F(FolderCursorTest, DamageInFrontOfTheTailIsAnError) {
  run(kLong);
  const std::string expected = script_.synced();
  for (std::size_t segment = 1; segment < file_count(); ++segment) {
    const std::string whole = fs_.content(file(segment));
    for (const std::size_t part : {4u, 3u, 2u}) {
      std::string damaged = whole;
      damaged[damaged.size() - damaged.size() / part] ^= 1;
      fs_.overwrite(file(segment), damaged);
      const std::string read = read_folder();
      ASSERT_THAT(read, HasSubstr("error: ")) << segment << " " << part;
      EXPECT_THAT(read, HasSubstr(file(segment)));
      // What comes before it is right.
      const std::string good = before_error(read);
      EXPECT_THAT(expected, StartsWith(good)) << segment << " " << part;
    }
    fs_.overwrite(file(segment), whole);
  }
  EXPECT_EQ(read_folder(), expected);
}

TEST_F(FolderCursorTest, AFailingDiskIsAnErrorAndNothingIsSkipped) {
  run(kLong);
  const std::string expected = script_.synced();
  const std::uint64_t before = fs_.operations();
  EXPECT_EQ(read_folder(), expected);
  const std::uint64_t reads = fs_.operations() - before;
  for (std::uint64_t failing = 0; failing < reads; ++failing) {
    fs_.fail_at(fs_.operations() + failing, Code::kIo);
    const std::string read = read_folder();
    // drain() tries again, and nothing may be lost by that.
    EXPECT_THAT(expected, StartsWith(before_error(read))) << failing;
    EXPECT_TRUE(read == expected || before_error(read) != read) << failing;
    EXPECT_EQ(read_folder(), expected) << failing;
  }
}

}  // namespace pgweir::log
