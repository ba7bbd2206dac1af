// Mirrors that keep no rows: the change of a batch out of the stream alone, when rows are given up,
// and every way in which they come back.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "engine/testing_engine.h"

namespace pgweir::engine {
namespace {

using model::ReplicaIdentity;
using testing::HasSubstr;
using Net = std::map<std::string, std::int64_t>;  // of a row: how often it comes, or goes

// id, name (which may be stored out of line), price, n.
TablePtr make_full(ReplicaIdentity identity = ReplicaIdentity::kFull) {
  model::Column price = typed_column("price", 1700);
  price.type_name = "numeric";
  model::Table table{
      .id = model::Oid{7},
      .schema = "public",
      .name = "items",
      .replica_identity = identity,
      .columns = {int_column("id", true), text_column("name", true), price, int_column("n")}};
  table.primary_key = {0};
  for (model::Column& column : table.columns) column.number = ++table.numbers_max;
  return std::make_shared<const model::Table>(std::move(table));
}

// A view that goes by changes alone, as the engine sees it.
class Recorder : public ViewMaintainer {
 public:
  RowsNeeded needed = RowsNeeded::kNo;
  bool fail_next = false;
  std::string key = "id";
  Net net;               // since it was emptied
  std::string replaced;  // rows behind a truncate
  std::string stopped;   // of the mirror, as told last

  RowsNeeded rows_needed(const Mirror&) const override { return needed; }
  Status table_changed(duck::Connection& connection, const Mirror& mirror,
                       const Delta& delta) override {
    TRY_ASSIGN(const auto rows,
               connection.query_texts(fmt::format(
                   "SELECT CAST((COLUMNS(* EXCLUDE ({0}, {1}))) AS VARCHAR), {1}, {0} = hash({3}) "
                   "FROM {2}",
                   kHashColumn, kWeightColumn, delta.table, key)));
    EXPECT_EQ(rows.rows.size(), delta.rows);
    for (duck::TextRow row : rows.rows) {
      EXPECT_EQ(row.back(), "true") << "the hash of " << mirror.name;
      row.pop_back();
      const std::int64_t weight = std::stoll(row.back().value_or("0"));
      row.pop_back();
      std::int64_t& found = net[text_of(row)];
      found += weight;
      if (found == 0) net.erase(text_of(row));
    }
    return {};
  }
  Status table_replaced(duck::Connection& connection, const Mirror& mirror) override {
    TRY_ASSIGN(const auto rows, connection.query_texts(
                                    fmt::format("SELECT * EXCLUDE ({}) FROM {} ORDER BY ALL",
                                                kHashColumn, mirror.store.lock()->content_name())));
    net.clear();
    replaced = "rows:";
    for (const duck::TextRow& row : rows.rows) replaced += " " + text_of(row);
    return {};
  }
  Status batch_applied(duck::Connection&) override {
    if (!std::exchange(fail_next, false)) return {};
    return error(Code::kInvalid, "injected");
  }
  Status rebuild(duck::Connection&) override { return {}; }
  Status mirrors_changed(duck::Connection&, std::vector<Mirror> mirrors) override {
    stopped = mirrors.empty() ? "gone" : mirrors[0].stopped;
    return {};
  }

 private:
  static std::string text_of(const duck::TextRow& row) {
    std::string out;
    for (const auto& value : row) out += (out.empty() ? "" : "|") + value.value_or("NULL");
    return out;
  }
};

// An engine with the table, whose first snapshot was empty.
class Side {
 public:
  explicit Side(bool releases) : releases_(releases) { open(); }

