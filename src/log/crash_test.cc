// The log gives back exactly what was synced, in order, whatever the moment of the crash and
// whichever call to the disk fails.
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <utility>

#include "harness/scratch.h"
#include "log/testing_script.h"

namespace pgweir::log {
namespace {

std::string survivors(const std::string& steps) {
  io::FakeFs fs;
  Script script(fs);
  const Status done = script.run(steps);
  return done.ok() ? read_all(script.log()) : done.error().text();
}

TEST(LogCrash, WhatWasSyncedSurvives) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},
      {"!", ""},
      {"ab", ""},  // not yet shown
      {"ab|", "ab"},
      {"ab|c!", "ab"},
      {"ab|c~", "ab"},
      {"ab|c!d|!", "abd"},
      {"ab|c~d|!", "abd"},
      {"ab|cO", "ab"},  // in the log's own buffer, which dies with the process
      {"Sa|!Sb|!", "AaBb"},
      {"abcdefghijklmnopqrstuvwxyz|!", "abcdefghijklmnopqrstuvwxyz"},
      {"ab|^cd|!", "abcd"},
      {"ab|^!cd|!", "abcd"},
      {"^^^a|!", "a"},
  };
  for (const auto& [steps, expected] : cases) EXPECT_EQ(survivors(steps), expected) << steps;
}

using Crash = std::function<void(io::FakeFs&)>;

std::vector<std::pair<std::string, Crash>> crashes() {
  std::vector<std::pair<std::string, Crash>> out = {
      {"nothing kept", [](io::FakeFs& fs) { fs.crash(); }},
      {"5 bytes kept", [](io::FakeFs& fs) { fs.crash(5); }},
      {"300 bytes kept", [](io::FakeFs& fs) { fs.crash(300); }},
      {"all bytes kept", [](io::FakeFs& fs) { fs.crash(1u << 20); }},
      {"kill", [](io::FakeFs& fs) { fs.kill(); }},
  };
  for (unsigned seed = 0; seed < 6; ++seed)
    out.emplace_back("sectors " + std::to_string(seed),
                     [seed](io::FakeFs& fs) { fs.crash_at_random(seed); });
  return out;
}

const char* const kScripts[] = {
    "ab|cd|efg|hijklm|n|",
    "SaSb|cSd|efghSijkl|mnopqrs|t",
    "ab|c^d|Se^fg|hijklmnop",
    "abcdefghijkl|mOnop|!qr|s*tu|vSw|",
    "aS<bcz/d|e>f|g",
    "<abzc>S<def<gz>hijklmno|p<q>",
    "Sa|<bc!d<ef/g|>*h|<i~j<k>^<l>O",
    "SSSSS|!SSa|SSSS~b|",
};

// Dies at operation `at`, crashes, opens again, and goes on.
void crash_once(const std::string& steps, std::uint64_t at, const Crash& crash) {
  io::FakeFs fs;
  Script script(fs);
  fs.die_at(at);
  (void)script.run(steps);
  script.close();
  crash(fs);
  const Status reopened = script.reopen();
  ASSERT_TRUE(reopened.ok()) << reopened.error().text();
  const std::string before = script.appended();
  ASSERT_TRUE(script.run("yS|!").ok());
  EXPECT_EQ(read_all(script.log()).size(), before.size() + 2);
}

