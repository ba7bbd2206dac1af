// The command line: options, help, and which command runs.
//
// Place:   the only user of CLI11; main() calls it with the real streams, tests through the
// program.
#pragma once

#include <ostream>

namespace pgweir::cli {

// Parses and runs; the exit code. The streams must outlive the call.
int run_command_line(int argc, char** argv, std::ostream& out, std::ostream& messages);

}  // namespace pgweir::cli
