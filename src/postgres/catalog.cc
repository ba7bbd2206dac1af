#include "postgres/catalog.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>

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
// row with NULLs. {} takes restrictions by generation and by the publications' column lists.
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
       pk.indnkeyatts, a.attnum, a.xmin,
       CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1]
            WHEN c.relkind = 'p' THEN (
              SELECT (m.attmissingval::text::text[])[1]
                FROM pg_partition_tree(c.oid) t JOIN pg_attribute m ON m.attrelid = t.relid
               WHERE m.attname = a.attname AND m.atthasmissing LIMIT 1) END,
       c.relfilenode, c.relnatts, c.relkind,
       format_type(base.oid, NULL), base.typmod, element.oid, element.underlying,
       format_type(element.underlying, NULL),
       (SELECT string_agg(replace(replace(e.enumlabel, chr(92), repeat(chr(92), 2)), chr(10),
                                  chr(92) || 'n'), chr(10) ORDER BY e.enumsortorder)
          FROM pg_enum e WHERE e.enumtypid = coalesce(element.underlying, base.oid)),
       CASE WHEN a.attgenerated = '' THEN (
         SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
          WHERE d.adrelid = c.oid AND d.adnum = a.attnum) END
  FROM wanted w
  JOIN pg_class c ON c.oid = w.id
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_index pk ON pk.indrelid = c.oid AND pk.indisprimary AND pk.indisvalid
                       AND pk.indimmediate
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                          {}
  LEFT JOIN LATERAL (
    WITH RECURSIVE under(oid, typtype, typbasetype, typmod) AS (
      SELECT t.oid, t.typtype, t.typbasetype, a.atttypmod FROM pg_type t WHERE t.oid = a.atttypid
      UNION ALL
      SELECT t.oid, t.typtype, t.typbasetype, d.typtypmod
        FROM under u JOIN pg_type d ON d.oid = u.oid JOIN pg_type t ON t.oid = u.typbasetype
       WHERE u.typtype = 'd')
    SELECT u.oid, u.typmod FROM under u WHERE u.typtype <> 'd') base ON true
  LEFT JOIN LATERAL (
    SELECT e.oid, CASE WHEN e.typtype = 'd' THEN e.typbasetype ELSE e.oid END AS underlying
      FROM pg_type t JOIN pg_type e ON e.oid = t.typelem
     WHERE t.oid = base.oid AND t.typcategory = 'A') element ON true
 ORDER BY w.pos, a.attnum)";

constexpr const char* kNotGenerated = "AND a.attgenerated = ''";

// From 18 on a publication may send stored generated columns, and says which.
constexpr const char* kGeneratedIfPublished = R"(
  AND (a.attgenerated = '' OR a.attgenerated = 's' AND EXISTS (
        SELECT 1 FROM pg_publication_tables p WHERE p.pubname = ANY ($2::text[])
           AND p.schemaname = n.nspname AND p.tablename = c.relname
           AND a.attname = ANY (p.attnames))))";

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
         (c.relreplident = 'f' OR EXISTS (
           SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
              AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident
                       ELSE false END)){} AS usable
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
          WHERE r.oid = pg_partition_root(c.oid)) END,
       root.nspname, root.relname
  FROM pg_class c
  LEFT JOIN LATERAL (SELECT rn.nspname, r.relname FROM pg_class r
                       JOIN pg_namespace rn ON rn.oid = r.relnamespace
                      WHERE c.relispartition AND r.oid = pg_partition_root(c.oid)) root ON true
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN identity i ON i.oid = c.oid
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND n.nspname NOT LIKE 'pg\_toast%' AND n.nspname NOT LIKE 'pg\_temp\_%'
 ORDER BY n.nspname, c.relname)";

// From 18 on PostgreSQL refuses UPDATE and DELETE, too, when the identity has generated columns
// that are not published.
constexpr const char* kNoneUnpublished = R"( AND NOT EXISTS (
           SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> ''
              AND NOT a.attisdropped
              AND (c.relreplident = 'f' OR EXISTS (
                SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey)
                   AND CASE c.relreplident WHEN 'd' THEN i.indisprimary
                            WHEN 'i' THEN i.indisreplident ELSE false END))
              AND NOT EXISTS (
                SELECT 1 FROM pg_publication_tables p JOIN pg_class t ON t.relname = p.tablename
                  JOIN pg_namespace s ON s.oid = t.relnamespace AND s.nspname = p.schemaname
                 WHERE t.oid IN (c.oid, pg_partition_root(c.oid))
                   AND a.attname = ANY (p.attnames))))";

