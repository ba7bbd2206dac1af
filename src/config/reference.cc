#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "config/config.h"
#include "config/fields_internal.h"

namespace pgweir::config {
namespace {

using Json = nlohmann::ordered_json;

// Texts from the environment or from files may be anything.
std::string dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// ---------------------------------------------------------------------------------------- show

Json value_json(const Field& field, Target& target) {
  const Slot slot = field.slot(target);
  if (const auto* list = std::get_if<std::vector<std::string>*>(&slot)) return **list;
  if (const auto* number = std::get_if<std::uint32_t*>(&slot)) return **number;
  if (const auto* flag = std::get_if<bool*>(&slot)) return **flag;
  if (const auto* texts = std::get_if<std::map<std::string, std::string>*>(&slot)) {
    Json out = Json::object();
    for (const auto& [name, text] : **texts) out[name] = is_secret_name(name) ? "***" : text;
    return out;
  }
  return value_text(field, target);
}

void put(Json& object, std::string_view path, Json value) {
  const std::size_t dot = path.find('.');
  if (dot == std::string_view::npos) {
    object[std::string(path)] = std::move(value);
  } else {
    put(object[std::string(path.substr(0, dot))], path.substr(dot + 1), std::move(value));
  }
}

// Puts every built field below `prefix` but empty texts.
void put_fields(Json& object, std::string_view prefix, Target& target) {
  for (const Field& field : fields()) {
    if (!field.built() || !field.path.starts_with(prefix) || !has_field(field, target)) continue;
    const std::string_view rest = field.path.substr(prefix.size());
    if (rest.find('*') != std::string_view::npos) continue;
    const Json value = value_json(field, target);
    if (value == "" || (value.is_object() && value.empty())) continue;
    put(object, rest, value);
  }
}

Json to_json(const Config& given) {
  Config config = given;
  Target target{config};
  Json out = Json::object();
  put_fields(out, "", target);
  for (WatermarkConfig& watermark : config.watermarks) {
    target.watermark = &watermark;
    put_fields(out["watermarks"][watermark.column], "watermarks.*.", target);
  }
  for (ViewConfig& view : config.views) {
    target.view = &view;
    put_fields(out["views"][view.name], "views.*.", target);
  }
  for (SinkConfig& sink : config.sinks) {
    target.sink = &sink;
    put_fields(out["sinks"][sink.name], "sinks.*.", target);
  }
  return out;
}

bool is_plain(const std::string& text) {
  if (text == "null" || text == "true" || text == "false" || text == "Null" || text == "NULL")
    return false;
  return !text.empty() && std::isalnum(static_cast<unsigned char>(text[0])) != 0 &&
         std::all_of(text.begin(), text.end(), [](unsigned char letter) {
           return std::isalnum(letter) != 0 || letter == '_' || letter == '.' || letter == '-';
         });
}

// "schema.*" needs no quotes where its schema needs none.
bool is_plain_glob(const std::string& glob) {
  return is_plain(glob.substr(0, glob.size() - 2));
}

// Written as it stands, line by line, so that SQL stays readable.
bool is_block(const std::string& text) {
  if (text.find('\n') == std::string::npos || text.ends_with("\n\n")) return false;
  if (std::isspace(static_cast<unsigned char>(text[0])) != 0) return false;
  return std::all_of(text.begin(), text.end(), [](unsigned char letter) {
    return (letter >= 0x20 && letter < 0x7f) || letter == '\n';
  });
}

// So that parse() reads the text itself, not a variable.
std::string without_variables(std::string text) {
  for (std::size_t at = text.find("${"); at != std::string::npos; at = text.find("${", at + 3))
    text.insert(at, "$");
  return text;
}

std::string yaml_scalar(const Json& value, const std::string& indent) {
  if (!value.is_string()) return value.dump();
  const std::string text = without_variables(value.get<std::string>());
  if (is_plain(text)) return text;
  if (!is_block(text)) return dump(text, -1);
  std::string out = text.ends_with('\n') ? "|" : "|-";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    out += end == at ? "\n" : "\n" + indent + text.substr(at, end - at);
    at = end + 1;
  }
  return out;
}

std::string yaml_key(const std::string& key) {
  return is_plain(key) ? key : dump(Json(key), -1);
}

void write_yaml(const Json& object, const std::string& indent, std::string& out) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object()) {
      out += fmt::format("{}{}:\n", indent, yaml_key(key));
      write_yaml(value, indent + "  ", out);
    } else if (value.is_array()) {
      std::vector<std::string> items;
      for (const Json& item : value)
        items.push_back(dump(without_variables(item.get<std::string>()), -1));
      out += fmt::format("{}{}: [{}]\n", indent, key, fmt::join(items, ", "));
    } else {
      out += fmt::format("{}{}: {}\n", indent, yaml_key(key), yaml_scalar(value, indent + "  "));
    }
  }
}

