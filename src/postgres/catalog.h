// What PostgreSQL's catalog knows about tables, and the records that carry it in the log.
//
// Place:   reads through an ordinary Connection; the encodings are plain bytes.
// Threads: as the Connection.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/table.h"
#include "postgres/connection.h"

namespace pgweir::postgres {

// The tables as pgoutput will send them: columns in order without generated and dropped ones, and,
// where `publications` restrict a table's columns, only those. In the order of `ids`; a table that
// does not exist (any more) is left out.
Result<std::vector<model::Table>> read_tables(Connection& connection,
                                              std::span<const model::Oid> ids,
                                              std::span<const std::string> publications = {});

// By OID of the table: model::Table::published_by. Tables that are not published are left out.
using Publishers = std::map<std::uint32_t, std::vector<std::uint64_t>>;
Result<Publishers> read_publishers(Connection& connection, std::span<const model::Oid> ids,
                                   std::span<const std::string> publications);

// A table to capture: an ordinary one, or the root of a partitioned one.
struct CapturedTable {
  model::Oid id{};
  std::string schema;
  std::string name;
  bool partitioned = false;
  model::ReplicaIdentity replica_identity = model::ReplicaIdentity::kDefault;
  // UPDATE and DELETE can be published: a primary key under DEFAULT, FULL, or a usable INDEX.
  bool usable_identity = false;
  bool has_primary_key = false;
  std::int64_t estimated_rows = -1;  // of the statistics; -1 is unknown
  std::int64_t bytes = 0;            // with its partitions

  std::string qualified_name() const { return schema + "." + name; }
};

// Lists the tables that match `include` and not `exclude`, ordered by schema and name. A pattern is
// SCHEMA.TABLE with * and ? in both; double quotes make a part literal ("My.Schema".t). Partitions,
// temporary, unlogged and system tables never match. kConfig for a pattern that is none.
struct ExpandedTables {
  std::vector<CapturedTable> tables;
  // Patterns of `include` that match nothing, and why when it is known: "is a partition of a.b".
  struct Unmatched {
    std::string pattern;
    std::string reason;
  };
  std::vector<Unmatched> unmatched;
};
Result<ExpandedTables> expand_tables(Connection& connection, std::span<const std::string> include,
                                     std::span<const std::string> exclude);

// The pattern language alone.
Result<bool> pattern_matches(std::string_view pattern, std::string_view schema,
                             std::string_view name);

// A table as bytes, with a format version in front; kCorruption for bytes that are none.
std::string encode_table(const model::Table& table);
Result<model::Table> decode_table(std::string_view bytes);

// The log's kSchema record: the Relation message as it came (or "" for a table known only from the
// catalog) and the table with all facts. Complete in itself.
struct SchemaRecord {
  std::string relation_message;
  model::Table table;
};
std::string encode_schema(const SchemaRecord& record);
Result<SchemaRecord> decode_schema(std::string_view bytes);

}  // namespace pgweir::postgres
