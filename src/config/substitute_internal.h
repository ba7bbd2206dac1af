// ${VAR}, ${VAR:-default}, ${VAR:?message} and ${file:/path} inside one scalar.
//
// What is put in is not looked at again, so a value can bring in neither YAML nor further
// variables.
// $${ stands for ${ itself.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"
#include "config/config.h"
#include "io/fs.h"

namespace pgweir::config {

struct SubstituteLimits {
  std::size_t file_bytes_max = 64 * 1024;
  std::size_t text_bytes_max = 1u << 20;  // of the result
};

// kConfig with a message that names the variable, never its value.
Result<std::string> substitute(const std::string& text, io::Fs& fs, const Environment& environment,
                               const SubstituteLimits& limits);

}  // namespace pgweir::config
