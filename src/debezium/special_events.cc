#include "debezium/special_events.h"

#include "debezium/json_text.h"
#include "debezium/source_block.h"
#include "model/message.h"

namespace pgweir::debezium {
namespace {

constexpr std::string_view kTransactionKeySchema =
    R"({"type":"struct","fields":[{"type":"string","optional":false,"field":"id"}],)"
    R"("optional":false,"name":"io.debezium.connector.common.TransactionMetadataKey","version":1})";

constexpr std::string_view kTransactionValueSchema =
    R"({"type":"struct","fields":[{"type":"string","optional":false,"field":"status"},)"
    R"({"type":"string","optional":false,"field":"id"},)"
    R"({"type":"int64","optional":true,"field":"event_count"},)"
    R"({"type":"array","items":{"type":"struct","fields":[)"
    R"({"type":"string","optional":false,"field":"data_collection"},)"
    R"({"type":"int64","optional":false,"field":"event_count"}],"optional":true,)"
    R"("name":"event.collection","version":1},"optional":true,"field":"data_collections"},)"
    R"({"type":"int64","optional":false,"field":"ts_ms"}],"optional":false,)"
    R"("name":"io.debezium.connector.common.TransactionMetadataValue","version":1})";

constexpr std::string_view kMessageKeySchema =
    R"({"type":"struct","fields":[{"type":"string","optional":true,"field":"prefix"}],)"
    R"("optional":false,"name":"io.debezium.connector.postgresql.MessageKey","version":1})";

constexpr std::string_view kHeartbeatKeySchema =
    R"({"type":"struct","fields":[{"type":"string","optional":false,"field":"serverName"}],)"
    R"("optional":false,"name":"io.debezium.connector.common.ServerNameKey","version":1})";

constexpr std::string_view kHeartbeatValueSchema =
    R"({"type":"struct","fields":[{"type":"int64","optional":false,"field":"ts_ms"}],)"
    R"("optional":false,"name":"io.debezium.connector.common.Heartbeat","version":1})";

// Columns of model::messages_table().
constexpr std::size_t kPrefixColumn = 0;
constexpr std::size_t kContentColumn = 1;

// {"schema":...,"payload": in front of a payload, and what closes it.
class WithSchema {
 public:
  WithSchema(std::string_view schema, bool with_schema, std::string& out)
      : with_schema_(with_schema), out_(out) {
    if (!with_schema_) return;
    out_ += R"({"schema":)";
    out_ += schema;
    out_ += R"(,"payload":)";
  }
  ~WithSchema() {
    if (with_schema_) out_ += '}';
  }
  WithSchema(const WithSchema&) = delete;
  WithSchema& operator=(const WithSchema&) = delete;

 private:
  const bool with_schema_;
  std::string& out_;
};

// The content of messages is bytes as any bytea column's.
ValueType content_type(const ValueOptions& options) {
  return *ValueType::of(model::messages_table()->columns[kContentColumn], options);
}

std::string message_schema(const ValueType& content) {
  std::string out = R"({"type":"struct","fields":[{"type":"string","optional":false,"field":"op"},)"
                    R"({"type":"int64","optional":true,"field":"ts_ms"},)";
  out += kSourceSchema;
  out += ',';
  out += kTransactionBlockSchema;
  out += R"(,{"type":"struct","fields":[{"type":"string","optional":true,"field":"prefix"},)";
  out += content.schema(true, "", "content");
  out += R"(],"optional":false,"name":"io.debezium.connector.postgresql.Message","version":1,)"
         R"("field":"message"}],"optional":false,)"
         R"("name":"io.debezium.connector.postgresql.MessageValue","version":1})";
  return out;
}

}  // namespace

model::Lsn lsn_of(const model::Transaction& transaction, const model::Change& change) {
  const bool alone = transaction.kind == model::Transaction::Kind::kStream &&
                     transaction.xid == model::Xid{} && change.op == model::Op::kMessage;
  // It is given a commit one byte in front of its end.
  if (alone) return model::Lsn{model::value(transaction.commit_lsn) + 1};
  return model::value(change.lsn) == 0 ? transaction.commit_lsn : change.lsn;
}

void append_transaction_id(model::Xid xid, model::Lsn lsn, std::string& out) {
  append_integer(static_cast<std::uint32_t>(xid), out);
  out += ':';
  append_integer(static_cast<std::int64_t>(model::value(lsn)), out);
}

void append_transaction_key(std::string_view id, bool with_schema, std::string& out) {
  const WithSchema schema(kTransactionKeySchema, with_schema, out);
  out += R"({"id":")";
  out += id;
  out += R"("})";
}

void append_transaction_value(const Boundary& boundary, bool with_schema, std::string& out) {
  const WithSchema schema(kTransactionValueSchema, with_schema, out);
  out += R"({"status":)";
  out += boundary.status;
  out += R"(,"id":")";
  out += boundary.id;
  out += R"(",)";
  out += boundary.counts;
  out += R"(,"ts_ms":)";
  append_integer(boundary.time_ms, out);
  out += '}';
}

void append_message_key(std::span<const model::Cell> row, bool with_schema, std::string& out) {
  const WithSchema schema(kMessageKeySchema, with_schema, out);
  out += R"({"prefix":)";
  append_json_string(row[kPrefixColumn].text(), out);
  out += '}';
}

Status append_message_value(std::span<const model::Cell> row, std::string_view source,
                            std::int64_t now_ms, const MessageOptions& options, std::string& out) {
  const ValueType content = content_type(options.values);
  const WithSchema schema(options.with_schema ? message_schema(content) : std::string(),
                          options.with_schema, out);
  out += R"({"op":"m","ts_ms":)";
  append_integer(now_ms, out);
  out += ',';
  out += source;
  out += R"(,"transaction":null,"message":{"prefix":)";
  append_json_string(row[kPrefixColumn].text(), out);
  out += R"(,"content":)";
  const model::Cell& cell = row[kContentColumn];
  // One that was too large to be kept has none.
  if (cell.kind != model::CellKind::kText)
    out += "null";
  else if (!content.append(cell.text(), out))
    return error(Code::kInvalid, "the content of a logical message is no bytea");
  out += "}}";
  return {};
}

void append_heartbeat_key(std::string_view topic_prefix, bool with_schema, std::string& out) {
  const WithSchema schema(kHeartbeatKeySchema, with_schema, out);
  out += R"({"serverName":)";
  append_json_string(topic_prefix, out);
  out += '}';
}

void append_heartbeat_value(std::int64_t now_ms, bool with_schema, std::string& out) {
  const WithSchema schema(kHeartbeatValueSchema, with_schema, out);
  out += R"({"ts_ms":)";
  append_integer(now_ms, out);
  out += '}';
}

}  // namespace pgweir::debezium
