#include "server/view_stream.h"

#include <fmt/core.h>

#include <memory>
#include <thread>

#include "server/json_writer.h"
#include "server/printed_rows.h"
#include "server/rows.h"

namespace pgweir::server {
namespace {

// How soon the destructor is noticed.
constexpr Milliseconds kLook{50};

Error not_live(const views::ViewInfo& view) {
  return error(Code::kUnavailable, fmt::format("view '{}' is not live", view.name),
               view.error ? view.error->text() : views::view_state_name(view.state),
               "Its state says why: /api/v1/views");
}

// One of the few who read a view's rows at a time, if it has come.
class Turn {
 public:
  explicit Turn(ViewStreams& streams)
      : readers_(streams.readers), has_come_(readers_.fetch_add(1) < streams.options.readers_max) {}
  ~Turn() { readers_.fetch_sub(1); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  bool has_come() const { return has_come_; }

 private:
  std::atomic<int>& readers_;
  const bool has_come_;
};

class ViewStream final : public Subscription {
 public:
  // The view must have been entered.
  ViewStream(ViewStreams& streams, std::string view, const std::string& last_event_id,
             std::shared_ptr<EventSink> sink)
      : streams_(streams),
        view_(std::move(view)),
        sink_(std::move(sink)),
        thread_([this, last_event_id] { run(last_event_id); }) {}

  ~ViewStream() override {
    stopping_ = true;
    thread_.join();
    streams_.feeds.leave(view_);
  }

 private:
  using Next = ViewFeeds::Next;
  enum class Go { kOn, kEnd };

  void run(const std::string& last_event_id) {
    std::optional<ViewPlace> place = resumed(last_event_id);
    Go go = Go::kOn;
    if (!place) go = begin(place);
    while (go == Go::kOn && !stopping_) go = follow(place);
  }

  // The place behind the last event, if what followed it is still kept.
  std::optional<ViewPlace> resumed(const std::string& last_event_id) {
    const auto place = parse_view_place(last_event_id);
    if (!place) return std::nullopt;
    const Next next = streams_.feeds.next(view_, *place, Microseconds(0));
    const bool is_kept = next.kind == Next::Kind::kChange || next.kind == Next::Kind::kNothing;
    return is_kept ? place : std::nullopt;
  }

  Go follow(std::optional<ViewPlace>& place) {
    const Next next = streams_.feeds.next(view_, *place, kLook);
    switch (next.kind) {
      case Next::Kind::kNothing:
        return Go::kOn;
      case Next::Kind::kChange:
        if (gives_all_rows()) return begin(place);
        place->after = next.change->at;
        return send("changes", next.change->parts, *place);
      case Next::Kind::kReplaced: {
        JsonWriter json;
        json.begin_object().key("message").string(next.reason).end_object();
        if (sink_->send({"", json.take(), "reset"}) == SinkState::kClosed) return Go::kEnd;
        return begin(place);
      }
      case Next::Kind::kLost:
        return drop();
      case Next::Kind::kFailed:
        return fail(error(Code::kUnavailable, next.reason));
    }
    return Go::kEnd;
  }

  // Whether the view's mode asks for them at every change.
  bool gives_all_rows() const {
    const auto info = streams_.views.view(view_);
    return info.ok() && info->mode == views::OutputMode::kComplete;
  }

  Go fail(const Error& failure) {
    sink_->fail(failure);
    return Go::kEnd;
  }

  Go drop() {
    sink_->drop(fmt::format("the reader is behind by more than the {} of changes that are kept",
                            format_size(streams_.feeds.options().history_bytes_max)));
    return Go::kEnd;
  }

  // The parts of what leads to `place`; the last has its id. What comes behind it must be kept
  // until the reader has taken them.
  Go send(const char* name, const std::vector<std::string>& parts, const ViewPlace& place) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      while (true) {
        if (stopping_) return Go::kEnd;
        const SinkState room = sink_->wait_for_room(kLook);
        if (room == SinkState::kClosed) return Go::kEnd;
        if (room == SinkState::kOpen) break;
        const Next next = streams_.feeds.next(view_, place, Microseconds(0));
        if (next.kind == Next::Kind::kLost) return drop();
      }
      const std::string id = i + 1 == parts.size() ? to_string(place) : "";
      if (sink_->send({id, parts[i], name}) == SinkState::kClosed) return Go::kEnd;
    }
    return Go::kOn;
  }

  // --- The rows ---

  struct Rows {
    ViewPlace place;
    std::vector<std::string> parts;
  };