  void open() {
    engine.reset();
    auto made = Engine::open(
        {.directory = scratch_.path(),
         .memory_bytes = 256 * kMiB,
         .part_changes_max = 3,
         .rows_are_read = true,
         .releases_mirrors = releases_},
        [](const model::Table& table) {
          std::vector<std::uint32_t> all(table.columns.size());
          for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
          return std::optional(all);
        },
        logger_);
    ASSERT_TRUE(made.ok()) << made.error().text();
    engine = std::move(made).value();
    engine->set_maintainer(&recorder);
  }
  void begin(const TablePtr& table) {
    ASSERT_TRUE(engine->begin_snapshot({1, model::Lsn{16}, 0}).ok());
    ASSERT_TRUE(engine->define_table(*table).ok());
    ASSERT_TRUE(engine->end_snapshot({1, model::Lsn{16}, 1}, model::Lsn{17}).ok());
  }
  Mirror mirror() const { return engine->mirrors().at(0); }
  std::uint64_t stored_rows() const { return mirror().store.lock()->row_count().value(); }
  std::string rows(const std::string& select) const {
    auto reader = engine->reader(Milliseconds{1000});
    if (!reader.ok()) return reader.error().text();
    const auto result = (*reader)->connection().query_texts(select);
    if (!result.ok()) return result.error().message;
    std::string out;
    for (const duck::TextRow& row : result->rows) {
      for (const auto& value : row) out += value.value_or("NULL") + "|";
      out += ";";
    }
    return out;
  }

  void set_releases(bool releases) { releases_ = releases; }

  Recorder recorder;
  std::unique_ptr<Engine> engine;

 private:
  bool releases_;
  harness::ScratchFolder scratch_;
  Logger logger_{LogLevel::kOff};
};

class EngineReleaseTest : public testing::Test {
 protected:
  void SetUp() override { side_.begin(table_); }

  BatchBuilder& begin() {
    lsn_ += 10;
    builder_ = std::make_unique<BatchBuilder>(side_.engine->position().position);
    builder_->begin(lsn_, kTime);
    return *builder_;
  }
  std::string apply() {
    side_.recorder.net.clear();
    builder_->end();
    const Status done = side_.engine->apply(builder_->batch());
    return done.ok() ? "" : done.error().text();
  }
  // Rows 1 and 2 are there; the mirror keeps none from the next batch on.
  void fill_and_release() {
    side_.recorder.needed = ViewMaintainer::RowsNeeded::kUnknown;
    begin().insert(table_, kOne);
    builder_->insert(table_, kTwo);
    ASSERT_EQ(apply(), "");
    ASSERT_EQ(side_.mirror().released, "");
    ASSERT_EQ(side_.stored_rows(), 2u);
    side_.recorder.needed = ViewMaintainer::RowsNeeded::kNo;
    const Status asked = side_.engine->ask_wanted();
    ASSERT_TRUE(asked.ok()) << asked.error().text();
    ASSERT_NE(side_.mirror().released, "");
    ASSERT_EQ(side_.stored_rows(), 0u);
  }
  void expect_awaits(const std::string& why) {
    EXPECT_THAT(side_.mirror().stopped, HasSubstr(why));
    EXPECT_EQ(side_.mirror().released, "");
    EXPECT_THAT(side_.recorder.stopped, HasSubstr(why));
    const auto to_read = side_.engine->tables_to_read();
    ASSERT_EQ(to_read.size(), 1u);
    EXPECT_THAT(to_read[0].reason, HasSubstr(why));
    EXPECT_THAT(side_.rows("SELECT * FROM public.items"), HasSubstr(why));
  }
  // Reads the table as the pipeline does; it has row 1 then.
  void read() {
    const model::Position at = side_.engine->position().position;
    const TablePtr table = table_;
    const auto next = [](model::Position position) {
      position.lsn = model::Lsn{model::value(position.lsn) + 1};
      position.sequence = 0;
      return position;
    };
    const auto began =
        side_.engine->begin_read(*table, Engine::Reading::kReplaces, next(at), model::Lsn{lsn_});
    ASSERT_TRUE(began.ok()) << began.error().text();
    begin().insert(table, kOne, model::Op::kRead);
    ASSERT_EQ(apply(), "");
    const auto ended = side_.engine->end_read(table->id, next(side_.engine->position().position),
                                              model::Lsn{lsn_ + 1});
    ASSERT_TRUE(ended.ok()) << ended.error().text();
    lsn_ += 10;
    EXPECT_EQ(side_.mirror().stopped, "");
    EXPECT_EQ(side_.mirror().released, "");
    EXPECT_EQ(side_.rows("SELECT id FROM public.items"), "1|;");
  }

  inline static const TextRow kOne = {"1", "one", "1.5", "10"};
  inline static const TextRow kTwo = {"2", "two", std::nullopt, std::nullopt};

