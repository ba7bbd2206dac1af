#include "debezium/event_encoder.h"

#include <fmt/format.h>

#include <span>

#include "debezium/json_text.h"
#include "debezium/special_events.h"
#include "model/message.h"

namespace pgweir::debezium {
namespace {

constexpr std::int64_t kMicrosecondsOfMs = 1000;

using model::Change;
using model::Op;

char letter_of(Op op) {
  switch (op) {
    case Op::kInsert:
      return 'c';
    case Op::kUpdate:
      return 'u';
    case Op::kDelete:
      return 'd';
    case Op::kTruncate:
      return 't';
    case Op::kRead:
      return 'r';
    case Op::kMessage:
      return 'm';
  }
  return 'r';
}

// Keeps the place of a first snapshot's marker, which is known one row later: no JSON has it.
constexpr std::string_view kMarkerPlace("\0", 1);

// What is appended to `out` between the two is a piece of it.
class Piece {
 public:
  Piece(Events& events, EventText& text) : events_(events), text_(text) {
    text_.offset = static_cast<std::uint32_t>(events_.bytes.size());
  }
  ~Piece() { text_.size = static_cast<std::uint32_t>(events_.bytes.size()) - text_.offset; }
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;

 private:
  Events& events_;
  EventText& text_;
};

}  // namespace

// A table as it was met last.
struct EventEncoder::Known {
  std::shared_ptr<const model::Table> table;
  TableEncoding encoding;
  std::uint32_t topic = 0;
  std::string source;      // for the source block
  std::string collection;  // in transactions' counts
  bool wanted = true;
};

// A change, with what belongs to it.
struct EventEncoder::Place {
  const model::Batch& batch;
  const Change& change;
  const model::Transaction& transaction;
  const Known* table = nullptr;  // null: of a message
};

// A row of a snapshot that waits for what comes behind it.
struct EventEncoder::Held {
  bool holds = false;
  std::uint32_t table = 0;  // OID
  bool is_first = false;    // of the snapshot ...
  bool is_first_of_table = false;
  Events row;
  std::size_t marker_at = 0;  // in the row's value
};

EventEncoder::EventEncoder(EventOptions options)
    : options_(std::move(options)),
      source_(options_.version, options_.tables.topic_prefix, options_.database),
      held_(std::make_unique<Held>()),
      next_(std::make_unique<Held>()) {
  if (!options_.context_headers) return;
  constexpr std::string_view kContext = "__debezium.context.";
  const std::string& prefix = options_.tables.topic_prefix;
  context_ = {{fmt::format("{}connectorLogicalName", kContext), prefix},
              {fmt::format("{}taskId", kContext), options_.task_id},
              {fmt::format("{}connectorName", kContext), "postgresql"},
              {fmt::format("{}runId", kContext), options_.run_id}};
}

EventEncoder::~EventEncoder() = default;

std::shared_ptr<const EventEncoder::Known> EventEncoder::known(
    const std::shared_ptr<const model::Table>& table) {
  std::shared_ptr<const Known>& entry = tables_[model::value(table->id)];
  if (entry && (entry->table == table || *entry->table == *table)) return entry;
  TableEncoding encoding(*table, options_.tables);
  const std::uint32_t topic = topic_number(encoding.topic());
  entry = std::make_shared<const Known>(
      Known{table, std::move(encoding), topic, SourceBlock::table(table->schema, table->name),
            table->qualified_name(), !options_.wanted || options_.wanted(*table)});
  return entry;
}

std::uint32_t EventEncoder::topic_number(const std::string& name) {
  const auto [at, is_new] =
      topic_numbers_.try_emplace(name, static_cast<std::uint32_t>(topics_.size()));
  if (is_new) topics_.push_back(std::make_unique<const std::string>(name));
  return at->second;
}

// --- A batch -------------------------------------------------------------------------------------

Status EventEncoder::encode(const model::Batch& batch, std::int64_t now_us, const Drain& drain,
                            Events& out) {
  now_us_ = now_us;
  times_ = R"(","ts_ms":)";
  append_integer(now_us / kMicrosecondsOfMs, times_);
  times_ += R"(,"ts_us":)";
  append_integer(now_us, times_);
  times_ += R"(,"ts_ns":)";
  append_integer(now_us, times_);
  times_ += "000";
  batch_tables_.clear();
  for (const auto& table : batch.tables)
    batch_tables_.push_back(model::holds_messages(*table) ? nullptr : known(table));
  for (std::uint32_t i = 0; i < batch.transactions.size(); ++i)
    TRY(encode_transaction(batch, i, drain, out));
  return {};
}

