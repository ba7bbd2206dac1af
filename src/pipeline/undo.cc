#include "pipeline/undo.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "engine/mirror_writer.h"
#include "postgres/connection.h"

namespace pgweir::pipeline {
namespace {

using RowPtr = std::shared_ptr<const LogRow>;

bool same_columns(const model::Table& a, const model::Table& b) {
  return std::equal(a.columns.begin(), a.columns.end(), b.columns.begin(), b.columns.end(),
                    [](const model::Column& one, const model::Column& other) {
                      return one.name == other.name && one.type == other.type &&
                             one.type_modifier == other.type_modifier;
                    });
}

std::string literal(const LogValue& value, const model::Column& column) {
  if (value.kind == LogValue::Kind::kNull) return "NULL";
  const std::string text = postgres::quote_literal(value.text);
  return column.type_name.empty() ? text : fmt::format("{}::{}", text, column.type_name);
}

// Texts compare exactly, and every type has one: some have no equality, and equal numerics or
// floats need not be the same.
std::string equals(const LogValue& value, const model::Column& column) {
  const std::string name = postgres::quote_identifier(column.name);
  if (value.kind == LogValue::Kind::kNull) return name + " IS NULL";
  return fmt::format("({})::text COLLATE \"C\" = ({})::text COLLATE \"C\"", name,
                     literal(value, column));
}

// --- Statements --------------------------------------------------------------------------------

class Statements {
 public:
  explicit Statements(const model::Table& table)
      : table_(table), name_(postgres::quote_name(table.schema, table.name)) {
    const RowKey key(table);
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      const auto& names = key.columns();
      if (std::find(names.begin(), names.end(), table.columns[i].name) != names.end())
        key_.push_back(i);
    }
  }

  std::string key_text(const LogRow& row) const {
    std::string out;
    for (std::size_t i = 0; i < row.values.size(); ++i) {
      const bool shown = key_.empty() || std::find(key_.begin(), key_.end(), i) != key_.end();
      if (!shown || !row.values[i].known()) continue;
      const LogValue& value = row.values[i];
      out += fmt::format("{}{}={}", out.empty() ? "" : ", ", table_.columns[i].name,
                         value.kind == LogValue::Kind::kNull ? "NULL" : value.text);
    }
    return out;
  }

  std::string insert(const LogRow& row) const {
    std::string names, values;
    for (std::size_t i = 0; i < row.values.size(); ++i) {
      const char* separator = i == 0 ? "" : ", ";
      names += separator + postgres::quote_identifier(table_.columns[i].name);
      values += separator + literal(row.values[i], table_.columns[i]);
    }
    const std::string columns =
        row.values.empty()
            ? " DEFAULT VALUES"
            : fmt::format(" ({}) OVERRIDING SYSTEM VALUE VALUES ({})", names, values);
    return fmt::format("INSERT INTO {}{}", name_, columns);
  }

  std::string remove(const LogRow& present) const {
    return fmt::format("DELETE FROM {} WHERE {}", name_, where(present));
  }

  // Empty when nothing differs.
  std::string update(const LogRow& present, const LogRow& target) const {
    std::string sets;
    for (std::size_t i = 0; i < target.values.size(); ++i) {
      if (!target.values[i].known() || target.values[i] == present.values[i]) continue;
      sets += fmt::format("{}{} = {}", sets.empty() ? "" : ", ",
                          postgres::quote_identifier(table_.columns[i].name),
                          literal(target.values[i], table_.columns[i]));
    }
    if (sets.empty()) return {};
    return fmt::format("UPDATE {} SET {} WHERE {}", name_, sets, where(present));
  }

