// Random batches against a model: after each one every mirror holds the model's rows, every delta
// is the difference, activity adds up; also after restarts, failures, and transactions in parts.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "engine/batch_builder.h"
#include "engine/engine.h"
#include "harness/scratch.h"

namespace pgweir::engine {
namespace {

using TablePtr = std::shared_ptr<const model::Table>;
using Texts = std::vector<std::string>;  // a row as DuckDB prints it
using Content = std::multiset<Texts>;

// A few rows make a store large, and have it rewritten again and again.
StoreOptions tiny_stores(std::uint64_t many_keys_min) {
  return {.small_rows_max = 10,
          .pending_rows_min = 10,
          .pending_rows_max = 30,
          .step_rows_min = 5,
          .step_rows_max = 50,
          .many_keys_min = many_keys_min,
          .batches_to_index = 2,
          .run_rows = 8};
}

Texts texts_of(const TextRow& row) {
  Texts texts;
  for (const auto& text : row) texts.push_back(text.value_or("NULL"));
  return texts;
}

// Adds up the deltas that it is given, and fails when it is told to.
class CheckingMaintainer : public ViewMaintainer {
 public:
  bool fail_next = false;
  std::map<std::string, Content> contents;  // of each mirror, as the deltas add up
  std::string complaint;

  Status table_changed(duck::Connection& connection, const Mirror& mirror,
                       const Delta& delta) override {
    TRY_ASSIGN(duck::TextRows rows, connection.query_texts("SELECT * FROM " + delta.table));
    if (rows.rows.size() != delta.rows) complaint = "the delta's size is wrong";
    Content& content = contents[mirror.name];
    Content gone, come;
    for (duck::TextRow& row : rows.rows) {
      Content& side = row.back() == "-1" ? gone : come;
      row.resize(row.size() - 2);
      side.insert(texts_of(row));
    }
    for (const Texts& texts : gone) {
      const auto found = content.find(texts);
      if (found == content.end()) complaint = "the delta removes a row that is not there";
      if (found != content.end()) content.erase(found);
      if (come.contains(texts)) complaint = "the delta has a row both ways";
    }
    content.insert(come.begin(), come.end());
    return {};
  }

  Status batch_applied(duck::Connection&) override {
    if (!fail_next) return {};
    fail_next = false;
    return error(Code::kInvalid, "injected");
  }

  Status rebuild(duck::Connection&) override { return {}; }

  Status table_replaced(duck::Connection& connection, const Mirror& mirror) override {
    TRY_ASSIGN(const duck::TextRows rows, connection.query_texts("SELECT * FROM " + mirror.name));
    Content& content = contents[mirror.name];
    content.clear();
    for (const duck::TextRow& row : rows.rows) content.insert(texts_of(row));
    return {};
  }
};

struct ModelTable {
  TablePtr table;
  bool has_key = false;
  std::vector<TextRow> rows;
};

TablePtr table_of(std::uint32_t oid, const std::string& name, std::vector<model::Column> columns,
                  model::ReplicaIdentity identity) {
  model::Table table{
      .id = model::Oid{oid}, .schema = "public", .name = name, .replica_identity = identity};
  for (std::uint32_t i = 0; i < columns.size(); ++i) {
    if (columns[i].in_key && identity == model::ReplicaIdentity::kDefault)
      table.primary_key.push_back(i);
  }
  table.columns = std::move(columns);
  return std::make_shared<const model::Table>(std::move(table));
}

class World {
 public:
  explicit World(unsigned seed) : random_(seed) {
    const auto key = [](model::Column column) {
      column.in_key = true;
      return column;
    };
    using enum model::ReplicaIdentity;
    tables_.push_back(
        {table_of(1, "accounts", {int_column("id", true), text_column("name"), text_column("note")},
                  kDefault),
         true,
         {}});
    tables_.push_back(
        {table_of(2, "Pairs", {typed_column("v", 701), key(int_column("a")), key(text_column("b"))},
                  kDefault),
         true,
         {}});
    tables_.push_back(
        {table_of(3, "bag", {key(int_column("x")), key(text_column("y"))}, kFull), false, {}});
    tables_.push_back(
        {table_of(4, "log", {text_column("line"), int_column("n")}, kDefault), false, {}});
    open();
  }

