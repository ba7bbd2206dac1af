#include "postgres/streamed.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/bytes.h"
#include "postgres/pgoutput.h"

namespace pgweir::postgres {
namespace {

Error misfit(std::string_view message, std::string_view what) {
  return error(Code::kCorruption, "a message of a streamed transaction is damaged",
               fmt::format("message '{}' of {} bytes: {}", message.empty() ? '?' : message[0],
                           message.size(), what));
}

Status check(std::string_view message, char kind, const NetworkReader& in) {
  if (message[0] != kind) return misfit(message, fmt::format("it should be '{}'", kind));
  if (!in.ok() || !in.at_end()) return misfit(message, "not the length of such a message");
  return {};
}

model::Xid read_xid(NetworkReader& in) {
  return model::Xid{in.read<std::uint32_t>()};
}

}  // namespace

Result<StreamStart> parse_stream_start(std::string_view message) {
  if (message.empty()) return misfit(message, "it is empty");
  NetworkReader in(message.substr(1));
  StreamStart start;
  start.xid = read_xid(in);
  start.is_first = in.read<std::uint8_t>() != 0;
  TRY(check(message, 'S', in));
  return start;
}

Result<StreamCommit> parse_stream_commit(std::string_view message) {
  if (message.empty()) return misfit(message, "it is empty");
  NetworkReader in(message.substr(1));
  StreamCommit commit;
  commit.xid = read_xid(in);
  in.read<std::uint8_t>();  // flags, none defined
  commit.commit_lsn = model::Lsn{in.read<std::uint64_t>()};
  commit.end_lsn = model::Lsn{in.read<std::uint64_t>()};
  commit.commit_time = from_wire_time(in.read<std::int64_t>());
  TRY(check(message, 'c', in));
  return commit;
}

Result<StreamAbort> parse_stream_abort(std::string_view message) {
  if (message.empty()) return misfit(message, "it is empty");
  NetworkReader in(message.substr(1));
  StreamAbort abort;
  abort.xid = read_xid(in);
  abort.subxid = read_xid(in);
  TRY(check(message, 'A', in));
  return abort;
}

model::Xid streamed_xid(std::string_view message) {
  NetworkReader in(message.substr(1));
  return read_xid(in);
}

Result<std::string> without_xid(std::string_view message) {
  if (message.size() < kStreamedHeaderBytes) return misfit(message, "it ends before its xid");
  std::string out(message.substr(0, 1));
  out += message.substr(kStreamedHeaderBytes);
  return out;
}

std::string begin_message(const StreamCommit& commit) {
  std::string out = "B";
  append_network(out, model::value(commit.commit_lsn));
  append_network(out, model::value(commit.commit_time) - kPostgresEpochUs);
  append_network(out, static_cast<std::uint32_t>(commit.xid));
  return out;
}

std::string commit_message(const StreamCommit& commit) {
  std::string out = "C";
  append_network(out, std::uint8_t{0});
  append_network(out, model::value(commit.commit_lsn));
  append_network(out, model::value(commit.end_lsn));
  append_network(out, model::value(commit.commit_time) - kPostgresEpochUs);
  return out;
}

void XidSet::add(model::Xid xid) {
  const auto number = static_cast<std::uint32_t>(xid);
  asked_ = false;
  // Mostly the one behind the last.
  auto behind =
      std::upper_bound(ranges_.begin(), ranges_.end(), number,
                       [](std::uint32_t n, const Range& range) { return n < range.first; });
  if (behind != ranges_.begin()) {
    Range& before = *std::prev(behind);
    if (number <= before.last) return;
    if (number == before.last + 1) {
      before.last = number;
      if (behind != ranges_.end() && behind->first == number + 1) {
        before.last = behind->last;
        ranges_.erase(behind);
      }
      return;
    }
  }
  if (behind != ranges_.end() && behind->first == number + 1) {
    behind->first = number;
    return;
  }
  ranges_.insert(behind, {number, number});
}

void XidSet::look_up(model::Xid xid) const {
  const auto number = static_cast<std::uint32_t>(xid);
  const auto behind =
      std::upper_bound(ranges_.begin(), ranges_.end(), number,
                       [](std::uint32_t n, const Range& range) { return n < range.first; });
  asked_ = true;
  last_asked_ = xid;
  last_answer_ = behind != ranges_.begin() && number <= std::prev(behind)->last;
}

std::string XidSet::encode() const {
  std::string out;
  for (const Range& range : ranges_) {
    append_file(out, range.first);
    append_file(out, range.last);
  }
  return out;
}

Result<XidSet> XidSet::decode(std::string_view bytes) {
  XidSet set;
  FileReader in(bytes);
  while (in.ok() && !in.at_end()) {
    Range range;
    range.first = in.read<std::uint32_t>();
    range.last = in.read<std::uint32_t>();
    const bool in_order = set.ranges_.empty() || range.first > set.ranges_.back().last;
    if (!in.ok() || range.last < range.first || !in_order)
      return error(Code::kCorruption, "a list of rolled back sub-transactions is damaged");
    set.ranges_.push_back(range);
  }
  return set;
}

}  // namespace pgweir::postgres
