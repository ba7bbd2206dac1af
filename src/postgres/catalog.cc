#include "postgres/catalog.h"

#include <fmt/core.h>

#include <algorithm>

#include "postgres/table_pattern.h"

namespace pgweir::postgres {
namespace {
using model::Column;
using model::Table;

constexpr std::uint32_t kTextOid = 25;
constexpr std::int64_t kFirstOtherOid = 10'000;  // types below it are PostgreSQL's own everywhere
constexpr std::int64_t kPageBytes = 8192;

// One row a column, in the order of pgoutput's messages. A deferrable primary key is none: within a
// transaction two rows may have it, so it cannot tell rows apart. A table without columns has one
// row with NULLs. {} takes a restriction by the publications' column lists.
constexpr const char* kReadTables = R"(
WITH wanted AS (SELECT id, pos FROM unnest($1::oid[]) WITH ORDINALITY AS w(id, pos))
SELECT c.oid, n.nspname, c.relname, c.relreplident,
       a.attname, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       base.oid,
       (SELECT k.pos FROM unnest(pk.indkey) WITH ORDINALITY AS k(att, pos)
         WHERE k.att = a.attnum AND k.pos <= pk.indnkeyatts) AS key_position,
       c.relreplident = 'f' OR EXISTS (
         SELECT 1 FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(att, pos)
          WHERE i.indrelid = c.oid AND k.att = a.attnum AND k.pos <= i.indnkeyatts
            AND i.indisvalid AND i.indimmediate
            AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident
                     ELSE false END) AS in_identity,
       pk.indnkeyatts
  FROM wanted w
  JOIN pg_class c ON c.oid = w.id
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_index pk ON pk.indrelid = c.oid AND pk.indisprimary AND pk.indisvalid
                       AND pk.indimmediate
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                          AND a.attgenerated = '' {}
  LEFT JOIN LATERAL (
    WITH RECURSIVE under(oid, typtype, typbasetype) AS (
      SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
      UNION ALL
      SELECT t.oid, t.typtype, t.typbasetype FROM under u JOIN pg_type t ON t.oid = u.typbasetype
       WHERE u.typtype = 'd')
    SELECT u.oid FROM under u WHERE u.typtype <> 'd') base ON true
 ORDER BY w.pos, a.attnum)";

constexpr const char* kColumnLists = R"(
  AND (NOT EXISTS (SELECT 1 FROM pg_publication_tables p WHERE p.pubname = ANY ($2::text[])
                      AND p.schemaname = n.nspname AND p.tablename = c.relname)
       OR EXISTS (SELECT 1 FROM pg_publication_tables p WHERE p.pubname = ANY ($2::text[])
                      AND p.schemaname = n.nspname AND p.tablename = c.relname
                      AND a.attname = ANY (p.attnames))))";

// Every relation that a pattern could mean. A leaf without a usable identity makes PostgreSQL
// refuse its UPDATEs whatever the root says, so a root needs all of them.
constexpr const char* kListTables = R"(
WITH identity AS (
  SELECT c.oid,
         EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
                    AND i.indisvalid AND i.indimmediate) AS has_key,
         c.relreplident = 'f' OR EXISTS (
           SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
              AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident
                       ELSE false END) AS usable
    FROM pg_class c WHERE c.relkind IN ('r', 'p'))
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relreplident, c.relispartition, c.relpersistence,
       i.has_key,
       i.usable AND (c.relkind = 'r' OR NOT EXISTS (
         SELECT 1 FROM pg_partition_tree(c.oid) leaf JOIN identity li ON li.oid = leaf.relid
          WHERE leaf.isleaf AND leaf.relid <> c.oid AND NOT li.usable)),
       CASE WHEN c.relkind = 'p' THEN (SELECT sum(greatest(l.reltuples, 0))
              FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid AND t.isleaf)
            ELSE c.reltuples END::int8,
       CASE WHEN c.relkind = 'p' THEN (SELECT sum(l.relpages)
              FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid AND t.isleaf)
            ELSE c.relpages END::int8,
       CASE WHEN c.relispartition THEN (
         SELECT quote_ident(rn.nspname) || '.' || quote_ident(r.relname)
           FROM pg_class r JOIN pg_namespace rn ON rn.oid = r.relnamespace
          WHERE r.oid = pg_partition_root(c.oid)) END
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN identity i ON i.oid = c.oid
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND n.nspname NOT LIKE 'pg\_toast%' AND n.nspname NOT LIKE 'pg\_temp\_%'
 ORDER BY n.nspname, c.relname)";

Column column_of(const QueryResult& rows, int row) {
  Column column;
  column.name = rows.text(row, 4);
  column.type = model::Oid{static_cast<std::uint32_t>(rows.integer(row, 5))};
  column.type_modifier = static_cast<std::int32_t>(rows.integer(row, 6));
  column.type_name = rows.text(row, 7);
  column.not_null = rows.boolean(row, 8);
  const std::int64_t base = rows.integer(row, 9);
  column.base_type =
      model::Oid{base > 0 && base < kFirstOtherOid ? static_cast<std::uint32_t>(base) : kTextOid};
  column.in_key = rows.boolean(row, 11);
  return column;
}

