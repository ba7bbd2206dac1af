#include "base/result.h"

namespace pgweir {

const char* code_name(Code code) {
  switch (code) {
    case Code::kInvalid:
      return "invalid";
    case Code::kUsage:
      return "usage";
    case Code::kConfig:
      return "config";
    case Code::kNotFound:
      return "not_found";
    case Code::kCheckFailed:
      return "check_failed";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kTimeout:
      return "timeout";
    case Code::kIo:
      return "io";
    case Code::kNoSpace:
      return "no_space";
    case Code::kBroken:
      return "broken";
    case Code::kCorruption:
      return "corruption";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kCancelled:
      return "cancelled";
    case Code::kInternal:
      return "internal";
  }
  return "unknown";
}

std::string Error::text() const {
  std::string out = message;
  if (!detail.empty()) out += " (" + detail + ")";
  if (!hint.empty()) out += ". " + hint;
  return out;
}

}  // namespace pgweir
