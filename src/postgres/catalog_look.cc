#include "postgres/catalog_look.h"

#include <algorithm>
#include <set>

#include "postgres/catalog.h"
#include "postgres/setup.h"

namespace pgweir::postgres {
namespace {

using Known = std::map<std::uint32_t, model::Presence>;

// Behind everything that is written, which the stream will come by: what nobody has flushed yet is
// flushed with a message of ours, since an idle server might leave it.
Result<model::Lsn> wal_end(Connection& connection) {
  constexpr std::uint64_t kPageBytes = 8192, kPageHeaderBytesMax = 40;
  TRY_ASSIGN(const QueryResult end,
             connection.query("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
                              " ELSE pg_current_wal_insert_lsn() END, NOT pg_is_in_recovery() AND"
                              " pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()"));
  TRY_ASSIGN(const model::Lsn lsn, model::parse_lsn(end.text(0, 0)));
  if (end.boolean(0, 1)) {
    const auto flushed =
        connection.query("SELECT pg_logical_emit_message(true, 'pgweir.look', '')");
    if (!flushed.ok() && !connection.is_open()) return flushed.error();
  }
  // Nothing ends inside a page's header.
  const std::uint64_t in_page = model::value(lsn) % kPageBytes;
  return in_page <= kPageHeaderBytesMax ? model::Lsn{model::value(lsn) - in_page} : lsn;
}

Status read_in_one_snapshot(Connection& connection, const std::vector<std::string>& publications,
                            std::set<std::uint32_t> ids, const Known& known, CatalogLook& out) {
  TRY_ASSIGN(const auto published, published_tables(connection, publications));
  const std::set<std::uint32_t> wanted = ids;
  for (const auto& [id, presence] : known) {
    if (presence != model::Presence::kDropped) ids.insert(id);
  }
  std::vector<model::Oid> list;
  for (const std::uint32_t id : ids) list.push_back(model::Oid{id});
  TRY_ASSIGN(out.tables, read_tables(connection, list, publications));
  for (model::Table& table : out.tables) {
    if (published.contains(model::value(table.id))) {
      ids.erase(model::value(table.id));
      // Published by somebody for somebody else.
      const auto was = known.find(model::value(table.id));
      const bool others = was != known.end() && was->second == model::Presence::kUnpublished &&
                          !wanted.contains(model::value(table.id));
      if (others) table.presence = model::Presence::kUnpublished;
      continue;
    }
    // One that was attached to a published root is part of that now.
    TRY_ASSIGN(const bool is_part, is_sent_as_root(connection, table.id, publications));
    table.presence = is_part ? model::Presence::kDropped : model::Presence::kUnpublished;
    if (!is_part) ids.erase(model::value(table.id));
  }
  for (const std::uint32_t id : ids) {
    if (known.contains(id)) out.dropped.push_back(model::Oid{id});
  }
  // What was never captured and is not published is none of ours.
  std::erase_if(out.tables, [&](const model::Table& table) {
    return table.presence == model::Presence::kDropped ||
           (table.presence == model::Presence::kUnpublished &&
            !known.contains(model::value(table.id)));
  });
  return {};
}

// What we move from one of our publications into the other is out of both at no time.
void join_moved(const std::vector<model::Oid>& moved, const Publishers& before,
                std::vector<model::Table>& tables) {
  for (model::Table& table : tables) {
    const auto was = before.find(model::value(table.id));
    if (was == before.end() || std::find(moved.begin(), moved.end(), table.id) == moved.end())
      continue;
    table.published_by.insert(table.published_by.end(), was->second.begin(), was->second.end());
    std::sort(table.published_by.begin(), table.published_by.end());
    const auto last = std::unique(table.published_by.begin(), table.published_by.end());
    table.published_by.erase(last, table.published_by.end());
  }
}

}  // namespace

Result<std::set<std::uint32_t>> published_tables(Connection& connection,
                                                 const std::vector<std::string>& publications) {
  TRY_ASSIGN(
      const QueryResult rows,
      connection.query("SELECT c.oid FROM pg_publication_tables p"
                       " JOIN pg_namespace n ON n.nspname = p.schemaname"
                       " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename"
                       " WHERE p.pubname = ANY ($1::text[])",
                       {array_literal(publications)}));
  std::set<std::uint32_t> out;
  for (int row = 0; row < rows.row_count(); ++row)
    out.insert(static_cast<std::uint32_t>(rows.integer(row, 0)));
  return out;
}

Result<bool> is_wanted(const SourceOptions& options, const model::Table& table) {
  const auto any = [&](const std::vector<std::string>& patterns) -> Result<bool> {
    for (const std::string& pattern : patterns) {
      TRY_ASSIGN(const bool matches, pattern_matches(pattern, table.schema, table.name));
      if (matches) return true;
    }
    return false;
  };
  TRY_ASSIGN(const bool included, any(options.tables));
  TRY_ASSIGN(const bool excluded, any(options.exclude));
  return included && !excluded;
}

Result<bool> is_sent_as_root(Connection& connection, model::Oid table,
                             const std::vector<std::string>& publications) {
  TRY_ASSIGN(
      const QueryResult rows,
      connection.query("SELECT bool_or(c.oid = $1 AND c.relispartition) AND (bool_or(c.oid <> $1"
                       " AND p.tablename IS NOT NULL) IS TRUE OR NOT bool_or(c.oid = $1 AND"
                       " p.tablename IS NOT NULL))"
                       " FROM (SELECT $1::oid UNION SELECT relid FROM"
                       " pg_partition_ancestors($1::oid::regclass)) AS tree(id)"
                       " JOIN pg_class c ON c.oid = tree.id"
                       " JOIN pg_namespace n ON n.oid = c.relnamespace"
                       " LEFT JOIN pg_publication_tables p ON p.pubname = ANY ($2::text[])"
                       " AND p.schemaname = n.nspname AND p.tablename = c.relname",
                       {std::to_string(model::value(table)), array_literal(publications)}));
  return rows.row_count() == 1 && !rows.is_null(0, 0) && rows.boolean(0, 0);
}

Result<model::Lsn> send_partitions_anew(Connection& connection, const std::string& publication) {
  TRY_ASSIGN(
      const QueryResult found,
      connection.query("SELECT pubviaroot FROM pg_publication WHERE pubname = $1", {publication}));
  if (found.row_count() == 0)
    return error(Code::kNotFound, "publication '" + publication + "' is gone");
  // Any change of it makes a walsender ask again.
  TRY(connection.execute(
      "ALTER PUBLICATION " + quote_identifier(publication) +
      " SET (publish_via_partition_root = " + (found.boolean(0, 0) ? "true)" : "false)")));
  return wal_end(connection);
}

Result<CatalogLook> look_at_catalog(Connection& connection, const SourceOptions& options,
                                    const Known& known) {
  CatalogLook out;
  const std::vector<std::string> publications = {options.publication,
                                                 append_publication(options.publication)};
  TRY_ASSIGN(ExpandedTables expanded, expand_tables(connection, options.tables, options.exclude));
  TRY_ASSIGN(const auto published, published_tables(connection, publications));
  std::set<std::uint32_t> ids;
  std::vector<CapturedTable> wanted;
  for (CapturedTable& table : expanded.tables) {
    const std::uint32_t id = model::value(table.id);
    const bool is_new = !known.contains(id);
    if (!is_new && !published.contains(id)) continue;
    ids.insert(id);
    if (is_new && !published.contains(id)) out.added.push_back(table.qualified_name());
    wanted.push_back(std::move(table));
  }
  std::vector<model::Oid> movable;
  for (const CapturedTable& table : wanted) movable.push_back(table.id);
  TRY_ASSIGN(Publishers before, read_publishers(connection, movable, publications));
  const auto made =
      ensure_publications(connection, options.publication, wanted, MissingPublication::kRefuse);
  if (!made.ok()) {
    if (!connection.is_open()) return made.error();
    out.publications_failure = made.error();
    out.added.clear();
  }
  TRY(connection.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"));
  const Status read = read_in_one_snapshot(connection, publications, std::move(ids), known, out);
  if (connection.is_open()) TRY(connection.execute("COMMIT"));
  if (!read.ok()) return read.error();
  if (made.ok()) join_moved(made->moved, before, out.tables);
  TRY_ASSIGN(const QueryResult trigger,
             connection.query("SELECT EXISTS (SELECT 1 FROM pg_event_trigger WHERE evtname ="
                              " 'pgweir_ddl' AND evtenabled IN ('O', 'A'))"));
  out.ddl_trigger = trigger.boolean(0, 0);
  TRY_ASSIGN(out.lsn, wal_end(connection));
  return out;
}

}  // namespace pgweir::postgres
