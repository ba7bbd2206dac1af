// Messages of transactions that come before they commit.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "harness/scratch.h"
#include "postgres/pgoutput.h"
#include "postgres/stream_tracker.h"
#include "postgres/streamed.h"
#include "postgres/testing_messages.h"
#include "postgres/testing_render.h"

namespace pgweir::postgres {
namespace {
using namespace testing_messages;
using testing_render::render;

std::string with_xid(const std::string& message, std::uint32_t xid) {
  std::string out = message.substr(0, 1);
  append_network(out, xid);
  return out + message.substr(1);
}

std::string stream_start(std::uint32_t xid, bool first) {
  std::string out = "S";
  append_network(out, xid);
  return out + (first ? '\1' : '\0');
}

std::string stream_commit(std::uint32_t xid, std::uint64_t commit_lsn) {
  std::string out = "c";
  append_network(out, xid);
  return out + commit(commit_lsn).substr(1);
}

std::string stream_abort(std::uint32_t xid, std::uint32_t subxid) {
  std::string out = "A";
  append_network(out, xid);
  append_network(out, subxid);
  return out;
}

TEST(Streamed, MessagesTellWhoseTheyAre) {
  EXPECT_EQ(parse_stream_start(stream_start(7, true))->xid, model::Xid{7});
  EXPECT_TRUE(parse_stream_start(stream_start(7, true))->is_first);
  EXPECT_FALSE(parse_stream_start(stream_start(7, false))->is_first);
  EXPECT_EQ(parse_stream_abort(stream_abort(7, 9))->subxid, model::Xid{9});
  const StreamCommit parsed = parse_stream_commit(stream_commit(7, 100)).value();
  EXPECT_EQ(parsed.xid, model::Xid{7});
  EXPECT_EQ(parsed.commit_lsn, model::Lsn{100});
  EXPECT_EQ(parsed.end_lsn, model::Lsn{148});
  EXPECT_EQ(begin_message(parsed), begin(100, 7));
  EXPECT_EQ(commit_message(parsed), commit(100));
  EXPECT_EQ(streamed_xid(with_xid(insert(1, {"1"}), 8)), model::Xid{8});
  EXPECT_EQ(without_xid(with_xid(insert(1, {"1"}), 8)).value(), insert(1, {"1"}));
}

TEST(Streamed, OtherMessagesAndCutOnesAreRefused) {
  const std::string whole[] = {stream_start(7, true), stream_commit(7, 100), stream_abort(7, 9)};
  for (const std::string& message : whole) {
    const auto accepted = [](const std::string& bytes) {
      return parse_stream_start(bytes).ok() + parse_stream_commit(bytes).ok() +
             parse_stream_abort(bytes).ok();
    };
    EXPECT_EQ(accepted(message), 1);
    EXPECT_EQ(accepted(message + "x"), 0);
    for (std::size_t size = 0; size < message.size(); ++size)
      EXPECT_EQ(accepted(message.substr(0, size)), 0);
  }
  EXPECT_FALSE(without_xid("I").ok());
}

TEST(Streamed, ASetOfXidsIsASet) {
  const unsigned seed = harness::test_seed();
  std::mt19937 random(seed);
  for (int round = 0; round < 50; ++round) {
    XidSet set;
    std::set<std::uint32_t> model;
    const unsigned range = 1 + random() % 300;
    const auto check = [&](const XidSet& asked) {
      for (std::uint32_t xid = 0; xid <= range + 1; ++xid)
        ASSERT_EQ(asked.contains(model::Xid{xid}), model.count(xid) != 0) << xid;
    };
    for (unsigned i = random() % 200; i > 0; --i) {
      const std::uint32_t xid = random() % range;
      set.add(model::Xid{xid});
      model.insert(xid);
      ASSERT_TRUE(set.contains(model::Xid{xid}));
    }
    check(set);
    check(XidSet::decode(set.encode()).value());
  }
  EXPECT_FALSE(XidSet::decode("abc").ok());
  EXPECT_FALSE(XidSet::decode(std::string("\2\0\0\0\1\0\0\0", 8)).ok());
}

// The same rows with and without xids, and rows of sub-transactions that were rolled back between
// them, come to the same changes at the same positions; also in parts, and from the middle on.
TEST(Streamed, DecodesToWhatItWouldBeUnstreamed) {
  const unsigned seed = harness::test_seed();
  std::mt19937 random(seed);
  const std::string table = relation(1, "t", "Iv"), other = relation(2, "u", "I");
  for (int round = 0; round < 30; ++round) {
    std::vector<std::string> plain = {begin(100, 7), table, other}, streamed = {table, other};
    for (std::string& message : streamed) message = with_xid(message, 7);
    XidSet rolled_back;
    rolled_back.add(model::Xid{8});
    rolled_back.add(model::Xid{12});
    for (unsigned i = random() % 40; i > 0; --i) {
      const std::string id = std::to_string(random() % 9);
      const std::string rows[] = {insert(1, {id, "x"}), update(1, 'K', {id, "null"}, {"1", "~"}),
                                  remove(1, 'K', {id, "null"}), truncate({1, 2}), insert(2, {id})};
      const std::string& row = rows[random() % 5];
      const std::uint32_t xid = 7 + random() % 6;
      streamed.push_back(with_xid(row, xid));
      if (!rolled_back.contains(model::Xid{xid})) plain.push_back(row);
    }
    plain.push_back(commit(100));
    streamed.push_back(stream_commit(7, 100));

    const model::Position after{1, model::Lsn{100}, random() % 5};
    PgoutputDecoder expected(after), decoder(after);
    for (const std::string& message : plain) ASSERT_TRUE(expected.feed(message).ok());
    decoder.begin_streamed({model::Xid{7}, model::Lsn{100}, {}}, rolled_back);
    std::string text;
    for (const std::string& message : streamed) {
      const Status fed = decoder.feed_streamed(message);
      ASSERT_TRUE(fed.ok()) << fed.error().text();
      if (random() % 8 == 0) text += render(decoder.take());
    }
    EXPECT_EQ(decoder.position(), expected.position());
    EXPECT_EQ(text + render(decoder.take()), render(expected.take()));
    EXPECT_FALSE(decoder.in_transaction());
  }
}

TEST(Streamed, WhatDoesNotFitIsCorruption) {
  const std::string cases[] = {"",
                               "I",
                               with_xid("Ix", 7),
                               stream_commit(8, 100),
                               with_xid(insert(3, {"1"}), 7),
                               stream_commit(7, 101)};
  for (const std::string& message : cases) {
    PgoutputDecoder decoder({1, {}, 0});
    decoder.begin_streamed({model::Xid{7}, model::Lsn{100}, {}}, {});
    const Status fed = decoder.feed_streamed(message);
    ASSERT_FALSE(fed.ok());
    EXPECT_EQ(fed.error().code, Code::kCorruption) << fed.error().text();
  }
}

TEST(Streamed, ATrackerPassesAWholeTransaction) {
  StreamTracker tracker(3);
  tracker.pass({model::Xid{7}, model::Lsn{100}, model::Lsn{148}, {}}, 5);
  EXPECT_EQ(tracker.position(), (model::Position{3, model::Lsn{100}, 6}));
  EXPECT_EQ(tracker.end_lsn(), model::Lsn{148});
  EXPECT_FALSE(tracker.in_transaction());
}

}  // namespace
}  // namespace pgweir::postgres
