// Which files a table's rows lie in. Where these are others than before, rows may have come, moved
// or gone without a word in the stream: by VACUUM FULL, CLUSTER, TRUNCATE, an ALTER TABLE that
// writes the table anew, partitions attached and detached.
//
// Place:   asked by those that read a table in parts, with the table locked.
// Threads: as the Connection.
#pragma once

#include <string>

#include "base/result.h"
#include "model/table.h"
#include "postgres/connection.h"

namespace pgweir::postgres {

// Texts without a meaning but that they are equal or not; never empty.
struct TableFiles {
  std::string seen;  // as the transaction's snapshot has the table
  std::string now;   // stays so for as long as the transaction holds a lock on the table
};

// Of a partitioned table: all its members. kUnavailable when the table is gone.
Result<TableFiles> table_files(Connection& connection, model::Oid table, bool partitioned);

}  // namespace pgweir::postgres
