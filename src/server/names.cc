#include "server/names.h"

#include <cstddef>

namespace pgweir::server {
namespace {

template <typename Enum, std::size_t N>
std::string_view pick(const std::string_view (&names)[N], Enum value) {
  const auto index = static_cast<std::size_t>(value);
  return index < N ? names[index] : std::string_view("unknown");
}

}  // namespace

std::string_view name_of(PipelineState state) {
  static constexpr std::string_view kNames[] = {
      "starting",     "snapshotting", "streaming", "waiting_for_disk",
      "reconnecting", "stopped",      "failed"};
  return pick(kNames, state);
}

std::string_view name_of(SnapshotState state) {
  static constexpr std::string_view kNames[] = {"none", "running", "done"};
  return pick(kNames, state);
}

std::string_view name_of(FollowerState state) {
  static constexpr std::string_view kNames[] = {"following", "catching_up", "stopped", "failed",
                                                "lost"};
  return pick(kNames, state);
}

std::string_view name_of(ViewState state) {
  static constexpr std::string_view kNames[] = {"live", "building", "failed"};
  return pick(kNames, state);
}

std::string_view name_of(Severity severity) {
  static constexpr std::string_view kNames[] = {"note", "warning", "error"};
  return pick(kNames, severity);
}

std::string_view name_of(TimeBucket bucket) {
  static constexpr std::string_view kNames[] = {"minute", "hour", "day"};
  return pick(kNames, bucket);
}

std::string_view name_of(Operation operation) {
  static constexpr std::string_view kNames[] = {"insert",   "update", "delete",
                                                "truncate", "read",   "message"};
  return pick(kNames, operation);
}

}  // namespace pgweir::server
