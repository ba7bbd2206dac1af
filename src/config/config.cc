#include "config/config.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>

#include "base/nearest_name.h"
#include "config/fields_internal.h"
#include "config/substitute_internal.h"
#include "config/yaml_internal.h"

namespace pgweir::config {
namespace {

constexpr std::size_t kProblemsMax = 20;
constexpr std::size_t kListItemsMax = 10'000;

// What was written, for a message: short, and on one line.
std::string shown(const std::string& text) {
  constexpr std::size_t kShownMax = 40;
  std::string out = text.substr(0, kShownMax);
  std::replace(out.begin(), out.end(), '\n', ' ');
  return text.size() > kShownMax ? out + "..." : out;
}

// Walks the tree along the table of fields and fills the structs.
class Interpreter {
 public:
  Interpreter(const std::string& name, io::Fs& fs, const Environment& environment)
      : name_(name), fs_(fs), environment_(environment), target_{config_} {}

  Result<Config> run(const Node& root) {
    if (root.kind == Node::Kind::kNull) {
      problem(root.mark, "the file is empty; `pgweir init` writes one to start from");
    } else if (root.kind != Node::Kind::kMapping) {
      problem(root.mark, "the file must be a mapping that begins with source:");
    } else {
      read_mapping("", "", root);
      check_whole();
    }
    if (!problems_.empty()) return failure();
    return std::move(config_);
  }

  void problem(Mark mark, std::string text) { problems_.push_back({mark, std::move(text)}); }

  // All problems in the file's order as one error.
  Error failure() {
    std::stable_sort(problems_.begin(), problems_.end(), [](const auto& a, const auto& b) {
      return std::pair(a.mark.line, a.mark.column) < std::pair(b.mark.line, b.mark.column);
    });
    std::string lines;
    for (std::size_t i = 0; i < std::min(problems_.size(), kProblemsMax); ++i) {
      const Problem& one = problems_[i];
      lines += fmt::format("{}{}:{}:{}: {}", i == 0 ? "" : "\n", name_, one.mark.line,
                           one.mark.column, one.text);
    }
    if (problems_.size() == 1) return error(Code::kConfig, lines);
    if (problems_.size() > kProblemsMax)
      lines += fmt::format("\nand {} more", problems_.size() - kProblemsMax);
    return error(Code::kConfig, fmt::format("{} has {} errors", name_, problems_.size()), lines);
  }

 private:
  // `path` is the table's ("views.*"), `place` the user's ("views.balance").
  void read_mapping(std::string_view path, const std::string& place, const Node& node) {
    if (skip_unbuilt_choice(path, place, node)) return;
    std::map<std::string, Mark> seen;
    for (std::size_t i = 0; i + 1 < node.items.size(); i += 2) {
      const Node& key = node.items[i];
      if (key.kind != Node::Kind::kScalar) {
        problem(key.mark, "a key must be a text");
        continue;
      }
      const auto [first, fresh] = seen.emplace(key.text, key.mark);
      if (!fresh) {
        problem(key.mark, fmt::format("key '{}' stands here again, first in line {}",
                                      shown(key.text), first->second.line));
        continue;
      }
      read_entry(path, place, key, node.items[i + 1]);
    }
    check_required(path, place, node, seen);
    if (path == "sinks.*") check_type(place, seen);
  }

  // A key that sinks of another type have.
  void check_type(const std::string& place, const std::map<std::string, Mark>& seen) {
    if (!seen.contains("type")) return;
    for (const auto& [key, mark] : seen) {
      const std::string path = "sinks.*." + key;
      const auto found = std::find_if(fields().begin(), fields().end(), [&](const Field& field) {
        return field.path == path || field.path.starts_with(path + ".");
      });
      if (found != fields().end() && !has_field(*found, target_))
        problem(mark, fmt::format("{}.{} is for {} sinks alone", place, key, found->only_of));
    }
  }

