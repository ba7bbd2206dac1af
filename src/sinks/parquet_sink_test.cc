// The files of a Parquet sink hold every change event exactly once, whatever the moment of a crash.
//
// Method: a log of random transactions is fed in batches that are cut anywhere; every change of the
// file system is a step that can fail; what DuckDB reads from the folder is compared with the log.
#include "sinks/parquet_sink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "duck/duck.h"
#include "harness/scratch.h"
#include "sinks/crash_fs_internal.h"
#include "sinks/event_log_internal.h"
#include "sinks/parquet_folder_internal.h"

namespace pgweir::sinks {
namespace {

constexpr std::int64_t kNoonUs = 1'772'366'400'000'000;  // 2026-03-01 12:00 UTC
constexpr std::int64_t kHourUs = 3'600'000'000;

model::Column column(const std::string& name, std::uint32_t type, const std::string& type_name,
                     bool in_key = false) {
  return {name, model::Oid{type}, -1, type_name, model::Oid{type}, in_key, false};
}

std::shared_ptr<const model::Table> accounts() {
  static const auto table = std::make_shared<const model::Table>(model::Table{
      model::Oid{16'001},
      "public",
      "accounts",
      model::ReplicaIdentity::kDefault,
      {column("id", 20, "bigint", true), column("owner", 25, "text"), column("note", 25, "text")},
      {0}});
  return table;
}

std::shared_ptr<const model::Table> transfers() {
  static const auto table = std::make_shared<const model::Table>(
      model::Table{model::Oid{16'002},
                   "public",
                   "transfers",
                   model::ReplicaIdentity::kDefault,
                   {column("id", 20, "bigint", true), column("amount", 23, "integer")},
                   {0}});
  return table;
}

EventLog random_log(unsigned seed, std::size_t transactions) {
  std::mt19937 random(seed);
  EventLog log;
  for (std::size_t i = 0; i < transactions; ++i) {
    // About a day's worth of transactions, across midnight.
    log.begin(model::Timestamp{kNoonUs + static_cast<std::int64_t>(i) * 24 * kHourUs /
                                             static_cast<std::int64_t>(transactions)});
    for (std::size_t change = 1 + random() % 6; change > 0; --change) {
      const std::string id = std::to_string(random() % 1000);
      switch (random() % 5) {
        case 0:
          log.add({model::Op::kInsert, transfers(), {}, {id, std::to_string(random() % 99)}});
          break;
        case 1:
          log.add({model::Op::kInsert, accounts(), {}, {id, "o\"1", kNullText}});
          break;
        case 2:
          log.add({model::Op::kUpdate, accounts(), {}, {id, "two", kUnchangedText}});
          break;
        case 3:
          log.add(
              {model::Op::kUpdate, accounts(), {"7", kAbsentText, kAbsentText}, {id, "three", ""}});
          break;
        default:
          log.add({model::Op::kDelete, accounts(), {id, kAbsentText, kAbsentText}, {}});
      }
    }
    if (random() % 20 == 0) log.add({model::Op::kTruncate, transfers(), {}, {}});
  }
  return log;
}

// Every event as a line, sorted: op, position, xid, time, the row, what is unchanged, the old
// image.
std::vector<std::string> expected(const EventLog& log, const model::Table& table) {
  std::vector<std::string> lines;
  for (const auto& transaction : log.transactions()) {
    for (std::size_t i = 0; i < transaction.count; ++i) {
      const auto& record = log.record(transaction.first + i);
      if (!(*record.table == table)) continue;
      std::string line = std::string(1, static_cast<char>(record.op)) + "|" +
                         model::to_string(transaction.commit_lsn) + "|" + std::to_string(i + 1) +
                         "|" + std::to_string(static_cast<std::uint32_t>(transaction.xid)) + "|" +
                         std::to_string(model::value(transaction.time));
      const TextCells& row = record.op == model::Op::kDelete ? record.before : record.after;
      for (std::size_t c = 0; c < table.columns.size(); ++c) {
        const bool value = c < row.size() && row[c] != kNullText && row[c] != kUnchangedText &&
                           row[c] != kAbsentText;
        line += "|" + (value ? row[c] : "NULL");
      }
      const bool unchanged = std::find(row.begin(), row.end(), kUnchangedText) != row.end();
      line += unchanged ? "|[note]" : "|NULL";
      const bool old = record.op == model::Op::kUpdate && !record.before.empty();
      line += old ? "|{\"id\":\"" + record.before[0] + "\"}" : "|NULL";
      lines.push_back(line);
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

class ParquetSinkTest : public testing::Test {
 protected:
  harness::ScratchFolder scratch_;
  const std::string folder_ = scratch_.file("lake");
  io::RealFs fs_;
  io::FakeClock clock_;
  std::unique_ptr<duck::Database> database_ = duck::Database::open("", {{"threads", "1"}}).value();
  std::unique_ptr<duck::Connection> reader_ = database_->connect().value();

  ParquetOptions options() {
    ParquetOptions out;
    out.name = "lake";
    out.directory = folder_;
    out.roll_every = Milliseconds{1000};
    return out;
  }

  std::unique_ptr<Sink> open() { return bound(ParquetSink::open(fs_, clock_, options())); }
  static std::unique_ptr<Sink> bound(Result<std::unique_ptr<Sink>> sink) {
    EXPECT_TRUE(sink.ok()) << sink.error().text();
    const Status status = (*sink)->bind_log("log-1");
    EXPECT_TRUE(status.ok()) << status.error().text();
    return std::move(sink).value();
  }

  // Feeds the log from the sink's position to its end, in random batches, time passing.
  Status feed(Sink& sink, const EventLog& log, std::mt19937& random) {
    model::Position position = sink.position();
    while (const auto batch = log.read(position, 1 + random() % 40)) {
      TRY(until_there_is_space([&] { return sink.apply(batch); }));
      clock_.advance(Milliseconds{random() % 400});
      if (random() % 3 == 0) TRY(until_there_is_space([&] { return sink.tick(); }));
      position = batch->to;
    }
    return until_there_is_space([&]() -> Status {
      TRY(sink.flush());
      return {};
    });
  }

  static Status until_there_is_space(const std::function<Status()>& call) {
    Status status = call();
    for (int i = 0; i < 10 && !status.ok() && status.error().code == Code::kNoSpace; ++i)
      status = call();
    return status;
  }

  // What the files say, in the form of expected().
  std::vector<std::string> actual(const model::Table& table) {
    std::string columns;
    for (const auto& c : table.columns) columns += duck::quote_identifier(c.name) + ", ";
    return rows(
        "op, commit_lsn, sequence, xid, epoch_us(commit_time), " + columns + "unchanged, before",
        table);
  }

  std::vector<std::string> rows(const std::string& columns, const model::Table& table) {
    const std::string folder = folder_ + "/" + table_folder(table);
    if (!fs_.exists(folder)) return {};
    auto texts = reader_->query_texts("SELECT " + columns + " FROM read_parquet('" + folder +
                                      "/**/*.parquet', union_by_name = true, "
                                      "hive_partitioning = true)");
    std::vector<std::string> lines;
    if (!texts.ok()) return {texts.error().text()};
    for (const auto& row : texts->rows) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) line += (i ? "|" : "") + row[i].value_or("NULL");
      lines.push_back(line);
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }

  void expect_exactly(const EventLog& log) {
    EXPECT_EQ(actual(*accounts()), expected(log, *accounts()));
    EXPECT_EQ(actual(*transfers()), expected(log, *transfers()));
  }

  void start_over() {
    std::filesystem::remove_all(folder_);
    clock_ = io::FakeClock();
  }
};

TEST_F(ParquetSinkTest, FilesHoldEveryEventOnce) {
  const unsigned seed = harness::test_seed();
  const EventLog log = random_log(seed, 300);
  std::mt19937 random(seed);
  const auto sink = open();
  ASSERT_TRUE(feed(*sink, log, random).ok());
  EXPECT_EQ(sink->position(), log.end());
  EXPECT_GT(sink->stats().files_written, 10u);
  EXPECT_EQ(sink->stats().rows_written, log.record_count());
  EXPECT_EQ(sink->stats().rows_buffered, 0u);
  expect_exactly(log);
}

TEST_F(ParquetSinkTest, DeathAtAnyStepLosesAndRepeatsNothing) {
  const unsigned seed = harness::test_seed();
  const EventLog log = random_log(seed, 14);
  for (const bool power_is_lost : {false, true}) {
    bool died = true;
    for (int step = 1; died; ++step) {
      SCOPED_TRACE(testing::Message() << "step " << step << ", power lost " << power_is_lost);
      start_over();
      std::mt19937 random(seed);
      {
        CrashFs crashing(folder_);
        crashing.fail_at(step, CrashFs::Failure::kDeath);
        auto sink = ParquetSink::open(crashing, clock_, options());
        died = !(sink.ok() && (*sink)->bind_log("log-1").ok() && feed(**sink, log, random).ok());
        sink = error(Code::kCancelled, "closed");
        if (power_is_lost && fs_.exists(folder_)) crashing.lose_power();
      }
      const auto sink = open();
      ASSERT_TRUE(feed(*sink, log, random).ok());
      expect_exactly(log);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST_F(ParquetSinkTest, FullDiskAtAnyStepLosesAndRepeatsNothing) {
  const unsigned seed = harness::test_seed();
  const EventLog log = random_log(seed, 14);
  int steps = 1'000;
  for (int step = 1; step <= steps; ++step) {
    SCOPED_TRACE(testing::Message() << "step " << step);
    start_over();
    std::mt19937 random(seed);
    CrashFs full(folder_);
    auto sink = bound(ParquetSink::open(full, clock_, options()));
    full.fail_at(step, CrashFs::Failure::kNoSpace);
    const Status fed = feed(*sink, log, random);
    ASSERT_TRUE(fed.ok()) << fed.error().text();
    steps = full.steps();
    expect_exactly(log);
    if (testing::Test::HasFailure()) return;
  }
}

// --- What the files look like
// ----------------------------------------------------------------------

struct TypeCase {
  std::uint32_t type;
  const char* type_name;
  std::int32_t modifier;
  const char* text;      // as PostgreSQL sends it
  const char* column;    // DuckDB's type of the file's column
  const char* expected;  // as DuckDB prints it
};

TEST_F(ParquetSinkTest, ValuesComeBackInTypesThatEveryReaderOpens) {
  const std::vector<TypeCase> cases = {
      {16, "boolean", -1, "t", "BOOLEAN", "true"},
      {21, "smallint", -1, "-32768", "SMALLINT", "-32768"},
      {23, "integer", -1, "7", "INTEGER", "7"},
      {20, "bigint", -1, "9223372036854775807", "BIGINT", "9223372036854775807"},
      {700, "real", -1, "1.5", "FLOAT", "1.5"},
      {701, "double precision", -1, "-0.1", "DOUBLE", "-0.1"},
      {1700, "numeric(18,2)", (18 << 16 | 2) + 4, "-12.50", "DECIMAL(18,2)", "-12.50"},
      {1700, "numeric", -1, "12345678901234567890.123456789", "DECIMAL(38,9)",
       "12345678901234567890.123456789"},
      {25, "text", -1, "h\xc3\xa9llo", "VARCHAR", "h\xc3\xa9llo"},
      {17, "bytea", -1, "\\x00ff", "BLOB", "\\x00\\xFF"},
      {1082, "date", -1, "2026-03-01", "DATE", "2026-03-01"},
      {1114, "timestamp without time zone", -1, "2026-03-01 12:00:00.5", "TIMESTAMP",
       "2026-03-01 12:00:00.5"},
      {1083, "time without time zone", -1, "23:59:59.5", "VARCHAR", "23:59:59.5"},
      {1186, "interval", -1, "1 mon -2 days 00:00:03", "VARCHAR", "1 mon -2 days 00:00:03"},
      {2950, "uuid", -1, "00000000-0000-4000-8000-00000000000f", "VARCHAR",
       "00000000-0000-4000-8000-00000000000f"},
      {3802, "jsonb", -1, "{\"a\": 1}", "VARCHAR", "{\"a\": 1}"},
  };
  model::Table table = *accounts();
  table.columns.resize(1);
  TextCells cells{"1"};
  std::string columns, types, expected_types, expected_row;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const std::string name = "c" + std::to_string(i);
    table.columns.push_back(column(name, cases[i].type, cases[i].type_name));
    table.columns.back().type_modifier = cases[i].modifier;
    cells.push_back(cases[i].text);
    const std::string separator = i == 0 ? "" : ", ";
    columns += separator + name;
    types += separator + "typeof(" + name + ")";
    expected_types += std::string(i == 0 ? "" : "|") + cases[i].column;
    expected_row += std::string(i == 0 ? "" : "|") + cases[i].expected;
  }
  EventLog log;
  log.begin(model::Timestamp{kNoonUs});
  const auto shared = std::make_shared<const model::Table>(table);
  log.add({model::Op::kInsert, shared, {}, cells});
  std::mt19937 random(1);
  ASSERT_TRUE(feed(*open(), log, random).ok());
  EXPECT_EQ(rows(types, table), std::vector<std::string>{expected_types});
  EXPECT_EQ(rows(columns, table), std::vector<std::string>{expected_row});
  EXPECT_EQ(
      rows("typeof(op), typeof(commit_time), typeof(commit_lsn), typeof(lsn), typeof(sequence), "
           "typeof(xid), typeof(epoch), typeof(unchanged), typeof(before)",
           table),
      std::vector<std::string>{"VARCHAR|TIMESTAMP WITH TIME ZONE|VARCHAR|BIGINT|BIGINT|BIGINT|"
                               "INTEGER|VARCHAR[]|VARCHAR"});
}

TEST_F(ParquetSinkTest, ValueThatDoesNotFitNamesTableColumnKeyAndLsn) {
  model::Table table = *accounts();
  table.columns[1] = column("balance", 1700, "numeric");
  EventLog log;
  log.begin(model::Timestamp{kNoonUs});
  log.add(
      {model::Op::kInsert, std::make_shared<const model::Table>(table), {}, {"42", "NaN", "x"}});
  std::mt19937 random(1);
  const Status status = feed(*open(), log, random);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kInvalid);
  EXPECT_EQ(status.error().text(),
            "'NaN' of public.accounts.balance does not fit into DECIMAL(38,9) (type numeric, key "
            "(id=42), LSN 16/100). Leave the table out of the sink, or set source.numeric to hold "
            "such values");
  EXPECT_EQ(open()->position(), model::Position());
}

TEST_F(ParquetSinkTest, ColumnsNamedLikeOursGetAnUnderscore) {
  model::Table table{
      model::Oid{3},
      "Odd name",
      "a.b/c",
      model::ReplicaIdentity::kDefault,
      {column("op", 25, "text", true), column("OP", 25, "text"), column("date", 25, "text"),
       column("x\"y", 25, "text"), column("żuk", 25, "text"), column("ŻUK", 25, "text")},
      {0}};
  EventLog log;
  log.begin(model::Timestamp{kNoonUs});
  log.add({model::Op::kInsert,
           std::make_shared<const model::Table>(table),
           {},
           {"1", "2", "3", "4", "5", "6"}});
  std::mt19937 random(1);
  ASSERT_TRUE(feed(*open(), log, random).ok());
  EXPECT_EQ(
      rows("op, \"op_\", \"OP__\", date_, date, \"x\"\"y\", \"żuk\", \"ŻUK_\", \"table\"", table),
      std::vector<std::string>{"i|1|2|3|2026-03-01|4|5|6|Odd name.a.b/c"});
}

TEST_F(ParquetSinkTest, ChangedColumnsStartANewFile) {
  model::Table wider = *accounts();
  wider.columns.push_back(column("age", 23, "integer"));
  EventLog log;
  log.begin(model::Timestamp{kNoonUs});
  log.add({model::Op::kInsert, accounts(), {}, {"1", "a", "b"}});
  log.begin(model::Timestamp{kNoonUs});
  log.add(
      {model::Op::kInsert, std::make_shared<const model::Table>(wider), {}, {"2", "c", "d", "9"}});
  // The same columns in another object are no change.
  log.begin(model::Timestamp{kNoonUs});
  log.add(
      {model::Op::kInsert, std::make_shared<const model::Table>(wider), {}, {"3", "e", "f", "8"}});
  const auto sink = open();
  std::mt19937 random(1);
  ASSERT_TRUE(feed(*sink, log, random).ok());
  EXPECT_EQ(sink->stats().files_written, 2u);
  EXPECT_EQ(rows("id, owner, age", wider),
            (std::vector<std::string>{"1|a|NULL", "2|c|9", "3|e|8"}));
}

TEST_F(ParquetSinkTest, OnlyWantedTablesAreWritten) {
  const EventLog log = random_log(5, 50);
  ParquetOptions only = options();
  only.wanted = [](const model::Table& table) { return table.name == "transfers"; };
  only.partition_by_date = false;
  std::mt19937 random(5);
  auto sink = bound(ParquetSink::open(fs_, clock_, only));
  ASSERT_TRUE(feed(*sink, log, random).ok());
  EXPECT_EQ(sink->position(), log.end());
  EXPECT_FALSE(fs_.exists(folder_ + "/table=public.accounts"));
  EXPECT_FALSE(fs_.exists(folder_ + "/table=public.transfers/date=2026-03-01"));
  EXPECT_EQ(actual(*transfers()), expected(log, *transfers()));
}

// --- When files are closed
// -------------------------------------------------------------------------

TEST_F(ParquetSinkTest, FilesCloseWhenTheirTimeHasCome) {
  const EventLog log = random_log(7, 10);
  const auto sink = open();
  EXPECT_EQ(sink->due_in(), std::nullopt);
  ASSERT_TRUE(sink->apply(log.read({}, 1'000)).ok());
  EXPECT_EQ(sink->due_in(), Microseconds{1'000'000});
  EXPECT_EQ(sink->stats().rows_buffered, log.record_count());
  clock_.advance(Milliseconds{999});
  ASSERT_TRUE(sink->tick().ok());
  EXPECT_EQ(sink->position(), model::Position());
  clock_.advance(Milliseconds{1});
  ASSERT_TRUE(sink->tick().ok());
  EXPECT_EQ(sink->position(), log.end());
  EXPECT_EQ(sink->due_in(), std::nullopt);
}

TEST_F(ParquetSinkTest, PositionAdvancesThroughATimeWithoutRows) {
  ParquetOptions none = options();
  none.wanted = [](const model::Table&) { return false; };
  const EventLog log = random_log(7, 10);
  auto sink = bound(ParquetSink::open(fs_, clock_, none));
  ASSERT_TRUE(sink->apply(log.read({}, 1'000)).ok());
  clock_.advance(Milliseconds{1000});
  ASSERT_TRUE(sink->tick().ok());
  EXPECT_EQ(sink->position(), log.end());
  sink.reset();
  EXPECT_EQ(open()->position(), log.end());
}

TEST_F(ParquetSinkTest, PositionFollowsMarksBehindTheLastBatch) {
  const EventLog log = random_log(7, 10);
  const auto sink = open();
  ASSERT_TRUE(sink->apply(log.read({}, 1'000)).ok());
  ASSERT_TRUE(sink->flush().ok());
  const model::Position mark{1, model::Lsn{model::value(log.end().lsn) + 0x80}, 0};
  ASSERT_TRUE(sink->advance(mark).ok());
  EXPECT_EQ(sink->position(), log.end());
  EXPECT_EQ(sink->due_in(), Microseconds{1'000'000});
  clock_.advance(Milliseconds{1000});
  ASSERT_TRUE(sink->tick().ok());
  EXPECT_EQ(sink->position(), mark);
  ASSERT_TRUE(sink->advance(log.end()).ok());  // older: nothing
  EXPECT_EQ(sink->due_in(), std::nullopt);
  expect_exactly(log);
}

TEST_F(ParquetSinkTest, LargeTransactionSplitsBySizeInBoundedMemory) {
  EventLog log;
  log.begin(model::Timestamp{kNoonUs});
  for (int i = 0; i < 60'000; ++i) {
    const std::string id = std::to_string(i);
    log.add({model::Op::kInsert, accounts(), {}, {id, id + std::string(400, 'x'), kNullText}});
  }
  ParquetOptions small = options();
  small.roll_bytes = 3 * kMiB;
  small.memory_bytes = 32 * kMiB;
  auto sink = bound(ParquetSink::open(fs_, clock_, small));
  model::Position position;
  while (const auto batch = log.read(position, 5'000)) {
    const Status status = sink->apply(batch);
    ASSERT_TRUE(status.ok()) << status.error().text();
    position = batch->to;
  }
  EXPECT_GT(sink->position().sequence, 0u);
  ASSERT_TRUE(sink->flush().ok());
  EXPECT_GT(sink->stats().files_written, 1u);
  EXPECT_EQ(actual(*accounts()), expected(log, *accounts()));
}

TEST_F(ParquetSinkTest, VeryLongValuesNeedLittleMemory) {
  EventLog log;
  log.begin(model::Timestamp{kNoonUs});
  for (int i = 0; i < 150; ++i) {
    log.add({model::Op::kInsert,
             accounts(),
             {},
             {std::to_string(i), std::string(kMiB, static_cast<char>('a' + i % 26)), kNullText}});
  }
  ParquetOptions small = options();
  auto sink = bound(ParquetSink::open(fs_, clock_, small));
  model::Position position;
  while (const auto batch = log.read(position, 10)) {
    const Status status = sink->apply(batch);
    ASSERT_TRUE(status.ok()) << status.error().text();
    position = batch->to;
  }
  const auto flushed = sink->flush();
  ASSERT_TRUE(flushed.ok()) << flushed.error().text();
  EXPECT_EQ(rows("count(*), sum(length(owner)), count(DISTINCT owner)", *accounts()),
            std::vector<std::string>{"150|157286400|26"});
}

// --- Folders that are not what they should be
// ------------------------------------------------------

TEST_F(ParquetSinkTest, BatchesCutDifferentlyAfterARestartAreTakenOnce) {
  const unsigned seed = harness::test_seed();
  const EventLog log = random_log(seed, 60);
  std::mt19937 random(seed);
  for (int stop = 0; stop < 20; ++stop) {
    const auto sink = open();
    const auto batch = log.read(sink->position(), 1 + random() % 60);
    if (!batch) break;
    ASSERT_TRUE(sink->apply(batch).ok());
    if (random() % 2 == 0) {
      ASSERT_TRUE(sink->flush().ok());
    }
  }
  // A batch that begins before the position is taken from the position on.
  const auto sink = open();
  ASSERT_TRUE(sink->apply(log.read({}, 100'000)).ok());
  ASSERT_TRUE(sink->flush().ok());
  expect_exactly(log);
}

TEST_F(ParquetSinkTest, MissingChangesAreNoticed) {
  const EventLog log = random_log(3, 20);
  const auto sink = open();
  const auto first = log.read({}, 5);
  ASSERT_TRUE(sink->apply(first).ok());
  const auto second = log.read(first->to, 5);
  EXPECT_EQ(sink->apply(log.read(second->to, 5)).error().code, Code::kInternal);
}

struct FolderCase {
  const char* name;
  std::function<void(const std::string& folder)> spoil;
  Code code;
  const char* message;
};

void write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}

TEST_F(ParquetSinkTest, SpoiledFolderIsRefused) {
  const std::string position = "{\"format\":1,\"log\":\"log-1\",\"position\":\"1:16/100:3\"}";
  const std::vector<FolderCase> cases = {
      {"another log",
       [](const std::string& f) {
         write(f + "/_pgweir/position.json",
               "{\"format\":1,\"log\":\"other\",\"position\":\"1:16/100:3\"}");
       },
       Code::kCorruption, "belongs to another log"},
      {"newer version",
       [](const std::string& f) { write(f + "/_pgweir/position.json", "{\"format\":2}"); },
       Code::kCheckFailed, "was written by a newer pgweir"},
      {"damaged position",
       [](const std::string& f) { write(f + "/_pgweir/position.json", "{\"form"); },
       Code::kCorruption, "position.json' is damaged"},
      {"file behind the position",
       [&](const std::string& f) {
         write(f + "/_pgweir/position.json", position);
         write(
             f + "/table=public.a/date=2026-03-01/" +
                 file_name({{1, model::Lsn{0x1600000100}, 3}, {1, model::Lsn{0x1600000200}, 1}}, 0),
             "");
       },
       Code::kCorruption, "holds a file behind its own position"},
      {"staged file gone",
       [&](const std::string& f) {
         write(f + "/_pgweir/position.json", position);
         write(f + "/_pgweir/intent.json",
               "{\"format\":1,\"log\":\"log-1\",\"from\":\"1:16/100:3\",\"to\":\"1:16/"
               "200:1\",\"files\":"
               "[{\"staged\":\"0.staged\",\"path\":\"table=public.a/x.parquet\"}]}");
       },
       Code::kCorruption, "is gone before it was in place"},
      {"intent of another position",
       [&](const std::string& f) {
         write(f + "/_pgweir/position.json", position);
         write(f + "/_pgweir/intent.json",
               "{\"format\":1,\"from\":\"1:16/150:3\",\"to\":\"1:16/200:1\",\"files\":[]}");
       },
       Code::kCorruption, "intent.json' is damaged: it begins at 1:16/150:3"},
  };
  for (const FolderCase& c : cases) {
    SCOPED_TRACE(c.name);
    start_over();
    c.spoil(folder_);
    Status status;
    {
      auto sink = ParquetSink::open(fs_, clock_, options());
      status = sink.ok() ? (*sink)->bind_log("log-1") : Status(sink.error());
    }
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, c.code);
    EXPECT_NE(status.error().message.find(c.message), std::string::npos) << status.error().text();
  }
}

TEST_F(ParquetSinkTest, FolderInUseIsRefused) {
  const auto sink = open();
  const auto second = ParquetSink::open(fs_, clock_, options());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::kCheckFailed);
}

TEST(ParquetNames, FileNamesAreReadBack) {
  const PositionRange range{{1, model::Lsn{0x16B374D848}, 42}, {2, model::Lsn{0x10}, 7}};
  EXPECT_EQ(file_name(range, 0), "0001-00000016B374D848-42_0002-0000000000000010-7.parquet");
  EXPECT_EQ(parse_file_name(file_name(range, 0)), range);
  EXPECT_EQ(parse_file_name(file_name(range, 3)), range);
  for (const char* other : {"x.parquet", "0001-16-42.parquet", "0001-1-1_0001-1-1_.parquet",
                            "0001-1-1_0001-1-2.csv", "0001-1-1_0001-1-2_1x.parquet", ".parquet"})
    EXPECT_EQ(parse_file_name(other), std::nullopt) << other;
}

TEST(ParquetNames, FoldersAreEscaped) {
  model::Table table;
  table.schema = "sh op";
  table.name = "a=b.c/\xc3\xa9";
  EXPECT_EQ(table_folder(table), "table=sh%20op.a%3Db%2Ec%2F\xc3\xa9");
  EXPECT_EQ(date_folder(0), "date=1970-01-01");
  EXPECT_EQ(date_folder(-1), "date=1969-12-31");
  EXPECT_EQ(date_folder(20'513), "date=2026-03-01");
}

}  // namespace
}  // namespace pgweir::sinks
