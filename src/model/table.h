// What a table looks like: plain data, from PostgreSQL's catalog and its Relation messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pgweir::model {

enum class Oid : std::uint32_t {};
constexpr std::uint32_t value(Oid oid) {
  return static_cast<std::uint32_t>(oid);
}

// What events say of a type beyond its number; empty where unknown.
struct TypeFacts {
  // Of a domain those of what is underneath, else the column's own.
  std::string name;  // as format_type() prints it without a modifier: "public.hstore"
  std::int32_t modifier = -1;
  // Of an array what its elements are.
  Oid element{};  // the built-in type underneath, as Column::base_type
  std::string element_name;
  // Of an enum, or of an array's elements, in their order.
  std::vector<std::string> labels;

  bool operator==(const TypeFacts&) const = default;
};

struct Column {
  std::string name;
  Oid type{};
  std::int32_t type_modifier = -1;
  // The type as format_type() prints it, with its modifier: "numeric(10,2)", "public.mood".
  std::string type_name;
  // The built-in type underneath: of a domain its base type, of an enum or composite text's OID.
  Oid base_type{};
  bool in_key = false;  // part of the replica identity (pgoutput's key flag)
  bool not_null = false;

  // Facts of the catalog, to follow a table through changes of its shape. Zero where unknown.
  std::int16_t number = 0;     // pg_attribute.attnum: stays the same when the column is renamed
  std::uint32_t revision = 0;  // changes with every change of the column's own catalog row
  // What rows have that were there when the column was added with a constant default: PostgreSQL
  // sends no row events for them.
  std::optional<std::string> missing;
  TypeFacts facts;
  // The default, as SQL: "'anon'::text", "nextval('item_id_seq'::regclass)".
  std::string default_value;

  bool operator==(const Column&) const = default;
};

// pg_class.relreplident.
enum class ReplicaIdentity : char { kDefault = 'd', kNothing = 'n', kFull = 'f', kIndex = 'i' };

// One member of a partitioned table's tree, itself a table.
struct Partition {
  Oid id{};
  std::uint32_t storage = 0;  // as Table::storage
  // Made as a partition, and so empty at first; else it was attached, with rows of its own.
  bool made_here = false;
  // pg_inherits.xmin: another one when it was detached and attached again. 0 where unknown.
  std::uint32_t attached = 0;

  bool operator==(const Partition&) const = default;
};

// Whether the source still has the table, and sends its changes.
enum class Presence : char { kCaptured = 'c', kDropped = 'd', kUnpublished = 'u' };

struct Table {
  Oid id{};
  std::string schema;
  std::string name;
  ReplicaIdentity replica_identity = ReplicaIdentity::kDefault;
  std::vector<Column> columns;  // in the order in which pgoutput sends them
  // The primary key's columns as indexes into `columns`, in key order; empty when there is none
  // that holds after every statement's every row (a deferrable one does not).
  std::vector<std::uint32_t> primary_key;

  // Facts of the catalog, as those of a column.
  Presence presence = Presence::kCaptured;
  std::uint32_t storage = 0;          // pg_class.relfilenode: another one after a rewrite
  std::int16_t numbers_max = 0;       // the greatest column number ever given
  std::vector<Partition> partitions;  // by OID; all members of its tree
  // Of the publications, as SQL: only rows for which it is true are captured. Empty: all are.
  std::string row_filter;
  // What has the publications send it, each as a number that never comes again once it was taken
  // out or its publication was changed; ascending. Empty where unknown.
  std::vector<std::uint64_t> published_by;

  std::string qualified_name() const { return schema + "." + name; }
  bool operator==(const Table&) const = default;
};

}  // namespace pgweir::model
