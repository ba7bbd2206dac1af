#include "engine/store.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

namespace pgweir::engine {
namespace {

using duck::quote_identifier;
using duck::quote_literal;

std::string internal(const std::string& name) {
  return fmt::format("{}.{}", kInternalSchema, quote_identifier(name));
}

// Everything that a stored table depends on, as text; compared when a store is opened again.
std::string describe_spec(const StoreSpec& spec) {
  std::string out = spec.unique ? "unique key(" : spec.distinct ? "distinct key(" : "key(";
  for (const std::uint32_t column : spec.key) out += fmt::format("{} ", column);
  out += ")";
  for (const StoreColumn& column : spec.columns)
    out += fmt::format(" {} {}", quote_identifier(column.name), column.type);
  return out;
}

// "prefix.column" of every column of `indexes`, joined.
std::string column_list(const StoreSpec& spec, const std::string& prefix) {
  std::string out;
  for (const StoreColumn& column : spec.columns)
    out += fmt::format("{}{}{}", out.empty() ? "" : ", ", prefix, quote_identifier(column.name));
  return out;
}

std::string hash_expression(const StoreSpec& spec, const std::string& prefix) {
  if (spec.key.empty()) return "0::UBIGINT";
  std::string out;
  for (const std::uint32_t column : spec.key)
    out += fmt::format("{}{}{}", out.empty() ? "" : ", ", prefix,
                       quote_identifier(spec.columns[column].name));
  return fmt::format("hash({})", out);
}

// The condition that a stored row `s` is the row `d`: same hash and key, or all columns equal.
std::string same_row(const StoreSpec& spec) {
  std::string out = fmt::format("s.{0} = d.{0}", kHashColumn);
  const auto equal = [&](const StoreColumn& column) {
    const std::string name = quote_identifier(column.name);
    out += " AND " + beside_hash(fmt::format("s.{0} IS NOT DISTINCT FROM d.{0}", name));
  };
  if (spec.unique) {
    for (const std::uint32_t column : spec.key) equal(spec.columns[column]);
  } else {
    for (const StoreColumn& column : spec.columns) equal(column);
  }
  return out;
}

Status check_spec(const StoreSpec& spec) {
  for (const StoreColumn& column : spec.columns) {
    for (const char* reserved : {kHashColumn, kWeightColumn, kRunColumn}) {
      if (column.name == reserved)
        return error(Code::kInvalid,
                     fmt::format("store {} may not have a column named {}", spec.name, reserved));
    }
  }
  return {};
}

// The rows of one table are in three levels, told apart by kRunColumn: 0 is the recent level, in no
// order; a run of a higher level was written in one go in the order of the hash, so that a row
// group of it covers a narrow range of hashes. A step moves all rows of a range of hashes from one
// level into the next, by writing that range of both anew.
constexpr std::uint64_t kFirstMiddleRun = 1;
constexpr std::uint64_t kFirstLargeRun = std::uint64_t{1} << 32;

struct Level {
  std::uint64_t first_run = 0;
  std::uint64_t next_run = 0;   // of the runs written into it
  std::uint64_t rows = 0;       // about: removals are counted off only now and then
  std::uint64_t next_hash = 0;  // where the next step out of it begins
};

class ClusteredStore : public Store {
 public:
  ClusteredStore(duck::Connection& connection, StoreSpec spec, const StoreOptions& options,
                 std::int64_t id)
      : connection_(connection),
        spec_(std::move(spec)),
        options_(options),
        table_(internal(fmt::format("s{}", id))),
        content_(internal(fmt::format("c{}", id))) {}

  Status create() {
    std::string columns;
    for (const StoreColumn& column : spec_.columns)
      columns += fmt::format("{} {}, ", quote_identifier(column.name), column.type);
    TRY(connection_.execute(fmt::format("CREATE TABLE {} ({}{} UBIGINT, {} UBIGINT)", table_,
                                        columns, kHashColumn, kRunColumn)));
    return connection_.execute(fmt::format("CREATE VIEW {} AS SELECT {}, {} FROM {}", content_,
                                           column_list(spec_, ""), kHashColumn, table_));
  }

  const StoreSpec& spec() const override { return spec_; }
  const std::string& content_name() const override { return content_; }

  Status apply(const std::string& delta_table) override {
    TRY_ASSIGN(Statements * statements, statements_for(delta_table));
    TRY_ASSIGN(duck::Rows removed, statements->remove->execute());
    TRY_ASSIGN(duck::Rows wanted, statements->count_removals->execute());
    const duck::Chunk* chunk = wanted.next();
    const auto expected = static_cast<std::uint64_t>(chunk->data<std::int64_t>(0)[0]);
    if (removed.rows_changed() != expected) {
      return error(Code::kInternal, fmt::format("store {} removed {} rows where the delta names {}",
                                                spec_.name, removed.rows_changed(), expected));
    }
    TRY_ASSIGN(duck::Rows added, statements->add->execute());
    recent_.rows += added.rows_changed();
    added_ += added.rows_changed();
    return {};
  }

