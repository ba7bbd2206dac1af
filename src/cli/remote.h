// How the commands reach a running pgweir.
//
// Place:   behind the files of commands that ask one.
#pragma once

#include <memory>

#include "cli/commands.h"
#include "cli/http_client.h"

namespace pgweir::cli {

// The one that --server names, else the configuration's.
Result<std::unique_ptr<HttpClient>> connect(const Context& context);

}  // namespace pgweir::cli
