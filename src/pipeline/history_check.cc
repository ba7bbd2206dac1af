#include "pipeline/history_check.h"

#include <fmt/core.h>

#include "postgres/slot_info.h"
#include "postgres/stream_tracker.h"

namespace pgweir::pipeline {
namespace {

// The transaction that a message begins, or commits when it came in parts.
std::optional<postgres::StreamCommit> transaction_of(std::string_view message) {
  if (message.starts_with('c')) {
    auto commit = postgres::parse_stream_commit(message);
    return commit.ok() ? std::optional(*commit) : std::nullopt;
  }
  if (!message.starts_with('B')) return std::nullopt;
  postgres::StreamTracker tracker;
  if (!tracker.advance(message).ok()) return std::nullopt;
  return postgres::StreamCommit{.xid = tracker.xid(),
                                .commit_lsn = tracker.commit_lsn(),
                                .commit_time = tracker.commit_time()};
}

// Others stand in front of a place in its WAL, where none begins; and logical messages outside of
// transactions in one without an id.
bool is_the_servers(const postgres::StreamCommit& commit) {
  constexpr std::uint64_t kAlignment = 8;  // of WAL records
  return commit.xid != model::Xid{} && model::value(commit.commit_lsn) % kAlignment == 0;
}

bool is_same(const postgres::StreamCommit& a, const postgres::StreamCommit& b) {
  return a.commit_lsn == b.commit_lsn && a.xid == b.xid && a.commit_time == b.commit_time;
}

// A row's, a truncate, or a logical message.
bool is_change(std::string_view message) {
  return !message.empty() && std::string_view("IUDTM").find(message[0]) != std::string_view::npos;
}

std::string text_of(const postgres::StreamCommit& commit) {
  return fmt::format("transaction {} at {}", static_cast<std::uint32_t>(commit.xid),
                     model::to_string(commit.commit_lsn));
}

}  // namespace

HistoryCheck::HistoryCheck(log::Log& log, model::Lsn confirmed, model::Lsn end)
    : log_(log), confirmed_(confirmed), end_(end), start_(end) {
  settled_ = confirmed == model::Lsn{} || confirmed >= end_;
  if (settled_) return;
  // A crashed server may have forgotten what the slot was told for minutes: retention may have
  // removed that part of the log.
  settled_ = !each_transaction([this](const postgres::StreamCommit& each, bool has_changes) {
    if (has_changes) last_ = each;
  });
  if (settled_) return;
  start_ = last_ ? last_->commit_lsn : confirmed_;
}

bool HistoryCheck::each_transaction(const OnTransaction& take) const {
  auto cursor = log_.read({log_.epoch(), confirmed_, 0});
  if (!cursor.ok()) return false;
  std::optional<postgres::StreamCommit> open;
  bool has_changes = false;
  const auto end_open = [&] {
    const bool counts =
        open && is_the_servers(*open) && open->commit_lsn >= confirmed_ && open->commit_lsn < end_;
    if (counts) take(*open, has_changes);
    open.reset();
    has_changes = false;
  };
  while (true) {
    const auto frame = (*cursor)->next(Microseconds(0));
    if (!frame.ok()) return false;
    if (*frame == nullptr || (*frame)->header.first.lsn >= end_) break;
    const log::FrameHeader& header = (*frame)->header;
    const bool adopts = header.kind == log::FrameKind::kTransaction && header.xid != 0;
    if (header.kind != log::FrameKind::kChanges && !adopts) continue;
    log::RecordReader records((*frame)->payload);
    std::string_view record;
    if (adopts) {
      end_open();
      if (records.next(record)) open = transaction_of(record);
    } else if (header.xid != 0) {
      // Of one that came in parts. What is left of it is counted in front of its commit.
      has_changes = has_changes || header.last.sequence > 1;
    } else {
      while (records.next(record)) {
        const auto begun = transaction_of(record);
        const bool goes_on = begun && open && begun->commit_lsn == open->commit_lsn;
        if (begun && !goes_on) end_open();
        if (begun) open = begun;
        has_changes = has_changes || is_change(record);
      }
    }
  }
  end_open();
  return true;
}

bool HistoryCheck::is_in_log(const postgres::StreamCommit& transaction) const {
  bool found = false;
  (void)each_transaction([&](const postgres::StreamCommit& each, bool) {
    found = found || is_same(each, transaction);
  });
  return found;
}

Status HistoryCheck::look(const postgres::Gulp& gulp) {
  if (settled_) return {};
  for (std::size_t i = 0; i < gulp.messages.size(); ++i) {
    const auto found = transaction_of(gulp.message(i));
    if (!found) continue;
    TRY(compare(*found));
    settled_ = true;
    return {};
  }
  if (gulp.keepalive_lsn < end_) return {};
  if (last_) return other_history("nothing up to the log's end");
  settled_ = true;
  return {};
}

Status HistoryCheck::compare(const postgres::StreamCommit& found) {
  const bool as_expected =
      last_ ? is_same(found, *last_) : found.commit_lsn >= end_ || is_in_log(found);
  return as_expected ? Status() : other_history(text_of(found));
}

Error HistoryCheck::other_history(const std::string& found) const {
  return error(
      Code::kCorruption, "the server has another history than the log",
      fmt::format("from {} to {} the log has {}, the server has {}: it was restored to an earlier "
                  "state, and was written to since",
                  model::to_string(last_ ? last_->commit_lsn : confirmed_), model::to_string(end_),
                  last_ ? text_of(*last_) : "no transaction", found),
      postgres::kResyncHint);
}

}  // namespace pgweir::pipeline
