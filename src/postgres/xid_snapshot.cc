#include "postgres/xid_snapshot.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace pgweir::postgres {

bool XidSnapshot::sees(std::uint64_t xid) const {
  if (xid < xmin) return true;
  if (xid >= xmax) return false;
  return !std::binary_search(running.begin(), running.end(), xid);
}

std::uint64_t XidSnapshot::extend(model::Xid xid) const {
  constexpr std::uint64_t kEpoch = std::uint64_t{1} << 32;
  constexpr std::uint64_t kHalf = kEpoch / 2;
  const std::uint64_t here = (xmax & ~(kEpoch - 1)) | static_cast<std::uint32_t>(xid);
  if (here > xmax + kHalf && here >= kEpoch) return here - kEpoch;
  if (here + kHalf < xmax) return here + kEpoch;
  return here;
}

Result<XidSnapshot> parse_snapshot(std::string_view text) {
  const auto fail = [text] {
    return error(Code::kInvalid, fmt::format("'{}' is not a snapshot of PostgreSQL", text));
  };
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&](std::uint64_t& out) {
    const auto [next, failure] = std::from_chars(at, end, out);
    if (failure != std::errc()) return false;
    at = next;
    return true;
  };
  const auto mark = [&](char c) { return at != end && *at++ == c; };
  XidSnapshot out;
  if (!number(out.xmin) || !mark(':') || !number(out.xmax) || !mark(':')) return fail();
  while (at != end) {
    std::uint64_t xid = 0;
    if (!number(xid)) return fail();
    out.running.push_back(xid);
    if (at != end && (!mark(',') || at == end)) return fail();
  }
  std::sort(out.running.begin(), out.running.end());
  return out;
}

}  // namespace pgweir::postgres
