// How the commands reach a running pgweir.
//
// Place:   behind the files of commands that ask one.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/http_client.h"

namespace pgweir::cli {

// The one that --server names, else the configuration's.
Result<std::unique_ptr<HttpClient>> connect(const Context& context);

// The JSON object of an answer's body; kUnavailable for anything else.
Result<nlohmann::ordered_json> parse_answer(const std::string& body);

}  // namespace pgweir::cli
