// The engine keeps mirrors, activity and position together, through restarts and failures.
#include "engine/engine.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <thread>

#include "base/mutex.h"
#include "engine/batch_builder.h"
#include "harness/file_size_limit.h"
#include "harness/scratch.h"

namespace pgweir::engine {

using TablePtr = std::shared_ptr<const model::Table>;

// 2026-01-01 00:00:00 UTC.
constexpr model::Timestamp kTime{1767225600000000};

static TablePtr make_table(std::uint32_t oid, const std::string& schema, const std::string& name,
                           std::vector<model::Column> columns,
                           model::ReplicaIdentity identity = model::ReplicaIdentity::kDefault) {
  model::Table table{
      .id = model::Oid{oid}, .schema = schema, .name = name, .replica_identity = identity};
  for (std::uint32_t i = 0; i < columns.size(); ++i) {
    if (columns[i].in_key && identity == model::ReplicaIdentity::kDefault)
      table.primary_key.push_back(i);
  }
  table.columns = std::move(columns);
  return std::make_shared<const model::Table>(std::move(table));
}

class EngineTest : public testing::Test {
 protected:
  void SetUp() override { open(); }

  void open(EngineOptions options = {.memory_bytes = 256 * kMiB}) {
    engine_.reset();
    options.directory = scratch_.path();
    auto engine = Engine::open(
        options,
        [](const model::Table& table) {
          std::vector<std::uint32_t> all(table.columns.size());
          for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
          return std::optional(all);
        },
        logger_);
    ASSERT_TRUE(engine.ok()) << engine.error().text();
    engine_ = std::move(engine).value();
  }

  void begin(std::uint64_t lsn, model::Timestamp time = kTime) {
    builder_ = std::make_unique<BatchBuilder>(next_);
    builder_->begin(lsn, time);
  }
  // Ends the batch and applies it; "" or the error's message.
  std::string apply(bool ends = true) {
    builder_->end(ends);
    const Status status = engine_->apply(builder_->batch());
    if (status.ok()) next_ = builder_->batch().to;
    return status.ok() ? "" : status.error().text();
  }

  std::string rows(const std::string& select) {
    auto reader = engine_->reader(Milliseconds{1000});
    if (!reader.ok()) return reader.error().text();
    const auto result = (*reader)->connection().query_texts(select);
    if (!result.ok()) return result.error().message;
    std::string out;
    for (const duck::TextRow& row : result->rows) {
      if (!out.empty()) out += ";";
      for (std::size_t i = 0; i < row.size(); ++i)
        out += (i == 0 ? "" : "|") + row[i].value_or("NULL");
    }
    return out;
  }

