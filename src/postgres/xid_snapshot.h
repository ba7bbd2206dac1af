// Which transactions a snapshot of PostgreSQL sees.
//
// Place:   what pg_current_snapshot() says, against the transaction ids of the stream.
// Threads: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/batch.h"

namespace pgweir::postgres {

// Transaction ids here have 64 bits: they never wrap around.
struct XidSnapshot {
  std::uint64_t xmin = 0;              // every transaction in front of it has ended
  std::uint64_t xmax = 0;              // none from here on is seen
  std::vector<std::uint64_t> running;  // between the two, in order: not seen

  bool sees(std::uint64_t xid) const;
  // The stream's ids have 32 bits: of those that end in them, the nearest to xmax.
  std::uint64_t extend(model::Xid xid) const;
  bool sees(model::Xid xid) const { return sees(extend(xid)); }
};

// PostgreSQL's text: "xmin:xmax:xip,xip". kInvalid for another.
Result<XidSnapshot> parse_snapshot(std::string_view text);

}  // namespace pgweir::postgres
