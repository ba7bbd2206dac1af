#include "postgres/table_files.h"

#include <fmt/core.h>

namespace pgweir::postgres {
namespace {

// Functions look at the catalog as it is, queries as the snapshot sees it.
constexpr const char* kOfTable =
    "SELECT (SELECT relfilenode::text FROM pg_class WHERE oid = $1),"
    " pg_relation_filenode($1::oid)::text";

// Of many members the hash is enough. With each goes when it was attached, as the snapshot sees it:
// one that was away for a time may have other rows in the same files.
constexpr const char* kOfMembers = R"(
WITH RECURSIVE tree(id, since) AS (
  SELECT $1::oid, ''
  UNION ALL
  SELECT i.inhrelid, i.xmin::text FROM tree t JOIN pg_inherits i ON i.inhparent = t.id
   WHERE NOT i.inhdetachpending)
SELECT (SELECT count(*) || ' ' || coalesce(hashtextextended(string_agg(
            concat_ws(':', c.oid, c.relfilenode, t.since), ',' ORDER BY c.oid), 0), 0)
          FROM tree t JOIN pg_class c ON c.oid = t.id WHERE c.relkind IN ('r', 'p')),
       (SELECT count(*) || ' ' || coalesce(hashtextextended(string_agg(
            concat_ws(':', l.id, coalesce(l.file, 0), coalesce(i.xmin::text, '')), ','
            ORDER BY l.id), 0), 0)
          FROM (SELECT t.relid::oid AS id, pg_relation_filenode(t.relid) AS file, t.isleaf
                  FROM pg_partition_tree($1::oid) t) l
          LEFT JOIN pg_inherits i ON i.inhrelid = l.id
         WHERE l.file IS NOT NULL OR NOT l.isleaf))";

}  // namespace

Result<TableFiles> table_files(Connection& connection, model::Oid table, bool partitioned) {
  const std::string id = std::to_string(model::value(table));
  TRY_ASSIGN(const QueryResult row, connection.query(partitioned ? kOfMembers : kOfTable, {id}));
  if (row.row_count() == 0 || row.is_null(0, 1))
    return error(Code::kUnavailable, fmt::format("the table with OID {} is gone", id));
  return TableFiles{std::string(row.is_null(0, 0) ? "none" : row.text(0, 0)),
                    std::string(row.text(0, 1))};
}

}  // namespace pgweir::postgres