  // The statement in a block that fails unless it changed one row.
  std::string checked(const std::string& statement, const std::string& what) const {
    std::string tag = "$pgweir$";
    for (int i = 1; statement.find(tag) != std::string::npos || what.find(tag) != std::string::npos;
         ++i)
      tag = fmt::format("$pgweir{}$", i);
    return fmt::format(
        "DO {0}\nDECLARE changed bigint;\nBEGIN\n  {1};\n  GET DIAGNOSTICS changed = ROW_COUNT;\n"
        "  IF changed <> 1 THEN\n    RAISE EXCEPTION USING MESSAGE = {2};\n  END IF;\nEND {0};\n",
        tag, statement, postgres::quote_literal("pgweir undo: " + what));
  }

 private:
  // The whole present row, as far as it is known; first by its key, for which there is an index.
  std::string where(const LogRow& present) const {
    std::string out;
    for (const std::size_t column : key_) {
      out += fmt::format("{}{} = {}", out.empty() ? "" : " AND ",
                         postgres::quote_identifier(table_.columns[column].name),
                         literal(present.values[column], table_.columns[column]));
    }
    for (std::size_t i = 0; i < present.values.size(); ++i) {
      if (!present.values[i].known()) continue;
      out += (out.empty() ? "" : " AND ") + equals(present.values[i], table_.columns[i]);
    }
    if (!key_.empty()) return out;
    // Of equal rows one goes.
    return fmt::format("(tableoid, ctid) = (SELECT tableoid, ctid FROM {}{}{} LIMIT 1)", name_,
                       out.empty() ? "" : " WHERE ", out);
  }

  const model::Table& table_;
  const std::string name_;
  std::vector<std::size_t> key_;
};

// --- Reading -----------------------------------------------------------------------------------

// A change of the range, as images: of a row without a present one it was a delete, of one without
// a former one an insert.
struct Reverse {
  model::Position position;
  RowPtr former;
  RowPtr present;
  std::size_t row = 0;  // which of the rows it concerns
};

class Undo {
 public:
  Undo(RowLog& log, model::Lsn from, model::Lsn to, const UndoOptions& options)
      : log_(log),
        options_(options),
        key_(log.table()),
        epoch_(log.end().epoch),
        from_({epoch_, from, UINT64_MAX}),
        to_({epoch_, to, UINT64_MAX}) {}

  Result<UndoScript> run() {
    TRY(check_range());
    const auto identity = engine::lay_out(log_.table(), {}, {}).identity;
    if (identity.kind == engine::MirrorKind::kAppendOnly) {
      return error(Code::kUnsupported,
                   fmt::format("{} has no replica identity", log_.table().qualified_name()),
                   "PostgreSQL does not send its updates and deletes",
                   "Give it a primary key, or REPLICA IDENTITY FULL");
    }
    is_bag_ = identity.kind == engine::MirrorKind::kBag;
    TRY(read_range());
    if (changes_ > 0) TRY(read_rows());
    return script();
  }

 private:
  Error refused(const std::string& why, const std::string& hint = {}) const {
    return error(
        Code::kUnsupported,
        fmt::format("the changes of {} cannot be taken back", log_.table().qualified_name()), why,
        hint);
  }

  Status check_range() const {
    if (from_.lsn >= to_.lsn)
      return error(Code::kUsage, "--from must be in front of --to", {},
                   "the changes after --from up to --to are taken back");
    if (log_.end_lsn() < to_.lsn) {
      return error(Code::kNotFound, fmt::format("{} is not in the log", model::to_string(to_.lsn)),
                   fmt::format("it ends at {}", model::to_string(log_.end_lsn())));
    }
    if (from_ < log_.begin() || from_.lsn < log_.epoch_begin()) {
      return error(Code::kNotFound,
                   fmt::format("{} is not in the log, or no longer", model::to_string(from_.lsn)),
                   fmt::format("it begins at {}",
                               model::to_string(std::max(log_.begin().lsn, log_.epoch_begin()))));
    }
    return {};
  }

  bool in_range(const model::Position& position) const {
    return position > from_ && position <= to_;
  }