  Status load(const std::string& select) override {
    TRY(clear());
    return connection_.execute(fmt::format(
        "INSERT INTO {0} SELECT {1}, {2} AS pgweir_h, {3} FROM ({4}\n) AS t({1}) ORDER BY pgweir_h",
        table_, column_list(spec_, ""), hash_expression(spec_, ""), large_.next_run++, select));
  }

  Status clear() override {
    recent_.rows = middle_.rows = 0;
    return connection_.execute(fmt::format("DELETE FROM {}", table_));
  }

  Status maintain() override {
    // Rows without a key are never looked for.
    if (spec_.key.empty()) return {};
    // A small batch pays for one step at the most, a large one for more.
    std::uint64_t steps_left = 1 + added_ / (options_.step_rows / 8);
    added_ = 0;
    for (; steps_left > 0 && middle_.rows > options_.middle_rows_max; --steps_left)
      TRY(step(middle_, large_));
    for (; steps_left > 0 && recent_.rows > options_.recent_rows_max; --steps_left)
      TRY(step(recent_, middle_));
    return {};
  }

  // What the levels hold, and which runs they have.
  Status count_levels() {
    for (Level* level : {&recent_, &middle_, &large_}) {
      const std::uint64_t end = level == &recent_   ? kFirstMiddleRun
                                : level == &middle_ ? kFirstLargeRun
                                                    : ~std::uint64_t{0};
      TRY_ASSIGN(duck::Rows rows, connection_.query(fmt::format(
                                      "SELECT count(*), coalesce(max({0}), 0)::BIGINT FROM {1} "
                                      "WHERE {0} >= {2}::UBIGINT AND {0} < {3}::UBIGINT",
                                      kRunColumn, table_, level->first_run, end)));
      const duck::Chunk* chunk = rows.next();
      level->rows = static_cast<std::uint64_t>(chunk->data<std::int64_t>(0)[0]);
      level->next_run = std::max(level->first_run,
                                 static_cast<std::uint64_t>(chunk->data<std::int64_t>(1)[0]) + 1);
    }
    return {};
  }

  Result<std::uint64_t> row_count() override {
    TRY_ASSIGN(const std::int64_t count,
               connection_.query_int(fmt::format("SELECT count(*) FROM {}", table_)));
    return static_cast<std::uint64_t>(count);
  }

 private:
  // Moves a range of hashes from one level to the next.
  Status step(Level& from, Level& to) {
    const std::uint64_t rows = from.rows + to.rows;
    const auto share =
        static_cast<long double>(options_.step_rows) / static_cast<long double>(rows);
    const std::uint64_t first = from.next_hash;
    constexpr std::uint64_t kLastHash = ~std::uint64_t{0};
    const auto width = static_cast<std::uint64_t>(std::min<long double>(share, 0.999L) *
                                                  static_cast<long double>(kLastHash));
    const std::uint64_t last = kLastHash - first < width ? kLastHash : first + width;
    const std::uint64_t run = to.next_run++;
    const std::string range =
        fmt::format("{0} >= {1}::UBIGINT AND {0} <= {2}::UBIGINT", kHashColumn, first, last);
    const std::uint64_t end = &to == &middle_ ? kFirstLargeRun : kLastHash;
    TRY(connection_.execute(fmt::format(
        "INSERT INTO {0} SELECT {1}, {2}, {3} FROM {0} WHERE {4} AND {5} >= {6}::UBIGINT "
        "AND {5} < {7}::UBIGINT "
        "ORDER BY {2}",
        table_, column_list(spec_, ""), kHashColumn, run, range, kRunColumn, from.first_run, end)));
    TRY_ASSIGN(const duck::Rows moved,
               connection_.query(fmt::format(
                   "DELETE FROM {} WHERE {} AND {} >= {}::UBIGINT AND {} < {}::UBIGINT", table_,
                   range, kRunColumn, from.first_run, kRunColumn, to.first_run)));
    TRY(connection_.execute(
        fmt::format("DELETE FROM {} WHERE {} AND {} >= {}::UBIGINT AND {} < {}::UBIGINT", table_,
                    range, kRunColumn, to.first_run, kRunColumn, run)));
    from.rows -= std::min(from.rows, moved.rows_changed());
    to.rows += moved.rows_changed();
    from.next_hash = last == kLastHash ? 0 : last + 1;
    // Once around: time to count off what was removed in between.
    return from.next_hash == 0 ? count_levels() : Status{};
  }

  // Prepared once for each delta table.
  struct Statements {
    std::unique_ptr<duck::Statement> remove;
    std::unique_ptr<duck::Statement> count_removals;
    std::unique_ptr<duck::Statement> add;
  };