  void read_entry(std::string_view path, const std::string& place, const Node& key,
                  const Node& value) {
    const std::vector<std::string> known = child_keys(path);
    const std::string child = child_path(path, key.text);
    const std::string child_place = place.empty() ? key.text : place + "." + key.text;
    if (child.ends_with(".*")) {
      if (const std::string wrong = check_name(child, key.text); !wrong.empty())
        return problem(key.mark, fmt::format("'{}': {}", shown(key.text), wrong));
      enter_named(child, key.text, target_);
      return read_group(child, child_place, value);
    }
    if (std::find(known.begin(), known.end(), key.text) == known.end())
      return problem(key.mark, unknown_key(key.text, place, known));
    const Field* field = find_field(child);
    if (field == nullptr) return read_group(child, child_place, value);
    if (!field->built()) return problem(key.mark, fmt::format("{} is not built yet", child_place));
    read_field(*field, child_place, value);
  }

  static std::string unknown_key(const std::string& key, const std::string& place,
                                 const std::vector<std::string>& known) {
    const std::string where = place.empty() ? "" : " in " + place;
    const std::string meant = nearest_name(key, known);
    if (!meant.empty())
      return fmt::format("unknown key '{}'{}; did you mean '{}'?", shown(key), where, meant);
    return fmt::format("unknown key '{}'{}; its keys are {}", shown(key), where,
                       fmt::join(known, ", "));
  }

  // A mapping, or the one value that may stand alone for it.
  void read_group(const std::string& path, const std::string& place, const Node& value) {
    if (value.kind == Node::Kind::kMapping) return read_mapping(path, place, value);
    for (const std::string& key : child_keys(path)) {
      const Field* field = find_field(path + "." + key);
      if (field != nullptr && field->alone && value.kind == Node::Kind::kScalar)
        return read_field(*field, place, value);
    }
    problem(value.mark,
            fmt::format("{} needs a mapping with {}", place, fmt::join(child_keys(path), ", ")));
  }

  // With `type: kafka` every other key of that sink would be an error of its own; the type says it.
  bool skip_unbuilt_choice(std::string_view path, const std::string& place, const Node& node) {
    if (path != "sinks.*") return false;
    for (std::size_t i = 0; i + 1 < node.items.size(); i += 2) {
      const Node& value = node.items[i + 1];
      if (node.items[i].text != "type" || value.kind != Node::Kind::kScalar) continue;
      const std::size_t before = problems_.size();
      const Field& field = *find_field("sinks.*.type");
      const std::size_t index = choice_index(field, value.text);
      if (index < field.choices.size() && !field.choices[index].built)
        read_field(field, place + ".type", value);
      return problems_.size() != before;
    }
    return false;
  }

  void check_required(std::string_view path, const std::string& place, const Node& node,
                      const std::map<std::string, Mark>& seen) {
    const std::string prefix = path.empty() ? "" : std::string(path) + ".";
    for (const Field& field : fields()) {
      if (!field.required || !field.path.starts_with(prefix)) continue;
      const std::string rest(field.path.substr(prefix.size()));
      const std::string key = rest.substr(0, rest.find('.'));
      // A missing mapping counts as missing the required key in it, unless the user names it.
      if (key == "*" || rest.find(".*") != std::string::npos || seen.contains(key)) continue;
      if (!has_field(field, target_)) continue;
      problem(node.mark, fmt::format("{}{} is required", place.empty() ? "" : place + ".", rest));
    }
  }

  void read_field(const Field& field, const std::string& place, const Node& node) {
    marks_.emplace(place, node.mark);
    const Slot slot = field.slot(target_);
    if (auto* list = std::get_if<std::vector<std::string>*>(&slot))
      return read_list(field, place, node, **list);
    if (auto* texts = std::get_if<std::map<std::string, std::string>*>(&slot))
      return read_texts(place, node, **texts);
    if (node.kind != Node::Kind::kScalar) {
      return problem(node.mark,
                     fmt::format("{} needs a {}{}", place, type_name(field),
                                 node.kind == Node::Kind::kNull ? "; it has no value" : ""));
    }
    std::string text;
    if (!fill_in(place, node, text)) return;
    if (const std::string wrong = store(field, text, slot); !wrong.empty())
      problem(node.mark, fmt::format("{}: {}", place, wrong));
  }

