#include "server/view_feeds.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "server/json_writer.h"
#include "server/printed_rows.h"
#include "server/rows.h"

namespace pgweir::server {
namespace {

// Of a row in the map of weights, beside its text.
constexpr std::size_t kBytesOfRow = 96;

}  // namespace

// --- Events -------------------------------------------------------------------------------------

EventParts::EventParts(std::string head, const std::string& first_head, std::string key,
                       std::size_t part_bytes_max)
    : head_(std::move(head)), key_(std::move(key)), part_bytes_max_(part_bytes_max) {
  begin(first_head);
}

void EventParts::begin(const std::string& more_head) {
  open_ = fmt::format("{{\"part\":{},{}{}{},\"{}\":[", parts_.size() + 1, head_,
                      more_head.empty() ? "" : ",", more_head, key_);
  has_rows_ = false;
}

void EventParts::end(bool last) {
  open_ += last ? "],\"last\":true}" : "],\"last\":false}";
  bytes_ += open_.size();
  parts_.push_back(std::move(open_));
  open_.clear();
}

void EventParts::add(std::string_view row) {
  if (has_rows_ && open_.size() + row.size() > part_bytes_max_) {
    end(false);
    begin("");
  }
  if (has_rows_) open_ += ',';
  open_ += row;
  has_rows_ = true;
}

std::vector<std::string> EventParts::take() {
  end(true);
  bytes_ = 0;
  return std::exchange(parts_, {});
}

std::string to_string(const ViewPlace& place) {
  const std::string clock =
      place.after.clock_step == 0 ? "" : fmt::format("+{}", place.after.clock_step);
  return model::to_string(place.after.position) + clock + "@" + place.history;
}

std::optional<ViewPlace> parse_view_place(std::string_view text) {
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view moment = text.substr(0, at);
  const std::size_t plus = std::min(moment.find('+'), moment.size());
  const auto position = model::parse_position(moment.substr(0, plus));
  if (!position.ok()) return std::nullopt;
  ViewPlace place{std::string(text.substr(at + 1)), {*position, 0}};
  if (plus < moment.size()) {
    const char* const end = moment.data() + moment.size();
    const auto read = std::from_chars(moment.data() + plus + 1, end, place.after.clock_step);
    if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  }
  return place;
}

std::string moment_json(const engine::EnginePosition& position, std::int64_t clock_step) {
  JsonWriter lsn, time, now;
  write_lsn(lsn, position.end_lsn);
  write_time(time, model::value(position.commit_time) == 0
                       ? std::nullopt
                       : std::optional<TimeUs>(model::value(position.commit_time)));
  std::string json = fmt::format("\"position\":{},\"time\":{}", lsn.take(), time.take());
  if (clock_step == 0) return json;
  write_time(now, clock_step * views::ViewClock::kStepUs);
  return json + ",\"now\":" + now.take();
}

// --- Subscribers --------------------------------------------------------------------------------

ViewFeeds::ViewFeeds(const io::Clock& clock, ViewFeedOptions options)
    : clock_(clock), options_(options), run_(fmt::format("{:x}", clock.now_us())) {}

void ViewFeeds::begin_history(Feed& feed, std::string reason) {
  feed.history = fmt::format("{}-{}", run_, ++histories_);
  feed.begun_for = std::move(reason);
  feed.changes.clear();
  feed.bytes = 0;
  feed.lost_through = {};
  feed.open = feed.parts = {};
  changed_.notify_all();
}

void ViewFeeds::forget_left() {
  const auto now = clock_.steady();
  std::erase_if(feeds_, [&](const auto& entry) {
    const Feed& feed = entry.second;
    return feed.subscribers == 0 &&
           now - std::max(feed.left_at, feed.failed_at) > options_.kept_without_subscribers;
  });
}

ViewFeeds::Feed& ViewFeeds::feed_of(const std::string& view) {
  const auto found = feeds_.find(view);
  PGWEIR_ASSERT(found != feeds_.end(), "a view that nobody has entered");
  return found->second;
}

Status ViewFeeds::enter(const std::string& view) {
  MutexLock lock(mutex_);
  forget_left();
  const auto [entry, is_new] = feeds_.try_emplace(view);
  Feed& feed = entry->second;
  if (feed.failure) return *feed.failure;
  if (is_new) {
    begin_history(feed, "");
    feed.is_whole = !was_missed_;
  }
  ++feed.subscribers;
  return {};
}

void ViewFeeds::leave(const std::string& view) {
  MutexLock lock(mutex_);
  Feed& feed = feed_of(view);
  --feed.subscribers;
  feed.left_at = clock_.steady();
}

std::optional<std::string> ViewFeeds::history(const std::string& view) const {
  MutexLock lock(mutex_);
  const auto found = feeds_.find(view);
  if (found == feeds_.end() || !found->second.is_whole) return std::nullopt;
  return found->second.history;
}

ViewFeeds::Next ViewFeeds::next(const std::string& view, const ViewPlace& place,
                                Microseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  MutexLock lock(mutex_);
  while (true) {
    const Feed& feed = feed_of(view);
    if (feed.failure) return {Next::Kind::kFailed, nullptr, feed.failure->text()};
    if (feed.history != place.history) return {Next::Kind::kReplaced, nullptr, feed.begun_for};
    if (place.after < feed.lost_through) return {Next::Kind::kLost, nullptr, ""};
    const auto found = std::upper_bound(
        feed.changes.begin(), feed.changes.end(), place.after,
        [](const ViewMoment& moment, const auto& change) { return moment < change->at; });
    if (found != feed.changes.end()) return {Next::Kind::kChange, *found, ""};
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) return {};
    changed_.wait_for(mutex_, std::chrono::duration_cast<Microseconds>(deadline - now));
  }
}

