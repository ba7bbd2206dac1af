// Events as they go to Kafka: many of them over one piece of memory.
//
// Place:   made by event_encoder.h; taken by whoever sends them.
// Threads: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::debezium {

// A piece of Events::bytes, or null.
struct EventText {
  std::uint32_t offset = 0;
  std::uint32_t size = kNone;

  static constexpr std::uint32_t kNone = 0xffffffff;
  bool is_null() const { return size == kNone; }
};

// Which headers an event has. The context's are the same for all: EventEncoder::context().
enum class EventHeaders : std::uint8_t {
  kNone,
  kContext,
  kNewKey,  // __debezium.newkey with `other_key`, then the context's
  kOldKey,  // __debezium.oldkey with `other_key`, then the context's
};

struct Event {
  std::uint32_t topic = 0;  // for EventEncoder::topic()
  EventHeaders headers = EventHeaders::kNone;
  EventText key;
  EventText value;  // null: a tombstone
  EventText other_key;
  // The record that it tells of: Change::sequence in its transaction, and the transaction's index
  // in the batch. Several events may tell of one record.
  std::uint32_t transaction = 0;
  std::uint64_t sequence = 0;
};

struct Events {
  std::string bytes;
  std::vector<Event> events;

  std::string_view text(const EventText& piece) const {
    return piece.is_null() ? std::string_view()
                           : std::string_view(bytes).substr(piece.offset, piece.size);
  }
  // Keeps the memory.
  void clear() {
    bytes.clear();
    events.clear();
  }
};

}  // namespace pgweir::debezium
