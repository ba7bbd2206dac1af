// What the log says about every table: its newest version, and the records of newer ones.
//
// Place:   owned by capture's writer, which alone adds schema frames to a log in use.
// Life:    load() at the start of every session.
// Threads: one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "log/log.h"
#include "model/table.h"

namespace pgweir::pipeline {

class SchemaBook {
 public:
  // Everything that the log has, also what is not durable yet.
  Status load(const log::Log& log);

  // Null for a table of which the log knows nothing.
  const model::Table* find(model::Oid table) const;
  const std::map<std::uint32_t, model::Table>& tables() const { return tables_; }

  // The record for a Relation message, with the facts of `catalog`, which is null when the table is
  // gone from it (postgres/table_facts.h). "" when the log knows all of it already.
  // `presence`: of a table that the log does not know as captured.
  Result<std::string> describe(std::string_view relation, const model::Table* catalog,
                               model::Presence presence = model::Presence::kCaptured);
  // The record for a Relation message, whatever the log knows; for one that enters it otherwise
  // than through the book: load() then.
  Result<std::string> peek(std::string_view relation, const model::Table* catalog,
                           model::Presence presence = model::Presence::kCaptured) const;
  // The record for a table as the catalog has it; "" as above.
  std::string record(const model::Table& table);

 private:
  Result<model::Table> merge(std::string_view relation, const model::Table* catalog,
                             model::Presence presence) const;

  std::map<std::uint32_t, model::Table> tables_;
};

}  // namespace pgweir::pipeline
