// The pipeline's file: YAML text into option structs, with every mistake named by line and column.
//
// Place:   knows the shape of the file, not what the parts do with it. The one table of fields
//          (fields_internal.h) drives parsing, docs/configuration.md and the JSON Schema; the
//          defaults are the member initializers here.
// Threads: plain values and pure functions.
// Errors:  kConfig. One mistake: its message, "pgweir.yaml:12:5: unknown key 'tabels' in source;
// did
//          you mean 'tables'?". Several: "pgweir.yaml has 3 errors", with one line each as detail.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "config/secret.h"
#include "io/fs.h"

namespace pgweir::config {

enum class SnapshotMode : std::uint8_t { kInitial, kNever };

struct SnapshotConfig {
  SnapshotMode mode = SnapshotMode::kInitial;
  std::uint32_t parallel = 2;  // connections that read tables at the same time

  bool operator==(const SnapshotConfig&) const = default;
};

// How numeric without a precision is kept for views.
struct NumericConfig {
  std::uint32_t precision = 38;
  std::uint32_t scale = 9;

  bool operator==(const NumericConfig&) const = default;
};

struct SourceConfig {
  Secret url;        // for libpq; show it only through redact_url()
  std::string name;  // "" is the database's name
  std::string slot = "pgweir";
  std::string publication = "pgweir";
  std::vector<std::string> tables = {"public.*"};  // globs over schema.table
  std::vector<std::string> exclude;
  SnapshotConfig snapshot;
  Milliseconds heartbeat{10'000};  // zero writes none
  bool stream_large_transactions = true;
  NumericConfig numeric;
  Milliseconds catalog_interval{10'000};
  bool ddl_trigger = false;

  bool operator==(const SourceConfig&) const = default;
};

struct LogConfig {
  Milliseconds retain = std::chrono::hours(7 * 24);
  std::uint64_t max_size = 50 * kGiB;

  bool operator==(const LogConfig&) const = default;
};

// What the engine keeps: the tables that views need, all captured ones, of the former no columns
// but those that views name. kNone: no engine.
enum class MirrorMode : std::uint8_t { kNeeded, kAll, kNone, kNeededColumns };

struct EngineConfig {
  std::uint64_t memory = kGiB;
  std::uint32_t threads = 1;
  Milliseconds batch_wait{5};
  std::uint32_t batch_rows = 50'000;
  MirrorMode mirrors = MirrorMode::kNeeded;
  Milliseconds view_budget{10'000};  // zero: none

  bool operator==(const EngineConfig&) const = default;
};

enum class OutputMode : std::uint8_t { kUpdate, kAppend, kComplete };
// What is done with rows that come too late for a view in append mode, beyond counting them.
enum class LateRows : std::uint8_t { kCount, kKeep };

struct ViewConfig {
  std::string name;
  std::string sql;
  OutputMode mode = OutputMode::kUpdate;
  LateRows late_rows = LateRows::kCount;
  Milliseconds budget{0};  // zero: engine.view_budget
  bool isolated = false;

  bool operator==(const ViewConfig&) const = default;
};

struct WatermarkConfig {
  std::string column;     // "schema.table.column"
  Milliseconds delay{0};  // rows may come so late
  Milliseconds future = std::chrono::hours(1);
  Milliseconds idle = std::chrono::minutes(1);

  bool operator==(const WatermarkConfig&) const = default;
};

enum class SinkType : std::uint8_t { kParquet, kKafka };
enum class SinkDelivery : std::uint8_t { kExactlyOnce, kAtLeastOnce };
enum class EventFormat : std::uint8_t { kDebeziumJson };

struct RollConfig {
  Milliseconds every = std::chrono::minutes(1);
  std::uint64_t size = 128 * kMiB;

  bool operator==(const RollConfig&) const = default;
};

struct SinkConfig {
  std::string name;
  SinkType type = SinkType::kParquet;
  std::vector<std::string> from;  // globs over tables; empty is every captured table
  // Of Parquet files.
  std::string path;  // a local folder
  std::vector<std::string> partition_by = {"table", "date"};
  RollConfig roll;
  // Of Kafka.
  std::vector<std::string> brokers;  // host:port
  EventFormat format = EventFormat::kDebeziumJson;
  std::string topic = "{name}.{schema}.{table}";
  SinkDelivery delivery = SinkDelivery::kExactlyOnce;
  std::uint32_t partitions = 1;                   // of topics that are made
  std::uint32_t replication = 0;                  // of these; 0 is the brokers' default
  std::map<std::string, std::string> properties;  // of a Debezium connector
  std::map<std::string, std::string> client;      // of librdkafka, secrets among them

  bool operator==(const SinkConfig&) const = default;
};

struct TlsConfig {
  std::string certificate;  // files in PEM; both or none
  std::string key;

  bool operator==(const TlsConfig&) const = default;
};

struct ServerConfig {
  std::string listen = "127.0.0.1:8088";  // host:port, "[::1]:8088"; port 0 takes a free one
  Secret token;                           // "" asks for none
  TlsConfig tls;

  bool operator==(const ServerConfig&) const = default;
};

struct Config {
  SourceConfig source;
  std::string data = "./pgweir-data";
  LogConfig log;
  EngineConfig engine;
  std::vector<WatermarkConfig> watermarks;
  std::vector<ViewConfig> views;  // in the file's order
  std::vector<SinkConfig> sinks;
  ServerConfig server;

  bool operator==(const Config&) const = default;
};

// The keys whose values differ, as the file names them, but for those under `views`.
std::vector<std::string> differing_keys(const Config& a, const Config& b);

// The environment variable's value, or nothing when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

// Reads the file at `path`; ${file:...} inside it is read through `fs` too.
// kNotFound when there is no such file, else kConfig.
Result<Config> load(io::Fs& fs, const std::string& path, const Environment& environment);

// The same for a text; `name` is what messages call it.
Result<Config> parse(std::string_view text, const std::string& name, io::Fs& fs,
                     const Environment& environment);

// The host and the port of server.listen.
struct Address {
  std::string host;  // without the brackets of an IPv6 address
  std::uint16_t port = 0;
};
Result<Address> parse_address(std::string_view text);
bool is_loopback(const std::string& host);

// The whole configuration with its defaults as YAML that parse() reads back; secrets are "***".
std::string show(const Config& config);
// The same as JSON.
std::string show_json(const Config& config);

// docs/configuration.md.
std::string markdown_reference();
// A JSON Schema (draft 2020-12) of the file, for editors.
std::string json_schema();
// A commented file to start from. `url` "" stands for ${DATABASE_URL}; `tables` are the source's,
// as "schema.table", where they are known: their schemas become source.tables.
std::string starter_file(const std::string& url, const std::vector<std::string>& tables = {});

}  // namespace pgweir::config
