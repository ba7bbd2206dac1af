// EventEncoder::State as text: what a sink keeps beside its position.
//
// Place:   beside event_encoder.h. Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "debezium/event_encoder.h"

namespace pgweir::debezium {

// A JSON object. Fields that a later version adds are passed over by this one.
std::string encode_state(const EventEncoder::State& state);
// kCorruption for text that is none.
Result<EventEncoder::State> decode_state(std::string_view text);

}  // namespace pgweir::debezium
