#include "model/position.h"

#include <fmt/core.h>

#include <charconv>

namespace pgweir::model {
namespace {

template <typename T>
bool parse_number(std::string_view text, T& out, int base) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return failure == std::errc{} && end == text.data() + text.size() && !text.empty();
}

}  // namespace

std::string to_string(Lsn lsn) {
  return fmt::format("{:X}/{:X}", value(lsn) >> 32, value(lsn) & 0xffffffffu);
}

Result<Lsn> parse_lsn(std::string_view text) {
  const std::size_t slash = text.find('/');
  std::uint32_t high = 0, low = 0;
  if (slash == std::string_view::npos || !parse_number(text.substr(0, slash), high, 16) ||
      !parse_number(text.substr(slash + 1), low, 16)) {
    return error(Code::kInvalid, fmt::format("'{}' is not an LSN", text), {},
                 "Write it as PostgreSQL does, like 0/16B3748");
  }
  return Lsn{(static_cast<std::uint64_t>(high) << 32) | low};
}

std::string to_string(const Position& position) {
  return fmt::format("{}:{}:{}", position.epoch, to_string(position.lsn), position.sequence);
}

Result<Position> parse_position(std::string_view text) {
  const std::size_t first = text.find(':');
  const std::size_t second = text.rfind(':');
  Position position;
  if (first == std::string_view::npos || first == second ||
      !parse_number(text.substr(0, first), position.epoch, 10) ||
      !parse_number(text.substr(second + 1), position.sequence, 10)) {
    return error(Code::kInvalid, fmt::format("'{}' is not a position", text), {},
                 "A position is EPOCH:LSN:SEQUENCE, like 1:0/16B3748:3");
  }
  TRY_ASSIGN(position.lsn, parse_lsn(text.substr(first + 1, second - first - 1)));
  return position;
}

}  // namespace pgweir::model
