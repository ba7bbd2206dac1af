#include "debezium/properties.h"

#include <fmt/format.h>

#include <charconv>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

namespace pgweir::debezium {
namespace {

// Takes properties out one by one, and remembers the first that was wrong.
class Taker {
 public:
  explicit Taker(Properties& properties) : properties_(properties) {}

  std::optional<std::string> take(const std::string& name) {
    const auto found = properties_.extract(name);
    if (!found) return std::nullopt;
    return found.mapped();
  }

  void text(const std::string& name, std::string& out) {
    if (auto value = take(name)) out = *std::move(value);
  }

  template <typename Value>
  void choice(const std::string& name,
              std::initializer_list<std::pair<std::string_view, Value>> values, Value& out) {
    const auto given = take(name);
    if (!given) return;
    std::string known;
    for (const auto& [word, value] : values) {
      if (*given == word) {
        out = value;
        return;
      }
      known += (known.empty() ? "" : ", ") + std::string(word);
    }
    fail(name, *given, "It is one of " + known);
  }

  void flag(const std::string& name, bool& out) {
    choice<bool>(name, {{"true", true}, {"false", false}}, out);
  }

  void number(const std::string& name, std::uint32_t most, std::uint32_t& out) {
    const auto given = take(name);
    if (!given) return;
    std::uint32_t value = 0;
    const char* end = given->data() + given->size();
    const auto [at, code] = std::from_chars(given->data(), end, value);
    if (code != std::errc() || at != end || value > most)
      return fail(name, *given, fmt::format("It is a number from 0 to {}", most));
    out = value;
  }

  void selection(const std::string& name, Selection& out) {
    const auto given = take(name);
    if (!given) return;
    auto parsed = Selection::parse(name, *given);
    if (parsed.ok())
      out = std::move(parsed).value();
    else
      fail(parsed.error());
  }

  void fail(const std::string& name, const std::string& value, std::string hint) {
    fail(error(Code::kConfig, fmt::format("{} cannot be '{}'", name, value), {}, std::move(hint)));
  }
  void fail(Error why) {
    if (status_.ok()) status_ = std::move(why);
  }
  Status status() const { return status_; }

 private:
  Properties& properties_;
  Status status_;
};

void take_values(Taker& taker, ValueOptions& out) {
  taker.choice<DecimalMode>("decimal.handling.mode",
                            {{"precise", DecimalMode::kPrecise},
                             {"double", DecimalMode::kDouble},
                             {"string", DecimalMode::kString}},
                            out.decimals);
  taker.choice<TimeMode>("time.precision.mode",
                         {{"adaptive", TimeMode::kAdaptive},
                          {"adaptive_time_microseconds", TimeMode::kAdaptiveTimeMicroseconds},
                          {"connect", TimeMode::kConnect},
                          {"isostring", TimeMode::kIsoString},
                          {"microseconds", TimeMode::kMicroseconds},
                          {"nanoseconds", TimeMode::kNanoseconds}},
                         out.times);
  taker.choice<BinaryMode>("binary.handling.mode",
                           {{"bytes", BinaryMode::kBytes},
                            {"base64", BinaryMode::kBase64},
                            {"base64-url-safe", BinaryMode::kBase64UrlSafe},
                            {"hex", BinaryMode::kHex}},
                           out.binaries);
  taker.choice<IntervalMode>(
      "interval.handling.mode",
      {{"numeric", IntervalMode::kNumeric}, {"string", IntervalMode::kString}}, out.intervals);
  taker.choice<HstoreMode>("hstore.handling.mode",
                           {{"json", HstoreMode::kJson}, {"map", HstoreMode::kMap}}, out.hstores);
  taker.flag("include.unknown.datatypes", out.include_unknown_types);
  constexpr std::uint32_t kFractionDigitsMax = 18;
  taker.number("money.fraction.digits", kFractionDigitsMax, out.money_fraction_digits);
  taker.text("unavailable.value.placeholder", out.unavailable_value);
}

void take_key_columns(Taker& taker, std::vector<TableOptions::KeyColumns>& out) {
  constexpr const char* kName = "message.key.columns";
  const auto given = taker.take(kName);
  if (!given) return;
  for (const std::string& entry : split_list(*given, ';')) {
    const std::size_t colon = entry.rfind(':');
    TableOptions::KeyColumns each;
    if (colon != std::string::npos) each.columns = split_list(entry.substr(colon + 1), ',');
    if (each.columns.empty())
      return taker.fail(kName, entry, "Write it as schema.table:column,column;schema.table:column");
    auto tables = Selection::parse(kName, entry.substr(0, colon));
    if (!tables.ok()) return taker.fail(tables.error());
    each.tables = std::move(tables).value();
    out.push_back(std::move(each));
  }
}

void take_skipped(Taker& taker, std::string& out) {
  constexpr const char* kName = "skipped.operations";
  const auto given = taker.take(kName);
  if (!given) return;
  out.clear();
  for (const std::string& each : split_list(*given, ',')) {
    if (each == "none") continue;
    if (each.size() != 1 || std::string_view("cudt").find(each) == std::string_view::npos)
      return taker.fail(kName, *given, "It is a list of c, u, d, t, or none");
    out += each;
  }
}

}  // namespace

Result<EventOptions> take_event_options(Properties& properties) {
  Taker taker(properties);
  EventOptions out;
  taker.text("topic.prefix", out.tables.topic_prefix);
  taker.text("database.dbname", out.database);
  take_values(taker, out.tables.values);
  taker.selection("column.include.list", out.tables.include_columns);
  taker.selection("column.exclude.list", out.tables.exclude_columns);
  take_key_columns(taker, out.tables.key_columns);
  taker.flag("key.converter.schemas.enable", out.key_schemas);
  taker.flag("value.converter.schemas.enable", out.value_schemas);
  taker.flag("tombstones.on.delete", out.tombstones_on_delete);
  take_skipped(taker, out.skipped_operations);
  taker.flag("skip.messages.without.change", out.skip_unchanged);
  taker.flag("provide.transaction.metadata", out.transaction_metadata);
  taker.text("topic.transaction", out.transaction_topic);
  taker.text("topic.heartbeat.prefix", out.heartbeat_topic_prefix);
  taker.flag("extended.headers.enabled", out.context_headers);
  TRY(taker.status());
  if (out.tables.topic_prefix.empty())
    return error(Code::kConfig, "topic.prefix is missing", {},
                 "It names the source in every topic: \"topic.prefix\": \"shop\"");
  if (!out.tables.include_columns.is_empty() && !out.tables.exclude_columns.is_empty())
    return error(Code::kConfig, "column.include.list and column.exclude.list exclude each other",
                 {}, "Give one of them");
  return out;
}

}  // namespace pgweir::debezium
