// A connector's properties as people have them, for what they say of its events.
//
// Place:   between configuration and event_encoder.h. Threads: pure functions.
// Source:  Debezium's public documentation of its PostgreSQL connector, and Kafka Connect's of its
//          JsonConverter.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "debezium/event_encoder.h"

namespace pgweir::debezium {

using Properties = std::map<std::string, std::string>;

// Takes the properties that it knows out of `properties`: what is left concerns others, or nobody.
// kConfig names a property whose value is none of its own, and those that it has.
Result<EventOptions> take_event_options(Properties& properties);

}  // namespace pgweir::debezium