  // The first reading: counts, keys, and what makes it impossible.
  Status read_range() {
    RowLog::Visitor visitor;
    visitor.change = [&](const RowChange& change) -> Status {
      if (!change.in_stream) return {};
      if (++changes_ > options_.changes_max)
        return refused(fmt::format("there are more than {} in the range", options_.changes_max),
                       "Take a shorter range, from the newest on");
      const LogRow* row = change.after ? &*change.after : change.before ? &*change.before : nullptr;
      if (row != nullptr && !same_columns(*row->table, log_.table()))
        return refused(fmt::format("its columns have changed since {}",
                                   model::to_string(change.position.lsn)));
      if (change.op == model::Op::kTruncate) wants_all_ = true;
      for (const auto* image : {&change.before, &change.after}) {
        if (!*image || is_bag_) continue;
        const auto key = key_.of(**image);
        if (key) touched_.insert(*key);
        if (key) TRY(count_bytes(key->size() + sizeof(std::string) * 4));
      }
      return {};
    };
    visitor.rows_begin = [&]() -> Status {
      return refused("the table was read anew within the range");
    };
    TRY(log_.scan(from_, to_, visitor));
    return {};
  }

  // The second one.
  Status read_rows() {
    RowLog::Visitor visitor;
    visitor.wants = [&](const model::Change& change, const model::Table& table,
                        const model::Cell* before, const model::Cell* after) {
      if (wants_all_ || is_bag_ || change.op == model::Op::kTruncate) return true;
      const auto touched = [&](const model::Cell* row) {
        return row != nullptr && key_.read(table, row, read_) && touched_.contains(read_);
      };
      return touched(before) || touched(after);
    };
    visitor.change = [&](RowChange change) { return take(std::move(change)); };
    visitor.rows_begin = [&]() -> Status {
      rows_.clear();
      bag_.clear();
      all_known_ = false;
      return {};
    };
    visitor.rows_end = [&]() -> Status {
      all_known_ = options_.snapshots_have_rows;
      return {};
    };
    // A bag's rows are sent whole: what was before the range matters only to a truncate.
    const model::Position from = is_bag_ && !wants_all_ ? from_ : log_.begin();
    return log_.scan(from, to_, visitor);
  }

  Status count_bytes(std::size_t bytes) {
    bytes_ += bytes;
    if (bytes_ <= options_.bytes_max) return {};
    return refused(fmt::format("it takes more than {} of memory", format_size(options_.bytes_max)),
                   "Take a shorter range, from the newest on");
  }

  // A row that the log knows, wholly or in part.
  struct Known {
    RowPtr row;
    std::size_t number = 0;
  };

  Status take(RowChange change) {
    if (change.op == model::Op::kTruncate) return take_truncate(change);
    const bool reversed = change.in_stream && in_range(change.position);
    if (is_bag_) return take_bag(change, reversed);
    std::string from, to;
    if (change.after) to = key_.of(*change.after).value_or("");
    if (change.before) from = key_.of(*change.before).value_or("");
    if (from.empty()) from = to;
    Known known;
    if (const auto found = rows_.find(from); found != rows_.end()) {
      known = found->second;
      rows_.erase(found);
    }
    const bool is_new = change.op == model::Op::kInsert || change.op == model::Op::kRead;
    if (!is_new && known.row == nullptr) all_known_ = false;
    RowPtr former = is_new ? nullptr : former_of(change, known.row.get());
    RowPtr present = present_of(change, former.get());
    known.number = number_of(from, to);
    if (reversed) {
      TRY(add({change.position, is_new ? nullptr : former, present, known.number}, change));
    }
    if (known.row != nullptr) bytes_ -= std::min(bytes_, known.row->bytes());
    if (present != nullptr) {
      TRY(count_bytes(present->bytes()));
      rows_[to] = {present, known.number};
    }
    return {};
  }

