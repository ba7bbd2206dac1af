// The one clock: LSNs, and positions in the stream of changes.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pgweir::model {

// A place in PostgreSQL's write-ahead log. Zero is "none".
enum class Lsn : std::uint64_t {};

constexpr std::uint64_t value(Lsn lsn) {
  return static_cast<std::uint64_t>(lsn);
}

// PostgreSQL's text, "16/B374D848".
std::string to_string(Lsn lsn);
Result<Lsn> parse_lsn(std::string_view text);

// Names one record: (epoch, commit LSN, sequence), in this order.
//
// The epoch rises when a new slot, timeline or system identifier begins, since LSNs may go back
// then. The sequence numbers the records of one commit from 1: its row changes in order, then its
// commit as the last. A snapshot is one such "commit" at the slot's consistent point. So a
// follower's position, the last record that it took in full, may lie inside a transaction.
struct Position {
  std::uint32_t epoch = 0;
  Lsn lsn{};
  std::uint64_t sequence = 0;

  // clang-tidy 14 takes the zero in the generated code for a null pointer.
  auto operator<=>(const Position&) const = default;  // NOLINT(modernize-use-nullptr)
};

// "1:16/B374D848:42": for files and messages. People see the LSN.
std::string to_string(const Position& position);
Result<Position> parse_position(std::string_view text);

}  // namespace pgweir::model
