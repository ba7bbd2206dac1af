// Capture's view of a failover and of a server that was restored: whether the server that answers
// now goes on where the log ends.
#include <fmt/core.h>

#include "pipeline/capture.h"
#include "postgres/timeline.h"

namespace pgweir::pipeline {

using postgres::ConnectionKind;

// What passes by itself: an old primary that came back beside the new one, a standby that has not
// replayed so far yet.
Status Capture::check_server(const postgres::SystemIdentity& system) {
  if (resync_due()) return {};  // this server is the truth now, whatever it is
  TRY_ASSIGN(const auto state, load_state(fs_, options_.data_directory));
  if (state && system.timeline < state->timeline)
    return postgres::old_primary(status().where, system, state->timeline);
  const model::Lsn end = log_.durable_end_lsn();
  if (!system.standby || system.current_lsn >= end) return {};
  return error(Code::kUnavailable, "the standby has not replayed as far as the log reaches",
               fmt::format("it stands at {}, the log ends at {}",
                           model::to_string(system.current_lsn), model::to_string(end)),
               "Promote it, or name several hosts in source.url so that the primary is found");
}

// After a promotion: the new timeline must have left the old one behind the end of our log.
Status Capture::check_history(const postgres::SystemIdentity& system) {
  TRY_ASSIGN(const auto state, load_state(fs_, options_.data_directory));
  if (!state || state->timeline == 0 || state->timeline == system.timeline) return {};
  TRY_ASSIGN(auto replication, connect(ConnectionKind::kReplication));
  TRY(postgres::check_same_server(replication, system));
  TRY(postgres::check_history(replication, system, state->timeline, log_.durable_end_lsn()));
  logger_.info("the server at {} has taken over: timeline {} is followed by timeline {}",
               replication.where(), state->timeline, system.timeline);
  return {};
}

Status Capture::remember_timeline(const postgres::SystemIdentity& system) {
  TRY_ASSIGN(auto state, load_state(fs_, options_.data_directory));
  if (!state || state->timeline == system.timeline) return {};
  state->timeline = system.timeline;
  return store_state(fs_, options_.data_directory, *state);
}

postgres::StreamOptions Capture::stream_options(const HistoryCheck& history) const {
  postgres::StreamOptions out;
  out.slot = options_.source.slot;
  out.publications = publications_;
  out.streaming = options_.stream_large_transactions && whole_until_lsn_ == 0;
  out.start_lsn = history.start_lsn();
  return out;
}

// What the stream would show, before it begins. Nothing is confirmed.
Status Capture::compare_history(model::Lsn confirmed) {
  constexpr Microseconds kWait{100'000};
  HistoryCheck check(log_, confirmed, log_.durable_end_lsn());
  if (check.settled()) return {};
  TRY_ASSIGN(auto connection, connect(ConnectionKind::kReplication));
  TRY_ASSIGN(auto stream,
             postgres::ReplicationStream::start(std::move(connection), stream_options(check)));
  postgres::Gulp gulp;
  while (!check.settled()) {
    if (stopping_) return error(Code::kCancelled, "asked to stop");
    TRY(stream.read(gulp, kWait, &stop_waker_));
    TRY(check.look(gulp));
    if (!gulp.reply_requested) continue;
    TRY(stream.send_feedback(confirmed, confirmed, confirmed,
                             postgres::ReplicationStream::Reply::kNotNeeded, clock_.now_us()));
  }
  return stream.stop(Milliseconds(2'000));
}

}  // namespace pgweir::pipeline