  // Sends the rows as they are now; `place` is where they stand.
  Go begin(std::optional<ViewPlace>& place) {
    while (!stopping_) {
      auto rows = read();
      if (!rows.ok()) return fail(rows.error());
      if (!*rows) {
        // Not now: a large transaction is half applied, or the engine needs its readers.
        std::this_thread::sleep_for(kLook);
        continue;
      }
      place = (*rows)->place;
      std::size_t bytes = 0;
      for (const std::string& part : (*rows)->parts) bytes += part.size();
      const bool fits =
          streams_.rows_bytes.fetch_add(bytes) + bytes <= streams_.options.all_rows_bytes_max;
      const Go go = fits ? send("snapshot", (*rows)->parts, *place) : Go::kEnd;
      streams_.rows_bytes.fetch_sub(bytes);
      if (fits) return go;
      return fail(error(Code::kUnavailable, "too many subscribers are being given rows",
                        fmt::format("{} of rows are on their way to them",
                                    format_size(streams_.options.all_rows_bytes_max)),
                        "Try again in a moment"));
    }
    return Go::kEnd;
  }

  // Nothing when it has to be tried again.
  Result<std::unique_ptr<Rows>> read() {
    const auto history = streams_.feeds.history(view_);
    if (!history) return std::unique_ptr<Rows>();
    TRY_ASSIGN(const views::ViewInfo info, streams_.views.view(view_));
    if (info.state == views::ViewState::kWaiting) return std::unique_ptr<Rows>();
    if (info.state != views::ViewState::kLive) return not_live(info);
    const Turn turn(streams_);
    if (!turn.has_come()) return std::unique_ptr<Rows>();
    const auto reader = streams_.engine.reader(streams_.options.reader_wait);
    if (!reader.ok() &&
        (reader.error().code == Code::kUnavailable || reader.error().code == Code::kTimeout))
      return std::unique_ptr<Rows>();
    if (!reader.ok()) return reader.error();
    if (!(*reader)->position().snapshot_complete) return std::unique_ptr<Rows>();
    const Deadline deadline((*reader)->connection(), streams_.options.rows_timeout);
    auto rows = read(**reader, info, *history);
    if (rows.ok()) return std::make_unique<Rows>(std::move(*rows));
    if (deadline.passed()) {
      return error(Code::kTimeout,
                   fmt::format("the rows of view '{}' did not come within {}", view_,
                               format_duration(streams_.options.rows_timeout)));
    }
    if (rows.error().code == Code::kCancelled) return std::unique_ptr<Rows>();
    // It was replaced since: the next look finds what it is now.
    if (streams_.feeds.history(view_) != history) return std::unique_ptr<Rows>();
    return rows.error();
  }

  Result<Rows> read(engine::Reader& reader, const views::ViewInfo& info,
                    const std::string& history) const {
    const engine::EnginePosition& at = reader.position();
    TRY_ASSIGN(const std::int64_t clock_step, views::ViewClock::read_step(reader.connection()));
    TRY_ASSIGN(PrintedRows rows,
               PrintedRows::open(reader.connection(), "SELECT * FROM " + info.rows));
    JsonWriter columns;
    write_columns(columns, rows.columns());
    const ViewFeedOptions& limits = streams_.feeds.options();
    EventParts parts(moment_json(at, clock_step), "\"columns\":" + columns.take(), "rows",
                     limits.part_bytes_max);
    std::vector<std::optional<std::string>> cells;
    while (true) {
      TRY_ASSIGN(const bool more, rows.next(cells));
      if (!more) break;
      JsonWriter json;
      write_row(json, rows.columns(), cells.data());
      const std::string row = json.take();
      if (row.size() > limits.row_bytes_max || parts.bytes() > streams_.options.rows_bytes_max) {
        return error(Code::kInvalid, fmt::format("view '{}' is too large to be followed", view_),
                     fmt::format("its rows are more than {}, or one of them is more than {}",
                                 format_size(streams_.options.rows_bytes_max),
                                 format_size(limits.row_bytes_max)),
                     "Follow a view of fewer rows over it");
      }
      parts.add(row);
    }
    return Rows{{history, {at.position, clock_step}}, parts.take()};
  }

  ViewStreams& streams_;
  const std::string view_;
  const std::shared_ptr<EventSink> sink_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Subscription>> follow_view(ViewStreams& streams, const std::string& name,
                                                  const std::string& last_event_id,
                                                  std::shared_ptr<EventSink> sink) {
  TRY_ASSIGN(const views::ViewInfo view, streams.views.view(name));
  if (view.state != views::ViewState::kLive) return not_live(view);
  TRY(streams.feeds.enter(view.name));
  return std::unique_ptr<Subscription>(
      std::make_unique<ViewStream>(streams, view.name, last_event_id, std::move(sink)));
}

}  // namespace pgweir::server
