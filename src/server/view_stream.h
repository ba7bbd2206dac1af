// One subscriber of a view: its rows, then what changes of them.
//
// Place:   between the engine's readers, ViewFeeds, and the connection's EventSink.
// Threads: each has one of its own, so that a slow reader costs nobody else anything.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/units.h"
#include "engine/engine.h"
#include "server/backend.h"
#include "server/view_feeds.h"
#include "views/view_set.h"

namespace pgweir::server {

struct ViewStreamOptions {
  // Of a view's rows, as JSON: a larger view cannot be followed.
  std::size_t rows_bytes_max = 64 * kMiB;
  // Of all that are on their way to subscribers: who comes then is told to try again.
  std::size_t all_rows_bytes_max = 256 * kMiB;
  int readers_max = 2;                // of the engine's: queries find the others
  Milliseconds rows_timeout{30'000};  // of the query for them
  Milliseconds reader_wait{1'000};    // for a free reader; then it is tried again
};

// What the subscribers of a pipeline share. All references must outlive it, and it them.
struct ViewStreams {
  engine::Engine& engine;
  const views::ViewSet& views;
  ViewFeeds feeds;
  const ViewStreamOptions options;
  std::atomic<std::size_t> rows_bytes{0};  // on their way
  std::atomic<int> readers{0};

  ViewStreams(engine::Engine& the_engine, const views::ViewSet& the_views, const io::Clock& clock,
              ViewFeedOptions feed_options = {}, ViewStreamOptions stream_options = {})
      : engine(the_engine), views(the_views), feeds(clock, feed_options), options(stream_options) {}
};

// As Backend::view_stream().
Result<std::unique_ptr<Subscription>> follow_view(ViewStreams& streams, const std::string& name,
                                                  const std::string& last_event_id,
                                                  std::shared_ptr<EventSink> sink);

}  // namespace pgweir::server
