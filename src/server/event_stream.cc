#include "server/event_stream.h"

#include <fmt/core.h>

#include <chrono>

#include "server/json_writer.h"

namespace pgweir::server {
namespace {

// A line break inside the data begins a further data line, as the format wants it.
void append_data(std::string& out, std::string_view data) {
  for (;;) {
    const std::size_t end = data.find('\n');
    out += "data: ";
    out += data.substr(0, end);
    out += '\n';
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + 1);
  }
  out += '\n';
}

std::string error_data(std::string_view code, std::string_view message) {
  JsonWriter json;
  json.begin_object().key("error").begin_object();
  json.key("code").string(code).key("message").string(message).key("hint").string("");
  json.end_object().end_object();
  return json.take();
}

}  // namespace

SinkState EventStream::send(const TailEvent& event) {
  std::string frame;
  frame.reserve(event.id.size() + event.json.size() + 16);
  if (!event.id.empty()) frame += "id: " + event.id + "\n";
  if (event.json.size() + event.id.size() + 16 > options_.buffer_bytes_max) {
    frame += "event: oversized\n";
    append_data(frame, error_data("too_large",
                                  fmt::format("an event of {} bytes is larger than the limit of {}",
                                              event.json.size(), options_.buffer_bytes_max)));
  } else {
    if (!event.name.empty()) frame += "event: " + event.name + "\n";
    append_data(frame, event.json);
  }
  MutexLock lock(mutex_);
  if (ended_) return SinkState::kClosed;
  if (!buffer_.empty() && buffer_.size() + frame.size() > options_.buffer_bytes_max) {
    drop_locked(fmt::format("the reader left more than {} bytes of events unread",
                            options_.buffer_bytes_max));
    return SinkState::kClosed;
  }
  const bool was_empty = buffer_.empty();
  buffer_ += frame;
  if (was_empty) wake_locked();
  return SinkState::kOpen;
}

SinkState EventStream::wait_for_room(Milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (!ended_ && buffer_.size() > options_.buffer_bytes_max / 2) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) return SinkState::kFull;
    room_.wait_for(mutex_, std::chrono::duration_cast<Microseconds>(deadline - now));
  }
  return ended_ ? SinkState::kClosed : SinkState::kOpen;
}

void EventStream::drop(const std::string& reason) {
  MutexLock lock(mutex_);
  if (!ended_) drop_locked(reason);
}

void EventStream::fail(const Error& error) {
  MutexLock lock(mutex_);
  if (!ended_) end_locked("error", code_name(error.code), error.text());
}

void EventStream::end() {
  MutexLock lock(mutex_);
  if (ended_) return;
  ended_ = true;
  wake_locked();
  room_.notify_all();
}

void EventStream::attach(std::function<void()> wake) {
  MutexLock lock(mutex_);
  wake_ = std::move(wake);
}

EventStream::Chunk EventStream::take() {
  MutexLock lock(mutex_);
  Chunk chunk{std::move(buffer_), ended_};
  buffer_.clear();
  room_.notify_all();
  return chunk;
}

void EventStream::finish(std::string_view code, std::string_view message) {
  MutexLock lock(mutex_);
  if (!ended_) end_locked("end", code, message);
}

void EventStream::abandon() {
  MutexLock lock(mutex_);
  ended_ = true;
  buffer_.clear();
  wake_ = nullptr;
  room_.notify_all();
}

bool EventStream::was_dropped() const {
  MutexLock lock(mutex_);
  return dropped_;
}

void EventStream::drop_locked(const std::string& reason) {
  dropped_ = true;
  buffer_.clear();
  end_locked("dropped", "too_slow", reason);
}

void EventStream::end_locked(std::string_view event, std::string_view code,
                             std::string_view message) {
  ended_ = true;
  buffer_ += "event: ";
  buffer_ += event;
  buffer_ += '\n';
  append_data(buffer_, error_data(code, message));
  wake_locked();
  room_.notify_all();
}

void EventStream::wake_locked() {
  if (wake_) wake_();
}

}  // namespace pgweir::server
