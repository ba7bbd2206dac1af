#include "pipeline/slot_watch.h"

namespace pgweir::pipeline {

void SlotWatch::start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void SlotWatch::stop() {
  stop_waker_.wake();
  if (thread_.joinable()) thread_.join();
}

std::optional<postgres::SlotInfo> SlotWatch::latest() const {
  MutexLock lock(mutex_);
  return latest_;
}

void SlotWatch::run() {
  while (true) {
    auto answer = ask();
    {
      // An error needs no words of its own: capture has a connection that meets it too.
      MutexLock lock(mutex_);
      latest_ = answer.ok() ? std::move(answer).value() : std::nullopt;
    }
    const auto ready = io::wait_socket(-1, io::Interest::kNothing, options_.interval, &stop_waker_);
    if (!ready.ok() || ready->woken) return;
  }
}

Result<std::optional<postgres::SlotInfo>> SlotWatch::ask() {
  if (!connection_ || !connection_->is_open()) {
    postgres::ConnectionOptions options;
    options.url = options_.url;
    options.query_timeout = options_.query_timeout;
    options.cancel = &stop_waker_;
    TRY_ASSIGN(connection_, postgres::Connection::open(options));
  }
  return postgres::slot_info(*connection_, options_.slot);
}

}  // namespace pgweir::pipeline
