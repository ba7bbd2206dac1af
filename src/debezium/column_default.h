// Defaults of columns as events tell of them.
//
// Place:   under table_encoding. Threads: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "debezium/value_type.h"

namespace pgweir::debezium {

// The JSON of the value that a default is. `expression`: as pg_get_expr() prints it, in a session
// that prints times as ISO 8601 in UTC. What is not a constant (a function, nextval() of a serial)
// is the type's zero, as with Debezium. Nothing where there is no default, and where it is NULL.
std::optional<std::string> default_json(std::string_view expression, const ValueType& type);

}  // namespace pgweir::debezium