  std::string remove_statement(const std::string& delta) const {
    if (spec_.unique || spec_.distinct) {
      return fmt::format("DELETE FROM {} AS s USING (SELECT * FROM {} WHERE {} < 0) AS d WHERE {}",
                         table_, delta, kWeightColumn, same_row(spec_));
    }
    // As many of the equal rows as the delta takes away.
    const std::string columns = column_list(spec_, "");
    return fmt::format(
        "DELETE FROM {0} AS s USING (SELECT pgweir_rid, pgweir_h FROM (SELECT s.rowid AS "
        "pgweir_rid, "
        "s.{3} AS pgweir_h, row_number() OVER (PARTITION BY d.pgweir_n) AS pgweir_place, "
        "d.pgweir_copies FROM {0} AS s JOIN (SELECT *, row_number() OVER () AS pgweir_n FROM "
        "(SELECT {1}, {3}, count(*) AS pgweir_copies FROM {2} WHERE {4} < 0 GROUP BY ALL)) AS d "
        "ON {5}) WHERE pgweir_place <= pgweir_copies) AS gone WHERE s.{3} = gone.pgweir_h AND {6}",
        table_, columns, delta, kHashColumn, kWeightColumn, same_row(spec_),
        beside_hash("s.rowid = gone.pgweir_rid"));
  }

  Result<Statements*> statements_for(const std::string& delta) {
    Statements& statements = statements_[delta];
    if (statements.add == nullptr) {
      TRY_ASSIGN(statements.remove, connection_.prepare(remove_statement(delta)));
      TRY_ASSIGN(statements.count_removals,
                 connection_.prepare(
                     fmt::format("SELECT count(*) FROM {} WHERE {} < 0", delta, kWeightColumn)));
      TRY_ASSIGN(statements.add, connection_.prepare(fmt::format(
                                     "INSERT INTO {} SELECT {}, {}, 0 FROM {} WHERE {} > 0", table_,
                                     column_list(spec_, ""), kHashColumn, delta, kWeightColumn)));
    }
    return &statements;
  }

  duck::Connection& connection_;
  const StoreSpec spec_;
  const StoreOptions options_;
  const std::string table_;
  const std::string content_;
  std::map<std::string, Statements> statements_;
  Level recent_{.first_run = 0, .next_run = 0};
  Level middle_{.first_run = kFirstMiddleRun, .next_run = kFirstMiddleRun};
  Level large_{.first_run = kFirstLargeRun, .next_run = kFirstLargeRun};
  std::uint64_t added_ = 0;  // rows since the last maintain()
};

}  // namespace

std::string beside_hash(const std::string& condition) {
  return fmt::format("coalesce({}, false)", condition);
}

Result<std::unique_ptr<Store>> Store::open(duck::Connection& connection, const StoreSpec& spec,
                                           const StoreOptions& options) {
  TRY(check_spec(spec));
  TRY(connection.execute(fmt::format("CREATE SCHEMA IF NOT EXISTS {}", kInternalSchema)));
  TRY(connection.execute(
      fmt::format("CREATE TABLE IF NOT EXISTS {} (id BIGINT, name VARCHAR, spec VARCHAR)",
                  internal("stores"))));
  TRY_ASSIGN(const duck::TextRows found,
             connection.query_texts(fmt::format("SELECT id, spec FROM {} WHERE name = {}",
                                                internal("stores"), quote_literal(spec.name))));
  const std::string text = describe_spec(spec);
  if (!found.rows.empty()) {
    if (found.rows[0][1] != text) {
      return error(Code::kCorruption, fmt::format("store {} has another shape", spec.name),
                   fmt::format("found {}; expected {}", found.rows[0][1].value_or(""), text));
    }
    auto store = std::make_unique<ClusteredStore>(connection, spec, options,
                                                  std::stoll(found.rows[0][0].value_or("0")));
    TRY(store->count_levels());
    return std::unique_ptr<Store>(std::move(store));
  }
  TRY_ASSIGN(const std::int64_t id,
             connection.query_int(
                 fmt::format("SELECT coalesce(max(id), 0) + 1 FROM {}", internal("stores"))));
  TRY(connection.execute(fmt::format("INSERT INTO {} VALUES ({}, {}, {})", internal("stores"), id,
                                     quote_literal(spec.name), quote_literal(text))));
  auto store = std::make_unique<ClusteredStore>(connection, spec, options, id);
  TRY(store->create());
  return std::unique_ptr<Store>(std::move(store));
}

Status Store::drop(duck::Connection& connection, const std::string& name) {
  TRY_ASSIGN(const std::int64_t id,
             connection.query_int(fmt::format("SELECT id FROM {} WHERE name = {}",
                                              internal("stores"), quote_literal(name))));
  TRY(connection.execute(fmt::format("DROP VIEW {}", internal(fmt::format("c{}", id)))));
  TRY(connection.execute(fmt::format("DROP TABLE {}", internal(fmt::format("s{}", id)))));
  return connection.execute(fmt::format("DELETE FROM {} WHERE id = {}", internal("stores"), id));
}

}  // namespace pgweir::engine