TEST(LogCrash, EveryOperationMayBeTheLast) {
  for (const std::string steps : kScripts) {
    io::FakeFs counting;
    ASSERT_TRUE(Script(counting).run(steps).ok());
    for (std::uint64_t at = 0; at < counting.operations(); ++at) {
      for (const auto& [name, crash] : crashes()) {
        SCOPED_TRACE(testing::Message() << steps << ": " << name << " at operation " << at);
        crash_once(steps, at, crash);
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

// Makes the step until it is done: a full disk is tried again, after any other failure the log is
// opened anew, and then has lost at most what was not synced.
void insist(io::FakeFs& fs, Script& script, char step) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    const Status opened = script.open();
    if (!opened.ok()) continue;
    const Status done = script.run_step(step);
    if (done.ok()) return;
    if (done.error().code == Code::kNoSpace) continue;
    script.close();
    fs.kill();
    // A step that opens the log, and failed in that, has been made: only the opening is missing.
    const bool reopened = script.reopen().ok() || script.reopen().ok();
    ASSERT_TRUE(reopened);
    if (std::string("!~*O").find(step) != std::string::npos) return;
  }
  ADD_FAILURE() << "step '" << step << "' cannot be made";
}

void fail_once(const std::string& steps, std::uint64_t at, Code code) {
  io::FakeFs fs;
  Script script(fs);
  fs.fail_at(at, code);
  for (const char step : steps) insist(fs, script, step);
  insist(fs, script, '|');
  EXPECT_EQ(read_all(script.log()), script.synced());
  EXPECT_EQ(script.synced(), script.appended());
  ASSERT_TRUE(script.run("z|!").ok());
}

TEST(LogCrash, EveryOperationMayFailOnce) {
  for (const std::string steps : kScripts) {
    io::FakeFs counting;
    ASSERT_TRUE(Script(counting).run(steps).ok());
    for (std::uint64_t at = 0; at < counting.operations(); ++at) {
      for (const Code code : {Code::kIo, Code::kNoSpace}) {
        SCOPED_TRACE(testing::Message() << steps << ": " << code_name(code) << " at " << at);
        fail_once(steps, at, code);
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

void fill_disk(const std::string& steps, const std::string& expected) {
  for (std::uint64_t capacity = 0; capacity < 12'000; capacity += 37) {
    SCOPED_TRACE(testing::Message() << "capacity " << capacity);
    io::FakeFs fs;
    Script script(fs);
    fs.set_capacity(capacity);
    for (const char step : steps) {
      Status done = script.open();
      if (done.ok()) done = script.run_step(step);
      if (done.ok()) continue;
      ASSERT_EQ(done.error().code, Code::kNoSpace) << done.error().text();
      const std::uint64_t used = fs.used_bytes();
      // Trying again where there still is no room must not leave anything either.
      if (script.open().ok()) {
        ASSERT_EQ(script.run_step(step).error().code, Code::kNoSpace);
        EXPECT_EQ(fs.used_bytes(), used);
        EXPECT_EQ(read_all(script.log()), script.synced());
      }
      fs.set_no_capacity_limit();
      ASSERT_TRUE(script.open().ok());
      ASSERT_TRUE(script.run_step(step).ok());
    }
    EXPECT_EQ(read_all(script.log()), expected);
    ASSERT_TRUE(script.run_step('!').ok());
    EXPECT_EQ(read_all(script.log()), expected);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(LogCrash, FullDiskLosesNothingAndGoesOn) {
  fill_disk("SaSb|cSd|efghSijkl|mnopqrs|tuvw|", "AaBbcCdefghDijklmnopqrstuvw");
  fill_disk("Sa<bcdefg/hS|i>jk|<lmnzo>p|", "AahBi<bcdefg>jk<lmnzo>p");
}

TEST(LogCrash, RandomScriptsAgreeWithTheModel) {
  const unsigned seed = harness::test_seed();
  std::mt19937 random(seed);
  const std::string choice = "abcdefghijklmnopqrstuvwxyzS|||||||^!~**O<<<<//>>>>";
  for (int round = 0; round < 200; ++round) {
    io::FakeFs fs;
    Script script(fs);
    std::string steps;
    for (int i = 0; i < 80; ++i) steps += choice[random() % choice.size()];
    const Status done = script.run(steps);
    ASSERT_TRUE(done.ok()) << steps << ": " << done.error().text();
    EXPECT_EQ(read_all(script.log()), script.synced()) << steps;
    if (testing::Test::HasFailure()) {
      ADD_FAILURE() << "script " << steps;
      return;
    }
  }
}

}  // namespace
}  // namespace pgweir::log
