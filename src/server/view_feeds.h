// The recent changes of the views that somebody follows, as the events that he is given.
//
// Place:   between the engine, which tells what each batch changes, and the subscriptions, which
//          read at their own pace (view_stream.h).
// Life:    a view's changes are kept from its first subscription on, until some time after the last
//          one is gone. Without one nothing is read and nothing is kept.
// Threads: what ViewListener has is the engine's; everything else: any. The engine waits for no
//          subscriber: what one has not taken when the history is full, is lost for him.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "io/clock.h"
#include "model/position.h"
#include "views/view_clock.h"
#include "views/view_listener.h"

namespace pgweir::server {

struct ViewFeedOptions {
  // Of each view that is followed: how far a subscriber may be behind, or away. A change that alone
  // is larger begins a new history: subscribers are given the rows anew.
  std::size_t history_bytes_max = 16 * kMiB;
  std::size_t part_bytes_max = 256 * kKiB;  // one event; what is larger comes in several
  std::size_t row_bytes_max = kMiB;         // as JSON
  Milliseconds kept_without_subscribers{300'000};
};

// Rows as JSON in events of bounded size:
// {"part":1,HEAD,"KEY":[ROW,...],"last":false}, {"part":2,...,"last":true}
class EventParts {
 public:
  // `head` is '"name":value,...'; that of the first part has `first_head` behind it.
  EventParts(std::string head, const std::string& first_head, std::string key,
             std::size_t part_bytes_max);
  void add(std::string_view row);
  // At least one part. The builder is empty then.
  std::vector<std::string> take();
  std::size_t bytes() const { return bytes_ + open_.size(); }

 private:
  void begin(const std::string& more_head);
  void end(bool last);

  const std::string head_, key_;
  const std::size_t part_bytes_max_;
  std::vector<std::string> parts_;
  std::string open_;
  bool has_rows_ = false;
  std::size_t bytes_ = 0;  // of parts_
};

// When a commit was: what it changed came from the source, or from the views' clock, or from both.
// Every commit that changes views has another moment, and a later one.
struct ViewMoment {
  model::Position position;
  std::int64_t clock_step = 0;
  auto operator<=>(const ViewMoment&) const = default;  // NOLINT(modernize-use-nullptr)
};

// '"position":...,"time":...,"now":...': at the head of an event; "now" where the clock goes.
std::string moment_json(const engine::EnginePosition& position, std::int64_t clock_step);

// What one commit changed of a view.
struct ViewChange {
  ViewMoment at;
  std::vector<std::string> parts;  // JSON: an event each
};

// A place in a view's history.
struct ViewPlace {
  std::string history;  // which one: another after every break
  ViewMoment after;
};
// As the id of an event, and back. "1:0/16B3748:7@18f3a2-2", "1:0/16B3748:7+17672256000@18f3a2-2"
std::string to_string(const ViewPlace& place);
std::optional<ViewPlace> parse_view_place(std::string_view text);

class ViewFeeds final : public views::ViewListener {
 public:
  // `clock` must outlive the feeds.
  explicit ViewFeeds(const io::Clock& clock, ViewFeedOptions options = {});

  const ViewFeedOptions& options() const { return options_; }

  // One more, and one less, follows the view. enter() fails for some time after the view's changes
  // could not be read.
  Status enter(const std::string& view) EXCLUDES(mutex_);
  void leave(const std::string& view) EXCLUDES(mutex_);

  // Between the two. Rows that a reader sees who begins after this are followed by next() behind
  // his position, in the history named. Nothing while a transaction that began before enter() goes
  // on.
  std::optional<std::string> history(const std::string& view) const EXCLUDES(mutex_);

  struct Next {
    enum class Kind {
      kNothing,   // in time
      kChange,    // the first one behind the place
      kReplaced,  // the history has ended, for `reason`: the rows are others
      kLost,      // what follows the place is no longer kept
      kFailed,    // the changes cannot be read, for `reason`
    };
    Kind kind = Kind::kNothing;
    std::shared_ptr<const ViewChange> change;
    std::string reason;
  };
  Next next(const std::string& view, const ViewPlace& place, Microseconds patience)
      EXCLUDES(mutex_);

  // ViewListener.
  bool wants(const std::string& view) override EXCLUDES(mutex_);
  Status changed(duck::Connection& connection, const std::string& view,
                 const std::string& select) override EXCLUDES(mutex_);
  void committed(const engine::EnginePosition& position, std::int64_t clock_step,
                 bool whole) override EXCLUDES(mutex_);
  void rolled_back() override EXCLUDES(mutex_);
  void replaced(const std::string& view) override EXCLUDES(mutex_);

 private:
  // Rows as JSON, with how often each came or went.
  struct Rows {
    std::map<std::string, std::int64_t> weights;
    std::size_t bytes = 0;
    bool too_large = false;
    void add(std::string row, std::int64_t weight, const ViewFeedOptions& options);
    void add(Rows&& later, const ViewFeedOptions& options);
  };
  struct Feed {
    std::string history;
    std::string begun_for;  // why it is not the one before
    // Every change since the history began is told; else only those from the next transaction on.
    bool is_whole = false;
    std::deque<std::shared_ptr<const ViewChange>> changes;
    std::size_t bytes = 0;
    ViewMoment lost_through;  // what came up to here is not kept
    Rows open;                // of the engine's open transaction
    Rows parts;               // of a large one, committed in parts so far
    int subscribers = 0;
    Microseconds left_at{0};  // by the last subscriber
    std::optional<Error> failure;
    Microseconds failed_at{0};
  };

  Result<Rows> read(duck::Connection& connection, const std::string& select) const;
  void begin_history(Feed& feed, std::string reason) REQUIRES(mutex_);
  void publish(Feed& feed, const engine::EnginePosition& position, std::int64_t clock_step)
      REQUIRES(mutex_);
  void forget_left() REQUIRES(mutex_);
  Feed& feed_of(const std::string& view) REQUIRES(mutex_);

  const io::Clock& clock_;
  const ViewFeedOptions options_;
  const std::string run_;  // tells this run of the program from others

  mutable Mutex mutex_;
  Condition changed_;
  std::map<std::string, Feed> feeds_ GUARDED_BY(mutex_);
  std::uint64_t histories_ GUARDED_BY(mutex_) = 0;  // begun
  // The engine's open transaction changed views that it was not asked for; it is committed in
  // parts.
  bool was_missed_ GUARDED_BY(mutex_) = false;
  bool has_parts_ GUARDED_BY(mutex_) = false;
};

}  // namespace pgweir::server
