// Keys and values of events that are no table's: transactions' boundaries, logical messages,
// heartbeats; byte for byte as Kafka Connect's JsonConverter writes them.
//
// Place:   beneath event_encoder.h. Threads: pure functions.
// Source:  messages recorded from Debezium 3.6.3.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "debezium/value_type.h"
#include "model/batch.h"

namespace pgweir::debezium {

// Where a change stands. A message outside of transactions stands where it ends.
model::Lsn lsn_of(const model::Transaction& transaction, const model::Change& change);

// 571:53195829
void append_transaction_id(model::Xid xid, model::Lsn lsn, std::string& out);
void append_transaction_key(std::string_view id, bool with_schema, std::string& out);
struct Boundary {
  std::string_view status;  // JSON
  std::string_view id;
  std::string_view counts;  // "event_count":...,"data_collections":...
  std::int64_t time_ms = 0;
};
void append_transaction_value(const Boundary& boundary, bool with_schema, std::string& out);

// Of a row of model::messages_table().
struct MessageOptions {
  const ValueOptions& values;
  bool with_schema = false;
};
void append_message_key(std::span<const model::Cell> row, bool with_schema, std::string& out);
// `source` of SourceBlock::append().
Status append_message_value(std::span<const model::Cell> row, std::string_view source,
                            std::int64_t now_ms, const MessageOptions& options, std::string& out);

void append_heartbeat_key(std::string_view topic_prefix, bool with_schema, std::string& out);
void append_heartbeat_value(std::int64_t now_ms, bool with_schema, std::string& out);

}  // namespace pgweir::debezium
