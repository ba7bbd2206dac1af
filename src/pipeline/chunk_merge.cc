#include "pipeline/chunk_merge.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace pgweir::pipeline {
namespace {

using model::Cell;
using model::CellKind;
using model::Op;

using Fields = std::vector<std::optional<std::string>>;

struct Row {
  Fields fields;
  bool read = false;  // it is one of the chunk's
};

Fields split(std::string_view line) {
  Fields out;
  while (true) {
    const std::size_t tab = line.find('\t');
    out.emplace_back(std::string(line.substr(0, tab)));
    if (tab == std::string_view::npos) return out;
    line.remove_prefix(tab + 1);
  }
}

// The rows of a chunk that changes may concern, while these are applied in order.
class Rows {
 public:
  explicit Rows(std::span<const std::string> asked) : watched_(asked.begin(), asked.end()) {}

  // Takes the lines that `is_affected` wants by their key; the others are given out as they are.
  template <typename IsAffected>
  void take(std::string_view lines, std::span<const std::uint32_t> key,
            const IsAffected& is_affected, MergedChunk& out) {
    while (!lines.empty()) {
      const std::size_t size = lines.find('\n');
      std::string found = key_of_line(lines.substr(0, size), key);
      if (is_affected(found)) {
        rows_[std::move(found)] = {split(lines.substr(0, size)), true};
      } else {
        out.lines.append(lines.substr(0, size + 1));
        ++out.row_count;
      }
      lines.remove_prefix(size + 1);
    }
  }

  void apply(const RecordedChange& change) {
    Row before;
    bool known = false;
    if (change.op == Op::kUpdate || change.op == Op::kDelete) {
      if (auto found = rows_.extract(change.old_key)) {
        before = std::move(found.mapped());
        known = true;
      }
    }
    if (change.op == Op::kDelete) return;
    // Rows of elsewhere matter where they take the place of one of ours, or are asked for.
    if (!known && !rows_.contains(change.new_key) && !watched_.contains(change.new_key)) return;
    Row after{change.fields, before.read};
    for (std::size_t i = 0; i < after.fields.size() && i < before.fields.size(); ++i) {
      if (!after.fields[i]) after.fields[i] = before.fields[i];
    }
    rows_[change.new_key] = std::move(after);
  }

  void give(MergedChunk& out) const {
    for (const auto& [key, row] : rows_) {
      const bool complete = std::all_of(row.fields.begin(), row.fields.end(),
                                        [](const auto& field) { return field.has_value(); });
      if (!complete) out.incomplete.push_back(key);
      if (!complete || !row.read) continue;
      for (std::size_t i = 0; i < row.fields.size(); ++i) {
        if (i > 0) out.lines += '\t';
        out.lines += *row.fields[i];
      }
      out.lines += '\n';
      ++out.row_count;
    }
  }

 private:
  std::unordered_map<std::string, Row> rows_;
  const std::unordered_set<std::string_view> watched_;
};

}  // namespace

std::vector<std::uint32_t> key_columns(const model::Table& table) {
  std::vector<std::uint32_t> marked;
  for (std::uint32_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].in_key) marked.push_back(i);
  }
  switch (table.replica_identity) {
    case model::ReplicaIdentity::kNothing:
      return {};
    case model::ReplicaIdentity::kFull:
      return table.primary_key;
    default:
      return marked.empty() ? table.primary_key : marked;
  }
}

std::string copy_field(const Cell& cell) {
  if (cell.kind != CellKind::kText) return "\\N";
  std::string out;
  out.reserve(cell.size);
  for (const char c : cell.text()) {
    switch (c) {
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\v':
        out += "\\v";
        break;
      case '\\':
        out += "\\\\";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string key_of_cells(std::span<const Cell> row, std::span<const std::uint32_t> key) {
  std::string out;
  for (const std::uint32_t column : key) {
    if (!out.empty()) out += '\t';
    out += copy_field(row[column]);
  }
  return out;
}

std::string key_of_line(std::string_view line, std::span<const std::uint32_t> key) {
  // Most keys are the first column.
  if (key.size() == 1 && key[0] == 0) return std::string(line.substr(0, line.find('\t')));
  std::vector<std::string_view> fields;
  const std::uint32_t last = *std::max_element(key.begin(), key.end());
  while (fields.size() <= last) {
    const std::size_t tab = line.find('\t');
    fields.push_back(line.substr(0, tab));
    if (tab == std::string_view::npos) break;
    line.remove_prefix(tab + 1);
  }
  std::string out;
  for (const std::uint32_t column : key) {
    if (!out.empty()) out += '\t';
    if (column < fields.size()) out += fields[column];
  }
  return out;
}

std::size_t RecordedChange::bytes() const {
  std::size_t out = sizeof(*this) + old_key.size() + new_key.size() + old_line.size();
  for (const auto& field : fields) out += sizeof(field) + (field ? field->size() : 0);
  return out;
}

bool RecordedChange::is_complete() const {
  return std::all_of(fields.begin(), fields.end(),
                     [](const auto& field) { return field.has_value(); });
}

MergedChunk merge_chunk(std::string lines, std::span<const std::uint32_t> key,
                        std::span<const RecordedChange* const> changes,
                        std::span<const std::string> asked) {
  MergedChunk out;
  // Behind a truncate nothing of the chunk is left: what came later is in the log.
  const auto truncate = std::find_if(changes.rbegin(), changes.rend(), [](const auto* change) {
    return change->op == Op::kTruncate;
  });
  const bool truncated = truncate != changes.rend();
  if (truncated) {
    lines.clear();
    changes = changes.subspan(static_cast<std::size_t>(truncate.base() - changes.begin()));
  }
  const auto row_count = static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
  if (changes.empty()) {
    out.row_count = static_cast<std::uint32_t>(row_count);
    out.lines = std::move(lines);
    return out;
  }
  Rows rows(asked);
  if (changes.size() < row_count) {
    std::unordered_set<std::string_view> affected;
    for (const RecordedChange* change : changes) {
      affected.insert(change->old_key);
      affected.insert(change->new_key);
    }
    const auto is_affected = [&](const std::string& each) { return affected.contains(each); };
    rows.take(lines, key, is_affected, out);
  } else {
    rows.take(
        lines, key, [](const std::string&) { return true; }, out);
  }
  for (const RecordedChange* change : changes) rows.apply(*change);
  rows.give(out);
  return out;
}

MergedChunk merge_whole(std::string lines, std::span<const RecordedChange* const> changes) {
  MergedChunk out;
  std::unordered_map<std::string, std::int64_t> counts;
  std::string_view rest = lines;
  while (!changes.empty() && !rest.empty()) {
    const std::size_t size = rest.find('\n');
    ++counts[std::string(rest.substr(0, size))];
    rest.remove_prefix(size + 1);
  }
  for (const RecordedChange* change : changes) {
    if (change->op == Op::kTruncate) counts.clear();
    if (change->op == Op::kUpdate || change->op == Op::kDelete) --counts[change->old_line];
    if (change->op != Op::kInsert && change->op != Op::kUpdate) continue;
    std::string line;
    for (const auto& field : change->fields) {
      if (&field != &change->fields.front()) line += '\t';
      line += field.value_or("\\N");
    }
    ++counts[line];
  }
  if (changes.empty()) out.lines = std::move(lines);
  for (const auto& [line, count] : counts) {
    for (std::int64_t i = 0; i < count; ++i) (out.lines += line) += '\n';
  }
  out.row_count = static_cast<std::uint32_t>(std::count(out.lines.begin(), out.lines.end(), '\n'));
  return out;
}

}  // namespace pgweir::pipeline