  TablePtr table_ = make_full();
  Side side_{true};
  std::unique_ptr<BatchBuilder> builder_;
  std::uint64_t lsn_ = 100;
};

TEST_F(EngineReleaseTest, ChangesComeOutOfTheStreamInEveryOrder) {
  struct Case {
    const char* name;
    std::function<void(BatchBuilder&, const TablePtr&)> change;
    Net net;
  };
  const TextRow three = {"3", "three", "3", "30"};
  const std::string one = "1|one|1.500000000|10", two = "2|two|NULL|NULL";
  const Case cases[] = {
      {"insert", [&](auto& b, auto& t) { b.insert(t, three); }, {{"3|three|3.000000000|30", 1}}},
      {"delete", [](auto& b, auto& t) { b.remove(t, kOne); }, {{one, -1}}},
      {"update, unchanged value out of line",
       [](auto& b, auto& t) {
         b.update(t, kOne, {"1", kUnchangedText, std::nullopt, "11"});
       },
       {{one, -1}, {"1|one|NULL|11", 1}}},
      {"update of NULLs",
       [](auto& b, auto& t) {
         b.update(t, kTwo, {"2", std::nullopt, "0", "0"});
       },
       {{two, -1}, {"2|NULL|0.000000000|0", 1}}},
      {"update that changes nothing",
       [](auto& b, auto& t) {
         b.update(t, kOne, {"1", kUnchangedText, "1.5", "10"});
       },
       {}},
      {"a value that is written otherwise",
       [](auto& b, auto& t) {
         b.update(t, kOne, {"1", "one", "1.50", "10"});
       },
       {}},
      {"two updates, the second back",
       [](auto& b, auto& t) {
         b.update(t, kOne, {"1", "eins", "1.5", "10"});
         b.update(t, {"1", "eins", "1.5", "10"}, kOne);
       },
       {}},
      {"two updates, unchanged values of each",
       [](auto& b, auto& t) {
         b.update(t, kOne, {"1", kUnchangedText, "1.5", "11"});
         b.update(t, {"1", "one", "1.5", "11"}, {"1", kUnchangedText, "1.5", "12"});
       },
       {{one, -1}, {"1|one|1.500000000|12", 1}}},
      {"insert, update, delete",
       [&](auto& b, auto& t) {
         b.insert(t, three);
         b.update(t, three, {"3", kUnchangedText, "3", "31"});
         b.remove(t, {"3", "three", "3", "31"});
       },
       {}},
      {"insert, update",
       [&](auto& b, auto& t) {
         b.insert(t, three);
         b.update(t, three, {"3", kUnchangedText, "3", "31"});
       },
       {{"3|three|3.000000000|31", 1}}},
      {"delete, insert the same",
       [](auto& b, auto& t) {
         b.remove(t, kOne);
         b.insert(t, kOne);
       },
       {}},
      {"delete, insert another, update",
       [](auto& b, auto& t) {
         b.remove(t, kOne);
         b.insert(t, {"1", "uno", "1", "1"});
         b.update(t, {"1", "uno", "1", "1"}, {"1", kUnchangedText, "1", "2"});
       },
       {{one, -1}, {"1|uno|1.000000000|2", 1}}},
      {"update, delete",
       [](auto& b, auto& t) {
         b.update(t, kOne, {"1", kUnchangedText, "7", "7"});
         b.remove(t, {"1", "one", "7", "7"});
       },
       {{one, -1}}},
      {"key change with an unchanged value",
       [](auto& b, auto& t) {
         b.update(t, kOne, {"3", kUnchangedText, "1.5", "10"});
       },
       {{one, -1}, {"3|one|1.500000000|10", 1}}},
      {"key change behind an update, and back",
       [](auto& b, auto& t) {
         b.update(t, kOne, {"1", kUnchangedText, "1.5", "11"});
         b.update(t, {"1", "one", "1.5", "11"}, {"3", kUnchangedText, "1.5", "11"});
         b.update(t, {"3", "one", "1.5", "11"}, {"1", kUnchangedText, "1.5", "12"});
       },
       {{one, -1}, {"1|one|1.500000000|12", 1}}},
      {"keys that change places",
       [](auto& b, auto& t) {
         b.update(t, kOne, {"3", kUnchangedText, "1.5", "10"});
         b.update(t, kTwo, {"1", kUnchangedText, std::nullopt, std::nullopt});
         b.update(t, {"3", "one", "1.5", "10"}, {"2", kUnchangedText, "1.5", "10"});
       },
       {{one, -1}, {two, -1}, {"1|two|NULL|NULL", 1}, {"2|one|1.500000000|10", 1}}},
      {"key change onto a row that was deleted",
       [](auto& b, auto& t) {
         b.remove(t, kTwo);
         b.update(t, kOne, {"2", kUnchangedText, "1.5", "10"});
       },
       {{one, -1}, {two, -1}, {"2|one|1.500000000|10", 1}}},
  };
  fill_and_release();
  for (const Case& each : cases) {
    SCOPED_TRACE(each.name);
    each.change(begin(), table_);
    // What is rolled back leaves nothing, so that each case begins with the same rows.
    side_.recorder.fail_next = true;
    EXPECT_THAT(apply(), HasSubstr("injected"));
    EXPECT_EQ(side_.recorder.net, each.net);
    EXPECT_EQ(side_.stored_rows(), 0u);
  }
}

TEST_F(EngineReleaseTest, ItIsReleasedOnceItIsCompleteAndNobodyNeedsRows) {
  side_.recorder.needed = ViewMaintainer::RowsNeeded::kUnknown;
  begin().insert(table_, kOne);
  ASSERT_EQ(apply(), "");
  ASSERT_TRUE(side_.engine->ask_wanted().ok());
  EXPECT_EQ(side_.mirror().released, "");
  side_.recorder.needed = ViewMaintainer::RowsNeeded::kNo;
  begin().insert(table_, kTwo);
  ASSERT_EQ(apply(), "");
  EXPECT_NE(side_.mirror().released, "");
  EXPECT_EQ(side_.stored_rows(), 0u);
  EXPECT_THAT(side_.rows("SELECT count(*) FROM public.items"),
              HasSubstr("table public.items has no rows to show: its rows are not kept here"));
  // What is unknown leaves it so, also over a restart.
  side_.recorder.needed = ViewMaintainer::RowsNeeded::kUnknown;
  side_.open();
  EXPECT_NE(side_.mirror().released, "");
  begin().remove(table_, kTwo);
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(side_.recorder.net, (Net{{"2|two|NULL|NULL", -1}}));
}

TEST_F(EngineReleaseTest, OtherTablesKeepTheirRows) {
  struct Case {
    const char* name;
    TablePtr table;
    std::string key;
    bool releases;
  };
  auto bag = std::make_shared<model::Table>(*make_full());
  bag->primary_key.clear();
  for (const Case& each :
       {Case{"another identity", make_full(ReplicaIdentity::kDefault), "id, name", true},
        Case{"no key", bag, "id, name, price, n", true},
        Case{"no option", make_full(), "id", false}}) {
    SCOPED_TRACE(each.name);
    Side side(each.releases);
    side.recorder.key = each.key;
    side.begin(each.table);
    BatchBuilder batch(side.engine->position().position);
    batch.begin(100, kTime);
    batch.insert(each.table, kOne);
    batch.end();
    ASSERT_TRUE(side.engine->apply(batch.batch()).ok());
    ASSERT_TRUE(side.engine->ask_wanted().ok());
    EXPECT_EQ(side.mirror().released, "");
    EXPECT_EQ(side.stored_rows(), 1u);
  }
}

TEST_F(EngineReleaseTest, RowsThatAreNeededAreReadAgain) {
  fill_and_release();
  side_.recorder.needed = ViewMaintainer::RowsNeeded::kYes;
  ASSERT_TRUE(side_.engine->ask_wanted().ok());
  expect_awaits("its rows were not kept, and are needed");
  side_.open();
  expect_awaits("its rows were not kept, and are needed");
  read();
  ASSERT_TRUE(side_.engine->ask_wanted().ok());
  EXPECT_EQ(side_.stored_rows(), 1u);
}

TEST_F(EngineReleaseTest, WithoutTheOptionRowsComeBack) {
  fill_and_release();
  side_.set_releases(false);
  side_.open();
  ASSERT_TRUE(side_.engine->ask_wanted().ok());
  expect_awaits("its rows were not kept, and are needed");
  read();
}

TEST_F(EngineReleaseTest, AnotherShapeOrIdentityBringsRowsBack) {
  auto wider = std::make_shared<model::Table>(*table_);
  wider->columns.push_back(int_column("more"));
  wider->columns.back().number = ++wider->numbers_max;
  wider->columns.back().missing = "5";
  auto keyed_otherwise = std::make_shared<model::Table>(*table_);
  keyed_otherwise->primary_key = {1};
  for (const TablePtr& other :
       std::vector<TablePtr>{make_full(ReplicaIdentity::kDefault), wider, keyed_otherwise}) {
    side_.open();
    ASSERT_NO_FATAL_FAILURE(side_.begin(table_));
    ASSERT_NO_FATAL_FAILURE(fill_and_release());
    const Status defined = side_.engine->define_table(*other);
    ASSERT_TRUE(defined.ok()) << defined.error().text();
    expect_awaits("its rows were not kept");
  }
}

TEST_F(EngineReleaseTest, AnotherNameLeavesItReleased) {
  fill_and_release();
  auto renamed = std::make_shared<model::Table>(*table_);
  renamed->name = "things";
  ASSERT_TRUE(side_.engine->define_table(*renamed).ok());
  EXPECT_NE(side_.mirror().released, "");
  EXPECT_THAT(side_.rows("SELECT * FROM public.things"), HasSubstr("has no rows to show"));
  begin().remove(renamed, kOne);
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(side_.recorder.net, (Net{{"1|one|1.500000000|10", -1}}));
}

// As of a partition with another replica identity than its root.
TEST_F(EngineReleaseTest, AChangeWithoutItsOldRowBringsRowsBack) {
  fill_and_release();
  begin().insert(table_, {"3", "three", "3", "30"});
  builder_->update(table_, {}, {"1", "eins", "1", "1"});
  builder_->remove(table_, kTwo);
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(side_.recorder.net, Net());
  expect_awaits("a change lacks its old row");
  read();
}

TEST_F(EngineReleaseTest, ItIsReadAgainOnDemand) {
  fill_and_release();
  side_.recorder.needed = ViewMaintainer::RowsNeeded::kUnknown;
  const model::Position at = side_.engine->position().position;
  const auto began =
      side_.engine->begin_read(*table_, Engine::Reading::kCompares,
                               {at.epoch, model::Lsn{model::value(at.lsn) + 1}, 0}, model::Lsn{});
  ASSERT_TRUE(began.ok()) << began.error().text();
  EXPECT_EQ(side_.mirror().released, "");
  EXPECT_THAT(side_.recorder.stopped, HasSubstr("it is read again"));
  EXPECT_TRUE(side_.mirror().reading);
}

TEST_F(EngineReleaseTest, BehindATruncateTheViewsSeeTheRowsOfItsBatch) {
  fill_and_release();
  begin().update(table_, kOne, {"1", "eins", "1", "1"});
  builder_->truncate(table_);
  builder_->insert(table_, kTwo);
  builder_->insert(table_, {"3", "three", "3", "30"});
  builder_->update(table_, kTwo, {"2", kUnchangedText, "2", "2"});
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(side_.recorder.replaced, "rows: 2|two|2.000000000|2 3|three|3.000000000|30");
  EXPECT_EQ(side_.stored_rows(), 0u);
  EXPECT_NE(side_.mirror().released, "");
  begin().remove(table_, {"3", "three", "3", "30"});
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(side_.recorder.net, (Net{{"3|three|3.000000000|30", -1}}));
}

// --- The same changes with and without rows
// --------------------------------------------------------

class Twins {
 public:
  explicit Twins(unsigned seed) : random_(seed) {
    with_.begin(table_);
    without_.begin(table_);
  }

