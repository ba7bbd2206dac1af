// A server that says nothing: is it busy, or is there a network that swallows everything?
#include <fmt/core.h>

#include "pipeline/capture.h"

namespace pgweir::pipeline {

// A walsender that works on one huge transaction may be silent for minutes, and is not given up:
// its slot is still served to our connection. A connection that only we believe in is.
Status Capture::heed_silence(postgres::ReplicationStream& stream) {
  const auto silence = clock_.steady() - last_heard_;
  if (silence >= options_.silence_max / 2 && !asked_to_reply_) {
    const model::Lsn durable{durable_lsn_.load()};
    TRY(stream.send_feedback(durable, durable, durable,
                             postgres::ReplicationStream::Reply::kRequested, clock_.now_us()));
    asked_to_reply_ = true;
  }
  if (silence < options_.silence_max) return {};
  const std::string silent =
      fmt::format("the server has sent nothing for {}",
                  format_duration(std::chrono::duration_cast<Milliseconds>(silence)));
  const auto gone = [&](const std::string& why) {
    return error(Code::kUnavailable, silent, why,
                 "Check the network and the firewalls between pgweir and the server");
  };
  auto control = connect(postgres::ConnectionKind::kOrdinary);
  if (!control.ok()) return gone(control.error().text());
  const auto serving = control->query(
      "SELECT a.pid, coalesce(a.wait_event, 'nothing') FROM pg_replication_slots s "
      "JOIN pg_stat_activity a ON a.pid = s.active_pid WHERE s.slot_name = $1",
      {options_.source.slot});
  if (!serving.ok()) return gone(serving.error().text());
  const int pid = stream.connection().backend_pid();
  if (serving->row_count() == 0 || serving->integer(0, 0) != pid)
    return gone(fmt::format("its process {}, which served the slot, is gone", pid));
  tell_of_silence(fmt::format("{}; its process {} is at work (it waits for: {})", silent, pid,
                              serving->text(0, 1)));
  last_heard_ = clock_.steady();
  asked_to_reply_ = false;
  return {};
}

void Capture::heard() {
  last_heard_ = clock_.steady();
  asked_to_reply_ = false;
  if (told_of_silence_) tell_of_silence("");
}

// Says it beside the state, which may be the writer's that waits for its disk.
void Capture::tell_of_silence(const std::string& message) {
  told_of_silence_ = !message.empty();
  MutexLock lock(mutex_);
  if (status_.state == CaptureState::kStreaming) status_.message = message;
}

}  // namespace pgweir::pipeline