// The members of partitioned tables' trees. One that was made as a partition has its row of
// pg_inherits from the transaction that made it, which also made its row type; and columns from the
// same command as that: ATTACH, which may come in the same transaction, changes all of them. The
// function looks at the catalog as it is: what this query does not see attached comes with the
// next.
constexpr const char* kReadPartitions = R"(
SELECT w.id, c.oid, c.relfilenode, i.xmin = y.xmin AND EXISTS (
         SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
            AND a.xmin = y.xmin AND a.cmin = y.cmin), i.xmin
  FROM unnest($1::oid[]) AS w(id), pg_partition_tree(w.id) AS t
  JOIN pg_class c ON c.oid = t.relid
  LEFT JOIN pg_type y ON y.oid = c.reltype
  JOIN pg_inherits i ON i.inhrelid = t.relid
 WHERE c.oid <> w.id ORDER BY c.oid)";

// Publications that have a table without a filter let all of its rows through.
constexpr const char* kReadFilters = R"(
SELECT c.oid, CASE WHEN bool_and(p.rowfilter IS NOT NULL)
                   THEN string_agg(DISTINCT '(' || p.rowfilter || ')', ' OR ') END
  FROM unnest($1::oid[]) AS w(id)
  JOIN pg_class c ON c.oid = w.id
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_publication_tables p ON p.schemaname = n.nspname AND p.tablename = c.relname
  JOIN pg_publication b ON b.pubname = p.pubname AND b.pubinsert
 WHERE p.pubname = ANY ($2::text[])
   AND EXISTS (SELECT 1 FROM pg_publication_rel r WHERE r.prqual IS NOT NULL)
 GROUP BY c.oid)";

// For each table, what has it, an ancestor or a partition in a publication: the row that does, and
// the publication's last change. Before 15 we change it ourselves, for nothing but its walsender.
// Publications with updates and deletes count alone, where there is one.
constexpr const char* kReadPublishers = R"(
WITH publisher AS (
  SELECT p.oid, p.puballtables, p.pubupdate AND p.pubdelete AS full, CASE WHEN {0} THEN p.xmin::text::int8 ELSE 0 END << 32 AS changed
    FROM pg_publication p WHERE p.pubname = ANY ($2::text[])
), member AS (
  SELECT r.prrelid AS relid, p.full, p.changed | r.oid::int8 AS id
    FROM pg_publication_rel r JOIN publisher p ON p.oid = r.prpubid
  UNION ALL SELECT c.oid, p.full, p.changed | p.oid::int8
    FROM publisher p, pg_class c WHERE p.puballtables AND c.relkind IN ('r', 'p'){1}
)
SELECT tree.root, tree.whole, m.id, m.full
  FROM (SELECT w.id, w.id, true FROM unnest($1::oid[]) AS w(id)
        UNION SELECT w.id, a.relid, true
          FROM unnest($1::oid[]) AS w(id), pg_partition_ancestors(w.id) AS a(relid)
        UNION SELECT w.id, t.relid, false
          FROM unnest($1::oid[]) AS w(id), pg_partition_tree(w.id) AS t WHERE t.relid <> w.id)
       AS tree(root, relid, whole)
  JOIN member m ON m.relid = tree.relid ORDER BY tree.root, m.id)";

constexpr const char* kPublishedSchemas = R"(
  UNION ALL SELECT c.oid, p.full, p.changed | s.oid::int8
    FROM pg_publication_namespace s JOIN publisher p ON p.oid = s.pnpubid
    JOIN pg_class c ON c.relnamespace = s.pnnspid AND c.relkind IN ('r', 'p'))";

std::uint32_t number_of(const QueryResult& rows, int row, int column) {
  return static_cast<std::uint32_t>(rows.integer(row, column));
}

