// The optional event trigger that tells of changes to tables at once: a logical message in the same
// transaction, which the stream brings at the transaction's commit.
//
// Place:   an aid: without it the catalog is asked now and then (pipeline/schema_watch.h). It makes
//          nothing right that would be wrong without it, only sooner known.
// Threads: as the Connection.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "postgres/connection.h"

namespace pgweir::postgres {

// What a superuser runs to make it, once in each database.
std::string ddl_trigger_sql();

Result<bool> has_ddl_trigger(Connection& connection);

// Makes it unless it is there. Needs the rights of a superuser.
Status ensure_ddl_trigger(Connection& connection);
// A missing one is fine.
Status drop_ddl_trigger(Connection& connection);

// Whether a Message of pgoutput (protocol 1) comes from it.
bool is_ddl_message(std::string_view message);

}  // namespace pgweir::postgres
