// Activity over time, and the tail of changes.
#include <fmt/core.h>

#include <map>
#include <tuple>

#include "server/api_internal.h"
#include "server/event_stream.h"
#include "server/names.h"
#include "server/params.h"
#include "server/rows.h"

namespace pgweir::server {
namespace {

constexpr TimeUs kMinuteUs = 60'000'000;
constexpr TimeUs kHourUs = 60 * kMinuteUs;
constexpr TimeUs kDayUs = 24 * kHourUs;

TimeUs length_of(TimeBucket bucket) {
  switch (bucket) {
    case TimeBucket::kMinute:
      return kMinuteUs;
    case TimeBucket::kHour:
      return kHourUs;
    case TimeBucket::kDay:
      return kDayUs;
  }
  return kMinuteUs;
}

// The finest bucket that keeps a chart readable.
TimeBucket bucket_for(TimeUs range) {
  if (range <= 6 * kHourUs) return TimeBucket::kMinute;
  return range <= 14 * kDayUs ? TimeBucket::kHour : TimeBucket::kDay;
}

// from, to, table and op, which all calls on activity share.
Result<ActivityRequest> read_range(const ApiContext& api, Params& params, TimeUs standard_range) {
  ActivityRequest out;
  // The minute that runs belongs to "until now".
  out.to = params.time("to").value_or((api.clock.now_us() / kMinuteUs + 1) * kMinuteUs);
  out.from = params.time("from").value_or(out.to - standard_range);
  out.operations = params.operations("op");
  const std::vector<std::string> patterns = params.list("table");
  if (out.from >= out.to)
    params.refuse(
        "from",
        fmt::format("is {}, not before 'to', {}", format_time(out.from), format_time(out.to)), {});
  TRY(params.status());
  TRY_ASSIGN(out.tables, resolve_tables(api.backend, patterns, Messages::kToo));
  return out;
}

void write_counts(JsonWriter& json, const ActivityBucket& counts) {
  json.key("changes").integer(counts.changes);
  json.key("bytes").integer(counts.bytes);
  json.key("transactions").integer(counts.transactions);
}

void write_range(JsonWriter& json, const ActivityRequest& range) {
  json.key("from").string(format_time(range.from));
  json.key("to").string(format_time(range.to));
}

void add_counts(ActivityBucket& sum, const ActivityBucket& counts) {
  sum.changes += counts.changes;
  sum.bytes += counts.bytes;
  sum.transactions += counts.transactions;
}

Response tail_response(const ApiContext& api, const TailRequest& tail) {
  const auto stream =
      std::make_shared<EventStream>(EventStreamOptions{api.options.tail_buffer_bytes_max});
  auto subscription = api.backend.tail(tail, stream);
  if (!subscription.ok()) return error_response(subscription.error());
  Response response;
  response.stream = stream;
  response.stream_owner = std::shared_ptr<Subscription>(std::move(*subscription));
  return response;
}

}  // namespace

Response get_activity(const ApiContext& api, const Request& request) {
  Params params(request, {"from", "to", "table", "op", "bucket"});
  const auto bucket = params.choice("bucket", {"minute", "hour", "day"});
  auto range = read_range(api, params, kHourUs);
  if (!range.ok()) return error_response(range.error());
  range->bucket = bucket ? static_cast<TimeBucket>(*bucket) : bucket_for(range->to - range->from);
  const auto count = (range->to - range->from) / length_of(range->bucket);
  if (static_cast<std::uint64_t>(count) > api.options.activity_buckets_max)
    return error_response(
        400, "invalid",
        fmt::format("parameter 'bucket' is '{}', which makes {} buckets, more "
                    "than {}",
                    name_of(range->bucket), count, api.options.activity_buckets_max),
        "ask for longer buckets or a shorter range");
  const auto answer = api.backend.activity(*range);
  if (!answer.ok()) return error_response(answer.error());
  JsonWriter json;
  json.begin_object().key("bucket").string(name_of(range->bucket));
  write_range(json, *range);
  json.key("buckets").begin_array();
  for (const ActivityBucket& each : answer->buckets) {
    json.begin_object().key("time").string(format_time(each.time));
    json.key("table").string(each.table).key("op").string(name_of(each.operation));
    write_counts(json, each);
    json.end_object();
  }
  json.end_array().key("position");
  write_lsn(json, answer->position);
  json.end_object();
  return json_response(json);
}

Response get_activity_tables(const ApiContext& api, const Request& request) {
  Params params(request, {"from", "to", "table", "op"});
  auto range = read_range(api, params, kDayUs);
  if (!range.ok()) return error_response(range.error());
  range->bucket = bucket_for(range->to - range->from);
  const auto answer = api.backend.activity(*range);
  if (!answer.ok()) return error_response(answer.error());
  std::map<std::pair<std::string, Operation>, ActivityBucket> sums;
  for (const ActivityBucket& each : answer->buckets)
    add_counts(sums[{each.table, each.operation}], each);
  JsonWriter json;
  json.begin_object();
  write_range(json, *range);
  json.key("tables").begin_array();
  for (const auto& [key, counts] : sums) {
    json.begin_object().key("table").string(key.first).key("op").string(name_of(key.second));
    write_counts(json, counts);
    json.end_object();
  }
  json.end_array().key("position");
  write_lsn(json, answer->position);
  json.end_object();
  return json_response(json);
}

Response get_activity_heatmap(const ApiContext& api, const Request& request) {
  Params params(request, {"from", "to", "table", "op"});
  auto range = read_range(api, params, 28 * kDayUs);
  if (!range.ok()) return error_response(range.error());
  range->bucket = TimeBucket::kHour;
  const auto answer = api.backend.activity(*range);
  if (!answer.ok()) return error_response(answer.error());
  std::vector<ActivityBucket> cells(7 * 24);  // from Monday 0:00
  for (const ActivityBucket& each : answer->buckets) {
    const TimeUs hours = (each.time >= 0 ? each.time : each.time - kHourUs + 1) / kHourUs;
    const TimeUs in_week = ((hours + 3 * 24) % (7 * 24) + 7 * 24) % (7 * 24);  // 1970: a Thursday
    add_counts(cells[static_cast<std::size_t>(in_week)], each);
  }
  JsonWriter json;
  json.begin_object();
  write_range(json, *range);
  json.key("cells").begin_array();
  for (std::size_t hour = 0; hour < cells.size(); ++hour) {
    if (cells[hour].changes == 0) continue;
    json.begin_object().key("weekday").integer(std::uint64_t{hour / 24 + 1});
    json.key("hour").integer(std::uint64_t{hour % 24});
    write_counts(json, cells[hour]);
    json.end_object();
  }
  json.end_array().key("position");
  write_lsn(json, answer->position);
  json.end_object();
  return json_response(json);
}

Response get_tail(const ApiContext& api, const Request& request) {
  Params params(request, {"table", "op", "from"});
  TailRequest tail;
  tail.operations = params.operations("op");
  const std::vector<std::string> patterns = params.list("table");
  if (const auto from = params.text("from")) {
    const auto lsn = model::parse_lsn(*from);
    const auto time = parse_time(*from);
    if (lsn.ok()) {
      tail.from_lsn = *lsn;
    } else if (time.ok()) {
      tail.from_time = *time;
    } else {
      params.refuse("from", fmt::format("is '{}', neither an LSN nor a time", *from),
                    "such as 0/16B3748 or 2026-11-21T14:00:00Z");
    }
  }
  // A browser that comes back names the last event that it has; that beats where it once began.
  if (const std::string* last = request.header("last-event-id");
      last != nullptr && !last->empty()) {
    const auto position = model::parse_position(*last);
    if (!position.ok())
      return error_response(400, "invalid",
                            fmt::format("header 'Last-Event-ID' is '{}', not a position", *last));
    tail.after = *position;
    tail.from_lsn.reset();
    tail.from_time.reset();
  }
  if (const Status status = params.status(); !status.ok()) return error_response(status.error());
  auto tables = resolve_tables(api.backend, patterns, Messages::kToo);
  if (!tables.ok()) return error_response(tables.error());
  tail.tables = std::move(*tables);
  return tail_response(api, tail);
}

}  // namespace pgweir::server
