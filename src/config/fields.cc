#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "config/fields_internal.h"

namespace pgweir::config {
namespace {

// An enum class over uint8_t may be read and written as the byte that it is.
template <typename Enum>
Slot choice(Enum& value) {
  static_assert(sizeof(Enum) == 1);
  return reinterpret_cast<std::uint8_t*>(&value);
}

std::string check_listen(std::string_view text) {
  const auto address = parse_address(text);
  return address.ok() ? "" : address.error().message;
}

std::string check_not_empty(std::string_view text) {
  return text.empty() ? "must not be empty" : "";
}

std::string check_broker(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const std::string_view port = text.substr(std::min(colon, text.size()));
  const bool fits = colon != 0 && colon != std::string_view::npos && port.size() > 1 &&
                    text.find_first_of(", \t\n") == std::string_view::npos &&
                    port.find_first_not_of("0123456789", 1) == std::string_view::npos;
  return fits ? "" : "is not host:port";
}

std::string check_topic(std::string_view text) {
  constexpr std::string_view kTable = ".{schema}.{table}";
  if (!text.ends_with(kTable) || text.size() == kTable.size())
    return "must end with .{schema}.{table}, behind a name of the source";
  std::string prefix(text.substr(0, text.size() - kTable.size()));
  if (const std::size_t at = prefix.find("{name}"); at != std::string::npos)
    prefix.replace(at, std::string_view("{name}").size(), "name");
  const bool fits = std::all_of(prefix.begin(), prefix.end(), [](unsigned char letter) {
    return std::isalnum(letter) != 0 || letter == '.' || letter == '_' || letter == '-';
  });
  return fits ? "" : "a topic's name is letters, digits, ., _ and -, and {name}, {schema}, {table}";
}

std::string check_glob(std::string_view text) {
  if (text.empty()) return "must not be empty";
  if (text.find('.') == std::string_view::npos)
    return fmt::format("'{}' has no schema; write it as public.{}", text, text);
  return "";
}

std::string check_local_path(std::string_view text) {
  if (text.empty()) return "must not be empty";
  if (text.find("://") != std::string_view::npos)
    return "only a local folder is built so far; object storage is not built yet";
  return "";
}

// PostgreSQL's rule for slots; the name is also part of the publications' names.
std::string check_slot(std::string_view text) {
  const bool fits =
      !text.empty() && text.size() <= 58 &&
      std::all_of(text.begin(), text.end(), [](unsigned char letter) {
        return std::islower(letter) != 0 || std::isdigit(letter) != 0 || letter == '_';
      });
  return fits ? "" : "may hold lower-case letters, digits and _ only, up to 58 of them";
}

std::vector<Field> source_fields() {
  return {
      {.path = "source.url",
       .slot = [](Target& t) -> Slot { return &t.config.source.url; },
       .description =
           "Where PostgreSQL is: a URI or key=value pairs under libpq's own rules "
           "(`PGPASSFILE`, `sslmode`, several hosts). Of several hosts the one that takes "
           "writes is used, unless `target_session_attrs` says otherwise. Passwords in "
           "it are never shown.",
       .required = true,
       .check = check_not_empty},
      {.path = "source.name",
       .slot = [](Target& t) -> Slot { return &t.config.source.name; },
       .description = "The pipeline's name, as label in metrics and in names of what it writes.",
       .default_note = "the database's name"},
      {.path = "source.slot",
       .slot = [](Target& t) -> Slot { return &t.config.source.slot; },
       .description = "The replication slot; created when missing.",
       .check = check_slot},
      {.path = "source.publication",
       .slot = [](Target& t) -> Slot { return &t.config.source.publication; },
       .description = "The publication; created when missing. Tables without a usable replica "
                      "identity, and roots of tables that this one sends under their partitions' "
                      "names, go into a second one with `_append` behind its name. Row filters and "
                      "column lists hold for the mirrors and for all readings.",
       .check = check_slot},
      {.path = "source.tables",
       .slot = [](Target& t) -> Slot { return &t.config.source.tables; },
       .description = "Tables to capture, as globs over schema.table.",
       .check = check_glob},
      {.path = "source.exclude",
       .slot = [](Target& t) -> Slot { return &t.config.source.exclude; },
       .description = "Tables not to capture, though `tables` names them.",
       .check = check_glob},
      {.path = "source.columns", .description = "Columns to leave out, by table."},
      {.path = "source.snapshot.mode",
       .slot = [](Target& t) -> Slot { return choice(t.config.source.snapshot.mode); },
       .description = "Whether the tables are read before their changes are followed.",
       .choices = {{"initial"}, {"never"}, {"when_needed", false}, {"only", false}}},
      {.path = "source.snapshot.parallel",
       .slot = [](Target& t) -> Slot { return &t.config.source.snapshot.parallel; },
       .description = "Connections that read tables at the same time.",
       .minimum = 1,
       .maximum = 32},
      {.path = "source.heartbeat",
       .slot = [](Target& t) -> Slot { return &t.config.source.heartbeat; },
       .description = "How often a logical message is written to the source, which keeps the slot "
                      "moving where nothing else is written; no table is needed. `0s` writes none.",
       .maximum = 3'600'000},
      {.path = "source.stream_large_transactions",
       .slot = [](Target& t) -> Slot { return &t.config.source.stream_large_transactions; },
       .description = "Takes transactions that outgrow the server's logical_decoding_work_mem "
                      "before they commit, into files in the log's folder; else the server writes "
                      "them to its own disk, and sends them at their commit."},
      {.path = "source.numeric.precision",
       .slot = [](Target& t) -> Slot { return &t.config.source.numeric.precision; },
       .description = "Digits with which numeric without a precision is kept for views. A value "
                      "that does not fit is an error that names the key; nothing is rounded.",
       .minimum = 1,
       .maximum = 38},
      {.path = "source.numeric.scale",
       .slot = [](Target& t) -> Slot { return &t.config.source.numeric.scale; },
       .description = "How many of these digits stand behind the point.",
       .maximum = 38},
      {.path = "source.catalog_interval",
       .slot = [](Target& t) -> Slot { return &t.config.source.catalog_interval; },
       .description =
           "How often the catalog is asked for changes of tables' shapes, and for tables "
           "that are new: PostgreSQL tells of them only with the table's next row.",
       .minimum = 100,
       .maximum = 86'400'000},
      {.path = "source.ddl_trigger",
       .slot = [](Target& t) -> Slot { return &t.config.source.ddl_trigger; },
       .description =
           "Makes an event trigger in the source that tells of such changes at once. The "
           "role needs the rights of a superuser for that; `pgweir check` prints the SQL "
           "for somebody else to run."},
  };
}

std::vector<Field> engine_fields() {
  return {
      {.path = "data",
       .slot = [](Target& t) -> Slot { return &t.config.data; },
       .description = "The folder of the log, the engine and the state. A relative path starts "
                      "where pgweir is started.",
       .check = check_not_empty},
      {.path = "log.retain",
       .slot = [](Target& t) -> Slot { return &t.config.log.retain; },
       .description = "How long changes stay in the log after every follower has taken them."},
      {.path = "log.max_size",
       .slot = [](Target& t) -> Slot { return &t.config.log.max_size; },
       .description = "The log's largest size. Above it the oldest changes go, and a follower that "
                      "still needed them is lost.",
       .minimum = 64 * kMiB},
      {.path = "engine.memory",
       .slot = [](Target& t) -> Slot { return &t.config.engine.memory; },
       .description = "What the engine may use; what does not fit is spilled to the data folder.",
       .minimum = 32 * kMiB},
      {.path = "engine.threads",
       .slot = [](Target& t) -> Slot { return &t.config.engine.threads; },
       .description =
           "Threads that DuckDB may use for one statement. More than one helps large "
           "batches on a state of many millions of rows, and costs small batches. What a "
           "batch looks up in a large table is read by up to four threads whatever this "
           "says.",
       .minimum = 1,
       .maximum = 256},
      {.path = "engine.batch_wait",
       .slot = [](Target& t) -> Slot { return &t.config.engine.batch_wait; },
       .description =
           "How long a change may wait for others to share its batch, which makes it cheaper. What "
           "comes after a pause of that length does not wait.",
       .maximum = 60'000},
      {.path = "engine.batch_rows",
       .slot = [](Target& t) -> Slot { return &t.config.engine.batch_rows; },
       .description = "Changes after which a batch is closed without waiting.",
       .minimum = 1,
       .maximum = 10'000'000},
      {.path = "engine.mirrors",
       .slot = [](Target& t) -> Slot { return choice(t.config.engine.mirrors); },
       .description =
           "Which tables are kept for queries: those that views need, or all. With `none` "
           "the engine stays closed: no views, activity or SQL; capture, log and sinks "
           "alone, in tens of megabytes. `needed_columns` keeps, of the tables that views need, "
           "the "
           "key and the columns that they name: less to write for every change, but SQL and "
           "`verify` see no others, a view that names another waits for `pgweir snapshot "
           "--table`, and after a lost slot those tables are read anew. Of a table with REPLICA "
           "IDENTITY FULL and a primary key whose views go by its changes, and look it up by other "
           "columns than the key if at all, no rows are kept; once they are needed the table is "
           "read "
           "again, and its views wait meanwhile.",
       .choices = {{"needed"}, {"all"}, {"none"}, {"needed_columns"}}},
      {.path = "engine.view_budget",
       .slot = [](Target& t) -> Slot { return &t.config.engine.view_budget; },
       .description =
           "What a view may take of a batch of up to 1000 changes. All views share one position, "
           "so "
           "one that takes longer of three of them in a row would hold the others back: it is set "
           "aside, with a message that says so. `0ms` lets every view take as long as it likes.",
       .maximum = 86'400'000},
      {.path = "watermarks.*.delay",
       .slot = [](Target& t) -> Slot { return &t.watermark->delay; },
       .description =
           "How late rows may come by this column, which is named as schema.table.column: a time "
           "of the newest one less this is the watermark. It may stand alone, as "
           "`public.transfers.created_at: 10s`. Views in append mode need it.",
       .required = true,
       .alone = true,
       .maximum = 366ULL * 86'400'000},
      {.path = "watermarks.*.future",
       .slot = [](Target& t) -> Slot { return &t.watermark->future; },
       .description =
           "A time that lies further after the commit of its transaction moves no watermark.",
       .maximum = 366ULL * 86'400'000},
      {.path = "watermarks.*.idle",
       .slot = [](Target& t) -> Slot { return &t.watermark->idle; },
       .description = "A table without rows for so long, by commit times, does not hold back views "
                      "that have windows over others, too.",
       .minimum = 1,
       .maximum = 366ULL * 86'400'000},
  };
}

std::vector<Field> output_fields() {
  return {
      {.path = "views.*.sql",
       .slot = [](Target& t) -> Slot { return &t.view->sql; },
       .description = "The SELECT that the view always equals. It may stand alone, as `balance: "
                      "SELECT ...`.",
       .required = true,
       .alone = true,
       .check = check_not_empty},
      {.path = "views.*.mode",
       .slot = [](Target& t) -> Slot { return choice(t.view->mode); },
       .description =
           "`update`: the view is always what its SELECT gives. `append`: each window once, when "
           "the watermark has passed its end; it never changes again. `complete`: as update, for "
           "views of totals; who follows the view gets all of its rows.",
       .choices = {{"update"}, {"append"}, {"complete"}}},
      {.path = "views.*.late_rows",
       .slot = [](Target& t) -> Slot { return choice(t.view->late_rows); },
       .description = "What is done with changes that come too late for a view in append mode: "
                      "they are counted, or also kept in `pgweir.late_rows`.",
       .choices = {{"count"}, {"keep"}}},
      {.path = "views.*.budget",
       .slot = [](Target& t) -> Slot { return &t.view->budget; },
       .description = "What this view may take of a batch, in place of engine.view_budget.",
       .default_note = "that of engine.view_budget",
       .maximum = 86'400'000},
      {.path = "views.*.isolated",
       .slot = [](Target& t) -> Slot { return &t.view->isolated; },
       .description =
           "The view holds no other back: it is computed beside them, whole, and is right at a "
           "position of its own. No other view can read it."},
      {.path = "sinks.*.type",
       .slot = [](Target& t) -> Slot { return choice(t.sink->type); },
       .description = "What kind of sink it is.",
       .required = true,
       .choices = {{"parquet"}, {"kafka"}, {"postgres", false}, {"webhook", false}}},
      {.path = "sinks.*.path",
       .slot = [](Target& t) -> Slot { return &t.sink->path; },
       .description = "The local folder that the files go into.",
       .required = true,
       .only_of = "parquet",
       .check = check_local_path},
      {.path = "sinks.*.from",
       .slot = [](Target& t) -> Slot { return &t.sink->from; },
       .description = "Tables whose changes the sink takes, as globs over schema.table.",
       .default_note = "every captured table",
       .check = check_glob},
      {.path = "sinks.*.partition_by",
       .slot = [](Target& t) -> Slot { return &t.sink->partition_by; },
       .description =
           "Folders that the files are spread over, by table always; `date` is the commit's.",
       .choices = {{"table"}, {"date"}},
       .only_of = "parquet"},
      {.path = "sinks.*.roll.every",
       .slot = [](Target& t) -> Slot { return &t.sink->roll.every; },
       .description = "A file is closed at this age at the latest.",
       .minimum = 100,
       .only_of = "parquet"},
      {.path = "sinks.*.roll.size",
       .slot = [](Target& t) -> Slot { return &t.sink->roll.size; },
       .description = "A file is closed at about this size at the latest.",
       .minimum = kMiB,
       .only_of = "parquet"},
      {.path = "sinks.*.brokers",
       .slot = [](Target& t) -> Slot { return &t.sink->brokers; },
       .description = "Kafka's brokers, as host:port: some of them are enough.",
       .required = true,
       .only_of = "kafka",
       .check = check_broker},
      {.path = "sinks.*.format",
       .slot = [](Target& t) -> Slot { return choice(t.sink->format); },
       .description = "The form of an event.",
       .choices = {{"debezium-json"}},
       .only_of = "kafka"},
      {.path = "sinks.*.topic",
       .slot = [](Target& t) -> Slot { return &t.sink->topic; },
       .description =
           "The topic of a table's events. `{name}` is source.name. What stands in front "
           "of `.{schema}.{table}` is Debezium's topic.prefix, and the source's name in "
           "events.",
       .only_of = "kafka",
       .check = check_topic},
      {.path = "sinks.*.delivery",
       .slot = [](Target& t) -> Slot { return choice(t.sink->delivery); },
       .description =
           "`exactly-once`: the position is in the same transaction of Kafka's as the events, and "
           "who reads committed records sees each once. `at-least-once`: no transactions, so "
           "events can be read sooner; after a crash the last ones come again.",
       .choices = {{"exactly-once"}, {"at-least-once"}},
       .only_of = "kafka"},
      {.path = "sinks.*.partitions",
       .slot = [](Target& t) -> Slot { return &t.sink->partitions; },
       .description = "Of a topic that is not there when its first event comes.",
       .minimum = 1,
       .maximum = 10'000,
       .only_of = "kafka"},
      {.path = "sinks.*.replication",
       .slot = [](Target& t) -> Slot { return &t.sink->replication; },
       .description = "Copies of such a topic; 0: as the brokers have it by default.",
       .maximum = 100,
       .only_of = "kafka"},
      {.path = "sinks.*.properties",
       .slot = [](Target& t) -> Slot { return &t.sink->properties; },
       .description =
           "Properties of a Debezium connector that say how events look, by their names: "
           "docs/debezium.md lists them.",
       .default_note = "those of the connector",
       .only_of = "kafka"},
      {.path = "sinks.*.client",
       .slot = [](Target& t) -> Slot { return &t.sink->client; },
       .description = "Properties of librdkafka, by their names, as security.protocol or "
                      "sasl.password. Passwords and keys are never shown.",
       .default_note = "none",
       .only_of = "kafka"},
      {.path = "sinks.*.on_error", .description = "What happens with a record that is refused."},
      {.path = "sinks.*.images", .description = "Whether images are completed from the mirror."},
      {.path = "sinks.*.where", .description = "Which rows the sink takes."},
      {.path = "sinks.*.columns", .description = "Which columns the sink takes."},
      {.path = "sinks.*.mask", .description = "Columns whose values are hidden."},
      {.path = "sinks.*.url", .description = "Where a postgres or webhook sink sends to."},
  };
}

std::vector<Field> server_fields() {
  return {
      {.path = "alerts", .description = "Conditions that are watched, and who is told."},
      {.path = "costs", .description = "Prices for the dashboard's estimates."},
      {.path = "server.listen",
       .slot = [](Target& t) -> Slot { return &t.config.server.listen; },
       .description = "Address of the HTTP API and the dashboard, as host:port. Beyond loopback a "
                      "token and TLS are required.",
       .check = check_listen},
      {.path = "server.token",
       .slot = [](Target& t) -> Slot { return &t.config.server.token; },
       .description = "What a caller must send as `Authorization: Bearer`. Never shown.",
       .default_note = "none"},
      {.path = "server.tls.certificate",
       .slot = [](Target& t) -> Slot { return &t.config.server.tls.certificate; },
       .description = "The certificate's file, in PEM.",
       .default_note = "none"},
      {.path = "server.tls.key",
       .slot = [](Target& t) -> Slot { return &t.config.server.tls.key; },
       .description = "The private key's file, in PEM.",
       .default_note = "none"},
  };
}

// Reads a value as the file would write it.
struct ValueText {
  const Field& field;
  std::string operator()(const std::string* text) const { return *text; }
  std::string operator()(const Secret* secret) const {
    return secret->empty() ? "" : field.path == "source.url" ? redact_url(secret->reveal()) : "***";
  }
  std::string operator()(const std::uint32_t* number) const { return std::to_string(*number); }
  std::string operator()(const std::uint64_t* size) const {
    constexpr std::pair<std::uint64_t, const char*> kUnits[] = {
        {kTiB, "TiB"}, {kGiB, "GiB"}, {kMiB, "MiB"}, {kKiB, "KiB"}};
    for (const auto& [factor, name] : kUnits) {
      if (*size != 0 && *size % factor == 0) return fmt::format("{}{}", *size / factor, name);
    }
    return fmt::format("{}B", *size);
  }
  std::string operator()(const Milliseconds* duration) const { return format_duration(*duration); }
  std::string operator()(const std::uint8_t* index) const { return field.choices[*index].name; }
  std::string operator()(const bool* flag) const { return *flag ? "true" : "false"; }
  std::string operator()(const std::map<std::string, std::string>* texts) const {
    std::vector<std::string> parts;
    for (const auto& [name, text] : *texts)
      parts.push_back(fmt::format("{}: {}", name, is_secret_name(name) ? "***" : text));
    return fmt::format("{{{}}}", fmt::join(parts, ", "));
  }
  std::string operator()(const std::vector<std::string>* list) const {
    return fmt::format("[{}]", fmt::join(*list, ", "));
  }
};

}  // namespace

const std::vector<Field>& fields() {
  static const std::vector<Field> table = [] {
    std::vector<Field> all;
    for (const auto& part : {source_fields(), engine_fields(), output_fields(), server_fields()})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  }();
  return table;
}

const Field* find_field(std::string_view path) {
  for (const Field& field : fields()) {
    if (field.path == path) return &field;
  }
  return nullptr;
}

std::vector<std::string> child_keys(std::string_view path) {
  std::vector<std::string> keys;
  const std::string prefix = path.empty() ? "" : std::string(path) + ".";
  for (const Field& field : fields()) {
    if (!field.path.starts_with(prefix)) continue;
    const std::string_view rest = field.path.substr(prefix.size());
    const std::string key(rest.substr(0, rest.find('.')));
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  }
  return keys;
}

std::string child_path(std::string_view path, const std::string& key) {
  if (path.empty()) return key;
  const bool named = child_keys(path) == std::vector<std::string>{"*"};
  return fmt::format("{}.{}", path, named ? "*" : key);
}

std::string check_name(std::string_view path, std::string_view name) {
  if (path.starts_with("watermarks")) {
    const auto parts = std::count(name.begin(), name.end(), '.');
    const bool whole = parts == 2 && !name.starts_with('.') && !name.ends_with('.') &&
                       name.find("..") == std::string_view::npos;
    return whole ? "" : "a watermark's name is that of a column, schema.table.column";
  }
  const bool view = path.starts_with("views");
  const bool fits = !name.empty() && name.size() <= 63 &&
                    (std::isalpha(static_cast<unsigned char>(name[0])) != 0 || name[0] == '_') &&
                    std::all_of(name.begin(), name.end(), [&](unsigned char letter) {
                      return std::isdigit(letter) != 0 || std::islower(letter) != 0 ||
                             letter == '_' ||
                             (!view && (letter == '-' || std::isupper(letter) != 0));
                    });
  if (fits) return "";
  return view ? "a view's name is lower-case letters, digits and _, up to 63 of them, and begins "
                "with a letter"
              : "a sink's name is letters, digits, _ and -, up to 63 of them, and begins with a "
                "letter";
}

void enter_named(std::string_view path, const std::string& name, Target& target) {
  if (path == "views.*") {
    target.view = &target.config.views.emplace_back();
    target.view->name = name;
  } else if (path == "watermarks.*") {
    target.watermark = &target.config.watermarks.emplace_back();
    target.watermark->column = name;
  } else {
    target.sink = &target.config.sinks.emplace_back();
    target.sink->name = name;
  }
}

bool has_field(const Field& field, const Target& target) {
  if (field.only_of.empty() || target.sink == nullptr) return true;
  const Field& type = *find_field("sinks.*.type");
  return type.choices[static_cast<std::size_t>(target.sink->type)].name == field.only_of;
}

const char* type_name(const Field& field) {
  if (!field.built()) return "";
  Config config;
  ViewConfig view;
  SinkConfig sink;
  WatermarkConfig watermark;
  Target target{config, &view, &sink, &watermark};
  constexpr const char* kNames[] = {"text",   "text", "whole number",  "size",   "duration",
                                    "choice", "list", "true or false", "mapping"};
  return kNames[field.slot(target).index()];
}

bool is_secret_name(std::string_view name) {
  constexpr std::string_view kSecrets[] = {"password", "secret", "jaas", ".key", ".pem"};
  return std::any_of(std::begin(kSecrets), std::end(kSecrets), [&](std::string_view secret) {
    return name.find(secret) != std::string_view::npos;
  });
}

std::string value_text(const Field& field, Target& target) {
  return std::visit(ValueText{field}, field.slot(target));
}

}  // namespace pgweir::config
