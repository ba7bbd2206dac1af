#include "postgres/heartbeat.h"

#include <fmt/core.h>

#include "base/bytes.h"

namespace pgweir::postgres {
namespace {
constexpr std::string_view kContent = "heartbeat";
}  // namespace

Status emit_heartbeat(Connection& connection) {
  return connection.execute(
      fmt::format("SELECT pg_catalog.pg_logical_emit_message(false, '{}', '{}'::text)",
                  kMessagePrefix, kContent));
}

std::optional<model::Lsn> heartbeat_lsn(std::string_view message) {
  NetworkReader in(message);
  if (in.read<char>() != 'M' || in.read<std::uint8_t>() != 0) return std::nullopt;
  const auto lsn = model::Lsn{in.read<std::uint64_t>()};
  if (in.c_string() != kMessagePrefix) return std::nullopt;
  if (in.bytes(in.read<std::uint32_t>()) != kContent || !in.at_end()) return std::nullopt;
  return lsn;
}

}  // namespace pgweir::postgres