  void open() {
    engine_.reset();
    const auto all = [](const model::Table& table) {
      std::vector<std::uint32_t> columns(table.columns.size());
      for (std::uint32_t i = 0; i < columns.size(); ++i) columns[i] = i;
      return std::optional(columns);
    };
    auto engine = Engine::open(
        {.directory = scratch_.path(),
         .memory_bytes = 256 * kMiB,
         .checkpoint_bytes = 64 * kKiB,
         .part_changes_max = below(2) == 0 ? std::optional<std::uint64_t>() : std::uint64_t{10},
         .store =
             below(2) == 0 ? std::optional<StoreOptions>() : tiny_stores(below(2) == 0 ? 3 : 1000)},
        all, logger_);
    ASSERT_TRUE(engine.ok()) << engine.error().text();
    engine_ = std::move(engine).value();
    engine_->set_maintainer(&maintainer_);
  }

  int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }

  // One batch, or one transaction in several; applied, with failures and restarts between.
  void step() {
    parts_.clear();
    const int parts = below(5) == 0 ? 1 + below(4) : 1;
    const std::uint64_t lsn = lsn_ += 10;
    model::Position from = engine_->position().position;
    for (int part = 0; part < parts; ++part) {
      parts_.push_back(std::make_unique<BatchBuilder>(from));
      BatchBuilder& batch = *parts_.back();
      batch.begin(lsn,
                  model::Timestamp{1767225600000000 + static_cast<std::int64_t>(lsn) * 1000000},
                  part == 0);
      change_rows(batch);
      batch.end(part + 1 == parts);
      for (int more = below(4); parts == 1 && more > 0; --more) {
        lsn_ += 10;
        batch.begin(lsn_,
                    model::Timestamp{1767225600000000 + static_cast<std::int64_t>(lsn_) * 1000000});
        change_rows(batch);
        batch.end();
      }
      from = batch.batch().to;
    }
    apply_parts();
  }

  void check() {
    ASSERT_EQ(maintainer_.complaint, "");
    auto reader = engine_->reader(Milliseconds{1000}).value();
    EXPECT_EQ(reader->position().position, parts_.back()->batch().to);
    for (const ModelTable& model : tables_) {
      const std::string name = fmt::format("public.\"{}\"", model.table->name);
      const auto rows = reader->connection().query_texts("SELECT * FROM " + name);
      if (!rows.ok() && model.rows.empty()) continue;  // no row of it has come yet
      ASSERT_TRUE(rows.ok()) << rows.error().text();
      Content found, expected;
      for (const duck::TextRow& row : rows->rows) found.insert(texts_of(row));
      for (const TextRow& row : model.rows) expected.insert(printed(*model.table, row));
      ASSERT_EQ(found, expected) << model.table->name;
      ASSERT_EQ(maintainer_.contents[fmt::format("\"public\".\"{}\"", model.table->name)], expected)
          << "by deltas: " << model.table->name;
    }
    const auto activity = reader->connection().query_texts(
        "SELECT \"table\", op, sum(changes) FROM pgweir.activity GROUP BY ALL");
    ASSERT_TRUE(activity.ok()) << activity.error().text();
    std::map<std::string, std::string> found, expected;
    for (const auto& row : activity->rows) found[*row[0] + *row[1]] = *row[2];
    for (const auto& [key, count] : changes_) expected[key] = std::to_string(count);
    ASSERT_EQ(found, expected);
  }

 private:
  // DuckDB prints a DOUBLE with its point; it has no -0.
  static Texts printed(const model::Table& table, const TextRow& row) {
    Texts texts = texts_of(row);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const bool whole = texts[i].find('.') == std::string::npos;
      if (table.columns[i].type == model::Oid{701} && whole && texts[i] != "NULL")
        texts[i] = texts[i] == "-0" ? "0.0" : texts[i] + ".0";
    }
    return texts;
  }

  std::optional<std::string> value(const model::Column& column) {
    if (!column.in_key && below(6) == 0) return std::nullopt;
    static const char* const kDoubles[] = {"0", "-0", "1.5", "2"};
    if (column.type == model::Oid{701}) return kDoubles[below(4)];
    const std::string number = std::to_string(below(8));
    return column.type == model::Oid{23} ? number : "t" + number;
  }

  TextRow random_row(const model::Table& table) {
    TextRow row;
    for (const model::Column& column : table.columns) row.push_back(value(column));
    return row;
  }

  static bool same_key(const model::Table& table, const TextRow& a, const TextRow& b) {
    return std::all_of(table.primary_key.begin(), table.primary_key.end(),
                       [&](std::uint32_t i) { return a[i] == b[i]; });
  }
  bool is_taken(const ModelTable& model, const TextRow& row) {
    return model.has_key &&
           std::any_of(model.rows.begin(), model.rows.end(),
                       [&](const TextRow& other) { return same_key(*model.table, row, other); });
  }

  void count(const ModelTable& model, char op) { ++changes_[model.table->name + op]; }

