#include "cli/run.h"

namespace pgweir::cli {
namespace {

int not_wired(Output& output, const char* command) {
  return output.fail(error(Code::kUnsupported, std::string(command) + " is not wired yet"));
}

}  // namespace

int check(const config::Config&, Output& output) {
  return not_wired(output, "check");
}
int run(const config::Config&, const RunOptions&, Output& output) {
  return not_wired(output, "run");
}
int drop(const config::Config&, const DropOptions&, Output& output) {
  return not_wired(output, "drop");
}

}  // namespace pgweir::cli
