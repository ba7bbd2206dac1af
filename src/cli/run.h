// The commands that own a pipeline: check, run, drop.
//
// Place:   the composition root: opens the parts and wires them.
// Threads: called once, from main().
#pragma once

#include <string>

#include "cli/output.h"
#include "config/config.h"

namespace pgweir::cli {

// Preflight: prints every finding with what fixes it. 4 when one of them stops a pipeline.
int check(const config::Config& config, Output& output);

struct RunOptions {
  std::string config_file;  // as found, for SIGHUP and messages
  std::string until_lsn;    // "" does not end by itself
  bool once = false;        // up to the server's LSN at the start
  bool resync = false;
};

// The pipeline in the foreground until SIGINT or SIGTERM; the exit code.
int run(const config::Config& config, const RunOptions& options, Output& output);

struct DropOptions {
  bool yes = false;  // do not ask
};

// Removes slot and publications from the source.
int drop(const config::Config& config, const DropOptions& options, Output& output);

}  // namespace pgweir::cli