Status EventEncoder::encode_transaction(const model::Batch& batch, std::uint32_t index,
                                        const Drain& drain, Events& out) {
  const model::Transaction& transaction = batch.transactions[index];
  if (transaction.begins) {
    state_.total_order = 0;
    state_.collections.clear();
  }
  source_.begin(transaction, state_.last_commit_lsn, marker_of(transaction));
  for (std::uint32_t n = 0; n < transaction.change_count; ++n) {
    const Change& change = batch.changes[transaction.first_change + n];
    const Place place{batch, change, transaction, batch_tables_[change.table].get()};
    Status status = encode_change(place, out);
    if (!status.ok()) {
      Error why = status.error();
      why.detail += fmt::format("{}at {}", why.detail.empty() ? "" : ", ",
                                model::to_string(model::Position{
                                    batch.to.epoch, transaction.commit_lsn, change.sequence}));
      return why;
    }
    if (drain.take && out.bytes.size() >= drain.bytes_max) TRY(drain.take(out));
  }
  if (!transaction.ends || transaction.kind != model::Transaction::Kind::kStream) return {};
  append_end(transaction, index, out);
  // A message outside of transactions, which has one to itself here, is no commit.
  if (transaction.xid != model::Xid{}) state_.last_commit_lsn = transaction.end_lsn;
  return {};
}

Status EventEncoder::encode_change(const Place& place, Events& out) {
  const Change& change = place.change;
  if (place.table != nullptr && !place.table->wanted) return {};
  if (options_.skipped_operations.find(letter_of(change.op)) != std::string::npos) return {};
  switch (change.op) {
    case Op::kMessage:
      return encode_message(place, out);
    case Op::kRead:
      return encode_snapshot_row(place, out);
    case Op::kUpdate: {
      const TableEncoding& table = place.table->encoding;
      if (change.before == model::kNoRow) break;
      const auto before = place.batch.row(change.before, *place.table->table);
      const auto after = place.batch.row(change.after, *place.table->table);
      if (options_.skip_unchanged && table.same_row(before, after)) return {};
      if (table.has_key() && !table.same_key(before, after)) return encode_key_change(place, out);
      break;
    }
    case Op::kInsert:
    case Op::kDelete:
    case Op::kTruncate:
      break;
  }
  return encode_row(place, out);
}

Status EventEncoder::encode_row(const Place& place, Events& out) {
  const Change& change = place.change;
  const Known& table = *place.table;
  Rows rows;
  if (change.before != model::kNoRow) rows.before = place.batch.row(change.before, *table.table);
  if (change.after != model::kNoRow) rows.after = place.batch.row(change.after, *table.table);
  append_begin(place, out);
  Event event{.topic = table.topic,
              .headers = EventHeaders::kContext,
              .transaction = change.transaction,
              .sequence = change.sequence};
  if (table.encoding.has_key() && change.op != Op::kTruncate) {
    const auto keyed = change.op == Op::kDelete ? rows.before : rows.after;
    TRY(append_key(table, keyed, out, event.key));
  }
  TRY(append_envelope(place, letter_of(change.op), rows, out, event.value));
  out.events.push_back(event);
  if (change.op == Op::kDelete) append_tombstone(event, out);
  return {};
}

// The row leaves its old key, and comes under the new one.
Status EventEncoder::encode_key_change(const Place& place, Events& out) {
  const Change& change = place.change;
  const Known& table = *place.table;
  const auto before = place.batch.row(change.before, *table.table);
  const auto after = place.batch.row(change.after, *table.table);
  append_begin(place, out);
  const auto header = [&](std::span<const model::Cell> row, EventText& text) -> Status {
    const Piece piece(out, text);
    return table.encoding.append_key(row, out.bytes);
  };
  Event event{.topic = table.topic,
              .headers = EventHeaders::kNewKey,
              .transaction = change.transaction,
              .sequence = change.sequence};
  TRY(append_key(table, before, out, event.key));
  TRY(header(after, event.other_key));
  TRY(append_envelope(place, 'd', {before, {}}, out, event.value));
  out.events.push_back(event);
  append_tombstone(event, out);

  event.headers = EventHeaders::kOldKey;
  TRY(append_key(table, after, out, event.key));
  TRY(header(before, event.other_key));
  TRY(append_envelope(place, 'c', {{}, after}, out, event.value));
  out.events.push_back(event);
  return {};
}

