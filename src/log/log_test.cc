#include "log/log.h"

#include <gtest/gtest.h>

#include "harness/scratch.h"

namespace pgweir::log {
namespace {

Frame frame(std::uint64_t lsn, std::string text) {
  Frame out;
  out.header.first = out.header.last = {1, model::Lsn{lsn}, 1};
  out.header.end_lsn = model::Lsn{lsn + 8};
  out.header.record_count = 1;
  append_record(out.payload, text);
  return out;
}

TEST(LogSmoke, WhatIsSyncedIsReadAgain) {
  harness::ScratchFolder scratch;
  io::RealFs fs;
  io::RealClock clock;
  LogOptions options;
  options.segment_bytes_max = 4096;
  {
    auto log = Log::open(fs, clock, scratch.file("wal"), options).value();
    auto cursor = log->read({}).value();
    for (std::uint64_t i = 1; i <= 100; ++i) {
      ASSERT_TRUE(log->append(frame(i * 16, std::string(100, static_cast<char>(i)))).ok());
      if (i % 10 == 0) {
        EXPECT_EQ(log->sync().value(), model::Lsn{i * 16 + 8});
      }
    }
    for (std::uint64_t i = 1; i <= 100; ++i)
      EXPECT_EQ(cursor->next(Microseconds(0)).value()->header.last.lsn, model::Lsn{i * 16});
    EXPECT_EQ(cursor->next(Microseconds(0)).value(), nullptr);
    EXPECT_GT(log->segments().size(), 1u);
  }
  auto log = Log::open(fs, clock, scratch.file("wal"), options).value();
  auto cursor = log->read({1, model::Lsn{160}, 1}).value();
  for (std::uint64_t i = 11; i <= 100; ++i)
    EXPECT_EQ(cursor->next(Microseconds(0)).value()->header.last.lsn, model::Lsn{i * 16});
  const auto report = verify(fs, scratch.file("wal")).value();
  EXPECT_EQ(report.frames, 100u);
  EXPECT_TRUE(report.damages.empty());
}

}  // namespace
}  // namespace pgweir::log