model::Oid built_in(std::int64_t type) {
  return model::Oid{type > 0 && type < kFirstOtherOid ? static_cast<std::uint32_t>(type)
                                                      : kTextOid};
}

// Lines, in which "\\" is a backslash and "\n" a newline.
std::vector<std::string> labels_of(std::string_view lines) {
  std::vector<std::string> labels(1);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i] == '\n') {
      labels.emplace_back();
    } else if (lines[i] == '\\' && i + 1 < lines.size()) {
      labels.back() += lines[++i] == 'n' ? '\n' : lines[i];
    } else {
      labels.back() += lines[i];
    }
  }
  return labels;
}

model::TypeFacts type_facts_of(const QueryResult& rows, int row) {
  model::TypeFacts facts;
  facts.name = rows.text(row, 19);
  facts.modifier = static_cast<std::int32_t>(rows.integer(row, 20));
  if (!rows.is_null(row, 21)) {
    facts.element = built_in(rows.integer(row, 22));
    facts.element_name = rows.text(row, 23);
  }
  if (!rows.is_null(row, 24)) facts.labels = labels_of(rows.text(row, 24));
  return facts;
}

Column column_of(const QueryResult& rows, int row) {
  Column column;
  column.name = rows.text(row, 4);
  column.type = model::Oid{static_cast<std::uint32_t>(rows.integer(row, 5))};
  column.type_modifier = static_cast<std::int32_t>(rows.integer(row, 6));
  column.type_name = rows.text(row, 7);
  column.not_null = rows.boolean(row, 8);
  column.base_type = built_in(rows.integer(row, 9));
  column.in_key = rows.boolean(row, 11);
  column.number = static_cast<std::int16_t>(rows.integer(row, 13));
  column.revision = number_of(rows, row, 14);
  if (!rows.is_null(row, 15)) column.missing = rows.text(row, 15);
  column.facts = type_facts_of(rows, row);
  if (!rows.is_null(row, 25)) column.default_value = rows.text(row, 25);
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

Status read_filters(Connection& connection, const std::vector<std::string>& parameters,
                    std::vector<Table>& tables) {
  TRY_ASSIGN(const QueryResult filters, connection.query(kReadFilters, parameters));
  for (int row = 0; row < filters.row_count(); ++row) {
    if (filters.is_null(row, 1)) continue;
    const auto id = model::Oid{number_of(filters, row, 0)};
    for (Table& table : tables) {
      if (table.id == id) table.row_filter = filters.text(row, 1);
    }
  }
  return {};
}

std::string list_of(std::span<const model::Oid> ids) {
  std::string list = "{";
  for (const model::Oid id : ids)
    list += (list.size() > 1 ? "," : "") + std::to_string(model::value(id));
  return list + "}";
}

}  // namespace

Result<Publishers> read_publishers(Connection& connection, std::span<const model::Oid> ids,
                                   std::span<const std::string> publications) {
  const bool later = connection.server_version() >= 150000;
  TRY_ASSIGN(const QueryResult rows,
             connection.query(fmt::format(fmt::runtime(kReadPublishers), later ? "true" : "false",
                                          later ? kPublishedSchemas : ""),
                              {list_of(ids), array_literal(publications)}));
  struct Found {
    std::set<std::uint64_t> whole;
    std::set<std::uint64_t> parts;  // of partitions
  };
  std::map<std::uint32_t, Found> full, others;
  for (int row = 0; row < rows.row_count(); ++row) {
    Found& table = (rows.boolean(row, 3) ? full : others)[number_of(rows, row, 0)];
    (rows.boolean(row, 1) ? table.whole : table.parts)
        .insert(static_cast<std::uint64_t>(rows.integer(row, 2)));
  }
  full.merge(others);
  Publishers out;
  for (const auto& [id, table] : full) {
    if (!table.whole.empty()) {
      out[id].assign(table.whole.begin(), table.whole.end());
      continue;
    }
    // Each has rows of its own, so that it takes all of them (FNV-1a, by words).
    std::uint64_t all = 0xcbf29ce484222325;
    for (const std::uint64_t each : table.parts) all = (all ^ each) * 0x100000001b3;
    out[id] = {all};
  }
  return out;
}