void EventEncoder::append_tombstone(const Event& of, Events& out) const {
  if (!options_.tombstones_on_delete) return;
  Event event = of;
  event.value = {};
  out.events.push_back(event);
}

Status EventEncoder::append_key(const Known& table, std::span<const model::Cell> row, Events& out,
                                EventText& text) const {
  const Piece piece(out, text);
  if (!options_.key_schemas) return table.encoding.append_key(row, out.bytes);
  out.bytes += R"({"schema":)";
  out.bytes += table.encoding.key_schema();
  out.bytes += R"(,"payload":)";
  TRY(table.encoding.append_key(row, out.bytes));
  out.bytes += '}';
  return {};
}

Status EventEncoder::append_envelope(const Place& place, char op, const Rows& rows, Events& out,
                                     EventText& text) {
  const Piece piece(out, text);
  const Known& table = *place.table;
  std::string& bytes = out.bytes;
  if (options_.value_schemas) {
    bytes += R"({"schema":)";
    bytes += table.encoding.envelope_schema();
    bytes += R"(,"payload":)";
  }
  const auto append_row = [&](std::span<const model::Cell> row) -> Status {
    if (row.empty()) {
      bytes += "null";
      return {};
    }
    return table.encoding.append_row(row, bytes);
  };
  bytes += R"({"before":)";
  TRY(append_row(rows.before));
  bytes += R"(,"after":)";
  TRY(append_row(rows.after));
  bytes += ',';
  if (op == 'r' && !state_.in_snapshot)
    source_.append_without_lsn(table.source, bytes);
  else
    source_.append(table.source, lsn_of(place.transaction, place.change), bytes);
  append_transaction_block(place, bytes);
  bytes += R"(,"op":")";
  bytes += op;
  bytes += times_;
  bytes += options_.value_schemas ? "}}" : "}";
  return {};
}

std::string_view EventEncoder::marker_of(const model::Transaction& transaction) const {
  if (transaction.kind == model::Transaction::Kind::kStream) return "false";
  return state_.in_snapshot ? kMarkerPlace : "incremental";
}

// --- Snapshots -----------------------------------------------------------------------------------

void EventEncoder::begin_snapshot() {
  held_->holds = false;
  state_ = {};
  state_.in_snapshot = true;
}

void EventEncoder::end_snapshot(Events& out) {
  if (held_->holds) release_held("last", out);
  state_.in_snapshot = false;
}

std::optional<std::uint64_t> EventEncoder::held_sequence() const {
  if (!held_->holds) return std::nullopt;
  return held_->row.events.front().sequence;
}

Status EventEncoder::encode_snapshot_row(const Place& place, Events& out) {
  if (!state_.in_snapshot) return encode_row(place, out);
  Held& next = *next_;
  next.row.clear();
  TRY(encode_row(place, next.row));
  next.table = model::value(place.table->table->id);
  next.marker_at = next.row.text(next.row.events.front().value).find(kMarkerPlace);
  if (held_->holds) {
    std::string_view marker = "true";
    if (held_->is_first)
      marker = "first";
    else if (held_->table != next.table)
      marker = "last_in_data_collection";
    else if (held_->is_first_of_table)
      marker = "first_in_data_collection";
    release_held(marker, out);
  }
  next.is_first = state_.snapshot_rows == 0;
  next.is_first_of_table = next.is_first || state_.snapshot_table != next.table;
  next.holds = true;
  std::swap(held_, next_);
  return {};
}

void EventEncoder::release_held(std::string_view marker, Events& out) {
  const Events& row = held_->row;
  Event event = row.events.front();
  if (!event.key.is_null()) {
    const std::string_view key = row.text(event.key);
    const Piece piece(out, event.key);
    out.bytes += key;
  }
  {
    const std::string_view value = row.text(event.value);
    const Piece piece(out, event.value);
    out.bytes += value.substr(0, held_->marker_at);
    out.bytes += marker;
    out.bytes += value.substr(held_->marker_at + 1);
  }
  out.events.push_back(event);
  held_->holds = false;
  ++state_.snapshot_rows;
  state_.snapshot_table = held_->table;
}