  void read_list(const Field& field, const std::string& place, const Node& node,
                 std::vector<std::string>& out) {
    if (node.kind != Node::Kind::kList)
      return problem(node.mark, fmt::format("{} needs a list, like [a, b]", place));
    if (node.items.size() > kListItemsMax)
      return problem(node.mark, fmt::format("{} has more than {} items", place, kListItemsMax));
    out.clear();
    for (const Node& item : node.items) {
      std::string text;
      if (item.kind != Node::Kind::kScalar) {
        problem(item.mark, fmt::format("{} needs texts in its list", place));
      } else if (fill_in(place, item, text)) {
        std::string wrong = field.check != nullptr ? field.check(text) : "";
        if (!field.choices.empty()) wrong = check_choice(field, text);
        if (wrong.empty() && std::find(out.begin(), out.end(), text) != out.end())
          wrong = fmt::format("'{}' stands in the list twice", shown(text));
        if (!wrong.empty()) problem(item.mark, fmt::format("{}: {}", place, wrong));
        out.push_back(text);
      }
    }
  }

  void read_texts(const std::string& place, const Node& node,
                  std::map<std::string, std::string>& out) {
    if (node.kind != Node::Kind::kMapping)
      return problem(node.mark, fmt::format("{} needs a mapping, like {{a: b}}", place));
    if (node.items.size() > 2 * kListItemsMax)
      return problem(node.mark, fmt::format("{} has more than {} entries", place, kListItemsMax));
    for (std::size_t i = 0; i + 1 < node.items.size(); i += 2) {
      const Node &key = node.items[i], &value = node.items[i + 1];
      std::string text;
      if (key.kind != Node::Kind::kScalar || value.kind != Node::Kind::kScalar) {
        problem(key.mark, fmt::format("{} needs texts by names", place));
      } else if (out.contains(key.text)) {
        problem(key.mark, fmt::format("{}: '{}' stands there twice", place, shown(key.text)));
      } else if (fill_in(place + "." + key.text, value, text)) {
        out.emplace(key.text, text);
      }
    }
  }

  bool fill_in(const std::string& place, const Node& node, std::string& text) {
    auto filled = substitute(node.text, fs_, environment_, {});
    if (!filled.ok()) {
      problem(node.mark, fmt::format("{}: {}", place, filled.error().message));
      return false;
    }
    text = std::move(filled).value();
    return true;
  }

  static std::size_t choice_index(const Field& field, const std::string& text) {
    std::size_t index = 0;
    while (index < field.choices.size() && text != field.choices[index].name) ++index;
    return index;
  }

  static std::string check_choice(const Field& field, const std::string& text) {
    const std::size_t index = choice_index(field, text);
    if (index < field.choices.size())
      return field.choices[index].built ? "" : fmt::format("'{}' is not built yet", text);
    std::vector<std::string> names;
    for (const Choice& choice : field.choices) {
      if (choice.built) names.emplace_back(choice.name);
    }
    const std::string meant = nearest_name(text, names);
    return fmt::format("'{}' is not one of {}{}", shown(text), fmt::join(names, ", "),
                       meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant));
  }

  static std::string check_range(const Field& field, std::uint64_t value, const Slot& slot) {
    if (value >= field.minimum && value <= field.maximum) return "";
    const auto text = [&](std::uint64_t bound) {
      if (std::holds_alternative<Milliseconds*>(slot))
        return format_duration(Milliseconds(static_cast<std::int64_t>(bound)));
      return std::holds_alternative<std::uint64_t*>(slot) ? format_size(bound)
                                                          : std::to_string(bound);
    };
    return value < field.minimum ? fmt::format("must be at least {}", text(field.minimum))
                                 : fmt::format("must be at most {}", text(field.maximum));
  }

