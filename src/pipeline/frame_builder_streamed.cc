// What the frame builder does with a transaction that came before it committed, once it commits.
#include <fmt/core.h>

#include "base/bytes.h"
#include "pipeline/frame_builder.h"

namespace pgweir::pipeline {

using postgres::Gulp;
using postgres::StreamCommit;

namespace {

// A streamed transaction that is appended goes through the builder in parts of about this size.
constexpr std::size_t kReplayBytes = 256 * 1024;

void add_message(Gulp& gulp, model::Lsn at, std::string_view kind, std::string_view rest) {
  const auto size = static_cast<std::uint32_t>(kind.size() + rest.size());
  append_file(gulp.arena, size);
  gulp.messages.push_back({at, static_cast<std::uint32_t>(gulp.arena.size()), size});
  gulp.arena += kind;
  gulp.arena += rest;
}

}  // namespace

void FrameBuilder::take_streamed(StreamedTransactions& streamed, ForStreamed with) {
  streamed_ = &streamed;
  with_ = std::move(with);
}

Status FrameBuilder::commit_streamed(std::string_view message, std::vector<log::Frame>& out) {
  TRY_ASSIGN(const StreamCommit commit, postgres::parse_stream_commit(message));
  if (tracker_.in_transaction())
    return error(Code::kCorruption, "the replication stream is damaged",
                 "a streamed transaction commits inside another");
  if (streamed_->is_unclear(commit.xid)) {
    with_.unclear(commit.end_lsn);
    return error(
        Code::kUnavailable,
        fmt::format("transaction {} has logical messages and rolled back savepoints: it is "
                    "taken again as a whole",
                    static_cast<std::uint32_t>(commit.xid)));
  }
  // A part of it may be in the log: the server did not stream it then, or it was appended.
  const bool is_new = last_ < model::Position{epoch_, commit.commit_lsn, 1};
  if (is_new && streamed_->is_large(commit.xid)) {
    TRY_ASSIGN(const bool adopted, adopt(commit, message, out));
    if (adopted) return {};
  }
  TRY_ASSIGN(const StreamedTransaction transaction, streamed_->release(commit.xid));
  return replay(transaction, commit, out);
}

Result<bool> FrameBuilder::adopt(const StreamCommit& commit, std::string_view message,
                                 std::vector<log::Frame>& out) {
  close_frame(out);
  TRY(with_.drain(out));
  TRY_ASSIGN(const auto rows, streamed_->adopt(commit, message, epoch_, with_.describe));
  if (!rows) return false;
  TRY(with_.adopted());
  tracker_.pass(commit, *rows);
  last_ = tracker_.position();
  changes_ += *rows;
  ++transactions_;
  drop_held();
  return true;
}

// As if it had come at its commit. So its records have the positions that they have whenever the
// server sends it again, in whichever way.
Status FrameBuilder::replay(const StreamedTransaction& transaction, const StreamCommit& commit,
                            std::vector<log::Frame>& out) {
  Gulp gulp;
  add_message(gulp, commit.commit_lsn, postgres::begin_message(commit), {});
  TRY(transaction.each_payload([&](std::string_view payload) {
    return replay_payload(transaction, commit.commit_lsn, payload, gulp, out);
  }));
  add_message(gulp, commit.commit_lsn, postgres::commit_message(commit), {});
  return add(gulp, out);
}

Status FrameBuilder::replay_payload(const StreamedTransaction& transaction, model::Lsn at,
                                    std::string_view payload, Gulp& gulp,
                                    std::vector<log::Frame>& out) {
  log::RecordReader records(payload);
  std::string_view record;
  while (records.next(record)) {
    if (!postgres::has_streamed_xid(record)) {
      add_message(gulp, at, record, {});
    } else if (!transaction.rolled_back.contains(postgres::streamed_xid(record))) {
      add_message(gulp, at, record.substr(0, 1), record.substr(postgres::kStreamedHeaderBytes));
    }
    if (gulp.arena.size() < kReplayBytes) continue;
    TRY(add(gulp, out));
    TRY(with_.drain(out));
    gulp.clear();
  }
  if (!records.ok()) return error(Code::kCorruption, "a spooled frame's records are cut off");
  return {};
}

}  // namespace pgweir::pipeline
