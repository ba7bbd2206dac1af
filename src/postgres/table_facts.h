// A Relation message made into a version of its table: the message decides what the rows look like,
// what was known before and the catalog add the facts that it leaves out.
//
// Place:   the catalog is read when the message is met, and may by then be far ahead of it. Facts
//          that cannot be told to be the message's own are left out (zero): model/table_change.h
//          then answers with reading the rows again.
// Threads: pure functions.
#pragma once

#include "model/table.h"

namespace pgweir::postgres {

// `relation`: as parse_relation() gives it. `known`: the version before; null for a new table.
// `catalog`: as read_tables() gives it now; null when the table is gone.
model::Table merge_facts(model::Table relation, const model::Table* known,
                         const model::Table* catalog);

}  // namespace pgweir::postgres
