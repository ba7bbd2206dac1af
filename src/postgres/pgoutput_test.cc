// The decoder against messages made by hand: positions, cuts, restarts and damage.
#include "postgres/pgoutput.h"

#include <gtest/gtest.h>

#include <random>

#include "harness/scratch.h"
#include "postgres/catalog.h"
#include "postgres/stream_tracker.h"
#include "postgres/testing_messages.h"
#include "postgres/testing_render.h"

namespace pgweir::postgres {
namespace {
using namespace testing_messages;
using testing_render::render;

// Two transactions: at 100 six records, at 200 two.
const std::vector<std::string>& script() {
  static const std::vector<std::string> messages = {
      begin(100, 7),
      relation(1, "t", "Ab"),
      relation(2, "u", "A"),
      insert(1, {"1", "x"}),
      update(1, 'K', {"1", "null"}, {"2", "~"}),
      truncate({1, 2}),
      remove(2, 'K', {"5"}),
      commit(100),
      begin(200, 8),
      insert(2, {"9"}),
      commit(200),
  };
  return messages;
}

constexpr const char* kWhole =
    "i public.t 1|x\nu public.t key 1|- -> 2|~\nt public.t\nt public.u\nd public.u key 5\ncommit\n"
    "i public.u 9\ncommit\n";

// Everything behind `after`; the first relations are always seen, as the log repeats them.
std::string decode_after(const model::Position& after) {
  PgoutputDecoder decoder(after);
  for (const std::string& message : script()) EXPECT_TRUE(decoder.feed(message).ok());
  return render(decoder.take());
}

TEST(PgoutputDecoder, DecodesAScript) {
  EXPECT_EQ(decode_after({1, {}, 0}), kWhole);
}

TEST(PgoutputDecoder, ABatchThatNobodyReadsAnyMoreGivesItsMemory) {
  PgoutputDecoder decoder(model::Position{1, {}, 0});
  const std::vector<std::string>& messages = script();
  model::Batch spent;
  spent.cells.resize(1000);
  spent.changes.resize(1000);
  spent.transactions.resize(10);
  spent.tables.resize(3);
  const model::Cell* const cells = spent.cells.data();
  decoder.reuse(std::move(spent));
  EXPECT_TRUE(decoder.batch_empty());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    ASSERT_TRUE(decoder.feed(messages[i]).ok());
    if (i != 4) continue;
    // What has begun is not given up.
    model::Batch other;
    other.cells.resize(5000);
    decoder.reuse(std::move(other));
  }
  const model::Batch batch = decoder.take();
  EXPECT_EQ(render(batch), kWhole);
  EXPECT_EQ(batch.cells.data(), cells);
  EXPECT_EQ(to_string(batch.from), "1:0/0:0");
  EXPECT_EQ(to_string(batch.to), "1:0/C8:2");
}

TEST(PgoutputDecoder, PositionsCountChangesAndTheCommitIsLast) {
  PgoutputDecoder decoder(model::Position{1, {}, 0});
  for (const std::string& message : script()) ASSERT_TRUE(decoder.feed(message).ok());
  const model::Batch batch = decoder.take();
  EXPECT_EQ(to_string(batch.from), "1:0/0:0");
  EXPECT_EQ(to_string(batch.to), "1:0/C8:2");
  ASSERT_EQ(batch.changes.size(), 6u);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(batch.changes[i].sequence, i + 1);
  EXPECT_EQ(batch.changes[5].sequence, 1u);
  ASSERT_EQ(batch.transactions.size(), 2u);
  EXPECT_EQ(batch.transactions[0].xid, model::Xid{7});
  EXPECT_EQ(value(batch.transactions[0].end_lsn), 148u);
  EXPECT_EQ(value(batch.transactions[0].commit_time), kPostgresEpochUs + 1'000'000);
  EXPECT_TRUE(batch.transactions[0].begins && batch.transactions[0].ends);
}

TEST(PgoutputDecoder, SkipsUpToAnyPosition) {
  const std::string whole = kWhole;
  std::string rest = whole;
  for (const std::uint64_t sequence : {1, 2, 3, 4, 5, 6}) {
    rest = rest.substr(rest.find('\n') + 1);
    EXPECT_EQ(decode_after({1, model::Lsn{100}, sequence}), rest) << sequence;
  }
  EXPECT_EQ(decode_after({1, model::Lsn{150}, 0}), "i public.u 9\ncommit\n");
  EXPECT_EQ(decode_after({1, model::Lsn{200}, 2}), "");
}

TEST(PgoutputDecoder, SkippedBeginIsNoBegin) {
  PgoutputDecoder decoder(model::Position{1, model::Lsn{100}, 2});
  for (const std::string& message : script()) ASSERT_TRUE(decoder.feed(message).ok());
  const model::Batch batch = decoder.take();
  EXPECT_FALSE(batch.transactions[0].begins);
  EXPECT_TRUE(batch.transactions[0].ends);
  EXPECT_EQ(batch.changes[0].sequence, 3u);
  EXPECT_TRUE(batch.transactions[1].begins);
}

TEST(PgoutputDecoder, BatchesMayBeCutAnywhere) {
  for (std::size_t every = 1; every <= script().size(); ++every) {
    PgoutputDecoder decoder(model::Position{1, {}, 0});
    std::string out;
    model::Position last{1, {}, 0};
    std::size_t count = 0, begins = 0, ends = 0;
    for (const std::string& message : script()) {
      ASSERT_TRUE(decoder.feed(message).ok());
      if (++count % every != 0) continue;
      const model::Batch batch = decoder.take();
      EXPECT_EQ(batch.from, last);
      last = batch.to;
      for (const auto& transaction : batch.transactions) {
        begins += transaction.begins ? 1 : 0;
        ends += transaction.ends ? 1 : 0;
      }
      out += render(batch);
    }
    out += render(decoder.take());
    EXPECT_EQ(out, kWhole) << every;
    if (script().size() % every == 0) {
      EXPECT_EQ(begins, 2u) << every;
      EXPECT_EQ(ends, 2u) << every;
    }
  }
}

TEST(PgoutputDecoder, ResumesInsideATransaction) {
  PgoutputDecoder decoder(model::Position{1, model::Lsn{100}, 4});
  decoder.add_table(std::make_shared<const model::Table>(parse_relation(script()[2]).value()));
  decoder.resume({model::Xid{7}, model::Lsn{100}, model::Timestamp{5}, 5});
  for (std::size_t i = 6; i < script().size(); ++i) ASSERT_TRUE(decoder.feed(script()[i]).ok());
  const model::Batch batch = decoder.take();
  EXPECT_EQ(render(batch), "d public.u key 5\ncommit\ni public.u 9\ncommit\n");
  EXPECT_FALSE(batch.transactions[0].begins);
  EXPECT_EQ(batch.changes[0].sequence, 5u);
  EXPECT_EQ(batch.transactions[0].commit_time, model::Timestamp{5});
}

TEST(PgoutputDecoder, NewEpochMayGoBackInLsn) {
  PgoutputDecoder decoder(model::Position{1, model::Lsn{500}, 2});
  decoder.start_epoch(2);
  for (const std::string& message : script()) ASSERT_TRUE(decoder.feed(message).ok());
  EXPECT_EQ(render(decoder.take()), kWhole);
  EXPECT_EQ(decoder.position(), (model::Position{2, model::Lsn{200}, 2}));
}

TEST(PgoutputDecoder, BatchKeepsItsArenaAndTableVersions) {
  PgoutputDecoder decoder(model::Position{1, {}, 0});
  auto arena = std::make_shared<std::string>(insert(1, {"1", "x"}));
  const std::weak_ptr<std::string> watch = arena;
  ASSERT_TRUE(decoder.feed(begin(100, 7)).ok());
  ASSERT_TRUE(decoder.feed(relation(1, "t", "Ab")).ok());
  decoder.keep_alive(arena);
  ASSERT_TRUE(decoder.feed(*arena).ok());
  arena.reset();
  model::Batch first = decoder.take();
  decoder.keep_alive(nullptr);
  EXPECT_EQ(render(first), "i public.t 1|x\n");
  ASSERT_TRUE(decoder.feed(relation(1, "t", "Abc")).ok());
  const std::string wider = insert(1, {"2", "y", "z"});
  ASSERT_TRUE(decoder.feed(wider).ok());
  EXPECT_EQ(render(decoder.take()), "i public.t 2|y|z\n");
  EXPECT_EQ(first.tables[0]->columns.size(), 2u);
  EXPECT_FALSE(watch.expired());
  first = {};
  EXPECT_TRUE(watch.expired());
}

TEST(PgoutputDecoder, RelationKeepsTheFactsThatStillFit) {
  PgoutputDecoder decoder(model::Position{1, {}, 0});
  model::Table facts = parse_relation(relation(1, "t", "Ab")).value();
  facts.columns[0].type_name = "integer";
  facts.columns[1].type_name = "integer";
  facts.primary_key = {0};
  const auto known = std::make_shared<const model::Table>(facts);
  decoder.add_table(known);
  ASSERT_TRUE(decoder.feed(relation(1, "t", "Ab")).ok());
  EXPECT_EQ(decoder.table(model::Oid{1}), known);
  ASSERT_TRUE(decoder.feed(relation(1, "t", "bAc")).ok());
  const auto wider = decoder.table(model::Oid{1});
  EXPECT_EQ(wider->columns[1].type_name, "integer");
  EXPECT_EQ(wider->columns[2].type_name, "");
  EXPECT_EQ(wider->primary_key, std::vector<std::uint32_t>{1});
}

TEST(PgoutputDecoder, SnapshotRowsAreOneTransaction) {
  PgoutputDecoder decoder(model::Position{1, {}, 0});
  decoder.add_table(
      std::make_shared<const model::Table>(parse_relation(relation(1, "t", "Ab")).value()));
  ASSERT_TRUE(decoder.begin_snapshot(model::Lsn{99}, model::Timestamp{1}).ok());
  const std::string lines = "1\ta\\tb\\\\\n2\t\\N\n3\t\n4\t\\\\N\n5\tx\\ny";
  ASSERT_TRUE(decoder.feed_copy_rows(model::Oid{1}, lines).ok());
  ASSERT_TRUE(decoder.end_snapshot().ok());
  ASSERT_TRUE(decoder.feed(begin(100, 7)).ok());
  const model::Batch batch = decoder.take();
  EXPECT_EQ(render(batch),
            "r public.t 1|a\tb\\\nr public.t 2|null\nr public.t 3|\nr public.t 4|\\N\n"
            "r public.t 5|x\ny\ncommit\n");
  EXPECT_EQ(batch.transactions[0].kind, model::Transaction::Kind::kSnapshot);
  EXPECT_EQ(to_string(batch.to), "1:0/63:6");
}

TEST(PgoutputDecoder, SnapshotRowsThatDoNotFitAreCorruption) {
  for (const char* lines : {"1\n", "1\t2\t3\n", "1\t2\n\n"}) {
    PgoutputDecoder decoder(model::Position{1, {}, 0});
    decoder.add_table(
        std::make_shared<const model::Table>(parse_relation(relation(1, "t", "Ab")).value()));
    ASSERT_TRUE(decoder.begin_snapshot(model::Lsn{99}, model::Timestamp{1}).ok());
    const Status fed = decoder.feed_copy_rows(model::Oid{1}, lines);
    ASSERT_FALSE(fed.ok()) << lines;
    EXPECT_EQ(fed.error().code, Code::kCorruption);
  }
}

struct Misfit {
  std::vector<std::string> messages;
  Code code;
  const char* text;
};

TEST(PgoutputDecoder, WhatDoesNotFitIsSaid) {
  const std::string t = relation(1, "t", "Ab");
  std::string binary = insert(1, {"1", "x"});
  binary[8] = 'b';
  const std::vector<Misfit> cases = {
      {{insert(1, {"1", "x"})}, Code::kCorruption, "outside a transaction"},
      {{begin(1, 1), insert(1, {"1", "x"})}, Code::kCorruption, "no Relation message for table 1"},
      {{begin(1, 1), t, insert(1, {"1"})},
       Code::kCorruption,
       "a row of 1 columns for public.t of 2"},
      {{begin(1, 1), begin(2, 2)}, Code::kCorruption, "has no commit"},
      {{begin(1, 1), commit(2)}, Code::kCorruption, "another transaction"},
      {{commit(2)}, Code::kCorruption, "another transaction"},
      {{begin(1, 1), t, binary}, Code::kUnsupported, "binary value"},
      {{begin(1, 1), t, truncate({1, 3})}, Code::kCorruption, "table 3"},
      {{std::string("S\0\0\0\1\1", 6)}, Code::kUnsupported, "not known here"},
      {{"z"}, Code::kUnsupported, "not known"},
      {{""}, Code::kCorruption, "empty"},
  };
  for (const Misfit& test : cases) {
    PgoutputDecoder decoder(model::Position{1, {}, 0});
    Status last;
    for (const std::string& message : test.messages) last = decoder.feed(message);
    ASSERT_FALSE(last.ok()) << test.text;
    EXPECT_EQ(last.error().code, test.code) << last.error().text();
    EXPECT_NE(last.error().text().find(test.text), std::string::npos) << last.error().text();
  }
}

TEST(PgoutputDecoder, EveryCutMessageIsCorruptionWithItsOffset) {
  for (std::size_t cut_at = 0; cut_at < script().size(); ++cut_at) {
    for (std::size_t size = 1; size < script()[cut_at].size(); ++size) {
      PgoutputDecoder decoder(model::Position{1, {}, 0});
      for (std::size_t i = 0; i < cut_at; ++i) ASSERT_TRUE(decoder.feed(script()[i]).ok());
      // A copy of its own, so that a read past the end is seen by the sanitizer.
      const std::vector<char> cut(script()[cut_at].begin(),
                                  script()[cut_at].begin() + static_cast<long>(size));
      const Status fed = decoder.feed({cut.data(), cut.size()});
      ASSERT_FALSE(fed.ok()) << script()[cut_at][0] << size;
      EXPECT_EQ(fed.error().code, Code::kCorruption);
      EXPECT_NE(fed.error().detail.find("at byte"), std::string::npos);
    }
  }
}

TEST(StreamTracker, AgreesWithTheDecoderAboutPositions) {
  const unsigned seed = harness::test_seed();
  std::mt19937 random(seed);
  PgoutputDecoder decoder(model::Position{3, {}, 0});
  StreamTracker tracker(3);
  std::uint64_t lsn = 1000;
  const auto take = [&](const std::string& message) {
    ASSERT_TRUE(decoder.feed(message).ok());
    ASSERT_TRUE(tracker.advance(message).ok());
    ASSERT_EQ(decoder.position(), tracker.position());
    ASSERT_EQ(decoder.in_transaction(), tracker.in_transaction());
  };
  for (int transaction = 0; transaction < 200; ++transaction) {
    lsn += 1 + random() % 100;
    take(begin(lsn, static_cast<std::uint32_t>(transaction)));
    take(relation(1, "t", "Ab"));
    for (unsigned i = random() % 5; i > 0; --i) {
      take(random() % 2 == 0 ? insert(1, {"1", "x"}) : truncate({1, 1, 1}));
    }
    take(commit(lsn));
    ASSERT_EQ(value(tracker.end_lsn()), lsn + 48);
    if (random() % 3 == 0) (void)decoder.take();
  }
}

TEST(StreamTracker, RefusesWhatDoesNotFit) {
  StreamTracker tracker(1);
  EXPECT_EQ(tracker.advance(insert(1, {"1"})).error().code, Code::kCorruption);
  EXPECT_EQ(tracker.advance("").error().code, Code::kCorruption);
  EXPECT_EQ(tracker.advance("S").error().code, Code::kUnsupported);
  EXPECT_EQ(tracker.advance("B").error().code, Code::kCorruption);
}

}  // namespace
}  // namespace pgweir::postgres