  // Rows that ever had the same key, or follow each other in a change of the key, are refused
  // together.
  std::size_t number_of(const std::string& from, const std::string& to) {
    const auto found = numbers_.find(from);
    const std::size_t number = found != numbers_.end() ? found->second : numbers_.size() + 1;
    numbers_[from] = number;
    if (!to.empty() && to != from) {
      const auto other = numbers_.find(to);
      if (other != numbers_.end() && other->second != number) joined_[other->second] = number;
      numbers_[to] = number;
    }
    return number;
  }

  // As far as it was sent or is known.
  RowPtr former_of(const RowChange& change, const LogRow* known) const {
    auto out = std::make_shared<LogRow>();
    out->table = change.after ? change.after->table : change.before->table;
    out->values.resize(out->table->columns.size());
    for (std::size_t i = 0; i < out->values.size(); ++i) {
      const std::string& name = out->table->columns[i].name;
      if (change.before && change.before->values[i].known()) {
        out->values[i] = change.before->values[i];
      } else if (known != nullptr) {
        out->values[i] = known->value(name);
      }
    }
    // The key itself was the same when it was not sent.
    if (change.before || !change.after) return out;
    for (const std::string& column : key_.columns()) {
      for (std::size_t i = 0; i < out->values.size(); ++i) {
        if (out->table->columns[i].name == column) out->values[i] = change.after->values[i];
      }
    }
    return out;
  }

  static RowPtr present_of(const RowChange& change, const LogRow* former) {
    if (!change.after) return nullptr;
    auto out = std::make_shared<LogRow>(*change.after);
    for (std::size_t i = 0; i < out->values.size(); ++i) {
      if (!out->values[i].known() && former != nullptr) out->values[i] = former->values[i];
    }
    return out;
  }

  // Refuses the row unless all that is needed is known.
  Status add(Reverse reverse, const RowChange& change) {
    std::string missing;
    const LogRow* former = reverse.former.get();
    for (std::size_t i = 0; former != nullptr && i < former->values.size(); ++i) {
      const bool untouched = i < change.untouched.size() && change.untouched[i];
      if (former->values[i].known() || untouched) continue;
      missing += (missing.empty() ? "" : ", ") + former->table->columns[i].name;
    }
    if (!missing.empty()) {
      const LogRow& named = change.after ? *reverse.present : *former;
      refuse(reverse.row, named,
             fmt::format("{} before {} is not in the log", missing,
                         model::to_string(change.position.lsn)));
    }
    TRY(count_bytes((reverse.former ? reverse.former->bytes() : 0) +
                    (reverse.present ? reverse.present->bytes() : 0) + sizeof(Reverse)));
    reverses_.push_back(std::move(reverse));
    return {};
  }

  void refuse(std::size_t row, const LogRow& named, const std::string& why) {
    if (!refused_.insert(row).second) return;
    refused_rows_.push_back({Statements(log_.table()).key_text(named), why});
  }

  Status take_bag(const RowChange& change, bool reversed) {
    const auto share = [](const std::optional<LogRow>& row) {
      return row ? std::make_shared<const LogRow>(*row) : nullptr;
    };
    const RowPtr former = share(change.before);
    const RowPtr present = share(change.after);
    if (wants_all_) {
      if (former) remove_from_bag(*former);
      if (present) {
        TRY(count_bytes(present->bytes()));
        bag_.emplace(bag_key(*present), present);
      }
    }
    if (!reversed) return {};
    return add({change.position, former, present, ++bag_rows_}, change);
  }

  static std::string bag_key(const LogRow& row) {
    std::string out;
    for (const LogValue& value : row.values) {
      out += value.kind == LogValue::Kind::kNull
                 ? "-"
                 : fmt::format("{}:{}", value.text.size(), value.text);
    }
    return out;
  }

  void remove_from_bag(const LogRow& row) {
    if (const auto found = bag_.find(bag_key(row)); found != bag_.end()) bag_.erase(found);
  }