  // Stores the value and returns "", or what is wrong with it.
  static std::string store(const Field& field, const std::string& text, const Slot& slot) {
    if (field.check != nullptr) {
      if (std::string wrong = field.check(text); !wrong.empty()) return wrong;
    }
    std::uint64_t number = 0;
    if (std::holds_alternative<std::string*>(slot)) {
      *std::get<std::string*>(slot) = text;
      return "";
    }
    if (std::holds_alternative<Secret*>(slot)) {
      *std::get<Secret*>(slot) = Secret(text);
      return "";
    }
    if (std::holds_alternative<std::uint8_t*>(slot)) {
      if (std::string wrong = check_choice(field, text); !wrong.empty()) return wrong;
      *std::get<std::uint8_t*>(slot) = static_cast<std::uint8_t>(choice_index(field, text));
      return "";
    }
    if (const auto* flag = std::get_if<bool*>(&slot)) {
      if (text != "true" && text != "false")
        return fmt::format("'{}' is not true or false", shown(text));
      **flag = text == "true";
      return "";
    }
    if (std::holds_alternative<std::uint32_t*>(slot)) {
      const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (failed != std::errc{} || end != text.data() + text.size())
        return fmt::format("'{}' is not a whole number", shown(text));
    } else if (std::holds_alternative<std::uint64_t*>(slot)) {
      const auto size = parse_size(text);
      if (!size.ok()) return unit_message(size.error());
      number = *size;
    } else {
      const auto duration = parse_duration(text);
      if (!duration.ok()) return unit_message(duration.error());
      number = static_cast<std::uint64_t>(duration->count());
    }
    if (std::string wrong = check_range(field, number, slot); !wrong.empty()) return wrong;
    if (const auto* target = std::get_if<std::uint32_t*>(&slot)) {
      **target = static_cast<std::uint32_t>(number);
    } else if (const auto* size_target = std::get_if<std::uint64_t*>(&slot)) {
      **size_target = number;
    } else {
      *std::get<Milliseconds*>(slot) = Milliseconds(static_cast<std::int64_t>(number));
    }
    return "";
  }

  static std::string unit_message(const Error& failure) {
    return shown(failure.message) + (failure.hint.empty() ? "" : "; " + failure.hint);
  }

  Mark mark_of(const std::string& place) const {
    const auto found = marks_.find(place);
    return found == marks_.end() ? Mark{} : found->second;
  }

  // What no field can see alone.
  void check_whole() {
    const NumericConfig& numeric = config_.source.numeric;
    if (numeric.scale > numeric.precision) {
      problem(mark_of("source.numeric.scale"),
              fmt::format("source.numeric.scale: {} is more than the precision of {}",
                          numeric.scale, numeric.precision));
    }
    if (problems_.empty() && config_.source.tables.empty())
      problem(mark_of("source.tables"), "source.tables is empty, so nothing would be captured");
    for (const SinkConfig& sink : config_.sinks) {
      const std::string place = fmt::format("sinks.{}.partition_by", sink.name);
      if (marks_.contains(place) && (sink.partition_by.empty() || sink.partition_by[0] != "table"))
        problem(mark_of(place), place + " must begin with table");
      const std::string brokers = fmt::format("sinks.{}.brokers", sink.name);
      if (marks_.contains(brokers) && sink.brokers.empty())
        problem(mark_of(brokers), brokers + " is empty");
    }
    const ServerConfig& server = config_.server;
    const bool tls = !server.tls.certificate.empty() && !server.tls.key.empty();
    if (server.tls.certificate.empty() != server.tls.key.empty()) {
      problem(mark_of(server.tls.key.empty() ? "server.tls.certificate" : "server.tls.key"),
              "server.tls needs both a certificate and a key");
    }
    const auto address = parse_address(server.listen);
    if (address.ok() && !is_loopback(address->host) && (server.token.empty() || !tls)) {
      problem(mark_of("server.listen"),
              fmt::format("server.listen: {} is beyond loopback, which needs server.token and "
                          "server.tls",
                          server.listen));
    }
  }

  const std::string& name_;
  io::Fs& fs_;
  const Environment& environment_;
  Config config_;
  Target target_;
  std::map<std::string, Mark> marks_;
  std::vector<Problem> problems_;
};

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

Result<Config> parse(std::string_view text, const std::string& name, io::Fs& fs,
                     const Environment& environment) {
  Interpreter interpreter(name, fs, environment);
  Node root;
  if (auto problem = parse_yaml(text, {}, root)) {
    interpreter.problem(problem->mark, problem->text);
    return interpreter.failure();
  }
  return interpreter.run(root);
}

Result<Config> load(io::Fs& fs, const std::string& path, const Environment& environment) {
  const YamlLimits limits;
  const auto unreadable = [&](const Error& failure) {
    if (failure.code == Code::kNotFound) return failure;
    return error(Code::kConfig, fmt::format("{} cannot be read", path), failure.message);
  };
  const auto file = fs.open_read(path);
  if (!file.ok()) return unreadable(file.error());
  std::string text;
  if (const Status read = (*file)->read_at(0, limits.bytes_max + 1, text); !read.ok())
    return unreadable(read.error());
  return parse(text, path, fs, environment);
}

}  // namespace pgweir::config