// --- Events that are no row's --------------------------------------------------------------------

Status EventEncoder::encode_message(const Place& place, Events& out) {
  const Change& change = place.change;
  const auto row = place.batch.row(change.after, place.batch.table_of(change));
  Event event{.topic = topic_number(options_.tables.topic_prefix + ".message"),
              .transaction = change.transaction,
              .sequence = change.sequence};
  scratch_.clear();
  source_.append(R"("schema":"","table":"")", lsn_of(place.transaction, change), scratch_);
  {
    const Piece piece(out, event.key);
    append_message_key(row, options_.key_schemas, out.bytes);
  }
  {
    const Piece piece(out, event.value);
    TRY(append_message_value(row, scratch_, now_us_ / kMicrosecondsOfMs,
                             {options_.tables.values, options_.value_schemas}, out.bytes));
  }
  out.events.push_back(event);
  return {};
}

void EventEncoder::append_heartbeat(std::int64_t now_ms, Events& out) {
  Event event{
      .topic = topic_number(options_.heartbeat_topic_prefix + "." + options_.tables.topic_prefix)};
  {
    const Piece piece(out, event.key);
    append_heartbeat_key(options_.tables.topic_prefix, options_.key_schemas, out.bytes);
  }
  {
    const Piece piece(out, event.value);
    append_heartbeat_value(now_ms, options_.value_schemas, out.bytes);
  }
  out.events.push_back(event);
}

void EventEncoder::append_transaction_block(const Place& place, std::string& out) {
  if (!options_.transaction_metadata ||
      place.transaction.kind != model::Transaction::Kind::kStream) {
    out += R"(,"transaction":null)";
    return;
  }
  out += R"(,"transaction":{"id":")";
  append_transaction_id(place.transaction.xid, lsn_of(place.transaction, place.change), out);
  out += R"(","total_order":)";
  append_integer(static_cast<std::int64_t>(++state_.total_order), out);
  out += R"(,"data_collection_order":)";
  append_integer(static_cast<std::int64_t>(++state_.collections[place.table->collection]), out);
  out += '}';
}

// In front of a transaction's first event.
void EventEncoder::append_begin(const Place& place, Events& out) {
  if (!options_.transaction_metadata || state_.total_order != 0 ||
      place.transaction.kind != model::Transaction::Kind::kStream)
    return;
  std::string id;
  append_transaction_id(place.transaction.xid, lsn_of(place.transaction, place.change), id);
  append_boundary(
      R"("BEGIN")", id, R"("event_count":null,"data_collections":null)", place.transaction,
      {.transaction = place.change.transaction, .sequence = place.change.sequence}, out);
}

void EventEncoder::append_end(const model::Transaction& transaction, std::uint32_t index,
                              Events& out) {
  if (!options_.transaction_metadata || state_.total_order == 0) return;
  std::string id, counts = R"("event_count":)";
  append_transaction_id(transaction.xid, transaction.end_lsn, id);
  append_integer(static_cast<std::int64_t>(state_.total_order), counts);
  counts += R"(,"data_collections":[)";
  bool first = true;
  for (const auto& [collection, count] : state_.collections) {
    counts += std::exchange(first, false) ? R"({"data_collection":)" : R"(,{"data_collection":)";
    append_json_string(collection, counts);
    counts += R"(,"event_count":)";
    append_integer(static_cast<std::int64_t>(count), counts);
    counts += '}';
  }
  counts += ']';
  append_boundary(R"("END")", id, counts, transaction, {.transaction = index}, out);
  state_.total_order = 0;
  state_.collections.clear();
}

void EventEncoder::append_boundary(std::string_view status, std::string_view id,
                                   std::string_view counts, const model::Transaction& transaction,
                                   Event event, Events& out) {
  event.topic = topic_number(options_.tables.topic_prefix + "." + options_.transaction_topic);
  {
    const Piece piece(out, event.key);
    append_transaction_key(id, options_.key_schemas, out.bytes);
  }
  {
    const Piece piece(out, event.value);
    append_transaction_value(
        {status, id, counts, model::value(transaction.commit_time) / kMicrosecondsOfMs},
        options_.value_schemas, out.bytes);
  }
  out.events.push_back(event);
}

}  // namespace pgweir::debezium
