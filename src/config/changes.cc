// What differs between two configurations, by key.
#include <fmt/core.h>

#include <algorithm>

#include "config/fields_internal.h"

namespace pgweir::config {
namespace {

bool equal(const Slot& a, const Slot& b) {
  return std::visit(
      [&](const auto* value) {
        return *value == *std::get<std::remove_cv_t<std::remove_reference_t<decltype(*value)>>*>(b);
      },
      a);
}

SinkConfig* find_sink(Config& config, const std::string& name) {
  const auto found = std::find_if(config.sinks.begin(), config.sinks.end(),
                                  [&](const SinkConfig& sink) { return sink.name == name; });
  return found == config.sinks.end() ? nullptr : &*found;
}

}  // namespace

std::vector<std::string> differing_keys(const Config& a, const Config& b) {
  constexpr std::string_view kSink = "sinks.*";
  Config left = a, right = b;  // a Target may be written to
  std::vector<std::string> keys;
  for (const Field& field : fields()) {
    if (!field.built() || field.path.find('*') != std::string_view::npos) continue;
    Target one{left}, other{right};
    if (!equal(field.slot(one), field.slot(other))) keys.emplace_back(field.path);
  }
  if (left.watermarks != right.watermarks) keys.emplace_back("watermarks");
  for (SinkConfig& sink : left.sinks) {
    SinkConfig* const now = find_sink(right, sink.name);
    if (now == nullptr) keys.push_back("sinks." + sink.name);
    for (const Field& field : fields()) {
      if (now == nullptr || !field.built() || !field.path.starts_with(kSink)) continue;
      Target one{left, nullptr, &sink}, other{right, nullptr, now};
      if (!equal(field.slot(one), field.slot(other)))
        keys.push_back(fmt::format("sinks.{}{}", sink.name, field.path.substr(kSink.size())));
    }
  }
  for (const SinkConfig& sink : right.sinks)
    if (find_sink(left, sink.name) == nullptr) keys.push_back("sinks." + sink.name);
  return keys;
}

}  // namespace pgweir::config
