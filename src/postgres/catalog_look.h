// One look at the source's catalog: what the captured tables are now, with the publications brought
// up to date for tables that came since.
//
// Place:   asked again and again by pipeline/schema_watch; between looks the stream's Relation
//          messages tell of changes, with the next row only.
// Threads: as the Connection.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/position.h"
#include "model/table.h"
#include "postgres/connection.h"
#include "postgres/preflight.h"

namespace pgweir::postgres {

struct CatalogLook {
  // Every table that matches the options, or is known, and is there; with its presence.
  std::vector<model::Table> tables;
  std::vector<model::Oid> dropped;  // known, and gone
  std::vector<std::string> added;   // to the publications, in this look
  // Why the publications could not be brought up to date; the tables are right nevertheless.
  std::optional<Error> publications_failure;
  // Behind every change of the catalog that the look has seen.
  model::Lsn lsn{};
  bool ddl_trigger = false;  // one that tells of changes at once is there and on (ddl_trigger.h)
};

// The tables that these publications send now, by OID: of a partitioned table the root, or the
// leaves where a publication sends them under their own names.
Result<std::set<std::uint32_t>> published_tables(Connection& connection,
                                                 const std::vector<std::string>& publications);

// Whether the options name the table: a publication of others may have more.
Result<bool> is_wanted(const SourceOptions& options, const model::Table& table);

// Whether the table is a partition whose changes these publications send as those of its root.
Result<bool> is_sent_as_root(Connection& connection, model::Oid table,
                             const std::vector<std::string>& publications);

// Before 15 a walsender goes on sending a partition as what it was when it first met a row of it,
// whether it was attached or detached since. Behind the position that this gives it has looked
// again: rows that it has sent wrongly, or not at all, were before. It needs the rights of the
// publication's owner.
constexpr int kSendsPartitionsAnew = 150000;
Result<model::Lsn> send_partitions_anew(Connection& connection, const std::string& publication);

// `known`: the tables that the log has, as it has them. One of them that the publications have no
// longer was taken out by somebody: it is not put back.
Result<CatalogLook> look_at_catalog(Connection& connection, const SourceOptions& options,
                                    const std::map<std::uint32_t, model::Presence>& known);

}  // namespace pgweir::postgres
