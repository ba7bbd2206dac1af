#include "pipeline/row_history.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

namespace pgweir::pipeline {
namespace {

struct KeyPart {
  std::string name;  // "" where none is given
  std::string value;
};

// Splits at commas outside double quotes.
std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out(1);
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      quoted = !quoted;
      out.back() += text[i];
    } else if (text[i] == ',' && !quoted) {
      out.emplace_back();
    } else {
      out.back() += text[i];
    }
  }
  return out;
}

std::string unquoted(const std::string& text) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return text;
  std::string out;
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    out += text[i];
    if (text[i] == '"' && i + 2 < text.size() && text[i + 1] == '"') ++i;
  }
  return out;
}

bool is_name(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The parts as "name=value" when every one names a column of the key.
std::vector<KeyPart> named_parts(const std::vector<std::string>& parts,
                                 const std::vector<std::string>& names) {
  std::vector<KeyPart> out;
  for (const std::string& part : parts) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos || !is_name(names, part.substr(0, equals))) return {};
    out.push_back({part.substr(0, equals), unquoted(part.substr(equals + 1))});
  }
  return out;
}

class History {
 public:
  History(RowKey key, std::string wanted, const HistoryOptions& options)
      : key_(std::move(key)), wanted_(std::move(wanted)), options_(options) {}

  // Whether the second reading looks at a change of a row with such a key.
  bool follows(const model::Table& table, const model::Cell* row) {
    return row != nullptr && key_.read(table, row, read_) && keys_.contains(read_);
  }

  // First reading.
  Status note_key_change(const RowChange& change) {
    const auto [from, to] = keys_of(change);
    if (from.empty() || to.empty() || from == to) return {};
    if (edges_.size() >= options_.key_changes_max) {
      return error(Code::kUnsupported,
                   fmt::format("more than {} changes of keys in the log", options_.key_changes_max),
                   {}, "A log that keeps less (log.retain) has fewer");
    }
    edges_.emplace_back(from, to);
    return {};
  }

  // Between the two: the keys under which the row may ever have stood.
  void find_keys() {
    std::multimap<std::string, std::string> neighbours;
    for (const auto& [from, to] : edges_) {
      neighbours.emplace(from, to);
      neighbours.emplace(to, from);
    }
    edges_ = {};
    std::deque<std::string> next = {wanted_};
    keys_.insert(wanted_);
    while (!next.empty()) {
      const auto [begin, end] = neighbours.equal_range(next.front());
      next.pop_front();
      for (auto each = begin; each != end; ++each) {
        if (keys_.insert(each->second).second) next.push_back(each->second);
      }
    }
  }

  // Second reading.
  Status follow(RowChange change) {
    if (change.op == model::Op::kTruncate) return truncate(change);
    const auto [from, to] = keys_of(change);
    const std::string& known_by = from.empty() ? to : from;
    if (!keys_.contains(known_by) && !keys_.contains(to)) return {};
    const bool begins = change.op == model::Op::kInsert || change.op == model::Op::kRead;
    Life life = take(known_by);
    // A row that a snapshot reads anew goes on.
    if (change.op == model::Op::kInsert) {
      Life before = std::exchange(life, {});
      if (!before.row.versions.empty()) finish(std::move(before));
    }
    if (life.row.versions.empty()) life.row.begins_in_log = begins;
    life.wanted = life.wanted || known_by == wanted_ || to == wanted_;
    const bool ends = change.op == model::Op::kDelete;
    TRY(add(life, std::move(change)));
    life.row.ended = ends;
    if (ends) {
      finish(std::move(life));
    } else {
      open_[to] = std::move(life);
    }
    return {};
  }

  std::vector<RowLife> take_all() {
    for (auto& [key, life] : open_) finish(std::move(life));
    std::sort(out_.begin(), out_.end(), [](const RowLife& a, const RowLife& b) {
      return a.versions.front().change.position < b.versions.front().change.position;
    });
    return std::move(out_);
  }

 private:
  struct Life {
    RowLife row;
    bool wanted = false;  // it had the wanted key
  };

  // Before and after; empty where there is none. An update that sends no key before keeps it.
  std::pair<std::string, std::string> keys_of(const RowChange& change) const {
    std::string from, to;
    if (change.after) to = key_.of(*change.after).value_or("");
    if (change.before) from = key_.of(*change.before).value_or("");
    if (change.op == model::Op::kUpdate && from.empty()) from = to;
    return {from, to};
  }

  Life take(const std::string& key) {
    const auto found = open_.find(key);
    if (found == open_.end()) return {};
    Life out = std::move(found->second);
    open_.erase(found);
    return out;
  }

  void finish(Life life) {
    if (life.wanted && !life.row.versions.empty()) {
      out_.push_back(std::move(life.row));
    } else {
      versions_ -= life.row.versions.size();
    }
  }

  Status truncate(const RowChange& change) {
    auto open = std::exchange(open_, {});
    for (auto& [key, life] : open) {
      TRY(add(life, change));
      life.row.ended = true;
      finish(std::move(life));
    }
    return {};
  }