// Why a relation that a pattern names is not captured; "" when it is.
std::string why_not(const QueryResult& rows, int row) {
  const std::string_view kind = rows.text(row, 3);
  if (kind == "v") return "is a view";
  if (kind == "m") return "is a materialized view";
  if (kind == "f") return "is a foreign table";
  if (rows.boolean(row, 5))
    return fmt::format("is a partition of {}: name that instead", rows.text(row, 11));
  if (rows.text(row, 6) == "u") return "is unlogged: PostgreSQL does not replicate it";
  if (rows.text(row, 6) == "t") return "is temporary: PostgreSQL does not replicate it";
  return {};
}

CapturedTable captured(const QueryResult& rows, int row) {
  CapturedTable table;
  table.id = model::Oid{static_cast<std::uint32_t>(rows.integer(row, 0))};
  table.schema = rows.text(row, 1);
  table.name = rows.text(row, 2);
  table.partitioned = rows.text(row, 3) == "p";
  table.replica_identity = model::ReplicaIdentity{rows.text(row, 4)[0]};
  table.has_primary_key = rows.boolean(row, 7);
  table.usable_identity = rows.boolean(row, 8);
  table.estimated_rows = rows.is_null(row, 9) ? -1 : rows.integer(row, 9);
  table.bytes = rows.integer(row, 10) * kPageBytes;
  return table;
}

Result<std::vector<TablePattern>> parse_all(std::span<const std::string> texts) {
  std::vector<TablePattern> out;
  for (const std::string& text : texts) {
    TRY_ASSIGN(TablePattern pattern, TablePattern::parse(text));
    out.push_back(std::move(pattern));
  }
  return out;
}

}  // namespace

Result<std::vector<Table>> read_tables(Connection& connection, std::span<const model::Oid> ids,
                                       std::span<const std::string> publications) {
  std::string list = "{";
  for (const model::Oid id : ids)
    list += (list.size() > 1 ? "," : "") + std::to_string(model::value(id));
  list += "}";
  std::vector<std::string> parameters = {list};
  const bool column_lists = !publications.empty() && connection.server_version() >= 150000;
  if (column_lists) parameters.push_back(array_literal(publications));
  TRY_ASSIGN(const QueryResult rows, connection.query(fmt::format(fmt::runtime(kReadTables),
                                                                  column_lists ? kColumnLists : ""),
                                                      parameters));
  std::vector<Table> tables;
  std::vector<std::pair<std::int64_t, std::uint32_t>> keys;  // position in the key, column
  for (int row = 0; row < rows.row_count(); ++row) {
    const auto id = model::Oid{static_cast<std::uint32_t>(rows.integer(row, 0))};
    if (tables.empty() || tables.back().id != id) {
      Table table;
      table.id = id;
      table.schema = rows.text(row, 1);
      table.name = rows.text(row, 2);
      table.replica_identity = model::ReplicaIdentity{rows.text(row, 3)[0]};
      tables.push_back(std::move(table));
      keys.clear();
    }
    if (rows.is_null(row, 4)) continue;
    Table& table = tables.back();
    table.columns.push_back(column_of(rows, row));
    if (rows.is_null(row, 10)) continue;
    keys.emplace_back(rows.integer(row, 10), static_cast<std::uint32_t>(table.columns.size() - 1));
    std::sort(keys.begin(), keys.end());
    table.primary_key.clear();
    // A key of which a column list leaves some columns out identifies nothing.
    if (static_cast<std::int64_t>(keys.size()) != rows.integer(row, 12)) continue;
    for (const auto& [position, column] : keys) table.primary_key.push_back(column);
  }
  return tables;
}

Result<ExpandedTables> expand_tables(Connection& connection, std::span<const std::string> include,
                                     std::span<const std::string> exclude) {
  TRY_ASSIGN(const auto wanted, parse_all(include));
  TRY_ASSIGN(const auto unwanted, parse_all(exclude));
  TRY_ASSIGN(const QueryResult rows, connection.query(kListTables));
  ExpandedTables out;
  std::vector<bool> matched(wanted.size());
  std::vector<std::string> reasons(wanted.size());
  for (int row = 0; row < rows.row_count(); ++row) {
    const auto hits = [&](const TablePattern& pattern) {
      return pattern.matches(rows.text(row, 1), rows.text(row, 2));
    };
    const std::string reason = why_not(rows, row);
    const bool excluded = std::any_of(unwanted.begin(), unwanted.end(), hits);
    bool take = false;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (!hits(wanted[i])) continue;
      if (reason.empty() && !excluded) {
        matched[i] = take = true;
      } else {
        reasons[i] = excluded ? "is excluded" : reason;
      }
    }
    if (take) out.tables.push_back(captured(rows, row));
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (matched[i]) continue;
    out.unmatched.push_back({wanted[i].text(), wanted[i].is_exact() ? reasons[i] : ""});
  }
  return out;
}

Result<bool> pattern_matches(std::string_view pattern, std::string_view schema,
                             std::string_view name) {
  TRY_ASSIGN(const TablePattern parsed, TablePattern::parse(pattern));
  return parsed.matches(schema, name);
}

}  // namespace pgweir::postgres
