// What the program says to the shell about an error.
#pragma once

#include "base/result.h"

namespace pgweir::cli {

enum class Exit : int {
  kOk = 0,
  kFailure = 1,
  kUsage = 2,
  kConfig = 3,
  kCheckFailed = 4,
  kIntegrity = 5,
  kTimeout = 6,
};

constexpr Exit exit_of(Code code) {
  switch (code) {
    case Code::kUsage:
      return Exit::kUsage;
    case Code::kConfig:
      return Exit::kConfig;
    case Code::kCheckFailed:
      return Exit::kCheckFailed;
    case Code::kCorruption:
      return Exit::kIntegrity;
    case Code::kTimeout:
      return Exit::kTimeout;
    case Code::kInvalid:
    case Code::kNotFound:
    case Code::kUnavailable:
    case Code::kIo:
    case Code::kNoSpace:
    case Code::kBroken:
    case Code::kUnsupported:
    case Code::kCancelled:
    case Code::kInternal:
      return Exit::kFailure;
  }
  return Exit::kFailure;
}

constexpr int exit_code(Code code) {
  return static_cast<int>(exit_of(code));
}

}  // namespace pgweir::cli
