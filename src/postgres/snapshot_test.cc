// Snapshot and stream together give every row once, whatever happens beside them.
#include "postgres/snapshot.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>

#include "harness/cluster.h"
#include "postgres/catalog.h"
#include "postgres/pgoutput.h"
#include "postgres/setup.h"
#include "postgres/testing_render.h"

namespace pgweir::postgres {
namespace {
using harness::shared_cluster;

// A source in front of its snapshot: slot made, snapshot exported.
class Source {
 public:
  explicit Source(const std::string& sql, const std::string& user = "postgres")
      : database_(shared_cluster().create_database()), slot_("snap_" + database_) {
    shared_cluster().sql(sql, database_);
    url_ = fmt::format("postgresql://{}@127.0.0.1:{}/{}", user, shared_cluster().port(), database_);
    control_ = std::make_unique<Connection>(
        Connection::open({.url = shared_cluster().url(database_)}).value());
    made_ = std::make_unique<CreatedSlot>(create_slot(*control_, {.name = slot_}).value());
    const auto found = expand_tables(*control_, std::vector<std::string>{"*.*"}, {}).value();
    std::vector<model::Oid> ids;
    for (const auto& table : found.tables) ids.push_back(table.id);
    for (auto& table : read_tables(*control_, ids).value())
      tables_.push_back(std::make_shared<const model::Table>(std::move(table)));
  }
  ~Source() {
    made_.reset();
    EXPECT_TRUE(drop_slot(*control_, slot_, Milliseconds(10'000)).ok());
  }

  SnapshotOptions options() const {
    return {.connection = {.url = url_}, .snapshot = made_->snapshot};
  }
  Result<std::unique_ptr<Snapshot>> begin() { return Snapshot::begin(options(), tables_); }
  // The slot's connection: what keeps the snapshot until it is imported.
  void close_slot_connection() { made_->connection.close(); }
  void sql(const std::string& statements) { shared_cluster().sql(statements, database_); }
  const std::vector<std::shared_ptr<const model::Table>>& tables() const { return tables_; }
  const CreatedSlot& made() const { return *made_; }

 private:
  std::string database_;
  std::string slot_;
  std::string url_;
  std::unique_ptr<Connection> control_;
  std::unique_ptr<CreatedSlot> made_;
  std::vector<std::shared_ptr<const model::Table>> tables_;
};

// All rows as "table row", sorted.
struct Rows {
  Mutex mutex;
  std::multiset<std::string> rows GUARDED_BY(mutex);
  std::size_t chunks GUARDED_BY(mutex) = 0;

  SnapshotSink sink() {
    return [this](SnapshotChunk chunk) -> Status {
      PgoutputDecoder decoder(model::Position{1, {}, 0});
      decoder.add_table(chunk.table);
      TRY(decoder.begin_snapshot(model::Lsn{1}, {}));
      TRY(decoder.feed_copy_rows(chunk.table->id, chunk.lines));
      const model::Batch batch = decoder.take();
      EXPECT_EQ(batch.changes.size(), chunk.row_count);
      MutexLock lock(mutex);
      ++chunks;
      for (const auto& change : batch.changes) {
        rows.insert(chunk.table->name + " " +
                    testing_render::render_row(batch, change.after, *chunk.table));
      }
      return {};
    };
  }
  std::string text() {
    MutexLock lock(mutex);
    std::string out;
    for (const std::string& row : rows) out += row + "\n";
    return out;
  }
  std::size_t count() {
    MutexLock lock(mutex);
    return rows.size();
  }
  std::size_t distinct() {
    MutexLock lock(mutex);
    return std::set<std::string>(rows.begin(), rows.end()).size();
  }
};

TEST(Snapshot, ReadsEveryKindOfTable) {
  Source source(
      "CREATE TABLE t (id int PRIMARY KEY, a text, g int GENERATED ALWAYS AS (id) STORED);"
      "INSERT INTO t VALUES (1, E'a\\tb\\n\\\\N'), (2, NULL), (3, '');"
      "CREATE TABLE empty (a int); CREATE TABLE \"No Columns\" ();"
      "INSERT INTO \"No Columns\" DEFAULT VALUES;"
      "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);"
      "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (9) TO (99); INSERT INTO p VALUES (5), (10);"
      "CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent);"
      "INSERT INTO child VALUES (7)");
  auto snapshot = source.begin();
  ASSERT_TRUE(snapshot.ok()) << snapshot.error().text();
  source.close_slot_connection();
  Rows rows;
  const Status read = (*snapshot)->run(rows.sink());
  ASSERT_TRUE(read.ok()) << read.error().text();
  EXPECT_EQ(rows.text(), "No Columns \nchild 7\np 10\np 5\nt 1|a\tb\n\\N\nt 2|null\nt 3|\n");
  const auto progress = (*snapshot)->progress();
  EXPECT_EQ(progress.rows, 7u);
  EXPECT_EQ(progress.parts_done, progress.parts);
}

TEST(Snapshot, RangesOfPagesMissNothingAndRepeatNothing) {
  Source source(
      "CREATE TABLE t (id int PRIMARY KEY, a text);"
      "INSERT INTO t SELECT i, repeat('x', 50) FROM generate_series(1, 20000) i;"
      "DELETE FROM t WHERE id BETWEEN 5000 AND 9000;"
      "CREATE TABLE p (id int) PARTITION BY HASH (id);"
      "CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
      "INSERT INTO p SELECT generate_series(1, 10000)");
  SnapshotOptions options = source.options();
  options.parallel = 3;
  options.range_pages = 7;
  options.chunk_bytes = 1000;
  auto snapshot = Snapshot::begin(options, source.tables());
  ASSERT_TRUE(snapshot.ok()) << snapshot.error().text();
  EXPECT_GT((*snapshot)->progress().parts, 20u);
  Rows rows;
  ASSERT_TRUE((*snapshot)->run(rows.sink()).ok());
  EXPECT_EQ(rows.count(), 15'999u + 10'000u);
  EXPECT_EQ(rows.distinct(), rows.count());
}

TEST(Snapshot, SeesTheSlotsPointWhateverComesAfter) {
  Source source(
      "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2);"
      "CREATE TABLE cut (id int PRIMARY KEY); INSERT INTO cut VALUES (1)");
  source.sql("INSERT INTO t VALUES (3); DELETE FROM t WHERE id = 1");
  auto snapshot = source.begin();
  ASSERT_TRUE(snapshot.ok()) << snapshot.error().text();
  source.sql("UPDATE t SET id = id + 100; DELETE FROM cut");
  Rows rows;
  const Status read = (*snapshot)->run(rows.sink());
  ASSERT_TRUE(read.ok()) << read.error().text();
  EXPECT_EQ(rows.text(), "cut 1\nt 1\nt 2\n");
}

TEST(Snapshot, TableThatLiesElsewhereIsLeftOut) {
  const std::string fill = " SELECT i, 'x' FROM generate_series(1, 5000) i;";
  Source source("CREATE TABLE kept (id int PRIMARY KEY, a text); INSERT INTO kept" + fill +
                "CREATE TABLE moved (id int PRIMARY KEY, a text); INSERT INTO moved" + fill +
                "CREATE TABLE cut (id int PRIMARY KEY, a text); INSERT INTO cut" + fill +
                "CREATE TABLE anew (id int PRIMARY KEY, a text); INSERT INTO anew" + fill +
                "CREATE TABLE p (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);"
                "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9000); INSERT INTO p" +
                fill +
                "CREATE TABLE q (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);"
                "CREATE TABLE q1 PARTITION OF q FOR VALUES FROM (0) TO (9000); INSERT INTO q" +
                fill + "CREATE TABLE q2 (id int PRIMARY KEY, a text)");
  SnapshotOptions options = source.options();
  options.range_pages = 7;
  auto snapshot = Snapshot::begin(options, source.tables());
  ASSERT_TRUE(snapshot.ok()) << snapshot.error().text();
  source.sql("VACUUM FULL moved");
  source.sql(
      "TRUNCATE cut; ALTER TABLE anew ALTER a TYPE text USING a || '';"
      "ALTER TABLE q ATTACH PARTITION q2 FOR VALUES FROM (9000) TO (9999)");
  Rows rows;
  Mutex mutex;
  std::set<std::string> left_out;
  const Status read = (*snapshot)->run(rows.sink(), {}, [&](const model::Table& table) -> Status {
    MutexLock lock(mutex);
    EXPECT_TRUE(left_out.insert(table.name).second);
    return {};
  });
  ASSERT_TRUE(read.ok()) << read.error().text();
  EXPECT_EQ(left_out, (std::set<std::string>{"anew", "cut", "moved", "q"}));
  // (q2, empty and without a partitioned table, was among the tables.)
  EXPECT_EQ(rows.count(), 10'000u);
}

struct Change {
  const char* sql;
  const char* text;
};

TEST(Snapshot, TableThatChangedBeforeItWasReadIsAnError) {
  const Change cases[] = {
      {"DROP TABLE t", "was dropped"},
      {"ALTER TABLE t RENAME TO u", "dropped or renamed"},
      {"ALTER TABLE t RENAME a TO b", "column a was dropped or renamed"},
      {"ALTER TABLE t ALTER a TYPE bigint", "column a has another type"},
      {"ALTER TABLE t ADD c float DEFAULT random()", "written anew"},
      {"ALTER TABLE t ALTER a TYPE int USING a + 1", "written anew"},
      {"DROP TABLE t; CREATE TABLE t (id text, a int)", "has another type"},
  };
  for (const auto& [sql, text] : cases) {
    Source source("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 2)");
    auto snapshot = source.begin();
    ASSERT_TRUE(snapshot.ok()) << snapshot.error().text();
    source.sql(sql);
    Rows rows;
    const Status read = (*snapshot)->run(rows.sink());
    ASSERT_FALSE(read.ok()) << sql;
    EXPECT_EQ(read.error().code, Code::kUnavailable) << read.error().text();
    EXPECT_NE(read.error().text().find(text), std::string::npos) << read.error().text();
  }
}

TEST(Snapshot, GoneSnapshotIsNotFound) {
  Source source("CREATE TABLE t (id int)");
  source.close_slot_connection();
  // The server needs a moment to notice; until then the import still works.
  for (int attempt = 0; attempt < 100; ++attempt) {
    auto snapshot = source.begin();
    if (snapshot.ok()) continue;
    EXPECT_EQ(snapshot.error().code, Code::kNotFound) << snapshot.error().text();
    return;
  }
  FAIL() << "the snapshot never went away";
}

TEST(Snapshot, RowsHiddenByPolicyAreAnError) {
  Source source(
      "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2);"
      "ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
      "CREATE POLICY one ON t USING (id = 1);"
      "DO $$ BEGIN CREATE ROLE half_blind LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;"
      "GRANT SELECT ON t TO half_blind",
      "half_blind");
  auto snapshot = source.begin();
  ASSERT_TRUE(snapshot.ok()) << snapshot.error().text();
  Rows rows;
  const Status read = (*snapshot)->run(rows.sink());
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, Code::kCheckFailed);
  EXPECT_NE(read.error().text().find("row-level security"), std::string::npos)
      << read.error().text();
  EXPECT_EQ(rows.count(), 0u);
}

TEST(Snapshot, SinksErrorEndsAllWorkers) {
  Source source("CREATE TABLE a AS SELECT generate_series(1, 50000); CREATE TABLE b AS TABLE a");
  auto snapshot = source.begin();
  const Status read = (*snapshot)->run(
      [](SnapshotChunk) -> Status { return error(Code::kNoSpace, "the disk is full"); });
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, Code::kNoSpace);
}

TEST(Snapshot, StopEndsAWaitForRows) {
  Source source("CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
  auto snapshot = source.begin();
  auto blocker = Connection::open({.url = source.options().connection.url});
  ASSERT_TRUE(blocker->execute("BEGIN; LOCK public.t").ok());
  std::jthread stopper([&] { (*snapshot)->stop(); });
  Rows rows;
  const Status read = (*snapshot)->run(rows.sink());
  stopper.join();
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, Code::kCancelled) << read.error().text();
}

}  // namespace
}  // namespace pgweir::postgres
