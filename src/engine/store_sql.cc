#include "engine/store_sql.h"

#include <fmt/core.h>

namespace pgweir::engine {
namespace {

using duck::quote_identifier;

std::string internal(char letter, std::int64_t id) {
  return fmt::format("{}.{}{}", kInternalSchema, letter, id);
}

// "prefix.column" of every column, joined.
std::string list_of(const std::vector<StoreColumn>& columns, const std::string& prefix = "") {
  std::string out;
  for (const StoreColumn& column : columns)
    out += fmt::format("{}{}{}", out.empty() ? "" : ", ", prefix, quote_identifier(column.name));
  return out;
}

std::string definition_of(const std::vector<StoreColumn>& columns, const char* storage = "") {
  std::string out;
  for (const StoreColumn& column : columns)
    out += fmt::format("{} {}{}, ", quote_identifier(column.name), column.type, storage);
  return out + fmt::format("{} UBIGINT{}", kHashColumn, storage);
}

// The columns of recent or dead rows.
std::string pending_definition_of(const std::vector<StoreColumn>& columns,
                                  const char* storage = "") {
  return fmt::format("{}, {} INTEGER DEFAULT 0{}", definition_of(columns, storage), kRunColumn,
                     storage);
}

// Of rows that will soon be written once more: to compress them costs more than it saves.
constexpr const char* kUncompressed = " USING COMPRESSION uncompressed";

std::string hash_of(const StoreSpec& spec) {
  if (spec.key.empty()) return "0::UBIGINT";
  std::string out;
  for (const std::uint32_t column : spec.key)
    out +=
        fmt::format("{}{}", out.empty() ? "" : ", ", quote_identifier(spec.columns[column].name));
  return fmt::format("hash({})", out);
}

// For a join with few rows: only the hash is a key of the join (beside_hash()).
std::string found_row(const std::vector<StoreColumn>& columns) {
  std::string out = fmt::format("s.{0} = d.{0}", kHashColumn);
  for (const StoreColumn& column : columns) {
    const std::string name = quote_identifier(column.name);
    out += " AND " + beside_hash(fmt::format("s.{0} IS NOT DISTINCT FROM d.{0}", name));
  }
  return out;
}

// For leaving rows out, which every column must decide.
std::string same_row(const std::vector<StoreColumn>& columns) {
  std::string out = fmt::format("s.{0} = d.{0}", kHashColumn);
  for (const StoreColumn& column : columns)
    out += fmt::format(" AND s.{0} IS NOT DISTINCT FROM d.{0}", quote_identifier(column.name));
  return out;
}

std::string in_range(const StoreSql::Range& range) {
  return fmt::format("{0} >= {1}::UBIGINT AND {0} <= {2}::UBIGINT", kHashColumn, range.first,
                     range.last);
}

}  // namespace

StoreSql::StoreSql(const StoreSpec& of, std::int64_t id)
    : spec(of),
      recent(internal('s', id)),
      base(internal('b', id)),
      dead(internal('d', id)),
      content(internal('c', id)),
      counted(fmt::format("temp.main.pgweir_counted_{}", id)),
      found_recent(fmt::format("pgweir_found_recent_{}", id)),
      found_dead(fmt::format("pgweir_found_dead_{}", id)),
      from_base(fmt::format("pgweir_from_base_{}", id)) {}

std::vector<StoreColumn> StoreSql::identity() const {
  if (!spec.unique) return spec.columns;
  std::vector<StoreColumn> columns;
  for (const std::uint32_t column : spec.key) columns.push_back(spec.columns[column]);
  return columns;
}

std::string StoreSql::removals(const std::string& delta) const {
  return fmt::format("(SELECT * FROM {} WHERE {} < 0)", delta, kWeightColumn);
}

// (Why the hash is wrapped: engine/prepared_sql.h.)
std::string StoreSql::distinct_rows(const std::string& from) const {
  return fmt::format(
      "(SELECT {0}, coalesce({1}, 0) AS {1} FROM (SELECT DISTINCT {0}, {1} FROM {2}))",
      list_of(spec.columns), kHashColumn, from);
}

std::string StoreSql::create_recent() const {
  return fmt::format("CREATE TABLE {} ({})", recent,
                     pending_definition_of(spec.columns, spec.key.empty() ? "" : kUncompressed));
}

std::string StoreSql::create_large_tables() const {
  return fmt::format("CREATE TABLE {} ({}); CREATE TABLE {} ({})", base,
                     definition_of(spec.columns), dead,
                     pending_definition_of(identity(), kUncompressed));
}

std::string StoreSql::create_counted() const {
  return fmt::format("CREATE OR REPLACE TEMP TABLE {} ({}, pgweir_source TINYINT)", counted,
                     definition_of(spec.columns));
}

std::string StoreSql::create_content(bool large) const {
  const std::string columns = list_of(spec.columns);
  if (!large)
    return fmt::format("CREATE OR REPLACE VIEW {} AS SELECT {}, {} FROM {}", content, columns,
                       kHashColumn, recent);
  return fmt::format(
      "CREATE OR REPLACE VIEW {0} AS SELECT {1}, {2} FROM {3} AS s ANTI JOIN {4} AS d ON {5} "
      "UNION ALL SELECT {1}, {2} FROM {6}",
      content, columns, kHashColumn, base, dead, same_row(identity()), recent);
}

std::string StoreSql::live_base(const std::string& keys) const {
  return live_rows(base, keys);
}

std::string StoreSql::live_rows(const std::string& base_rows, const std::string& keys) const {
  return fmt::format(
      "SELECT {0}, s.{1} FROM {2} AS s ANTI JOIN (SELECT d.* FROM {3} AS d JOIN ({4}) AS "
      "pgweir_wanted ON d.{1} = pgweir_wanted.{1}) AS d ON {5}",
      list_of(spec.columns, "s."), kHashColumn, base_rows, dead, keys, same_row(identity()));
}

std::string StoreSql::lookup(const std::string& keys) const {
  return lookup_read(base, keys);
}

std::string StoreSql::lookup_read(const std::string& base_rows, const std::string& keys) const {
  return fmt::format("({} UNION ALL SELECT {}, {} FROM {})", live_rows(base_rows, keys),
                     list_of(spec.columns), kHashColumn, recent);
}

std::string StoreSql::found_rows(const std::string& table, const std::string& found) const {
  return fmt::format(
      "SELECT s.* FROM {0} AS s JOIN temp.main.{1} AS f ON s.{2} = f.{2} AND s.{3} = f.{3}", table,
      found, kRunColumn, kHashColumn);
}

std::string StoreSql::lookup_found(const std::string& base_rows) const {
  return fmt::format(
      "(SELECT {0}, s.{1} FROM {2} AS s ANTI JOIN ({3}) AS d ON {4} UNION ALL SELECT {5}, {1} FROM "
      "({6}))",
      list_of(spec.columns, "s."), kHashColumn, base_rows, found_rows(dead, found_dead),
      same_row(identity()), list_of(spec.columns), found_rows(recent, found_recent));
}

std::string StoreSql::create_from_base() const {
  return fmt::format("CREATE OR REPLACE TEMP TABLE {} ({})", from_base,
                     definition_of(spec.columns));
}

// (The condition on n is always true: a filter on the small side makes DuckDB push a Bloom filter
// of its keys into the scan of the large one.)
std::string StoreSql::read_base(const std::string& wanted, std::uint64_t rows_max) const {
  return fmt::format(
      "SELECT {0}, s.{1} FROM {2} AS s JOIN (SELECT * FROM {3} WHERE n >= 0) AS w ON s.{1} = w.{1} "
      "LIMIT {4}",
      list_of(spec.columns, "s."), kHashColumn, base, wanted, rows_max);
}

std::string StoreSql::load(const std::string& table, const std::string& select) const {
  return fmt::format(
      "INSERT INTO {0} ({1}, {2}) SELECT {1}, {3} AS pgweir_h FROM ({4}\n) AS t({1}){5}", table,
      list_of(spec.columns), kHashColumn, hash_of(spec), select,
      spec.key.empty() ? "" : " ORDER BY pgweir_h");
}

std::string StoreSql::load_range(const std::string& table, const Range& range) const {
  return fmt::format(
      "INSERT INTO {0} ({1}, {2}) SELECT * FROM (SELECT {1}, {3} AS {2} FROM {4}) WHERE {5} "
      "ORDER BY {2}",
      base, list_of(spec.columns), kHashColumn, hash_of(spec), table, in_range(range));
}

std::string StoreSql::numbers_of_ranges(const std::string& table, std::uint64_t width,
                                        std::uint64_t count) const {
  return fmt::format(
      "SELECT DISTINCT CAST(least({} // {}::UBIGINT, {}::UBIGINT) AS BIGINT) AS pgweir_range FROM "
      "{} ORDER BY pgweir_range",
      hash_of(spec), width, count - 1, table);
}

std::string StoreSql::renew_base() const {
  return fmt::format("CREATE OR REPLACE TABLE {} ({})", base, definition_of(spec.columns));
}

std::string StoreSql::move_all(const std::string& from, const std::string& to) const {
  return fmt::format("INSERT INTO {0} ({1}, {2}) SELECT {1}, {2} FROM {3}; DELETE FROM {3}", to,
                     list_of(spec.columns), kHashColumn, from);
}

std::string StoreSql::row_bytes_of(const std::vector<std::string>& tables) const {
  constexpr int kSampledRows = 1000, kBytesOfNumber = 16;
  std::string bytes = std::to_string(kBytesOfNumber);  // the hash
  for (const StoreColumn& column : spec.columns) {
    const std::string name = quote_identifier(column.name);
    const bool is_number = column.type != "BLOB" && !column.type.starts_with("VARCHAR") &&
                           !column.type.ends_with("]") && !column.type.ends_with(")");
    if (column.type == "BLOB") {
      bytes += fmt::format(" + coalesce(octet_length({}), 0)", name);
    } else if (is_number || column.type.starts_with("DECIMAL")) {
      bytes += fmt::format(" + {}", kBytesOfNumber);
    } else {
      bytes += fmt::format(" + coalesce(strlen(CAST({} AS VARCHAR)), 0)", name);
    }
  }
  std::string sample;
  for (const std::string& table : tables)
    sample += fmt::format("{}(SELECT {} FROM {} LIMIT {})", sample.empty() ? "" : " UNION ALL ",
                          list_of(spec.columns), table, kSampledRows);
  return fmt::format("SELECT CAST(coalesce(avg({}), 0) AS BIGINT) FROM ({})", bytes, sample);
}

// --- Deltas -----------------------------------------------------------------------------------

std::string StoreSql::identity_hash() const {
  if (spec.unique) return kHashColumn;
  return fmt::format("hash({})", list_of(spec.columns));
}

std::string StoreSql::create_found() const {
  std::string out;
  for (const std::string& table : {found_recent, found_dead})
    out += fmt::format("CREATE OR REPLACE TEMP TABLE {} ({} UBIGINT, {} INTEGER);", table,
                       kHashColumn, kRunColumn);
  return out;
}

std::string StoreSql::read_pending(const std::string& table) const {
  return fmt::format("SELECT {}, {} FROM {}", identity_hash(), kRunColumn, table);
}

std::string StoreSql::last_run(const std::string& table) const {
  return fmt::format("SELECT CAST(coalesce(max({}), -1) AS BIGINT) FROM {}", kRunColumn, table);
}

std::string StoreSql::count_rows(const std::string& delta) const {
  return fmt::format("SELECT count(*) FILTER (WHERE {} < 0), count(*) FROM {}", kWeightColumn,
                     delta);
}

std::string StoreSql::read_delta(const std::string& delta) const {
  return fmt::format("SELECT {}, {}, {} < 0 FROM {}", kHashColumn, identity_hash(), kWeightColumn,
                     delta);
}

std::string StoreSql::add(const std::string& delta, std::int64_t run) const {
  return fmt::format("INSERT INTO {} SELECT {}, {}, {} FROM {} WHERE {} > 0", recent,
                     list_of(spec.columns), kHashColumn, run, delta, kWeightColumn);
}

std::string StoreSql::remove_recent(const std::string& delta, Removal how) const {
  if (how == Removal::kFound)
    return fmt::format(
        "DELETE FROM {0} AS s USING (SELECT d.*, f.{1} FROM {2} AS d JOIN temp.main.{3} AS f ON "
        "d.{4} = f.{4}) AS d WHERE s.{1} = d.{1} AND {5}",
        recent, kRunColumn, removals(delta), found_recent, kHashColumn, found_row(identity()));
  if (!is_bag())
    return fmt::format(
        "DELETE FROM {} AS s USING {} AS d WHERE {}", recent, removals(delta),
        how == Removal::kMany && !spec.unique ? same_row(identity()) : found_row(identity()));
  // As many of the equal rows as the delta takes away.
  return fmt::format(
      "DELETE FROM {0} AS s USING (SELECT pgweir_rid, pgweir_h FROM (SELECT s.rowid AS "
      "pgweir_rid, s.{3} AS pgweir_h, row_number() OVER (PARTITION BY d.pgweir_n) AS "
      "pgweir_place, d.pgweir_copies FROM {0} AS s JOIN (SELECT {1}, pgweir_copies, "
      "coalesce({3}, 0) AS {3}, row_number() OVER () AS pgweir_n FROM (SELECT {1}, {3}, count(*) "
      "AS pgweir_copies FROM {2} WHERE {4} < 0 GROUP BY ALL)) AS d ON {5}) WHERE pgweir_place <= "
      "pgweir_copies) AS gone WHERE s.{3} = gone.pgweir_h "
      "AND {6}",
      recent, list_of(spec.columns), delta, kHashColumn, kWeightColumn, found_row(spec.columns),
      beside_hash("s.rowid = gone.pgweir_rid"));
}

std::string StoreSql::add_dead(const std::string& delta, Removal how, std::int64_t run) const {
  const std::string same = same_row(identity());
  const std::string are_recent =
      how == Removal::kFound
          ? found_rows(recent, found_recent)
          : fmt::format("SELECT s.* FROM {} AS s JOIN {} AS d ON {}", recent, removals(delta),
                        how == Removal::kMany && !spec.unique
                            ? same
                            : fmt::format("s.{0} = d.{0}", kHashColumn));
  return fmt::format("INSERT INTO {} SELECT {}, s.{}, {} FROM {} AS s ANTI JOIN ({}) AS d ON {}",
                     dead, list_of(identity(), "s."), kHashColumn, run, removals(delta), are_recent,
                     same);
}

std::string StoreSql::count_base_copies(const std::string& delta) const {
  const std::string keys =
      fmt::format("SELECT {} FROM {} WHERE {} < 0", kHashColumn, delta, kWeightColumn);
  return fmt::format("INSERT INTO {} SELECT {}, s.{}, 1 FROM ({}) AS s JOIN {} AS d ON {}", counted,
                     list_of(spec.columns, "s."), kHashColumn, live_base(keys),
                     distinct_rows(removals(delta)), found_row(spec.columns));
}

std::string StoreSql::count_recent_copies(const std::string& delta) const {
  return fmt::format("INSERT INTO {} SELECT {}, s.{}, 0 FROM {} AS s JOIN {} AS d ON {}", counted,
                     list_of(spec.columns, "s."), kHashColumn, recent,
                     distinct_rows(removals(delta)), found_row(spec.columns));
}

std::string StoreSql::count_taken_copies(const std::string& delta) const {
  return fmt::format("INSERT INTO {} SELECT {}, {}, -1 FROM {}", counted, list_of(spec.columns),
                     kHashColumn, removals(delta));
}

std::string StoreSql::add_dead_copies() const {
  return fmt::format(
      "INSERT INTO {0} ({1}, {2}) SELECT DISTINCT {1}, {2} FROM {3} WHERE pgweir_source = 1", dead,
      list_of(spec.columns), kHashColumn, counted);
}

std::string StoreSql::remove_recent_copies() const {
  return fmt::format("DELETE FROM {} AS s USING {} AS d WHERE {}", recent,
                     distinct_rows(counted + " WHERE pgweir_source = 0"), found_row(spec.columns));
}

std::string StoreSql::add_remaining_copies() const {
  return fmt::format(
      "INSERT INTO {0} ({1}, {2}) SELECT {1}, {2} FROM (SELECT {1}, {2}, "
      "unnest(range(CAST(sum(CASE WHEN "
      "pgweir_source < 0 THEN -1 ELSE 1 END) AS BIGINT))) FROM {3} GROUP BY {1}, {2})",
      recent, list_of(spec.columns), kHashColumn, counted);
}

// --- Ranges -----------------------------------------------------------------------------------

// The content of a range of hashes.
std::string StoreSql::content_in(const Range& range) const {
  const std::string where = in_range(range);
  return fmt::format(
      "SELECT {0}, s.{1} FROM (SELECT * FROM {2} WHERE {3}) AS s ANTI JOIN (SELECT * FROM {4} "
      "WHERE {3}) AS d ON {5} UNION ALL SELECT {6}, {1} FROM {7} WHERE {3}",
      list_of(spec.columns, "s."), kHashColumn, base, where, dead, same_row(identity()),
      list_of(spec.columns), recent);
}

std::string StoreSql::rows_in(const Range& range) const {
  return fmt::format("SELECT count(*), coalesce(max(rowid), 0) FROM {} WHERE {}", base,
                     in_range(range));
}

std::string StoreSql::count_dead(const Range& range) const {
  return fmt::format("SELECT count(*) FROM {} WHERE {}", dead, in_range(range));
}

std::string StoreSql::read_pending_in(const std::string& table, const Range& range) const {
  return fmt::format("{} WHERE {}", read_pending(table), in_range(range));
}

std::string StoreSql::count_content(const Range& range) const {
  return fmt::format("SELECT count(*) FROM ({})", content_in(range));
}

std::string StoreSql::rewrite(const Range& range) const {
  return fmt::format("INSERT INTO {} SELECT * FROM ({}) ORDER BY {}", base, content_in(range),
                     kHashColumn);
}

std::string StoreSql::delete_old(const Range& range, std::int64_t rowid_max) const {
  return fmt::format("DELETE FROM {} WHERE {} AND rowid <= {}", base, in_range(range), rowid_max);
}

std::string StoreSql::delete_range(const std::string& table, const Range& range) const {
  return fmt::format("DELETE FROM {} WHERE {}", table, in_range(range));
}

}  // namespace pgweir::engine