// ----------------------------------------------------------------------------------- reference

// A Target in which every field has its default.
struct Defaults {
  Config config;
  ViewConfig view;
  SinkConfig sink;
  WatermarkConfig watermark;
  Target target{config, &view, &sink, &watermark};
};

std::string default_text(const Field& field, Defaults& defaults) {
  if (field.required) return "required";
  if (field.default_note[0] != '\0') return field.default_note;
  return "`" + value_text(field, defaults.target) + "`";
}

std::string type_text(const Field& field, Defaults& defaults) {
  std::vector<std::string> built;
  std::vector<std::string> unbuilt;
  for (const Choice& choice : field.choices)
    (choice.built ? built : unbuilt).push_back(fmt::format("`{}`", choice.name));
  const bool list = std::holds_alternative<std::vector<std::string>*>(field.slot(defaults.target));
  std::string out = field.choices.empty() || list ? type_name(field) : "";
  if (list && !built.empty()) out += " of ";
  out += fmt::format("{}", fmt::join(built, ", "));
  if (!unbuilt.empty()) out += fmt::format(" (not built yet: {})", fmt::join(unbuilt, ", "));
  return out;
}

std::string limits_text(const Field& field, Defaults& defaults) {
  const Slot slot = field.slot(defaults.target);
  const auto text = [&](std::uint64_t bound) {
    if (std::holds_alternative<Milliseconds*>(slot))
      return format_duration(Milliseconds(static_cast<std::int64_t>(bound)));
    return std::holds_alternative<std::uint64_t*>(slot) ? format_size(bound)
                                                        : std::to_string(bound);
  };
  const bool above = field.maximum != std::numeric_limits<std::uint64_t>::max();
  if (field.minimum > 0 && above)
    return fmt::format(" From {} to {}.", text(field.minimum), text(field.maximum));
  if (field.minimum > 0) return fmt::format(" At least {}.", text(field.minimum));
  return above ? fmt::format(" At most {}.", text(field.maximum)) : "";
}

std::string table_row(const Field& field, Defaults& defaults) {
  if (!field.built())
    return fmt::format("| `{}` | | | {} **Not built yet.** |\n", field.path, field.description);
  const std::string whose =
      field.only_of.empty() ? "" : fmt::format(" Of `{}` sinks.", field.only_of);
  return fmt::format("| `{}` | {} | {} | {}{}{} |\n", field.path, type_text(field, defaults),
                     default_text(field, defaults), field.description, limits_text(field, defaults),
                     whose);
}

constexpr const char* kIntroduction =
    R"(# Configuration

<!-- Written by markdown_reference() in src/config; a test holds it to the table of fields. -->

One YAML file describes a pipeline: `./pgweir.yaml`, else `/etc/pgweir/pgweir.yaml`, or the one that
`-c` names. `pgweir init` writes a commented file to start from, `pgweir config show` prints a file
with everything filled in, `pgweir config schema` prints a JSON Schema for editors.

