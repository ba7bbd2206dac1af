// Pieces of the AST of a SELECT: made, found and replaced.
//
// Place:   used by the planners and by what takes SELECTs apart.
// Threads: pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "views/ast.h"

namespace pgweir::views {

Json& child_of(Json& node, const char* key);

// Gives expressions and tables back the offset that strip_offsets() took: printing wants one.
void restore_offsets(Json& node);

// A table or view of the schema main.
Json table_node(const std::string& name, const std::string& alias);
Json true_node();
// `kind` is "INNER", "LEFT" ...; without a condition every row meets every other. No CROSS join: as
// text that is a comma, behind which another join would bind closer.
Json join_node(Json left, Json right, const std::string& kind, Json condition);
// Makes inner joins of the commas in a FROM, so that it can be joined further.
void without_commas(Json& from);
// SELECT and FROM alone.
Json select_node(Json select_list, Json from);

// The modifiers of SELECT DISTINCT.
Json distinct_modifiers();

// Joined by AND; null for none.
Json conjunction_of(const std::vector<Json>& conjuncts);
Json equality(Json left, Json right);
Json is_not_null(Json expression);

// Replaces every expression that equals `from`.
void replace_equal(Json& node, const Json& from, const Json& to);

bool has_window(const Json& expression);
bool has_subquery(const Json& expression);

// Whether a SELECT has no modifiers but ORDER BY, which says nothing of a set of rows.
bool only_ordered(const Json& node);

// "DESC NULLS LAST": of an entry of ORDER BY, with PostgreSQL's place of NULLs where it names none.
std::string direction_of(const Json& order);

// The value of an integer constant that is not NULL.
std::optional<std::int64_t> integer_of(const Json& expression);

// "a, b", quoted.
std::string names_of_columns(const std::vector<std::string>& names);

}  // namespace pgweir::views
