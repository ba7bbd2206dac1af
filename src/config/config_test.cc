// Every mistake in a pipeline's file is named by line and column; what is right arrives in the
// structs.
#include "config/config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "config/fields_internal.h"
#include "harness/scratch.h"

namespace pgweir::config {
namespace {

std::optional<std::string> environment(const std::string& name) {
  if (name == "URL") return "postgresql://ann:hunter2@db:5432/shop";
  if (name == "EVIL") return "x\nserver: {listen: \"0.0.0.0:1\"}";
  if (name == "ROWS") return "123";
  if (name == "EMPTY") return "";
  return std::nullopt;
}

Result<Config> parsed(const std::string& text) {
  io::RealFs fs;
  return parse(text, "pgweir.yaml", fs, environment);
}

// The problems of a text, one a line; "" when there is none.
std::string problems(const std::string& text) {
  const auto result = parsed(text);
  if (result.ok()) return "";
  EXPECT_EQ(result.error().code, Code::kConfig);
  return result.error().detail.empty() ? result.error().message : result.error().detail;
}

// The problems of a file with `lines` below its source, which ends in line 2.
std::string problems_below_source(const std::string& lines) {
  return problems("source:\n  url: u\n" + lines);
}

std::string file_text(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST(Config, SmallestFileTakesTheDefaults) {
  Config expected;
  expected.source.url = Secret("u");
  EXPECT_EQ(parsed("source: {url: u}").value(), expected);
}

TEST(Config, WholeFileArrivesInTheStructs) {
  const Config config = parsed(R"(
source:
  url: ${URL}
  name: shop
  slot: my_slot
  publication: my_publication
  tables: [public.*, "audit.log*"]
  exclude: [public.sessions]
  snapshot: {mode: never, parallel: 4}
  heartbeat: 30s
  numeric: {precision: 30, scale: 6}
data: /var/lib/pgweir
log: {retain: 12h, max_size: 2TiB}
engine: {memory: 256MiB, threads: 3, batch_wait: 20ms, batch_rows: "${ROWS}", mirrors: all, view_budget: 3s}
views:
  balance: SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1
  second:
    sql: |
      SELECT *
      FROM balance
    mode: append
    late_rows: keep
    budget: 1m
    isolated: true
watermarks:
  public.transfers.created_at: 10s
  public.logins.at: {delay: 1m, future: 5s, idle: 2h}
sinks:
  lake: {type: parquet, path: ./lake, from: [public.entries], partition_by: [table], roll: {every: 10s, size: 1MiB}}
  events:
    type: kafka
    brokers: ["a:9092", "[::1]:9093"]
    format: debezium-json
    topic: "shop-{name}.{schema}.{table}"
    delivery: at-least-once
    partitions: 6
    replication: 3
    properties: {decimal.handling.mode: string, tombstones.on.delete: false}
    client: {security.protocol: SASL_SSL, sasl.password: hunter2}
server: {listen: "[::1]:0", token: abc, tls: {certificate: c.pem, key: k.pem}}
)")
                            .value();
  Config expected;
  expected.source = {.url = Secret("postgresql://ann:hunter2@db:5432/shop"),
                     .name = "shop",
                     .slot = "my_slot",
                     .publication = "my_publication",
                     .tables = {"public.*", "audit.log*"},
                     .exclude = {"public.sessions"},
                     .snapshot = {.mode = SnapshotMode::kNever, .parallel = 4},
                     .heartbeat = Milliseconds(30'000),
                     .numeric = {.precision = 30, .scale = 6}};
  expected.data = "/var/lib/pgweir";
  expected.log = {.retain = std::chrono::hours(12), .max_size = 2 * kTiB};
  expected.engine = {.memory = 256 * kMiB,
                     .threads = 3,
                     .batch_wait = Milliseconds(20),
                     .batch_rows = 123,
                     .mirrors = MirrorMode::kAll,
                     .view_budget = Milliseconds(3'000)};
  expected.views = {{.name = "balance",
                     .sql = "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1"},
                    {.name = "second",
                     .sql = "SELECT *\nFROM balance\n",
                     .mode = OutputMode::kAppend,
                     .late_rows = LateRows::kKeep,
                     .budget = Milliseconds(60'000),
                     .isolated = true}};
  expected.watermarks = {{.column = "public.transfers.created_at", .delay = Milliseconds(10'000)},
                         {.column = "public.logins.at",
                          .delay = Milliseconds(60'000),
                          .future = Milliseconds(5'000),
                          .idle = Milliseconds(7'200'000)}};
  expected.sinks = {
      {.name = "lake",
       .from = {"public.entries"},
       .path = "./lake",
       .partition_by = {"table"},
       .roll = {.every = Milliseconds(10'000), .size = kMiB}},
      {.name = "events",
       .type = SinkType::kKafka,
       .brokers = {"a:9092", "[::1]:9093"},
       .topic = "shop-{name}.{schema}.{table}",
       .delivery = SinkDelivery::kAtLeastOnce,
       .partitions = 6,
       .replication = 3,
       .properties = {{"decimal.handling.mode", "string"}, {"tombstones.on.delete", "false"}},
       .client = {{"security.protocol", "SASL_SSL"}, {"sasl.password", "hunter2"}}}};
  expected.server = {
      .listen = "[::1]:0", .token = Secret("abc"), .tls = {.certificate = "c.pem", .key = "k.pem"}};
  EXPECT_EQ(config, expected) << show(config);
}

TEST(Config, UnknownKeysNameTheNearestOne) {
  EXPECT_EQ(problems("source:\n  url: u\n  tabels: [a.b]\n"),
            "pgweir.yaml:3:3: unknown key 'tabels' in source; did you mean 'tables'?");
  EXPECT_EQ(problems("sorce: {url: u}\n"),
            "pgweir.yaml:1:1: unknown key 'sorce'; did you mean 'source'?\n"
            "pgweir.yaml:1:1: source.url is required");
  EXPECT_EQ(problems_below_source("log: {whatever: 1}"),
            "pgweir.yaml:3:7: unknown key 'whatever' in log; its keys are retain, max_size");
  EXPECT_EQ(problems_below_source("sinks: {a: {type: parquet, path: p, rol: {}}}"),
            "pgweir.yaml:3:37: unknown key 'rol' in sinks.a; did you mean 'roll'?");
}

TEST(Config, KnownKeysThatAreNotBuiltSaySo) {
  EXPECT_EQ(problems_below_source("  columns: {}\nalerts: []"),
            "pgweir.yaml:3:3: source.columns is not built yet\n"
            "pgweir.yaml:4:1: alerts is not built yet");
  EXPECT_EQ(problems_below_source("sinks:\n  k: {type: webhook, url: [a], topic: x, whatever: 1}"),
            "pgweir.yaml:4:13: sinks.k.type: 'webhook' is not built yet");
  EXPECT_EQ(
      problems_below_source("sinks: {p: {type: parquet, path: \"s3://b/c\"}}"),
      "pgweir.yaml:3:34: sinks.p.path: only a local folder is built so far; object storage is "
      "not built yet");
  EXPECT_EQ(problems_below_source("  snapshot: {mode: when_needed}"),
            "pgweir.yaml:3:20: source.snapshot.mode: 'when_needed' is not built yet");
}

TEST(Config, WatermarksAreOfColumnsAndHaveADelay) {
  EXPECT_EQ(problems_below_source("watermarks: {transfers.created_at: 10s}"),
            "pgweir.yaml:3:14: 'transfers.created_at': a watermark's name is that of a column, "
            "schema.table.column");
  EXPECT_EQ(
      problems_below_source("watermarks: {a.b.c: 10}"),
      "pgweir.yaml:3:21: watermarks.a.b.c: '10' has no unit; Write a whole number with a unit, "
      "like 500ms, 10s or 7d");
  EXPECT_EQ(problems_below_source("watermarks: {a.b.c: {future: 1s}}"),
            "pgweir.yaml:3:21: watermarks.a.b.c.delay is required");
}

// What the first version of the interface promises is known; what of it is missing is said by name.
TEST(Config, WholeInterfaceIsKnown) {
  EXPECT_EQ(
      problems(R"(source:
  url: ${URL:?a libpq URI}
  name: shop
  slot: pgweir
  publication: pgweir
  tables: [public.*]
  exclude: [public.sessions]
  columns: {public.users: {exclude: [password_hash]}}
  snapshot: {mode: initial, parallel: 2}
  heartbeat: 10s
  stream_large_transactions: true
  numeric: {precision: 38, scale: 9}
data: ./pgweir-data
log: {retain: 7d, max_size: 50GiB}
engine: {memory: 1GiB, threads: 2, batch_wait: 5ms, batch_rows: 50000, mirrors: needed}
watermarks: {public.transfers.created_at: 10s}
views:
  balance: SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1
  per_minute:
    sql: |
      SELECT window_start, count(*) AS transfers, sum(amount) AS volume
      FROM tumble(transfers, created_at, INTERVAL 1 MINUTE) GROUP BY window_start
    mode: append
sinks:
  events:  {type: kafka, brokers: ["localhost:9092"], format: debezium-json, topic: "{name}.{schema}.{table}"}
  lake:    {type: parquet, path: "s3://bucket/cdc", partition_by: [table, date], roll: {every: 1m, size: 128MiB}}
  serving: {type: postgres, url: "${REPORT_DB}", from: [balance, per_minute]}
  hook:    {type: webhook, url: "https://example.org/in", from: [alerts]}
alerts:
  - {name: lag, when: "lag_ms > 30000", for: 1m, severity: warning, notify: [hook]}
costs: {storage_gib_month: 0.115, network_gib: 0.09, currency: USD}
server: {listen: "127.0.0.1:8088", token: "${ROWS}", tls: {certificate: server.crt, key: server.key}}
)"),
      "pgweir.yaml:8:3: source.columns is not built yet\n"
      "pgweir.yaml:26:34: sinks.lake.path: only a local folder is built so far; object storage "
      "is not built yet\n"
      "pgweir.yaml:27:19: sinks.serving.type: 'postgres' is not built yet\n"
      "pgweir.yaml:28:19: sinks.hook.type: 'webhook' is not built yet\n"
      "pgweir.yaml:29:1: alerts is not built yet\n"
      "pgweir.yaml:31:1: costs is not built yet");
}

TEST(Config, EveryUnbuiltFieldIsRefusedByName) {
  for (const Field& field : fields()) {
    if (field.built()) continue;
    std::string text = "url: x";
    std::string path(field.path);
    if (path.starts_with("sinks.*")) continue;  // nested deeper; two of them stand above
    const std::size_t dot = path.find('.');
    text = dot == std::string::npos ? path + ": 1"
                                    : path.substr(0, dot) + ": {" + path.substr(dot + 1) + ": 1}";
    EXPECT_NE(problems(text).find(path + " is not built yet"), std::string::npos) << text;
  }
}

TEST(Config, WrongTypesAndMissingUnits) {
  const auto check = [](const std::string& line, const std::string& expected) {
    EXPECT_EQ(problems_below_source(line), expected);
  };
  check("log: {retain: 7}",
        "pgweir.yaml:3:15: log.retain: '7' has no unit; Write a whole number with a unit, like "
        "500ms, 10s or 7d");
  check(
      "log: {max_size: 64 MiB}",
      "pgweir.yaml:3:17: log.max_size: '64 MiB' has the unknown unit ' MiB'; Write a whole number "
      "with a unit, like 64MiB or 50GiB");
  check("log: {max_size: 1MiB}", "pgweir.yaml:3:17: log.max_size: must be at least 64.0 MiB");
  check("engine: {threads: two}", "pgweir.yaml:3:19: engine.threads: 'two' is not a whole number");
  check("engine: {threads: 2.5}", "pgweir.yaml:3:19: engine.threads: '2.5' is not a whole number");
  check("engine: {threads: 0}", "pgweir.yaml:3:19: engine.threads: must be at least 1");
  check("engine: {threads: 99999999999999999999}",
        "pgweir.yaml:3:19: engine.threads: '99999999999999999999' is not a whole number");
  check("engine: {threads: [1]}", "pgweir.yaml:3:19: engine.threads needs a whole number");
  check("engine: {mirrors: al}",
        "pgweir.yaml:3:19: engine.mirrors: 'al' is not one of needed, all, none, needed_columns; "
        "did you mean "
        "'all'?");
  check("engine: 7",
        "pgweir.yaml:3:9: engine needs a mapping with memory, threads, batch_wait, "
        "batch_rows, mirrors, view_budget");
  check("engine: {view_budget: 10}",
        "pgweir.yaml:3:23: engine.view_budget: '10' has no unit; Write a whole number with a unit, "
        "like 500ms, 10s or 7d");
  check("engine: {view_budget: 2d}", "pgweir.yaml:3:23: engine.view_budget: must be at most 1d");
  check("data:", "pgweir.yaml:3:1: data needs a text; it has no value");
  check("data: {a: b}", "pgweir.yaml:3:7: data needs a text");
  check("views: {v: [1]}",
        "pgweir.yaml:3:12: views.v needs a mapping with sql, mode, late_rows, "
        "budget, isolated");
  check(
      "views: {V: SELECT 1}",
      "pgweir.yaml:3:9: 'V': a view's name is lower-case letters, digits and _, up to 63 of them, "
      "and begins with a letter");
  check("  tables: public.*", "pgweir.yaml:3:11: source.tables needs a list, like [a, b]");
  check("  tables: [users]",
        "pgweir.yaml:3:12: source.tables: 'users' has no schema; write it as public.users");
  check("  tables: [a.b, a.b]", "pgweir.yaml:3:17: source.tables: 'a.b' stands in the list twice");
  check("  tables: []", "pgweir.yaml:3:11: source.tables is empty, so nothing would be captured");
  check("  tables: [[a.b]]", "pgweir.yaml:3:12: source.tables needs texts in its list");
  check("  slot: My-Slot",
        "pgweir.yaml:3:9: source.slot: may hold lower-case letters, digits and _ only, up to 58 of "
        "them");
  check("  numeric: {precision: 10, scale: 11}",
        "pgweir.yaml:3:35: source.numeric.scale: 11 is more than the precision of 10");
  check("server: {listen: \"8088\"}",
        "pgweir.yaml:3:18: server.listen: '8088' is not host:port, like 127.0.0.1:8088 or "
        "[::1]:8088");
  check("sinks: {a: {type: parquet}}", "pgweir.yaml:3:12: sinks.a.path is required");
  check("sinks: {a: {type: parquet, path: x, partition_by: [date]}}",
        "pgweir.yaml:3:51: sinks.a.partition_by must begin with table");
  check("sinks: {a: {path: x}}", "pgweir.yaml:3:12: sinks.a.type is required");
  check("sinks: {a: {type: kafka}}", "pgweir.yaml:3:12: sinks.a.brokers is required");
  check("sinks: {a: {type: kafka, brokers: []}}", "pgweir.yaml:3:35: sinks.a.brokers is empty");
  check("sinks: {a: {type: kafka, brokers: [host]}}",
        "pgweir.yaml:3:36: sinks.a.brokers: is not host:port");
  check("sinks: {a: {type: kafka, brokers: [\"a:1,b:2\"]}}",
        "pgweir.yaml:3:36: sinks.a.brokers: is not host:port");
  check("sinks: {a: {path: x, type: kafka, brokers: [\"a:1\"]}}",
        "pgweir.yaml:3:13: sinks.a.path is for parquet sinks alone");
  check("sinks: {a: {type: kafka, brokers: [\"a:1\"], roll: {every: 1s}}}",
        "pgweir.yaml:3:44: sinks.a.roll is for parquet sinks alone");
  check("sinks: {a: {type: parquet, path: x, delivery: exactly-once}}",
        "pgweir.yaml:3:37: sinks.a.delivery is for kafka sinks alone");
  check("sinks: {a: {type: kafka, brokers: [\"a:1\"], topic: all}}",
        "pgweir.yaml:3:51: sinks.a.topic: must end with .{schema}.{table}, behind a name of the "
        "source");
  check(
      "sinks: {a: {type: kafka, brokers: [\"a:1\"], topic: \"a b.{schema}.{table}\"}}",
      "pgweir.yaml:3:51: sinks.a.topic: a topic's name is letters, digits, ., _ and -, and {name}, "
      "{schema}, {table}");
  check("sinks: {a: {type: kafka, brokers: [\"a:1\"], properties: [x]}}",
        "pgweir.yaml:3:56: sinks.a.properties needs a mapping, like {a: b}");
  check("sinks: {a: {type: kafka, brokers: [\"a:1\"], properties: {x: {y: z}}}}",
        "pgweir.yaml:3:57: sinks.a.properties needs texts by names");
  check("views: {a: {mode: update}}", "pgweir.yaml:3:12: views.a.sql is required");
}

TEST(Config, SecretsOfAClientAreNeverShown) {
  const Config config = parsed(R"(
source: {url: u}
sinks:
  events:
    type: kafka
    brokers: ["a:1"]
    client: {sasl.username: ann, sasl.password: hunter2, ssl.key.password: hunter3}
)")
                            .value();
  for (const std::string& shown : {show(config), show_json(config)}) {
    EXPECT_EQ(shown.find("hunter"), std::string::npos) << shown;
    EXPECT_NE(shown.find("ann"), std::string::npos) << shown;
  }
}

TEST(Config, BeyondLoopbackNeedsTokenAndTls) {
  const std::string expected =
      "pgweir.yaml:3:18: server.listen: 0.0.0.0:8088 is beyond loopback, which needs server.token "
      "and server.tls";
  EXPECT_EQ(problems_below_source("server: {listen: \"0.0.0.0:8088\"}"), expected);
  EXPECT_EQ(problems_below_source("server: {listen: \"0.0.0.0:8088\", token: a}"), expected);
  EXPECT_EQ(problems_below_source("server: {listen: \"0.0.0.0:8088\", token: a, "
                                  "tls: {certificate: c, key: k}}"),
            "");
  EXPECT_EQ(problems_below_source("server: {tls: {certificate: c}}"),
            "pgweir.yaml:3:29: server.tls needs both a certificate and a key");
}

TEST(Config, VariablesAreReplacedInsideScalarsOnly) {
  harness::ScratchFolder scratch;
  std::ofstream(scratch.file("token")) << "s3cret\n";
  const auto with_data = [](const std::string& value) {
    return parsed("source: {url: u}\ndata: '" + value + "'").value().data;
  };
  EXPECT_EQ(with_data("${file:" + scratch.file("token") + "}"), "s3cret");
  EXPECT_EQ(with_data("a/${ROWS}/b/${NOPE:-c d}"), "a/123/b/c d");
  EXPECT_EQ(with_data("${EMPTY:-x}"), "x");
  EXPECT_EQ(with_data("$1 $ $$ $${ROWS}"), "$1 $ $$ ${ROWS}");
  // A value with YAML in it stays a value.
  EXPECT_EQ(with_data("${EVIL}"), "x\nserver: {listen: \"0.0.0.0:1\"}");
}

TEST(Config, VariablesThatCannotBeReplacedAreErrors) {
  const auto check = [](const std::string& value, const std::string& expected) {
    EXPECT_EQ(problems("source: {url: u}\ndata: '" + value + "'"),
              "pgweir.yaml:2:7: data: " + expected);
  };
  check("${NOPE}", "the environment variable NOPE is not set");
  check("${EMPTY}", "must not be empty");
  check("${EMPTY:?a folder}", "the environment variable EMPTY is not set: a folder");
  check("${NOPE:?}", "the environment variable NOPE is not set: it is required");
  check("${ROWS", "a ${ has no closing }; write $${ for a plain ${");
  check("${1X}",
        "${1X} is none of ${VAR}, ${VAR:-default}, ${VAR:?message} and ${file:/path}; "
        "write $${ for a plain ${");
  EXPECT_NE(problems("source: {url: u}\ndata: ${file:/nonexistent/x}")
                .find("pgweir.yaml:2:7: data: ${file:/nonexistent/x} cannot be read: "),
            std::string::npos);
  check("${file:/dev/zero}", "${file:/dev/zero} cannot be read: it is larger than 65536 bytes");
}

TEST(Config, BrokenYamlSaysWhere) {
  EXPECT_EQ(problems(""),
            "pgweir.yaml:1:1: the file is empty; `pgweir init` writes one to start from");
  EXPECT_EQ(problems("# nothing\n"),
            "pgweir.yaml:1:1: the file is empty; `pgweir init` writes one to start from");
  EXPECT_EQ(problems("- a\n- b\n"),
            "pgweir.yaml:1:1: the file must be a mapping that begins with source:");
  EXPECT_EQ(problems("source: {url: u\n"), "pgweir.yaml:2:1: not YAML: end of map flow not found");
  EXPECT_EQ(
      problems("source: {url: ${URL}, name: x}\n"),
      "pgweir.yaml:1:16: not YAML: end of map flow not found; inside { } and [ ] a ${...} needs "
      "quotes");
  EXPECT_EQ(problems("source:\n\turl: u\n"),
            "pgweir.yaml:2:1: a tab in the indentation; YAML wants spaces");
  EXPECT_EQ(problems("source: {url: u}\nsource: {url: v}\n"),
            "pgweir.yaml:2:1: key 'source' stands here again, first in line 1");
  EXPECT_EQ(
      problems("a: &x [1]\nb: *x\n"),
      "pgweir.yaml:1:4: anchors and aliases are not taken; put a text that begins with * or & "
      "into quotes");
  EXPECT_EQ(
      problems("source: {url: u, tables: [*.*]}\n"),
      "pgweir.yaml:1:27: anchors and aliases are not taken; put a text that begins with * or & "
      "into quotes");
  EXPECT_EQ(problems("source: {url: !secret u}\n"),
            "pgweir.yaml:1:15: tags are not taken; put a text that begins with ! into quotes");
  EXPECT_EQ(problems("source: {url: u}\n---\nsource: {url: v}\n"),
            "pgweir.yaml:3:1: a second document begins here; one file is one pipeline");
  EXPECT_EQ(problems("source: {url: \xff}\n"), "pgweir.yaml:1:15: not UTF-8 text");
  EXPECT_EQ(problems(std::string("source: {url: u}\n\x04: 1\n")),
            "pgweir.yaml:2:1: the control character 0x04 is not taken");
  EXPECT_EQ(problems("? [a, b]\n: 1\nsource: {url: u}"), "pgweir.yaml:1:3: a key must be a text");
  EXPECT_EQ(problems(std::string(40, '[')), "pgweir.yaml:1:17: nested deeper than 32 levels");
  EXPECT_EQ(problems(std::string((1u << 20) + 1, ' ')),
            "pgweir.yaml:1:1: the file is larger than 1048576 bytes");
}

TEST(Config, AliasBombIsRefusedAtOnce) {
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char name = 'b'; name < 'z'; ++name) {
    const std::string before = "*" + std::string(1, static_cast<char>(name - 1));
    bomb += std::string(1, name) + ": &" + name + " [" + before + ", " + before + "]\n";
  }
  EXPECT_NE(problems(bomb).find("pgweir.yaml:1:4: anchors and aliases"), std::string::npos);
}

TEST(Config, TabsInsideSqlAreFine) {
  EXPECT_EQ(parsed("source: {url: u}\nviews:\n  v: |\n    SELECT\n    \t1\n").value().views[0].sql,
            "SELECT\n\t1\n");
}

TEST(Config, AllProblemsAreListedUpToTwenty) {
  std::string text = "source: {url: u}\n";
  for (int i = 0; i < 25; ++i) text += "unknown_key_" + std::to_string(i) + ": 1\n";
  const auto result = parsed(text);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message, "pgweir.yaml has 25 errors");
  EXPECT_EQ(std::count(result.error().detail.begin(), result.error().detail.end(), '\n'), 20);
  EXPECT_TRUE(result.error().detail.ends_with("\nand 5 more"));
}

TEST(Config, LoadReadsTheFileAndNamesIt) {
  harness::ScratchFolder scratch;
  io::RealFs fs;
  EXPECT_EQ(load(fs, scratch.file("nope.yaml"), environment).error().code, Code::kNotFound);
  const std::string path = scratch.file("p.yaml");
  std::ofstream(path) << "source: {url: u, slott: x}\n";
  EXPECT_EQ(load(fs, path, environment).error().message,
            path + ":1:18: unknown key 'slott' in source; did you mean 'slot'?");
}

TEST(Config, SecretsAreNeverShown) {
  Config config = parsed("source: {url: \"${URL}\"}\nserver: {token: hunter3}").value();
  const std::string text =
      show(config) + show_json(config) + testing::PrintToString(config.server.token);
  EXPECT_EQ(text.find("hunter"), std::string::npos) << text;
  EXPECT_NE(text.find("postgresql://ann:***@db:5432/shop"), std::string::npos) << text;
}

TEST(Config, RedactsEveryFormOfPassword) {
  EXPECT_EQ(redact_url("postgresql://u:p@h/d"), "postgresql://u:***@h/d");
  EXPECT_EQ(redact_url("postgresql://u:p/w?x@h/d"), "postgresql://u:***@h/d");
  EXPECT_EQ(redact_url("postgresql://u@h:5432/d"), "postgresql://u@h:5432/d");
  EXPECT_EQ(redact_url("postgresql://h/d?user=u&password=p&sslmode=require"),
            "postgresql://h/d?user=u&password=***&sslmode=require");
  EXPECT_EQ(redact_url("host=h password=p dbname=d"), "host=h password=*** dbname=d");
  EXPECT_EQ(redact_url("host=h password = 'p \\' q' dbname=d"), "host=h password = *** dbname=d");
  EXPECT_EQ(redact_url("sslpassword=p\\ q user=u"), "sslpassword=*** user=u");
  EXPECT_EQ(redact_url("password="), "password=***");
  EXPECT_EQ(redact_url("password='"), "password=***");
}

TEST(Config, ShowIsReadBack) {
  Config config = parsed(R"(
source: {url: u, exclude: ["a.*", "b.$$${x}"]}
data: "a ${ROWS} $${x} \" \t é"
views: {a: "SELECT 1", b: "SELECT\n  1\n\nFROM x", c: "y\n", d: "null", e: "12"}
sinks: {lake: {type: parquet, path: "p: q"}}
)")
                      .value();
  EXPECT_EQ(parsed(show(config)).value(), config) << show(config);
}

TEST(Config, StarterFileIsReadBack) {
  for (const std::string url : {"", "postgresql://a:b@c/d", "host=x password='${y}\"'"}) {
    const auto with_url = [&](const std::string& name) -> std::optional<std::string> {
      return name == "DATABASE_URL" ? std::optional<std::string>("u") : std::nullopt;
    };
    io::RealFs fs;
    const auto config = parse(starter_file(url), "pgweir.yaml", fs, with_url);
    ASSERT_TRUE(config.ok()) << config.error().text();
    EXPECT_EQ(config->source.url.reveal(), url.empty() ? "u" : url);
  }
  io::RealFs fs;
  const std::string with_tables =
      starter_file("u", {"public.a", "public.b", "au: dit.${x}\ny", "x.c"});
  const auto found = parse(with_tables, "pgweir.yaml", fs, environment);
  ASSERT_TRUE(found.ok()) << found.error().text() << with_tables;
  EXPECT_EQ(found->source.tables, (std::vector<std::string>{"public.*", "au: dit.*", "x.*"}));
  // What is commented out is right too.
  std::string text = starter_file("u");
  for (const std::string start : {"# views:", "#   ", "#     ", "# sinks:"}) {
    for (std::size_t at = text.find("\n" + start); at != std::string::npos;
         at = text.find("\n" + start))
      text.erase(at + 1, 2);
  }
  const Config config = parsed(text).value();
  EXPECT_EQ(config.views.size(), 2u);
  EXPECT_EQ(config.sinks.size(), 1u);
}

// PGWEIR_UPDATE_DOCS=1 writes the file anew.
TEST(Config, CommittedReferenceIsCurrent) {
  const std::string path = std::string(PGWEIR_SOURCE_DIR) + "/docs/configuration.md";
  if (std::getenv("PGWEIR_UPDATE_DOCS") != nullptr) std::ofstream(path) << markdown_reference();
  EXPECT_EQ(file_text(path), markdown_reference())
      << "run config_test with PGWEIR_UPDATE_DOCS=1 to write it anew";
}

}  // namespace pgweir::config