The file is read strictly. An unknown key, a wrong type, a value without its unit, a key that stands
twice, and a key that is known but not built yet are errors with line and column (exit code 3); all
of them are listed at once.

* **Durations** are whole numbers with `ms`, `s`, `m`, `h` or `d`; **sizes** with `B`, `KiB`, `MiB`,
  `GiB`, `TiB` (powers of 1024) or `KB`, `MB`, `GB`, `TB` (powers of 1000).
* **Variables** inside a value are replaced after the file is parsed, so a value cannot bring in
  YAML: `${VAR}` must be set, `${VAR:-default}` and `${VAR:?message}` also treat an empty variable as
  missing, `${file:/path}` is a file's content without its last line break (up to 64 KiB). `$${`
  stands for `${`.
* **Anchors, aliases, tags** and a second document are not taken. A text that begins with `*`, `&` or
  `!` needs quotes. A file may have up to 1 MiB.
* **Secrets** (`source.url`'s password, `server.token`) are never logged, shown or returned.

In the tables, `*` in a key stands for a name of your choice.
)";

// -------------------------------------------------------------------------------------- schema

Json schema_of_field(const Field& field, Defaults& defaults) {
  const Slot slot = field.slot(defaults.target);
  const Json variable = {{"type", "string"}, {"pattern", "\\$\\{"}};
  Json choices = Json::array();
  for (const Choice& choice : field.choices) {
    if (choice.built) choices.push_back(choice.name);
  }
  Json out;
  if (std::holds_alternative<std::vector<std::string>*>(slot)) {
    out = {{"type", "array"}, {"items", {{"type", "string"}}}};
    if (!choices.empty()) out["items"]["enum"] = choices;
  } else if (!choices.empty()) {
    out = {{"anyOf", {{{"enum", choices}}, variable}}};
  } else if (std::holds_alternative<std::uint32_t*>(slot)) {
    const Json number = {
        {"type", "integer"}, {"minimum", field.minimum}, {"maximum", field.maximum}};
    out = {{"anyOf", {number, variable}}};
  } else if (std::holds_alternative<std::map<std::string, std::string>*>(slot)) {
    out = {{"type", "object"},
           {"additionalProperties", {{"type", {"string", "number", "boolean"}}}}};
  } else if (std::holds_alternative<bool*>(slot)) {
    out = {{"anyOf", {Json{{"type", "boolean"}}, variable}}};
  } else if (std::holds_alternative<std::uint64_t*>(slot)) {
    out = {{"type", "string"}, {"pattern", "^[0-9]+([KMGT]i?)?B$|\\$\\{"}};
  } else if (std::holds_alternative<Milliseconds*>(slot)) {
    out = {{"type", "string"}, {"pattern", "^[0-9]+(ms|s|m|h|d)$|\\$\\{"}};
  } else {
    out = {{"type", {"string", "number", "boolean"}}};
  }
  out["description"] = field.description;
  const Json value = value_json(field, defaults.target);
  if (!field.required && !value.empty() && value != "") out["default"] = value;
  return out;
}

Json schema_of_mapping(std::string_view path, Defaults& defaults) {
  Json out = {{"type", "object"}, {"additionalProperties", false}};
  Json required = Json::array();
  Json alone;
  for (const std::string& key : child_keys(path)) {
    const std::string child = path.empty() ? key : fmt::format("{}.{}", path, key);
    const Field* field = find_field(child);
    if (key == "*") {
      out["additionalProperties"] = schema_of_mapping(child, defaults);
      continue;
    }
    if (field != nullptr && !field->built()) continue;
    if (field == nullptr) {
      out["properties"][key] = schema_of_mapping(child, defaults);
      continue;
    }
    out["properties"][key] = schema_of_field(*field, defaults);
    if (field->required && field->only_of.empty()) required.push_back(key);
    if (field->alone) alone = out["properties"][key];
  }
  if (path.empty()) required.push_back("source");
  if (!required.empty()) out["required"] = required;
  if (alone.is_null()) return out;
  return {{"anyOf", {alone, out}}};
}