  void step() {
    const int parts = below(4) == 0 ? 2 + below(3) : 1;
    for (int part = 0; part < parts; ++part) {
      BatchBuilder batch(from_);
      if (part == 0) lsn_ += 10;
      batch.begin(lsn_, kTime, part == 0);
      change_rows(batch);
      batch.end(part + 1 == parts);
      for (int more = below(3); parts == 1 && more > 0; --more) {
        batch.begin(lsn_ += 10, kTime);
        change_rows(batch);
        batch.end();
      }
      from_ = batch.batch().to;
      apply(batch.batch(), parts == 1);
      if (testing::Test::HasFailure()) return;
    }
  }
  bool is_released() const { return !without_.mirror().released.empty(); }

 private:
  int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }

  void apply(const model::Batch& batch, bool whole) {
    for (Side* side : {&with_, &without_}) {
      side->recorder.net.clear();
      side->recorder.replaced.clear();
    }
    const Status kept = with_.engine->apply(batch);
    ASSERT_TRUE(kept.ok()) << kept.error().text();
    if (whole && below(8) == 0) {
      without_.recorder.fail_next = true;
      EXPECT_FALSE(without_.engine->apply(batch).ok());
      without_.recorder.net.clear();
      without_.recorder.replaced.clear();
    }
    if (whole && below(10) == 0) without_.open();
    const Status done = without_.engine->apply(batch);
    ASSERT_TRUE(done.ok()) << done.error().text();
    ASSERT_EQ(without_.recorder.net, with_.recorder.net);
    ASSERT_EQ(without_.recorder.replaced, with_.recorder.replaced);
    ASSERT_EQ(without_.engine->position().position, with_.engine->position().position);
    ASSERT_EQ(without_.stored_rows(), is_released() ? 0u : with_.stored_rows());
  }