  Status take_truncate(const RowChange& change) {
    if (in_range(change.position)) {
      if (!all_known_) {
        return refused(
            fmt::format("it was truncated at {}, and the log does not have the rows that "
                        "it had",
                        model::to_string(change.position.lsn)));
      }
      for (const auto& [key, known] : rows_)
        TRY(add({change.position, known.row, nullptr, known.number}, change));
      for (const auto& [key, row] : bag_)
        TRY(add({change.position, row, nullptr, ++bag_rows_}, change));
    }
    rows_.clear();
    bag_.clear();
    all_known_ = true;
    return {};
  }

  bool is_refused(std::size_t row) const {
    while (true) {
      if (refused_.contains(row)) return true;
      const auto joined = joined_.find(row);
      if (joined == joined_.end()) return false;
      row = joined->second;
    }
  }

  UndoScript script() {
    // Joining goes from older to newer numbers: what is refused at either end is refused at both.
    for (const auto& [row, into] : joined_) {
      if (refused_.contains(row)) refused_.insert(into);
    }
    UndoScript out;
    out.changes = changes_;
    out.refused = std::move(refused_rows_);
    const Statements statements(log_.table());
    for (auto each = reverses_.rbegin(); each != reverses_.rend(); ++each) {
      if (is_refused(each->row)) continue;
      const std::string key = statements.key_text(each->present ? *each->present : *each->former);
      const std::string at = model::to_string(each->position.lsn);
      std::string statement;
      if (!each->former) {
        statement = statements.remove(*each->present);
      } else if (!each->present) {
        statement = statements.insert(*each->former);
      } else {
        statement = statements.update(*each->present, *each->former);
      }
      if (statement.empty()) continue;
      out.statements.push_back(statements.checked(
          statement, fmt::format("the row {} is not as the change at {} left it", key, at)));
    }
    return out;
  }

  RowLog& log_;
  const UndoOptions options_;
  RowKey key_;
  std::string read_;
  const std::uint32_t epoch_;
  const model::Position from_;
  const model::Position to_;
  bool is_bag_ = false;
  bool wants_all_ = false;  // the range has a truncate
  bool all_known_ = false;  // rows_ or bag_ have every row of the table (that is wanted)
  std::uint64_t changes_ = 0;
  std::size_t bytes_ = 0;
  std::set<std::string> touched_;
  std::map<std::string, Known> rows_;  // by key
  std::multimap<std::string, RowPtr> bag_;
  std::size_t bag_rows_ = 0;
  std::map<std::string, std::size_t> numbers_;
  std::map<std::size_t, std::size_t> joined_;
  std::vector<Reverse> reverses_;
  std::set<std::size_t> refused_;
  std::vector<RefusedRow> refused_rows_;
};

// A comment must end where its line does.
std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return text;
}

}  // namespace

std::string UndoScript::sql(const model::Table& table, model::Lsn from, model::Lsn to) const {
  std::string out = one_line(fmt::format(
      "-- Takes back what changed in {} after {} up to {}, newest change first: {} changes.",
      table.qualified_name(), model::to_string(from), model::to_string(to), changes));
  out +=
      "\n-- Each block changes one row and fails when that row is not as the log knows it; then "
      "all is\n-- rolled back. The table's triggers fire.\n";
  for (const RefusedRow& row : refused)
    out += one_line(fmt::format("-- NOT taken back: {}: {}", row.key, row.reason)) + "\n";
  if (statements.empty()) return out + "-- Nothing to do.\n";
  out +=
      "BEGIN;\nSET LOCAL standard_conforming_strings = on;\nSET LOCAL extra_float_digits = 3;\n"
      "SET LOCAL TimeZone = 'UTC';\nSET LOCAL lc_monetary = 'C';\nSET LOCAL xmloption = content;\n"
      "SET CONSTRAINTS ALL DEFERRED;\n";
  for (const std::string& statement : statements) out += statement;
  return out + "COMMIT;\n";
}

Result<UndoScript> undo_script(RowLog& log, model::Lsn from, model::Lsn to,
                               const UndoOptions& options) {
  return Undo(log, from, to, options).run();
}

}  // namespace pgweir::pipeline