  harness::ScratchFolder scratch_;
  Logger logger_{LogLevel::kOff};
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<BatchBuilder> builder_;
  model::Position next_;
  const TablePtr accounts_ =
      make_table(1, "public", "accounts", {int_column("id", true), text_column("name")});
};

TEST_F(EngineTest, ChangesArriveInTheMirror) {
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  builder_->insert(accounts_, {"2", "b"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT * FROM accounts ORDER BY id"), "1|a;2|b");
  begin(20);
  builder_->update(accounts_, {}, {"1", "c"});
  builder_->remove(accounts_, {"2", std::nullopt});
  builder_->insert(accounts_, {"3", std::nullopt});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT * FROM public.accounts ORDER BY id"), "1|c;3|NULL");
  EXPECT_EQ(rows("SELECT lsn, sequence FROM pgweir.positions"), "0/15|4");
  EXPECT_EQ(rows("SELECT op, changes, bytes, transactions FROM pgweir.activity ORDER BY op"),
            "d|1|10|1;i|3|30|2;u|1|10|1");
}

TEST_F(EngineTest, AnUnchangedValueComesFromTheMirror) {
  begin(10);
  builder_->insert(accounts_, {"1", "long"});
  builder_->insert(accounts_, {"2", "other"});
  EXPECT_EQ(apply(), "");
  begin(20);
  builder_->update(accounts_, {"1", std::nullopt}, {"9", kUnchangedText});
  builder_->update(accounts_, {}, {"2", kUnchangedText});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT * FROM accounts ORDER BY id"), "2|other;9|long");
}

TEST_F(EngineTest, ASnapshotReplacesEverything) {
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  next_ = {1, model::Lsn{30}, 0};
  ASSERT_TRUE(engine_->begin_snapshot(next_).ok());
  builder_ = std::make_unique<BatchBuilder>(next_);
  builder_->begin(30, kTime, true, model::Transaction::Kind::kSnapshot);
  builder_->insert(accounts_, {"5", "e"}, model::Op::kRead);
  EXPECT_EQ(apply(false), "");
  open();
  EXPECT_EQ(engine_->position().position, next_);
  EXPECT_FALSE(engine_->position().snapshot_complete);
  builder_ = std::make_unique<BatchBuilder>(next_);
  builder_->begin(30, kTime, false, model::Transaction::Kind::kSnapshot);
  builder_->insert(accounts_, {"6", "f"}, model::Op::kRead);
  EXPECT_EQ(apply(), "");
  const Status ended = engine_->end_snapshot(next_, model::Lsn{31});
  ASSERT_TRUE(ended.ok()) << ended.error().text();
  EXPECT_EQ(rows("SELECT * FROM accounts ORDER BY id"), "5|e;6|f");
  EXPECT_TRUE(engine_->position().snapshot_complete);
  begin(40);
  builder_->update(accounts_, {}, {"5", "g"});
  EXPECT_EQ(apply(), "");
  open();
  EXPECT_EQ(rows("SELECT * FROM accounts ORDER BY id"), "5|g;6|f");
}

// With one open, DuckDB refuses a checkpoint after changes of its catalog.
TEST_F(EngineTest, AReaderDoesNotStopASnapshotsEnd) {
  next_ = {1, model::Lsn{30}, 0};
  ASSERT_TRUE(engine_->begin_snapshot(next_).ok());
  builder_ = std::make_unique<BatchBuilder>(next_);
  builder_->begin(30, kTime, true, model::Transaction::Kind::kSnapshot);
  builder_->insert(accounts_, {"5", "e"}, model::Op::kRead);
  EXPECT_EQ(apply(), "");
  const auto reader = engine_->reader(Milliseconds{1000}).value();
  const Status ended = engine_->end_snapshot(next_, model::Lsn{31});
  ASSERT_TRUE(ended.ok()) << ended.error().text();
  EXPECT_EQ(rows("SELECT * FROM accounts"), "5|e");
}

// A table with a column that not every value fits into.
static TablePtr make_prices(std::uint32_t oid = 2, const std::string& name = "prices") {
  model::Column amount = typed_column("amount", 1700);
  amount.type_name = "numeric";
  return make_table(oid, "shop", name, {int_column("id", true), amount});
}
static const std::string kMisfit =
    "a value of shop.prices.amount (numeric) does not fit into DECIMAL(38,9) "
    "(key (id)=(42); commit 0/10; value '0.0000000001'). "
    "Choose a source.numeric that holds it and remove the folder engine in the data folder, "
    "which is then built anew from the log";

TEST_F(EngineTest, AValueThatDoesNotFitStopsItsTableAlone) {
  const auto prices = make_prices();
  begin(15);
  builder_->insert(prices, {"41", "0.5"});
  EXPECT_EQ(apply(), "");
  begin(16);
  builder_->insert(accounts_, {"1", "a"});
  builder_->insert(prices, {"42", "0.0000000001"});
  builder_->insert(prices, {"43", "0.5"});
  EXPECT_EQ(apply(), "");
  begin(17);
  builder_->insert(prices, {"44", "0.5"});
  builder_->update(accounts_, {}, {"1", "b"});
  EXPECT_EQ(apply(), "");
  for (int opened = 0; opened < 2; ++opened) {
    EXPECT_EQ(engine_->position().position, next_);
    EXPECT_EQ(rows("SELECT * FROM accounts"), "1|b");
    const std::string told = "Invalid Input Error: table shop.prices is stopped: " + kMisfit;
    for (const char* read : {"SELECT * FROM shop.prices", "SELECT count(*) FROM shop.prices",
                             "SELECT count(*) FROM accounts LEFT JOIN shop.prices USING (id)"})
      EXPECT_EQ(rows(read), told);
    EXPECT_EQ(rows("SELECT changes FROM pgweir.activity WHERE \"table\" = 'prices'"), "4");
    EXPECT_EQ(engine_->mirrors()[1].stopped, kMisfit);
    open();
  }
}

TEST_F(EngineTest, AMisfitInALaterPartStopsItsTableInFrontOfTheTransaction) {
  const auto prices = make_prices(), others = make_prices(3, "others");
  begin(10);
  builder_->insert(prices, {"1", "1"});
  EXPECT_EQ(apply(), "");
  const model::Position before = next_;
  // Each misfit takes the transaction back to its beginning.
  std::string told;
  for (int attempt = 0; attempt < 3; ++attempt) {
    next_ = before;
    begin(16);
    builder_->insert(accounts_, {"1", "a"});
    builder_->insert(prices, {"2", "2"});
    EXPECT_EQ(apply(false), "");
    builder_ = std::make_unique<BatchBuilder>(next_);
    builder_->begin(16, kTime, false);
    builder_->insert(accounts_, {"2", "b"});
    builder_->insert(prices, {"42", "0.0000000001"});
    builder_->insert(others, {"1", "NaN"});
    told += apply() + ";";
    EXPECT_EQ(engine_->position().position, attempt < 2 ? before : next_);
  }
  EXPECT_EQ(told,
            "a transaction is begun anew without a table that stopped (shop.prices);"
            "a transaction is begun anew without a table that stopped (shop.others);;");
  EXPECT_EQ(rows("SELECT * FROM accounts ORDER BY id"), "1|a;2|b");
  EXPECT_EQ(rows("SELECT * FROM shop.prices"),
            "Invalid Input Error: table shop.prices is stopped: " + kMisfit);
  EXPECT_EQ(rows("SELECT changes FROM pgweir.activity ORDER BY ALL"), "1;2;3");
  EXPECT_EQ(engine_->mirrors()[1].stopped,
            "a value of shop.others.amount (numeric) does not fit into DECIMAL(38,9) "
            "(key (id)=(1); commit 0/10; value 'NaN'). "
            "Correct it at the source, and start anew with an empty data folder");
}

TEST_F(EngineTest, AMisfitInASnapshotLosesNoRowOfOtherTables) {
  const auto prices = make_prices();
  next_ = {1, model::Lsn{16}, 0};
  ASSERT_TRUE(engine_->begin_snapshot(next_).ok());
  constexpr int kPartRows = 5000;
  for (int part = 0; part < 3; ++part) {
    builder_ = std::make_unique<BatchBuilder>(next_);
    builder_->begin(16, kTime, part == 0, model::Transaction::Kind::kSnapshot);
    for (int i = 0; i < kPartRows; ++i) {
      const std::string id = std::to_string(part * kPartRows + i);
      builder_->insert(accounts_, {id, "a"}, model::Op::kRead);
      builder_->insert(prices, {id, id}, model::Op::kRead);
    }
    if (part == 1) builder_->insert(prices, {"42", "0.0000000001"}, model::Op::kRead);
    EXPECT_EQ(apply(part == 2), "");
    if (part == 1) open();
  }
  const Status ended = engine_->end_snapshot(next_, model::Lsn{17});
  ASSERT_TRUE(ended.ok()) << ended.error().text();
  EXPECT_EQ(rows("SELECT count(*), count(DISTINCT id) FROM accounts"), "15000|15000");
  EXPECT_EQ(rows("SELECT * FROM shop.prices"),
            "Invalid Input Error: table shop.prices is stopped: " + kMisfit);
  // The next snapshot takes it in again.
  next_ = {2, model::Lsn{18}, 0};
  ASSERT_TRUE(engine_->begin_snapshot(next_).ok());
  builder_ = std::make_unique<BatchBuilder>(next_);
  builder_->begin(18, kTime, true, model::Transaction::Kind::kSnapshot);
  builder_->insert(prices, {"42", "0.5"}, model::Op::kRead);
  EXPECT_EQ(apply(), "");
  ASSERT_TRUE(engine_->end_snapshot(next_, model::Lsn{19}).ok());
  EXPECT_EQ(rows("SELECT * FROM shop.prices"), "42|0.500000000");
}

TEST_F(EngineTest, AMirrorOfAnotherConfigurationIsRefused) {
  begin(10);
  builder_->insert(make_prices(), {"1", "0.5"});
  EXPECT_EQ(apply(), "");
  engine_.reset();
  const auto opened =
      Engine::open({.directory = scratch_.path(), .numeric_scale = 12}, {}, logger_);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().message,
            "the mirror of shop.prices was made with another configuration");
  EXPECT_EQ(opened.error().hint,
            "Put source.numeric back as it was, or remove the folder engine in the data folder: "
            "it is then built anew from the log");
}

TEST_F(EngineTest, ARowThatTheMirrorLacksIsAnError) {
  begin(10);
  builder_->update(accounts_, {}, {"1", "a"});
  EXPECT_NE(apply().find("the mirror of public.accounts lacks the row of a key that was changed"),
            std::string::npos);
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  builder_->insert(accounts_, {"1", "b"});
  EXPECT_EQ(apply(),
            "a change of table public.accounts does not follow from those before it "
            "(its key is there already; operation i, commit 0/A, record 2)");
}

TEST_F(EngineTest, AnyNameWorks) {
  const std::string long_name(63, 'n');
  const struct {
    std::string schema, table, column;
  } cases[] = {{"public", "Quoted \"table\"", "a\"b"}, {"My.Schema", "dots.in.name", "x.y"},
               {"main", "in_main", "pgweir_hash"},     {"pgweir", "in ours", "pgweir_weight"},
               {long_name, long_name, long_name},      {"schéma", "täble", "ключ"},
               {"pgweir_engine", "select", "from"},    {"temp", "t", "pgweir_run"}};
  std::uint32_t oid = 100;
  for (const auto& name : cases) {
    const auto table =
        make_table(++oid, name.schema, name.table,
                   {int_column("id", true), text_column(name.column), text_column("c0")});
    begin(oid * 10);
    builder_->insert(table, {"1", "a", "z"});
    EXPECT_EQ(apply(), "") << name.table;
    begin(oid * 10 + 5);
    builder_->update(table, {}, {"1", "b", "z"});
    EXPECT_EQ(apply(), "") << name.table;
    const std::string qualified = "pgweir_engine." + duck::quote_identifier(name.schema) + "." +
                                  duck::quote_identifier(name.table);
    EXPECT_EQ(rows("SELECT * FROM " + qualified), "1|b|z") << name.table;
  }
  open();
  EXPECT_EQ(rows("SELECT pgweir_hash_2 FROM main.in_main"), "b");
  EXPECT_EQ(engine_->mirrors().size(), std::size(cases));
}

TEST_F(EngineTest, NamesThatDifferOnlyInCase) {
  const auto table =
      make_table(1, "public", "t", {int_column("id", true), text_column("A"), text_column("a")});
  begin(10);
  builder_->insert(table, {"1", "upper", "lower"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT a, a_2 FROM t"), "upper|lower");
  const auto other = make_table(2, "public", "T", {int_column("id", true)});
  begin(20);
  builder_->insert(other, {"1"});
  builder_->insert(table, {"2", "b", "c"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT id FROM t ORDER BY id"), "1;2");
  EXPECT_EQ(engine_->mirrors().size(), 1u);
}

TEST_F(EngineTest, ANewTableTakesTheNameOfADroppedOne) {
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  const auto again = make_table(9, "public", "accounts", {int_column("key", true)});
  begin(20);
  builder_->insert(again, {"7"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT key FROM accounts"), "7");
  open();
  EXPECT_EQ(rows("SELECT key FROM accounts"), "7");
  EXPECT_EQ(engine_->mirrors().size(), 1u);
}

TEST_F(EngineTest, NewColumnsAndLongerTextsGoOn) {
  model::Column code = typed_column("code", 1043, 14);
  const auto before = make_table(5, "public", "items", {int_column("id", true), code});
  begin(10);
  builder_->insert(before, {"1", "a"});
  EXPECT_EQ(apply(), "");
  code.type_modifier = 24;
  const auto after =
      make_table(5, "public", "items", {int_column("more"), int_column("id", true), code});
  ASSERT_TRUE(engine_->define_table(*after).ok());
  begin(20);
  builder_->update(after, {}, {"5", "1", "b"});
  builder_->insert(after, {"6", "2", "c"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT * FROM items ORDER BY id"), "1|b;2|c");
}

TEST_F(EngineTest, AChangedShapeStopsThatTableAlone) {
  const auto others = make_table(2, "public", "others", {int_column("id", true)});
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  builder_->insert(others, {"1"});
  EXPECT_EQ(apply(), "");
  const auto wider = make_table(1, "public", "accounts",
                                {int_column("id", true), int_column("name"), text_column("more")});
  const Status changed = engine_->define_table(*wider);
  ASSERT_FALSE(changed.ok());
  EXPECT_EQ(changed.error().code, Code::kUnsupported);
  EXPECT_EQ(changed.error().text(),
            "table public.accounts changed its shape (column name was text and is integer). "
            "Its mirror and the views over it stop here; a new snapshot takes it in again");
  ASSERT_TRUE(engine_->stop_table(model::Oid{1}, "column name was text and is integer").ok());
  begin(20);
  builder_->insert(wider, {"2", "5", "x"});
  builder_->insert(others, {"2"});
  EXPECT_EQ(apply(), "");
  for (int opened = 0; opened < 2; ++opened) {
    EXPECT_EQ(rows("SELECT count(*) FROM others"), "2");
    EXPECT_EQ(rows("SELECT count(*) FROM accounts"),
              "Invalid Input Error: table public.accounts is stopped: column name was text and is "
              "integer");
    EXPECT_EQ(rows("SELECT sum(changes) FROM pgweir.activity WHERE \"table\" = 'accounts'"), "2");
    open();
  }
}

TEST_F(EngineTest, SqlFromOutsideReachesNothingElse) {
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  const char* const statements[] = {"SELECT * FROM read_csv('/etc/passwd')",
                                    "SELECT * FROM read_text('/etc/passwd')",
                                    "SELECT * FROM glob('/*')",
                                    "SELECT * FROM '/etc/passwd'",
                                    "COPY accounts TO '/tmp/pgweir.csv'",
                                    "ATTACH '/tmp/pgweir.db'",
                                    "EXPORT DATABASE '/tmp/pgweir'",
                                    "LOAD '/tmp/x'",
                                    "INSTALL httpfs",
                                    "SET threads = 1",
                                    "SET memory_limit = '1TB'",
                                    "RESET enable_external_access",
                                    "SET GLOBAL enable_external_access = true",
                                    "PRAGMA memory_limit = '1TB'",
                                    "INSERT INTO pgweir_internal.version VALUES (9)",
                                    "DELETE FROM pgweir_internal.state",
                                    "CREATE TABLE public.x (a INTEGER)",
                                    "DROP VIEW public.accounts",
                                    "CREATE SECRET (TYPE s3)",
                                    "SELECT * FROM sniff_csv('/etc/passwd')",
                                    "SELECT * FROM duckdb_secrets()",
                                    "SELECT * FROM parquet_scan('/tmp/*')"};
  for (const char* statement : statements) {
    auto reader = engine_->reader(Milliseconds{1000}).value();
    EXPECT_FALSE(reader->connection().execute(statement).ok()) << statement;
  }
  begin(20);
  builder_->insert(accounts_, {"2", "b"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT count(*) FROM accounts"), "2");
}

TEST_F(EngineTest, AReaderSeesOneMoment) {
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  auto reader = engine_->reader(Milliseconds{1000}).value();
  begin(20);
  builder_->insert(accounts_, {"2", "b"});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(reader->position().end_lsn, model::Lsn{11});
  EXPECT_EQ(reader->connection().query_int("SELECT count(*) FROM accounts").value(), 1);
  std::vector<std::unique_ptr<Reader>> more;
  for (int i = 0; i < 3; ++i) more.push_back(engine_->reader(Milliseconds{1000}).value());
  EXPECT_EQ(engine_->reader(Milliseconds{10}).error().code, Code::kTimeout);
  reader.reset();
  EXPECT_EQ(rows("SELECT count(*) FROM accounts"), "2");
}

TEST_F(EngineTest, AnotherLogIsRefused) {
  ASSERT_TRUE(engine_->bind_log("first").ok());
  open();
  ASSERT_TRUE(engine_->bind_log("first").ok());
  const Status other = engine_->bind_log("second");
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code, Code::kCorruption);
  EXPECT_EQ(other.error().detail, "bound to log first, opened with log second; position 0:0/0:0");
}

TEST_F(EngineTest, ANewerDatabaseIsRefused) {
  ASSERT_TRUE(
      engine_->write_connection().execute("UPDATE pgweir_internal.version SET version = 99").ok());
  engine_.reset();
  const auto opened = Engine::open({.directory = scratch_.path()}, {}, logger_);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, Code::kCorruption);
  EXPECT_EQ(opened.error().detail, "format 99; this program reads 2");
}

// --- Memory and disk that run out ---------------------------------------------------------------

// Texts that cannot be compressed.
static std::string noise(std::size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string out(bytes, 'a');
  for (char& c : out) c = static_cast<char>('a' + random() % 26);
  return out;
}

TEST_F(EngineTest, ABatchThatNeedsTooMuchMemoryChangesNothing) {
  open({.memory_bytes = 32 * kMiB});
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  for (int attempt = 0; attempt < 2; ++attempt) {
    begin(20);
    for (int i = 2; i < 10; ++i)
      builder_->insert(accounts_, {std::to_string(i), noise(8 * kMiB, 1)});
    builder_->end();
    const Status failed = engine_->apply(builder_->batch());
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().code, Code::kUnavailable);
    EXPECT_EQ(failed.error().message, "the engine has run out of memory");
    EXPECT_NE(failed.error().detail.find("/16.0 MiB used)"), std::string::npos)
        << failed.error().detail;
    EXPECT_EQ(failed.error().detail.find("Possible solutions"), std::string::npos);
    EXPECT_EQ(failed.error().hint, "Raise engine.memory, which is 32.0 MiB");
    EXPECT_EQ(engine_->position().position, next_);
    const Status recovered = engine_->recover();
    ASSERT_TRUE(recovered.ok()) << recovered.error().text();
    EXPECT_EQ(rows("SELECT * FROM accounts"), "1|a");
  }
  open({.memory_bytes = 512 * kMiB});
  EXPECT_EQ(apply(), "");
  EXPECT_EQ(rows("SELECT count(*), sum(length(name)) FROM accounts"), "9|67108865");
}

// The query ends only because the engine stops it.
TEST_F(EngineTest, QueriesGiveWayWhenMemoryRunsOut) {
  open({.memory_bytes = 80 * kMiB});
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  Mutex mutex;
  std::optional<Error> ended;
  std::jthread query([&] {
    auto reader = engine_->reader(Milliseconds{1000}).value();
    const Status status = reader->connection().execute(
        "SELECT count(*) FROM range(1000000000000) AS r JOIN range(1000000) AS held "
        "ON r.range % 1000000 = held.range WHERE held.range + r.range = -1");
    MutexLock lock(mutex);
    if (!status.ok()) ended = status.error();
  });
  // Until it holds what it needs.
  long long before = -1, now = 0;
  for (int i = 0; i < 600 && (now < 38'000'000 || now != before); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    before =
        std::exchange(now, std::stoll(rows("SELECT sum(memory_usage_bytes) FROM duckdb_memory()")));
  }
  // More than is left beside it, less than there is without it.
  begin(20);
  for (int i = 2; i < 5; ++i) builder_->insert(accounts_, {std::to_string(i), noise(8 * kMiB, 1)});
  EXPECT_EQ(apply(), "");
  std::optional<Error> gave_way;
  {
    MutexLock lock(mutex);
    gave_way = ended;  // the engine has waited for it
  }
  engine_->interrupt_readers();
  query.join();
  ASSERT_TRUE(gave_way);
  EXPECT_EQ(gave_way->code, Code::kCancelled) << gave_way->text();
  EXPECT_EQ(rows("SELECT count(*), sum(length(name)) FROM accounts"), "4|25165825");
}

TEST_F(EngineTest, CheckpointsGoOnBesideAReader) {
  open({.memory_bytes = 128 * kMiB, .checkpoint_bytes = 256 * kKiB});
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  const auto reader = engine_->reader(Milliseconds{1000}).value();
  for (std::uint64_t lsn = 20; lsn < 400; lsn += 20) {
    begin(lsn);
    builder_->remove(accounts_, {"1", std::nullopt});
    builder_->insert(accounts_, {"1", noise(100'000, 1)});
    EXPECT_EQ(apply(), "");
  }
  EXPECT_LT(std::filesystem::file_size(scratch_.file("engine.duckdb.wal")), 600 * kKiB);
  EXPECT_EQ(reader->connection().query_texts("SELECT name FROM accounts")->rows[0][0], "a");
  EXPECT_EQ(rows("SELECT id, length(name) FROM accounts"), "1|100000");
}

// A checkpoint that cannot be written makes DuckDB give the database up: the rest of the process
// must not be needed to go on. A reader that stays away keeps nothing from it.
TEST_F(EngineTest, ADatabaseThatDuckDbGaveUpIsOpenedAnew) {
  open({.memory_bytes = 128 * kMiB,
        .checkpoint_bytes = 512 * kKiB,
        .readers_patience = Milliseconds{50}});
  int next_id = 0;
  const auto insert = [&](std::uint64_t lsn) {
    begin(lsn);
    for (int i = 0; i < 300; ++i, ++next_id)
      builder_->insert(accounts_, {std::to_string(next_id), noise(1000, lsn)});
    builder_->end();
    const Status status = engine_->apply(builder_->batch());
    if (status.ok()) next_ = builder_->batch().to;
    if (!status.ok()) next_id -= 300;
    return status;
  };
  std::uint64_t lsn = 10;
  ASSERT_TRUE(insert(lsn).ok());
  for (int round = 0; round < 2; ++round) {
    Status status;
    std::unique_ptr<Reader> away = engine_->reader(Milliseconds{1000}).value();
    {
      // The write-ahead log fits, the database file does not.
      const harness::FileSizeLimit full(2 * kMiB +
                                        std::filesystem::file_size(scratch_.file("engine.duckdb")));
      for (int i = 0; status.ok() && i < 200; ++i) status = insert(lsn += 10);
    }
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, Code::kBroken) << status.error().text();
    EXPECT_NE(status.error().detail.find("has been invalidated"), std::string::npos);
    EXPECT_FALSE(away->connection().query_int("SELECT count(*) FROM accounts").ok());
    EXPECT_FALSE(engine_->needs_recovery());
    EXPECT_EQ(engine_->reader(Milliseconds{10}).error().code, Code::kUnavailable);
    EXPECT_TRUE(engine_->needs_recovery());
    EXPECT_EQ(engine_->position().position, next_);
    const Status recovered = engine_->recover();
    ASSERT_TRUE(recovered.ok()) << recovered.error().text();
    EXPECT_FALSE(engine_->needs_recovery());
    EXPECT_EQ(engine_->position().position, next_);
    const auto content = [&] { return rows("SELECT count(*), count(DISTINCT id) FROM accounts"); };
    EXPECT_EQ(content(), fmt::format("{0}|{0}", next_id));
    ASSERT_TRUE(insert(lsn += 10).ok());
    away.reset();
    EXPECT_EQ(content(), fmt::format("{0}|{0}", next_id));
    EXPECT_EQ(rows("SELECT sum(changes) FROM pgweir.activity"), std::to_string(next_id));
  }
  open();
  EXPECT_EQ(rows("SELECT count(*), count(DISTINCT id) FROM accounts"),
            fmt::format("{0}|{0}", next_id));
}

// A query that needs all memory ends, one way or the other; batches go on meanwhile.
TEST_F(EngineTest, AHeavyQueryDoesNotStopBatches) {
  begin(10);
  builder_->insert(accounts_, {"1", "a"});
  EXPECT_EQ(apply(), "");
  std::jthread heavy([&] {
    auto reader = engine_->reader(Milliseconds{1000}).value();
    const Status ended = reader->connection().execute(
        "SELECT count(*) FROM (SELECT hash(a.range, b.range) h, list(a.range) l "
        "FROM range(30000) a, range(3000) b GROUP BY h)");
    (void)ended;
  });
  for (std::uint64_t i = 2; i < 40; ++i) {
    begin(i * 10);
    builder_->insert(accounts_, {std::to_string(i), "x"});
    EXPECT_EQ(apply(), "");
  }
  engine_->interrupt_readers();
  heavy.join();
  EXPECT_EQ(rows("SELECT count(*) FROM accounts"), "39");
}

}  // namespace pgweir::engine