  Status add(Life& life, RowChange change) {
    if (++versions_ > options_.versions_max) {
      return error(Code::kUnsupported, fmt::format("more than {} versions are to be looked through",
                                                   options_.versions_max));
    }
    const LogRow* before =
        life.row.versions.empty() ? nullptr : row_of(life.row.versions.back().change);
    RowVersion version;
    if (change.after) complete(*change.after, before, change.before);
    if (change.op == model::Op::kDelete && change.before) {
      LogRow last = *change.before;
      complete(last, before, {});
      change.before = std::move(last);
    }
    if (const LogRow* row = row_of(change); row != nullptr) {
      for (std::size_t i = 0; i < row->values.size(); ++i) {
        const std::string& name = row->table->columns[i].name;
        const LogValue* old = old_value(name, before, change);
        if (!row->values[i].known()) version.unknown.push_back(name);
        const bool may_change = change.op == model::Op::kUpdate || change.op == model::Op::kRead;
        if (may_change && !untouched(change, i) && old != nullptr && !(*old == row->values[i]))
          version.changed.push_back(name);
      }
      // A snapshot that finds what is known already tells nothing.
      const bool same = change.op == model::Op::kRead && before != nullptr &&
                        before->table->columns == row->table->columns &&
                        before->values == row->values;
      if (same) return {};
    }
    version.change = std::move(change);
    life.row.versions.push_back(std::move(version));
    return {};
  }

  static bool untouched(const RowChange& change, std::size_t column) {
    return column < change.untouched.size() && change.untouched[column];
  }

  // What is known of the value in front of the change: null when nothing is.
  static const LogValue* old_value(const std::string& name, const LogRow* before,
                                   const RowChange& change) {
    if (change.before && change.before->value(name).known()) return &change.before->value(name);
    if (before == nullptr || !before->value(name).known()) return nullptr;
    return &before->value(name);
  }

  static const LogRow* row_of(const RowChange& change) {
    if (change.after) return &*change.after;
    return change.before ? &*change.before : nullptr;
  }

  static void complete(LogRow& row, const LogRow* before, const std::optional<LogRow>& sent) {
    for (std::size_t i = 0; i < row.values.size(); ++i) {
      if (row.values[i].known()) continue;
      const std::string& name = row.table->columns[i].name;
      if (sent && sent->value(name).known()) {
        row.values[i] = sent->value(name);
      } else if (before != nullptr) {
        row.values[i] = before->value(name);
      }
    }
  }

  RowKey key_;
  std::string read_;
  const std::string wanted_;
  const HistoryOptions options_;
  std::vector<std::pair<std::string, std::string>> edges_;
  std::set<std::string> keys_;
  std::map<std::string, Life> open_;  // by the key that the row has now
  std::vector<RowLife> out_;
  std::size_t versions_ = 0;
};

}  // namespace

Result<LogRow> parse_key(const model::Table& table, const std::string& text) {
  const RowKey key(table);
  const std::vector<std::string>& names = key.columns();
  if (names.empty()) {
    return error(Code::kInvalid,
                 fmt::format("{} has no key that the stream tells", table.qualified_name()),
                 "its rows cannot be told apart", "Give it a primary key");
  }
  const std::vector<std::string> parts = split(text);
  std::vector<KeyPart> given = named_parts(parts, names);
  if (given.empty() && names.size() == 1) given = {{"", unquoted(text)}};
  if (given.empty()) {
    for (const std::string& part : parts) given.push_back({"", unquoted(part)});
  }
  if (given.size() != names.size()) {
    return error(
        Code::kUsage,
        fmt::format("the key of {} has {} parts ({}), {} were given", table.qualified_name(),
                    names.size(), fmt::join(names, ", "), given.size()),
        {}, "as a,b in this order, or as column=value,column=value");
  }
  LogRow out{std::make_shared<const model::Table>(table), {}};
  out.values.resize(table.columns.size());
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string& name = given[i].name.empty() ? names[i] : given[i].name;
    for (std::size_t column = 0; column < table.columns.size(); ++column) {
      if (table.columns[column].name == name)
        out.values[column] = {LogValue::Kind::kText, given[i].value};
    }
  }
  if (!key.of(out)) {
    return error(
        Code::kUsage, fmt::format("a column of the key is given twice in '{}'", text), {},
        fmt::format("the key of {} is {}", table.qualified_name(), fmt::join(names, ", ")));
  }
  return out;
}

Result<std::vector<RowLife>> row_history(RowLog& log, const LogRow& key,
                                         const HistoryOptions& options) {
  RowKey columns(log.table());
  History history(columns, columns.of(key).value_or(""), options);
  RowLog::Visitor visitor;
  // An update has a row before it when its key changes, or when all of it was sent.
  visitor.wants = [](const model::Change& change, const model::Table&, const model::Cell* before,
                     const model::Cell*) {
    return change.op == model::Op::kUpdate && before != nullptr;
  };
  visitor.change = [&](const RowChange& change) { return history.note_key_change(change); };
  TRY(log.scan(log.begin(), log.end(), visitor));
  history.find_keys();
  visitor.wants = [&](const model::Change& change, const model::Table& table,
                      const model::Cell* before, const model::Cell* after) {
    return change.op == model::Op::kTruncate || history.follows(table, before) ||
           history.follows(table, after);
  };
  visitor.change = [&](RowChange change) { return history.follow(std::move(change)); };
  TRY(log.scan(log.begin(), log.end(), visitor));
  return history.take_all();
}

}  // namespace pgweir::pipeline