// --- The engine ---------------------------------------------------------------------------------

void ViewFeeds::Rows::add(std::string row, std::int64_t weight, const ViewFeedOptions& options) {
  too_large = too_large || row.size() > options.row_bytes_max;
  if (too_large) return;
  const std::size_t size = row.size() + kBytesOfRow;
  const auto [entry, is_new] = weights.try_emplace(std::move(row), weight);
  if (is_new) {
    bytes += size;
  } else if ((entry->second += weight) == 0) {
    weights.erase(entry);
    bytes -= size;
  }
  if (bytes <= options.history_bytes_max) return;
  too_large = true;
  weights.clear();
}

void ViewFeeds::Rows::add(Rows&& later, const ViewFeedOptions& options) {
  if (weights.empty() && !too_large) {
    *this = std::move(later);
    return;
  }
  too_large = too_large || later.too_large;
  for (auto& [row, weight] : later.weights) add(row, weight, options);
}

bool ViewFeeds::wants(const std::string& view) {
  MutexLock lock(mutex_);
  const auto found = feeds_.find(view);
  const bool wanted = found != feeds_.end() && found->second.is_whole && !found->second.failure;
  if (!wanted) was_missed_ = true;
  return wanted;
}

Result<ViewFeeds::Rows> ViewFeeds::read(duck::Connection& connection,
                                        const std::string& select) const {
  Rows out;
  std::vector<std::optional<std::string>> cells;
  TRY_ASSIGN(PrintedRows rows, PrintedRows::open(connection, select));
  std::vector<RowColumn> columns = rows.columns();
  columns.pop_back();  // the weight
  while (!out.too_large) {
    TRY_ASSIGN(const bool more, rows.next(cells));
    if (!more) break;
    std::int64_t weight = 0;
    const std::string text = cells.back().value_or("0");
    std::from_chars(text.data(), text.data() + text.size(), weight);
    JsonWriter json;
    write_row(json, columns, cells.data());
    out.add(json.take(), weight, options_);
  }
  return out;
}

Status ViewFeeds::changed(duck::Connection& connection, const std::string& view,
                          const std::string& select) {
  Result<Rows> rows = read(connection, select);
  MutexLock lock(mutex_);
  const auto found = feeds_.find(view);
  if (found == feeds_.end()) return {};
  Feed& feed = found->second;
  if (rows.ok()) {
    feed.open.add(std::move(*rows), options_);
    return {};
  }
  Error failure = rows.error();
  failure.message = fmt::format("the changes of view {} cannot be read for those who follow it: {}",
                                view, failure.message);
  feed.failure = failure;
  feed.failed_at = clock_.steady();
  changed_.notify_all();
  return failure;
}

void ViewFeeds::rolled_back() {
  MutexLock lock(mutex_);
  for (auto& [view, feed] : feeds_) {
    feed.open = {};
    feed.is_whole = feed.is_whole || !has_parts_;
  }
  was_missed_ = was_missed_ && has_parts_;
}

void ViewFeeds::committed(const engine::EnginePosition& position, std::int64_t clock_step,
                          bool whole) {
  MutexLock lock(mutex_);
  for (auto& [view, feed] : feeds_) {
    feed.parts.add(std::exchange(feed.open, {}), options_);
    if (!whole) continue;
    if (feed.is_whole) publish(feed, position, clock_step);
    feed.parts = {};
    feed.is_whole = true;
  }
  has_parts_ = !whole;
  if (!whole) return;
  was_missed_ = false;
  forget_left();
}

void ViewFeeds::publish(Feed& feed, const engine::EnginePosition& position,
                        std::int64_t clock_step) {
  if (feed.parts.too_large) {
    return begin_history(feed, fmt::format("more than {} changed at once, or a row of more than {}",
                                           format_size(options_.history_bytes_max),
                                           format_size(options_.row_bytes_max)));
  }
  if (feed.parts.weights.empty()) return;
  EventParts parts(moment_json(position, clock_step), "", "changes", options_.part_bytes_max);
  // What goes, goes first: rows that have a key have it once at every moment.
  for (const bool goes : {true, false}) {
    for (const auto& [row, weight] : feed.parts.weights) {
      if ((weight < 0) == goes) parts.add(fmt::format("{{\"weight\":{},\"row\":{}}}", weight, row));
    }
  }
  ViewChange change{{position.position, clock_step}, parts.take()};
  for (const std::string& part : change.parts) feed.bytes += part.size();
  feed.changes.push_back(std::make_shared<const ViewChange>(std::move(change)));
  while (feed.bytes > options_.history_bytes_max && feed.changes.size() > 1) {
    for (const std::string& part : feed.changes.front()->parts) feed.bytes -= part.size();
    feed.lost_through = feed.changes.front()->at;
    feed.changes.pop_front();
  }
  changed_.notify_all();
}

void ViewFeeds::replaced(const std::string& view) {
  MutexLock lock(mutex_);
  const auto found = feeds_.find(view);
  if (found == feeds_.end()) return;
  found->second.failure.reset();
  begin_history(found->second, "the view was built anew, or is another one now");
}

}  // namespace pgweir::server
