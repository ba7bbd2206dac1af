// What a table looks like: plain data, from PostgreSQL's catalog and its Relation messages.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pgweir::model {

enum class Oid : std::uint32_t {};
constexpr std::uint32_t value(Oid oid) {
  return static_cast<std::uint32_t>(oid);
}

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

  bool operator==(const Column&) const = default;
};

// pg_class.relreplident.
enum class ReplicaIdentity : char { kDefault = 'd', kNothing = 'n', kFull = 'f', kIndex = 'i' };

struct Table {
  Oid id{};
  std::string schema;
  std::string name;
  ReplicaIdentity replica_identity = ReplicaIdentity::kDefault;
  std::vector<Column> columns;  // in the order in which pgoutput sends them
  // The primary key's columns as indexes into `columns`, in key order; empty when there is none
  // that holds after every statement's every row (a deferrable one does not).
  std::vector<std::uint32_t> primary_key;

  std::string qualified_name() const { return schema + "." + name; }
  bool operator==(const Table&) const = default;
};

}  // namespace pgweir::model
