#include "debezium/event_state.h"

#include <nlohmann/json.hpp>

namespace pgweir::debezium {

std::string encode_state(const EventEncoder::State& state) {
  const nlohmann::json json = {{"last_commit_lsn", model::value(state.last_commit_lsn)},
                               {"total_order", state.total_order},
                               {"collections", state.collections},
                               {"in_snapshot", state.in_snapshot},
                               {"snapshot_rows", state.snapshot_rows},
                               {"snapshot_table", state.snapshot_table}};
  // Names of tables come from PostgreSQL, and are UTF-8 there.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<EventEncoder::State> decode_state(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto damaged = [] { return error(Code::kCorruption, "the state of events is damaged"); };
  if (!json.is_object()) return damaged();
  EventEncoder::State state;
  try {
    state.last_commit_lsn = model::Lsn{json.at("last_commit_lsn").get<std::uint64_t>()};
    state.total_order = json.at("total_order").get<std::uint64_t>();
    json.at("collections").get_to(state.collections);
    state.in_snapshot = json.at("in_snapshot").get<bool>();
    state.snapshot_rows = json.at("snapshot_rows").get<std::uint64_t>();
    state.snapshot_table = json.at("snapshot_table").get<std::uint32_t>();
  } catch (const nlohmann::json::exception&) {
    return damaged();
  }
  return state;
}

}  // namespace pgweir::debezium
