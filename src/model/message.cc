#include "model/message.h"

#include <utility>

namespace pgweir::model {
namespace {

// OIDs of PostgreSQL's own types (pg_type.dat).
constexpr std::uint32_t kBool = 16, kBytea = 17, kInt8 = 20, kText = 25;

Column column(const char* name, std::uint32_t type, const char* type_name) {
  Column out;
  out.name = name;
  out.type = out.base_type = Oid{type};
  out.type_name = type_name;
  return out;
}

std::shared_ptr<const Table> make() {
  Table table;
  table.schema = "pgweir";
  table.name = "messages";
  table.replica_identity = ReplicaIdentity::kNothing;
  table.columns = {column("prefix", kText, "text"), column("content", kBytea, "bytea"),
                   column("content_bytes", kInt8, "bigint"),
                   column("transactional", kBool, "boolean")};
  return std::make_shared<const Table>(std::move(table));
}

}  // namespace

const std::shared_ptr<const Table>& messages_table() {
  static const std::shared_ptr<const Table> kTable = make();
  return kTable;
}

}  // namespace pgweir::model
