// A first snapshot's rows as blocks of text, taken in by several threads.
#include <gtest/gtest.h>

#include "engine/testing_load.h"

namespace pgweir::engine {

TEST_F(EngineLoadTest, BlocksOfSeveralTablesBecomeTheirMirrors) {
  begin_snapshot();
  EXPECT_EQ(load({{texts_, "1\ta\\tb\n2\t\\N\n"}, {bag_, "7\tx\n"}, {texts_, "3\tz"}}), "");
  EXPECT_EQ(load({{bag_, "7\tx\n8\ty\n"}, {prices_, "5\t0.25\n"}}), "");
  EXPECT_FALSE(engine_->position().snapshot_complete);
  end_snapshot();
  EXPECT_EQ(rows("SELECT * FROM texts ORDER BY id"), "1|a\tb;2|NULL;3|z");
  EXPECT_EQ(rows("SELECT * FROM bag ORDER BY id"), "7|x;7|x;8|y");
  EXPECT_EQ(rows("SELECT * FROM prices"), "5|0.250000000");
  EXPECT_EQ(rows("SELECT \"table\", op, changes, bytes, transactions FROM pgweir.activity "
                 "ORDER BY ALL"),
            "bag|r|3|9|0;prices|r|1|6|0;texts|r|3|13|0");
  EXPECT_EQ(rows("SELECT current_setting('threads')"), "1");
}

TEST_F(EngineLoadTest, ItGoesOnBehindWhatIsCommitted) {
  begin_snapshot();
  EXPECT_EQ(load({{texts_, lines(0, 5000, "a")}}), "");
  open_threaded();
  EXPECT_EQ(engine_->position().position, at_);
  EXPECT_EQ(load({{texts_, lines(5000, 5000, "b")}}), "");
  const model::Position reached = std::exchange(at_, {1, model::Lsn{16}, 0});
  EXPECT_EQ(load({{texts_, lines(0, 5000, "a")}}),
            "the batch does not follow the engine's position");
  at_ = reached;
  open_threaded();
  end_snapshot();
  EXPECT_EQ(rows("SELECT v, count(*), count(DISTINCT id) FROM texts GROUP BY v ORDER BY v"),
            "a|5000|5000;b|5000|5000");
}

TEST_F(EngineLoadTest, RowsWithoutASnapshotAreRefused) {
  EXPECT_EQ(load({{texts_, "1\ta\n"}}), "rows of a snapshot come that has not begun");
}

TEST_F(EngineLoadTest, AMisfitStopsItsTableAlone) {
  begin_snapshot();
  EXPECT_EQ(load({{texts_, lines(0, 4000, "a")}, {prices_, lines(0, 4000, "1")}}), "");
  EXPECT_EQ(load({{prices_, lines(4000, 4000, "2") + "42\t0.0000000001\n"},
                  {texts_, lines(4000, 4000, "b")},
                  {prices_, lines(9000, 4000, "2")}}),
            "");
  EXPECT_EQ(load({{prices_, lines(20'000, 10, "3")}, {texts_, lines(8000, 10, "c")}}), "");
  end_snapshot();
  EXPECT_EQ(rows("SELECT count(*), count(DISTINCT id) FROM texts"), "8010|8010");
  const std::string stopped = rows("SELECT * FROM prices");
  EXPECT_NE(stopped.find("table public.prices is stopped: a value of public.prices.v (numeric) "
                         "does not fit into DECIMAL(38,9)"),
            std::string::npos)
      << stopped;
  EXPECT_NE(stopped.find("key (id)=(42); commit 0/10; value '0.0000000001'"), std::string::npos)
      << stopped;
}

TEST_F(EngineLoadTest, ALineOfAnotherShapeIsDamage) {
  begin_snapshot();
  EXPECT_EQ(load({{texts_, "1\ta\n"}}), "");
  EXPECT_EQ(load({{texts_, lines(2, 3000, "a") + "1\ta\tb\n"}}),
            "a snapshot row does not fit its table");
  EXPECT_EQ(load({{texts_, "2\tb\n"}}), "");
  end_snapshot();
  EXPECT_EQ(rows("SELECT * FROM texts ORDER BY id"), "1|a;2|b");
}

// Many rows are sorted range by range; a range without rows, as all but one of a bag of equal rows,
// is passed over.
TEST_F(EngineLoadTest, ManyRowsAreSortedInRanges) {
  StoreOptions store;
  store.small_rows_max = 1000;
  store.load_bytes_max = 64 * kKiB;
  open({.memory_bytes = 256 * kMiB, .load_threads = 3, .load_bytes_min = 0, .store = store});
  begin_snapshot();
  constexpr int kBlock = 4000, kBlocks = 10;
  for (int i = 0; i < kBlocks; ++i) {
    std::string equal;
    for (int row = 0; row < kBlock; ++row) equal += "7\tequal\n";
    EXPECT_EQ(load({{texts_, lines(i * kBlock, kBlock, "some text")}, {bag_, equal}}), "");
  }
  end_snapshot();
  EXPECT_EQ(rows("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM texts"),
            "40000|40000|0|39999");
  EXPECT_EQ(rows("SELECT id, v, count(*) FROM bag GROUP BY ALL"), "7|equal|40000");
  expect_sorted_bases(2, 2 * kBlock * kBlocks);
}

// Its rows come later; until then its mirror is there, and empty.
TEST_F(EngineLoadTest, ATableWhoseReadingWasCutOffHasAMirror) {
  begin_snapshot();
  EXPECT_EQ(load({{texts_, "1\ta\n"}, {bag_, "7\tx\n"}}), "");
  open_threaded();
  ASSERT_TRUE(engine_->begin_read(*bag_, Engine::Reading::kReplaces, at_, model::Lsn{}).ok());
  const auto count_mirrors = [&] {
    int count = 0;
    for (const Mirror& mirror : engine_->mirrors()) {
      EXPECT_NE(mirror.store.lock(), nullptr) << mirror.name;
      ++count;
    }
    return count;
  };
  EXPECT_EQ(count_mirrors(), 2);
  end_snapshot();
  EXPECT_EQ(count_mirrors(), 2);
  EXPECT_EQ(rows("SELECT * FROM texts"), "1|a");
  EXPECT_NE(rows("SELECT * FROM bag").find("its first reading was cut off"), std::string::npos);
}

TEST_F(EngineLoadTest, AnotherSnapshotBeginsAnew) {
  begin_snapshot();
  EXPECT_EQ(load({{texts_, lines(0, 3000, "a")}}), "");
  at_ = {2, model::Lsn{10}, 0};
  ASSERT_TRUE(engine_->begin_snapshot(at_).ok());
  EXPECT_EQ(load({{texts_, "5\tb\n"}}), "");
  end_snapshot();
  EXPECT_EQ(rows("SELECT * FROM texts"), "5|b");
}

}  // namespace pgweir::engine