// -------------------------------------------------------------------------------------- starter

// source.tables with the schemas of `tables`, and what was found as a comment.
std::string tables_lines(const std::vector<std::string>& tables) {
  constexpr std::size_t kNamedMax = 50;
  std::vector<std::string> globs;
  for (const std::string& table : tables) {
    // A schema with a dot in its name cannot be told from its table here.
    const std::string glob = table.substr(0, table.find('.')) + ".*";
    if (std::find(globs.begin(), globs.end(), glob) == globs.end()) globs.push_back(glob);
  }
  if (globs.empty()) globs = {"public.*"};
  std::string list;
  for (const std::string& glob : globs)
    list += (list.empty() ? "" : ", ") +
            (is_plain_glob(glob) ? glob : dump(without_variables(glob), -1));
  std::string out = fmt::format("  tables: [{}]{}# globs over schema.table\n", list,
                                std::string(list.size() < 19 ? 20 - list.size() : 1, ' '));
  for (std::size_t i = 0; i < std::min(tables.size(), kNamedMax); ++i)
    out += fmt::format("  #   {}\n", dump(Json(tables[i]), -1));
  if (tables.size() > kNamedMax)
    out += fmt::format("  #   and {} more\n", tables.size() - kNamedMax);
  return out;
}

}  // namespace

std::string show(const Config& config) {
  std::string out;
  write_yaml(to_json(config), "", out);
  return out;
}

std::string show_json(const Config& config) {
  return dump(to_json(config), 2);
}

std::string markdown_reference() {
  Defaults defaults;
  std::string out = kIntroduction;
  std::string_view section;
  for (const Field& field : fields()) {
    const std::string_view first = field.path.substr(0, field.path.find('.'));
    if (first != section) {
      section = first;
      out += fmt::format(
          "\n## {}\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n", section);
    }
    out += table_row(field, defaults);
  }
  return out;
}

std::string json_schema() {
  Defaults defaults;
  Json out = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
              {"title", "pgweir's pipeline file"}};
  out.update(schema_of_mapping("", defaults));
  return dump(out, 2) + "\n";
}

std::string starter_file(const std::string& url, const std::vector<std::string>& tables) {
  const std::string source =
      url.empty() ? "${DATABASE_URL:?set it to a libpq URI like postgresql://user@host/database}"
                  : without_variables(url);
  std::string out =
      R"(# A pipeline of pgweir. Every key: docs/configuration.md, or `pgweir config schema`.
# `pgweir check` says what is missing on the server, `pgweir run` starts.
source:
)";
  out += fmt::format("  url: {}\n", dump(Json(source), -1));
  out += tables_lines(tables);
  out += R"(  slot: pgweir                  # created when missing
  publication: pgweir           # created when missing
  exclude: []
  snapshot: {mode: initial, parallel: 2}   # or mode: never
data: ./pgweir-data             # log, engine, state
log: {retain: 7d, max_size: 50GiB}
engine: {memory: 1GiB, threads: 2, mirrors: all}   # needed: only the tables that views read

# Live views: each always equals its SELECT over the source's tables.
# views:
#   balance: SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1
#   per_minute: |
#     SELECT window_start, count(*) AS transfers, sum(amount) AS volume
#     FROM tumble(transfers, created_at, INTERVAL 1 MINUTE) GROUP BY window_start

# Change events as Parquet files.
# sinks:
#   lake: {type: parquet, path: ./lake, partition_by: [table, date], roll: {every: 1m, size: 128MiB}}

server: {listen: "127.0.0.1:8088"}   # beyond loopback: a token and TLS
)";
  return out;
}

}  // namespace pgweir::config