  void change_rows(BatchBuilder& batch) {
    // At least one: a part without records does not exist.
    ModelTable& log = tables_.back();
    log.rows.push_back(random_row(*log.table));
    batch.insert(log.table, log.rows.back());
    count(log, 'i');
    for (int changes = 1 + below(12); changes > 0; --changes) {
      ModelTable& model =
          tables_[static_cast<std::size_t>(below(static_cast<int>(tables_.size())))];
      const bool append_only = model.table->name == "log";
      const int what = below(100);
      if (what == 0) {
        batch.truncate(model.table);
        count(model, 't');
        model.rows.clear();
      } else if (what < 50 || append_only || model.rows.empty()) {
        const TextRow row = random_row(*model.table);
        if (is_taken(model, row)) continue;
        batch.insert(model.table, row);
        count(model, 'i');
        model.rows.push_back(row);
      } else {
        const auto index = static_cast<std::size_t>(below(static_cast<int>(model.rows.size())));
        if (what < 80)
          update(batch, model, model.rows[index]);
        else
          remove(batch, model, index);
      }
    }
  }

  void update(BatchBuilder& batch, ModelTable& model, TextRow& old) {
    TextRow row = random_row(*model.table);
    const bool moves = model.has_key && below(3) == 0 && !is_taken(model, row);
    if (model.has_key && !moves) {
      for (const std::uint32_t i : model.table->primary_key) row[i] = old[i];
    }
    TextRow sent = row;
    for (std::size_t i = 0; i < row.size(); ++i) {
      // A NULL is never stored out of line.
      const bool toasted = model.table->columns[i].type == model::Oid{25} && old[i] &&
                           !(model.has_key && model.table->columns[i].in_key) && below(3) == 0;
      if (!toasted) continue;
      row[i] = old[i];
      sent[i] = kUnchangedText;
    }
    batch.update(model.table, model.has_key && !moves ? TextRow{} : old, sent);
    count(model, 'u');
    old = row;
  }

  void remove(BatchBuilder& batch, ModelTable& model, std::size_t index) {
    batch.remove(model.table, model.rows[index]);
    count(model, 'd');
    model.rows.erase(model.rows.begin() + static_cast<std::ptrdiff_t>(index));
  }

  // Applies the parts in order; after a failure or a restart again from the first that is not
  // committed.
  void apply_parts() {
    auto before = maintainer_.contents;
    model::Position start = engine_->position().position;
    std::size_t first = 0;
    int failures_left = below(4) == 0 ? 2 : 0;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (failures_left > 0 && below(2) == 0) {
        --failures_left;
        if (below(2) == 0) {
          open();
        } else {
          maintainer_.fail_next = true;
          const Status failed = engine_->apply(parts_[i]->batch());
          // A batch without rows that are mirrored has nothing that could fail.
          if (failed.ok()) maintainer_.fail_next = false;
          if (failed.ok() && i + 1 == parts_.size()) return;
          if (failed.ok()) {
            if (engine_->position().position != start) {
              start = engine_->position().position;
              before = maintainer_.contents;
              first = i + 1;
            }
            continue;
          }
          EXPECT_EQ(failed.error().message, "injected");
        }
        maintainer_.contents = before;
        EXPECT_EQ(engine_->position().position, start);
        i = first - 1;
        continue;
      }
      const Status status = engine_->apply(parts_[i]->batch());
      ASSERT_TRUE(status.ok()) << status.error().text();
      if (engine_->position().position == start) continue;
      start = engine_->position().position;
      before = maintainer_.contents;
      first = i + 1;
      // Whoever asks is told to wait, or sees all of it.
      const bool whole = first == parts_.size();
      EXPECT_EQ(engine_->reader(Milliseconds{0}).ok(), whole);
    }
  }

  std::mt19937 random_;
  harness::ScratchFolder scratch_;
  Logger logger_{LogLevel::kOff};
  CheckingMaintainer maintainer_;
  std::unique_ptr<Engine> engine_;
  std::vector<ModelTable> tables_;
  std::vector<std::unique_ptr<BatchBuilder>> parts_;
  std::map<std::string, std::uint64_t> changes_;  // by table and operation
  std::uint64_t lsn_ = 100;
};

TEST(EngineRandom, MirrorsDeltasAndActivityEqualTheModel) {
  const unsigned seed = harness::test_seed();
  for (unsigned run = 0; run < 4; ++run) {
    SCOPED_TRACE(fmt::format("seed {} run {}", seed, run));
    World world(seed + run);
    const int steps = harness::random_rounds(60);
    for (int step = 0; step < steps; ++step) {
      SCOPED_TRACE(fmt::format("step {}", step));
      world.step();
      world.check();
      if (testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace pgweir::engine
