// Any bytes are either decoded or refused; slices stay inside their message.
//
// Input: records of a length byte pair and a message; a leading byte chooses where to start.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "postgres/catalog.h"
#include "postgres/pgoutput.h"
#include "postgres/stream_tracker.h"

using namespace pgweir;

// Touches every byte that a batch shows.
static std::size_t walk(const model::Batch& batch) {
  std::size_t sum = 0;
  for (const model::Change& change : batch.changes) {
    const model::Table& table = batch.table_of(change);
    if (change.transaction >= batch.transactions.size()) std::abort();
    for (const std::uint32_t first : {change.before, change.after}) {
      if (first == model::kNoRow) continue;
      for (const model::Cell& cell : batch.row(first, table)) {
        if (cell.kind != model::CellKind::kText) continue;
        for (const char c : cell.text()) sum += static_cast<unsigned char>(c);
      }
    }
  }
  return sum;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  postgres::PgoutputDecoder decoder(model::Position{1, model::Lsn{data[0]}, data[1]});
  postgres::StreamTracker tracker(1);
  std::size_t at = 2;
  std::size_t sum = 0;
  bool tracked = true;
  while (at + 2 <= size) {
    const std::size_t length = data[at] | static_cast<std::size_t>(data[at + 1] & 0x0f) << 8;
    const bool take = (data[at + 1] & 0x80) != 0;
    at += 2;
    const std::size_t part = std::min(length, size - at);
    const char* const bytes = reinterpret_cast<const char*>(data + at);
    auto arena = std::make_shared<std::vector<char>>(bytes, bytes + part);
    const std::string_view message(arena->data(), arena->size());
    at += part;
    (void)postgres::decode_schema(message);
    (void)postgres::parse_stream_start(message);
    (void)postgres::parse_stream_commit(message);
    (void)postgres::parse_stream_abort(message);
    tracked = tracked && tracker.advance(message).ok();
    decoder.keep_alive(arena);
    if (!message.empty() && message[0] == '#') {
      if (!decoder.begin_snapshot(model::Lsn{1}, {}).ok()) break;
    } else if (!message.empty() && message[0] == '$') {
      if (!decoder.feed_copy_rows(model::Oid{1}, message.substr(1)).ok()) break;
    } else if (!message.empty() && message[0] == '%') {
      if (!decoder.end_snapshot().ok()) break;
    } else if (!message.empty() && message[0] == '&') {
      auto rolled_back = postgres::XidSet::decode(message.substr(1));
      if (!rolled_back.ok() || decoder.in_transaction()) break;
      decoder.begin_streamed({model::Xid{1}, model::Lsn{2}, {}}, std::move(rolled_back).value());
    } else if (!message.empty() && message[0] == '^') {
      if (!decoder.feed_streamed(message.substr(1)).ok()) break;
    } else if (!decoder.feed(message).ok()) {
      break;
    }
    if (take) sum += walk(decoder.take());
  }
  sum += walk(decoder.take());
  return sum == static_cast<std::size_t>(-1) ? 1 : 0;
}
