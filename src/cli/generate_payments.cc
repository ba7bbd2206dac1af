#include "cli/generate_payments.h"

namespace pgweir::cli {

int generate_payments(const GeneratePaymentsOptions&, Output& output) {
  return output.fail(error(Code::kUnsupported, "`generate payments` is not wired yet"));
}

}  // namespace pgweir::cli