Result<std::vector<Table>> read_tables(Connection& connection, std::span<const model::Oid> ids,
                                       std::span<const std::string> publications) {
  std::vector<std::string> parameters = {list_of(ids)};
  const bool column_lists = !publications.empty() && connection.server_version() >= 150000;
  if (column_lists) parameters.push_back(array_literal(publications));
  const bool sends_generated = column_lists && connection.server_version() >= 180000;
  const std::string restriction =
      std::string(sends_generated ? kGeneratedIfPublished : kNotGenerated) +
      (column_lists ? kColumnLists : "");
  TRY_ASSIGN(const QueryResult rows,
             connection.query(fmt::format(fmt::runtime(kReadTables), restriction), parameters));
  std::vector<Table> tables;
  std::vector<model::Oid> partitioned;
  std::vector<std::pair<std::int64_t, std::uint32_t>> keys;  // position in the key, column
  for (int row = 0; row < rows.row_count(); ++row) {
    const auto id = model::Oid{static_cast<std::uint32_t>(rows.integer(row, 0))};
    if (tables.empty() || tables.back().id != id) {
      Table table;
      table.id = id;
      table.schema = rows.text(row, 1);
      table.name = rows.text(row, 2);
      table.replica_identity = model::ReplicaIdentity{rows.text(row, 3)[0]};
      table.storage = number_of(rows, row, 16);
      table.numbers_max = static_cast<std::int16_t>(rows.integer(row, 17));
      if (rows.text(row, 18) == "p") partitioned.push_back(id);
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
  if (column_lists) TRY(read_filters(connection, parameters, tables));
  if (!publications.empty()) {
    TRY_ASSIGN(auto publishers, read_publishers(connection, ids, publications));
    for (Table& table : tables) table.published_by = std::move(publishers[model::value(table.id)]);
  }
  if (partitioned.empty()) return tables;
  TRY_ASSIGN(const QueryResult members, connection.query(kReadPartitions, {list_of(partitioned)}));
  for (int row = 0; row < members.row_count(); ++row) {
    const auto root = model::Oid{number_of(members, row, 0)};
    const auto table = std::find_if(tables.begin(), tables.end(),
                                    [&](const Table& each) { return each.id == root; });
    table->partitions.push_back({.id = model::Oid{number_of(members, row, 1)},
                                 .storage = number_of(members, row, 2),
                                 .made_here = members.boolean(row, 3),
                                 .attached = number_of(members, row, 4)});
  }
  return tables;
}

Result<ExpandedTables> expand_tables(Connection& connection, std::span<const std::string> include,
                                     std::span<const std::string> exclude) {
  TRY_ASSIGN(const auto wanted, parse_all(include));
  TRY_ASSIGN(const auto unwanted, parse_all(exclude));
  TRY_ASSIGN(
      const QueryResult rows,
      connection.query(fmt::format(fmt::runtime(kListTables),
                                   connection.server_version() >= 180000 ? kNoneUnpublished : "")));
  ExpandedTables out;
  std::vector<bool> matched(wanted.size());
  std::vector<std::string> reasons(wanted.size());
  const auto takes_root = [&](int partition) {
    const auto matches_root = [&](const TablePattern& pattern) {
      return pattern.matches(rows.text(partition, 12), rows.text(partition, 13));
    };
    return std::any_of(wanted.begin(), wanted.end(), matches_root) &&
           std::none_of(unwanted.begin(), unwanted.end(), matches_root);
  };
  for (int row = 0; row < rows.row_count(); ++row) {
    const auto hits = [&](const TablePattern& pattern) {
      return pattern.matches(rows.text(row, 1), rows.text(row, 2));
    };
    const std::string reason = why_not(rows, row);
    const bool excluded = std::any_of(unwanted.begin(), unwanted.end(), hits);
    bool take = false;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (!hits(wanted[i])) continue;
      // A partition that is named is a table of its own, unless its root is taken.
      const bool own = rows.boolean(row, 5) && rows.text(row, 3) != "f" &&
                       rows.text(row, 6) == "p" && wanted[i].is_exact();
      if ((reason.empty() || (own && !takes_root(row))) && !excluded) {
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
