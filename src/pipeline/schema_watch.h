// Looks at the source's catalog now and then, and at once when it is told to.
//
// Place:   beside capture, on an ordinary connection and a thread of its own, as slot_watch.h. What
//          it finds concerns the stream only once that has passed the look's LSN: the writer waits
//          for it.
// Life:    start() may come again and does nothing then; stop() waits.
// Threads: start() and stop() one at a time; everything else: any.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "base/logger.h"
#include "base/mutex.h"
#include "base/units.h"
#include "io/clock.h"
#include "io/waker.h"
#include "model/table.h"
#include "postgres/catalog_look.h"
#include "postgres/connection.h"

namespace pgweir::pipeline {

struct SchemaWatchOptions {
  std::string url;
  postgres::SourceOptions source;
  Milliseconds interval{10'000};
  Milliseconds query_timeout{30'000};
};

// What a look found, and when it began: by the count of Relation messages described until then.
struct SchemaLook {
  postgres::CatalogLook catalog;
  std::uint64_t described = 0;
};

struct SchemaWatchStatus {
  std::int64_t looked_us = 0;  // when the last look that came to its end began; 0: none yet
  bool ddl_trigger = false;
  std::optional<Error> failure;  // of the last look, or of the publications in it
};

class SchemaWatch {
 public:
  // `clock` and `logger` must outlive the watch.
  SchemaWatch(SchemaWatchOptions options, const io::Clock& clock, Logger& logger)
      : options_(std::move(options)), clock_(clock), logger_(logger) {}
  ~SchemaWatch() { stop(); }

  void start();
  void stop();

  // The tables that the log has; the first look waits for this.
  void know(std::map<std::uint32_t, model::Presence> tables) EXCLUDES(mutex_);
  std::map<std::uint32_t, model::Presence> known() const EXCLUDES(mutex_);
  // A Relation message was described with the catalog of this moment.
  void count_description() EXCLUDES(mutex_);
  std::uint64_t descriptions() const EXCLUDES(mutex_);

  // Something has changed: looks soon, whatever the interval.
  void look_now() EXCLUDES(mutex_);
  // The newest look that nobody has taken.
  std::optional<SchemaLook> take() EXCLUDES(mutex_);
  SchemaWatchStatus status() const EXCLUDES(mutex_);

 private:
  void run();
  Status look();
  Status connect();
  Status heed_partitions(postgres::CatalogLook& catalog);
  bool stopping() const EXCLUDES(mutex_);

  const SchemaWatchOptions options_;
  const io::Clock& clock_;
  Logger& logger_;
  io::Waker waker_;       // for a look, or the stop
  io::Waker stop_waker_;  // ends a query
  std::thread thread_;
  std::optional<postgres::Connection> connection_;   // the thread's
  std::string told_;                                 // the thread's: the last failure, for the log
  std::map<std::uint32_t, std::uint32_t> attached_;  // the thread's: partitions, as last heeded

  mutable Mutex mutex_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::optional<std::map<std::uint32_t, model::Presence>> known_ GUARDED_BY(mutex_);
  std::uint64_t described_ GUARDED_BY(mutex_) = 0;
  std::optional<SchemaLook> look_ GUARDED_BY(mutex_);
  SchemaWatchStatus status_ GUARDED_BY(mutex_);
};

}  // namespace pgweir::pipeline
