// Server-sent events between a producer and one connection: a buffer with a limit.
//
// Life:    made by a handler, which hands it to a producer and returns it in its Response. Either
//          side may end it; what the producer has sent before the end still goes out.
// Threads: safe from any. A producer never waits for the network, unless it asks to.
// Limits:  a reader that leaves more than `buffer_bytes_max` unread is dropped: what is buffered is
//          thrown away for one last event that says so ("dropped").
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "server/backend.h"

namespace pgweir::server {

struct EventStreamOptions {
  std::size_t buffer_bytes_max = 1024 * 1024;  // of formatted events, for each stream
};

class EventStream final : public EventSink {
 public:
  explicit EventStream(EventStreamOptions options = {}) : options_(options) {}

  // An event that alone is larger than the buffer goes out as a short "oversized" event instead.
  SinkState send(const TailEvent& event) override EXCLUDES(mutex_);
  SinkState wait_for_room(Milliseconds timeout) override EXCLUDES(mutex_);
  void drop(const std::string& reason) override EXCLUDES(mutex_);
  // Ends the stream with an "error" event.
  void fail(const Error& error) override EXCLUDES(mutex_);
  void end() override EXCLUDES(mutex_);

  // For the server. `wake` is called, from any thread, when there is something to take again; it
  // must not call back into the stream.
  void attach(std::function<void()> wake) EXCLUDES(mutex_);
  struct Chunk {
    std::string bytes;
    bool end = false;  // nothing follows
  };
  Chunk take() EXCLUDES(mutex_);
  // Ends it after what is buffered. With a code, one last event tells the reader.
  void finish(std::string_view code, std::string_view message) EXCLUDES(mutex_);
  // The reader is gone: drops everything.
  void abandon() EXCLUDES(mutex_);
  bool was_dropped() const EXCLUDES(mutex_);

 private:
  void drop_locked(const std::string& reason) REQUIRES(mutex_);
  void end_locked(std::string_view event, std::string_view code, std::string_view message)
      REQUIRES(mutex_);
  void wake_locked() REQUIRES(mutex_);

  const EventStreamOptions options_;
  mutable Mutex mutex_;
  Condition room_;
  std::string buffer_ GUARDED_BY(mutex_);
  std::function<void()> wake_ GUARDED_BY(mutex_);
  bool ended_ GUARDED_BY(mutex_) = false;
  bool dropped_ GUARDED_BY(mutex_) = false;
};

}  // namespace pgweir::server
