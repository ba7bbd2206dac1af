#include "pipeline/sink_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "debezium/properties.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"

namespace pgweir::pipeline {
namespace {

std::function<bool(const model::Table&)> wanted_tables(std::vector<std::string> from) {
  return [from = std::move(from)](const model::Table& table) {
    return from.empty() || std::any_of(from.begin(), from.end(), [&](const std::string& pattern) {
             const auto match = postgres::pattern_matches(pattern, table.schema, table.name);
             return match.ok() && *match;
           });
  };
}

// Of this run of the program, in the form of a UUID.
std::string new_run_id() {
  std::random_device device;
  const auto word = [&] { return static_cast<std::uint32_t>(device()); };
  const std::uint32_t a = word(), b = word(), c = word(), d = word();
  return fmt::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:04x}{:08x}", a, b >> 16, b & 0xfff,
                     0x8000 | (c >> 16 & 0x3fff), c & 0xffff, d);
}

// What stands in front of .{schema}.{table}; the file's check has seen that it does.
std::string topic_prefix(const std::string& topic, const std::string& source_name) {
  constexpr std::string_view kName = "{name}", kTable = ".{schema}.{table}";
  std::string out = topic.substr(0, topic.size() - kTable.size());
  if (const std::size_t at = out.find(kName); at != std::string::npos)
    out.replace(at, kName.size(), source_name);
  return out;
}

}  // namespace

sinks::ParquetOptions parquet_options(const config::Config& config,
                                      const config::SinkConfig& sink) {
  sinks::ParquetOptions out;
  out.name = sink.name;
  out.directory = sink.path;
  out.wanted = wanted_tables(sink.from);
  out.partition_by_date = std::find(sink.partition_by.begin(), sink.partition_by.end(), "date") !=
                          sink.partition_by.end();
  out.roll_every = sink.roll.every;
  out.roll_bytes = sink.roll.size;
  out.numeric_precision = static_cast<int>(config.source.numeric.precision);
  out.numeric_scale = static_cast<int>(config.source.numeric.scale);
  return out;
}

Result<sinks::KafkaOptions> kafka_options(const config::Config& config,
                                          const config::SinkConfig& sink) {
  TRY_ASSIGN(const std::string database, postgres::database_of(config.source.url.reveal()));
  const std::string& name = config.source.name.empty() ? database : config.source.name;
  debezium::Properties properties = sink.properties;
  properties.emplace("topic.prefix", topic_prefix(sink.topic, name));
  properties.emplace("database.dbname", database);
  sinks::KafkaOptions out;
  auto events = debezium::take_event_options(properties);
  if (!events.ok()) {
    Error why = events.error();
    why.message = fmt::format("sinks.{}.properties: {}", sink.name, why.message);
    return why;
  }
  if (!properties.empty()) {
    return error(Code::kConfig,
                 fmt::format("sinks.{}.properties: {} is not known here", sink.name,
                             properties.begin()->first),
                 {}, "docs/debezium.md lists the properties that say how events look");
  }
  out.events = std::move(events).value();
  out.events.run_id = new_run_id();
  out.events.wanted = wanted_tables(sink.from);
  out.name = sink.name;
  out.client.bootstrap_servers = fmt::format("{}", fmt::join(sink.brokers, ","));
  out.client.properties = sink.client;
  if (sink.delivery == config::SinkDelivery::kAtLeastOnce)
    out.delivery = sinks::KafkaDelivery::kAtLeastOnce;
  out.partitions = static_cast<int>(sink.partitions);
  out.replication = sink.replication == 0 ? -1 : static_cast<int>(sink.replication);
  return out;
}

}  // namespace pgweir::pipeline