  TextRow random_row(int id) {
    static const char* const kPrices[] = {"1", "1.0", "1.00", "2", "0"};
    TextRow row = {std::to_string(id), "text " + std::to_string(below(3)), kPrices[below(5)],
                   std::to_string(below(4))};
    for (std::size_t i = 1; i < row.size(); ++i)
      if (below(5) == 0) row[i] = std::nullopt;
    return row;
  }

  void change_rows(BatchBuilder& batch) {
    for (int changes = 1 + below(12); changes > 0; --changes) {
      const int id = below(8), what = below(100);
      const auto found = rows_.find(id);
      if (what == 0) {
        batch.truncate(table_);
        rows_.clear();
      } else if (found == rows_.end()) {
        batch.insert(table_, rows_[id] = random_row(id));
      } else if (what < 35) {
        batch.remove(table_, found->second);
        rows_.erase(found);
      } else {
        const int other = below(3) == 0 ? below(8) : id;
        const bool moves = other != id && !rows_.contains(other);
        const TextRow old = found->second;
        TextRow row = random_row(moves ? other : id), sent;
        if (below(4) == 0) row = old;
        row[0] = std::to_string(moves ? other : id);
        // A NULL is never stored out of line.
        const bool unchanged = old[1] && below(2) == 0;
        if (unchanged) row[1] = old[1];
        sent = row;
        if (unchanged) sent[1] = kUnchangedText;
        batch.update(table_, old, sent);
        rows_.erase(found);
        rows_[moves ? other : id] = row;
      }
    }
    // At least one: a part without records does not exist.
    rows_[1000 + added_] = random_row(1000 + added_);
    batch.insert(table_, rows_[1000 + added_]);
    ++added_;
  }

  std::mt19937 random_;
  const TablePtr table_ = make_full();
  Side with_{false}, without_{true};
  std::map<int, TextRow> rows_;
  model::Position from_{1, model::Lsn{16}, 1};
  std::uint64_t lsn_ = 100;
  int added_ = 0;
};

TEST(EngineReleaseRandom, ChangesEqualThoseOfAMirrorWithRows) {
  const unsigned seed = harness::test_seed();
  for (unsigned run = 0; run < 4; ++run) {
    SCOPED_TRACE(fmt::format("seed {} run {}", seed, run));
    Twins twins(seed + run);
    const int steps = harness::random_rounds(60);
    for (int step = 0; step < steps; ++step) {
      SCOPED_TRACE(fmt::format("step {}", step));
      twins.step();
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_TRUE(twins.is_released());
  }
}

}  // namespace
}  // namespace pgweir::engine
