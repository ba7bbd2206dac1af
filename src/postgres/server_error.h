// Turns what libpq and the server report into our errors.
//
// Place:   behind connection.cc.
// Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace pgweir::postgres {

// What a SQLSTATE means for the caller.
Code code_of_sqlstate(std::string_view sqlstate);

// How to put it right; "" when there is no general advice.
std::string hint_of_sqlstate(std::string_view sqlstate);

// The error for a failed attempt to connect. `message` is libpq's, made with PQERRORS_VERBOSE,
// since that is the only form that holds the SQLSTATE then.
Error connect_error(std::string_view where, std::string_view message);

// The error for a URL that libpq cannot read: without the parts that it quotes, which may hold the
// password.
Error url_error(std::string_view message);

// Lines joined by "; ", without a final newline and without the source locations.
std::string one_line(std::string_view message);

}  // namespace pgweir::postgres
