// Logical messages (pg_logical_emit_message) of the source's users: which ones are records of the
// log, and what is in them. Those with the prefix "pgweir", or one that begins with "pgweir.", are
// our own (heartbeat.h, ddl_trigger.h) and nobody's event.
//
// Place:   beside pgoutput.h.
// Threads: plain functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/position.h"

namespace pgweir::postgres {

struct LogicalMessage {
  bool transactional = false;
  model::Lsn lsn{};  // of one that is not transactional: where it ends in the WAL
  std::string_view prefix;
  std::string_view content;
  std::uint64_t content_bytes = 0;
  bool left_out = false;  // the content was too large: only its size is known
};

// How the message stands in the stream.
enum class MessagePlace { kPlain, kInBlock };

// Nothing when it is no whole logical message.
std::optional<LogicalMessage> parse_logical_message(std::string_view message,
                                                    MessagePlace place = MessagePlace::kPlain);

// Whether it is a logical message that is a record of its transaction: one of the users'.
bool is_users_message(std::string_view message, MessagePlace place = MessagePlace::kPlain);

// The message, or where its content is larger than `content_bytes_max`, the same without it:
// `storage` holds that then. Any other message comes back as it is.
std::string_view limit_content(std::string_view message, MessagePlace place,
                               std::size_t content_bytes_max, std::string& storage);

}  // namespace pgweir::postgres
