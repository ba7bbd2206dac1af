// The engine keeps mirrors, activity and position together, through restarts and failures.
#include "engine/engine.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "engine/testing_engine.h"

namespace pgweir::engine {

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

TEST_F(EngineTest, WhatIsKnownOfATableIsKeptOverARestart) {
  model::Table table =
      *make_table(7, "public", "moods", {int_column("id", true), text_column("m")});
  model::Column& mood = table.columns.back();
  mood.missing = "sad";
  mood.facts = {.name = "public.mood[]",
                .modifier = 4,
                .element = model::Oid{25},
                .element_name = "public.mood",
                .labels = {"sad", "o\"k"}};
  mood.default_value = "'{sad}'::public.mood[]";
  table.row_filter = "(id > 1)";
  table.published_by = {7};
  begin(10);
  builder_->insert(std::make_shared<const model::Table>(table), {"1", "{sad}"});
  ASSERT_EQ(apply(), "");
  open();
  ASSERT_EQ(engine_->mirrors().size(), 1u);
  EXPECT_EQ(engine_->mirrors()[0].table, table);
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

TEST_F(EngineTest, ADatabaseOfAnotherFormatIsRefused) {
  for (const char* format : {"2", "99"}) {
    ASSERT_TRUE(engine_->write_connection()
                    .execute(fmt::format("UPDATE pgweir_internal.version SET version = {}", format))
                    .ok());
    engine_.reset();
    const auto refused = Engine::open({.directory = scratch_.path()}, {}, logger_);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kCorruption);
    EXPECT_EQ(refused.error().detail, fmt::format("format {}; this program reads 3", format));
    std::filesystem::remove_all(scratch_.path());
    open();
  }
}

}  // namespace pgweir::engine
