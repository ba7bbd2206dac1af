// SQL that would silently mean something else in a view than in PostgreSQL, and cannot be made to
// mean the same (engine/postgres_semantics.h does that): a view may not hold it.
//
// Threads: pure functions.
#pragma once

#include <string>

#include "views/ast.h"

namespace pgweir::views {

// Why a view may not hold this expression of the text `sql`, with what to write instead; "" when it
// may.
std::string semantics_refusal(const Json& expression, const std::string& sql);

}  // namespace pgweir::views
