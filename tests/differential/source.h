// A real PostgreSQL: runs SQL, and gives what its tables' changes are by logical replication, as
// the batches that the engine takes.
//
// Life:    one database with a slot and a publication of all tables; reset() begins anew in it.
// Threads: one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "harness/cluster.h"
#include "model/batch.h"
#include "postgres/connection.h"
#include "postgres/pgoutput.h"
#include "postgres/replication_stream.h"

namespace pgweir::differential {

struct SourceRows {
  std::vector<std::uint32_t> types;  // OIDs
  std::vector<std::vector<std::optional<std::string>>> rows;
};

class Source {
 public:
  // Aborts the test program when the server cannot be used.
  explicit Source(harness::Cluster& cluster);
  ~Source();

  // No tables, no views; what changes from here on is what changes() gives.
  void reset();
  // Makes tables of the SQL and gives all that there are, as the catalog describes them.
  Result<std::vector<std::shared_ptr<const model::Table>>> make_tables(
      const std::vector<std::string>& statements);
  // The tables' changes will be given from here on.
  Status begin_changes();

  Status execute(const std::string& statements) { return control_->execute(statements); }
  Result<SourceRows> rows(const std::string& select);

  // All changes up to now, in batches of at most `changes_max` changes (0: as they come); the last
  // one ends a transaction.
  Result<std::vector<model::Batch>> changes(std::size_t changes_max);

 private:
  // Reads messages up to `end`; those that `decoder` takes make batches.
  Status read_up_to(model::Lsn end, std::size_t changes_max, std::vector<model::Batch>* batches);

  harness::Cluster& cluster_;
  const std::string database_;
  std::unique_ptr<postgres::Connection> control_;
  std::unique_ptr<postgres::ReplicationStream> stream_;
  std::optional<postgres::PgoutputDecoder> decoder_;
  std::vector<std::shared_ptr<const model::Table>> tables_;
  model::Lsn seen_{};
};

// One server and one database for all cases of a program, made on first use.
Source& shared_source();

}  // namespace pgweir::differential
