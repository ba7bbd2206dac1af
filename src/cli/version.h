// The program's version, as the build has it.
#pragma once

namespace pgweir::cli {

inline constexpr const char* kVersion = PGWEIR_VERSION;

}  // namespace pgweir::cli
