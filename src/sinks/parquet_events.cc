#include <fmt/core.h>
#include <locale.h>
#include <wctype.h>

#include <algorithm>
#include <set>

#include "sinks/parquet_events_internal.h"

namespace pgweir::sinks {
namespace {

// In front of the table's own columns, and behind them: name and DuckDB's type of each.
constexpr std::pair<const char*, const char*> kHeadColumns[] = {
    {"op", "VARCHAR"},    {"commit_time", "TIMESTAMPTZ"}, {"commit_lsn", "VARCHAR"},
    {"lsn", "BIGINT"},    {"sequence", "BIGINT"},         {"xid", "BIGINT"},
    {"epoch", "INTEGER"},
};
constexpr std::pair<const char*, const char*> kNoteColumns[] = {
    {"unchanged", "VARCHAR"},
    {"before", "VARCHAR"},
};

constexpr model::Oid kTextOid{25};
constexpr std::size_t kShownBytesMax = 60;  // of a value in a message

// Readers take the folders' names for columns too.
constexpr const char* kFolderColumns[] = {"table", "date"};

// Names are compared as readers do: without regard to case. Spark knows the case of every alphabet,
// and opens no file in which two names differ by nothing else.
std::u32string folded(std::string_view utf8) {
  // A part of the C library, so it is there; else only ASCII has a case.
  static const locale_t kLocale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  std::u32string out;
  for (const char c : utf8) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) == 0x80 && !out.empty()) {
      out.back() = (out.back() << 6) | (byte & 0x3F);  // goes on with the code point
    } else {
      out += byte < 0x80 ? byte : byte & (byte < 0xE0 ? 0x1F : byte < 0xF0 ? 0x0F : 0x07);
    }
  }
  for (char32_t& c : out) {
    if (c >= U'A' && c <= U'Z') c += U'a' - U'A';
    if (c >= 0x80 && kLocale != nullptr) c = towlower_l(static_cast<wint_t>(c), kLocale);
  }
  return out;
}

// The type in the file: the mirrors', but for types that some reader cannot open: they stay text.
engine::ColumnType file_type(const model::Column& column, const ParquetOptions& options) {
  const engine::TypeOptions types{options.numeric_precision, options.numeric_scale};
  const engine::ColumnType mapped = engine::map_type(column, types);
  if (mapped.duck_type != "UUID" && mapped.duck_type != "INTERVAL" && mapped.duck_type != "TIME")
    return mapped;
  model::Column text = column;
  text.type = text.base_type = kTextOid;
  return engine::map_type(text, types);
}

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace

EventWriter::EventWriter(std::shared_ptr<const model::Table> table, const ParquetOptions& options)
    : table_(std::move(table)) {
  std::set<std::u32string> taken;
  for (const char* name : kFolderColumns) taken.insert(folded(name));
  for (const auto& [name, type] : kHeadColumns) taken.insert(folded(name));
  for (const auto& [name, type] : kNoteColumns) taken.insert(folded(name));
  for (const model::Column& column : table_->columns) {
    std::string output = column.name;
    while (!taken.insert(folded(output)).second) output += '_';
    columns_.push_back({std::move(output), file_type(column, options)});
  }
}

std::size_t EventWriter::column_count() const {
  return std::size(kHeadColumns) + columns_.size() + std::size(kNoteColumns);
}

std::string EventWriter::definition() const {
  std::string out;
  for (const auto& [name, type] : kHeadColumns) out += fmt::format("\"{}\" {}, ", name, type);
  for (std::size_t i = 0; i < columns_.size(); ++i)
    out += fmt::format("column_{} {}, ", i, columns_[i].type.duck_type);
  for (const auto& [name, type] : kNoteColumns) out += fmt::format("\"{}\" {}, ", name, type);
  out.resize(out.size() - 2);
  return out;
}

std::string EventWriter::selection() const {
  std::string out;
  for (const auto& [name, type] : kHeadColumns) out += fmt::format("\"{}\", ", name);
  for (std::size_t i = 0; i < columns_.size(); ++i)
    out += fmt::format("column_{} AS {}, ", i, duck::quote_identifier(columns_[i].output));
  return out + "from_json(unchanged, '[\"VARCHAR\"]') AS unchanged, before";
}

Status EventWriter::write(duck::Appender& appender, const EventHead& head,
                          const model::Batch& batch, const model::Change& change) {
  const char op = static_cast<char>(change.op);
  appender.append_text({&op, 1});
  appender.append_int(head.commit_time_us);
  appender.append_text(head.lsn_text);
  appender.append_int(static_cast<std::int64_t>(model::value(head.lsn)));
  appender.append_int(static_cast<std::int64_t>(change.sequence));
  appender.append_int(head.xid);
  appender.append_int(head.epoch);
  TRY(write_image(appender, head, batch, change));
  write_notes(appender, batch, change);
  return appender.end_row();
}

// The new row, or what PostgreSQL sent of the one that was deleted.
Status EventWriter::write_image(duck::Appender& appender, const EventHead& head,
                                const model::Batch& batch, const model::Change& change) {
  const std::uint32_t image = change.op == model::Op::kDelete ? change.before : change.after;
  if (image == model::kNoRow) {
    for (std::size_t i = 0; i < columns_.size(); ++i) appender.append_null();
    return {};
  }
  const auto row = batch.row(image, *table_);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (row[i].kind != model::CellKind::kText) {
      appender.append_null();
      continue;
    }
    const engine::ColumnType& type = columns_[i].type;
    const engine::Fit fit = type.convert(type, row[i].text(), appender);
    if (fit != engine::Fit::kOk) return unfit(fit, head, row, i);
  }
  return {};
}

// Which values PostgreSQL did not send, and the old image of an update where it sent one.
void EventWriter::write_notes(duck::Appender& appender, const model::Batch& batch,
                              const model::Change& change) {
  text_.clear();
  if (change.op == model::Op::kUpdate) {
    const auto row = batch.row(change.after, *table_);
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (row[i].kind != model::CellKind::kUnchanged) continue;
      text_ += text_.empty() ? '[' : ',';
      append_json_text(text_, columns_[i].output);
    }
  }
  if (text_.empty()) {
    appender.append_null();
  } else {
    text_ += ']';
    appender.append_text(text_);
  }
  if (change.op != model::Op::kUpdate || change.before == model::kNoRow) {
    appender.append_null();
    return;
  }
  text_.assign(1, '{');
  const auto row = batch.row(change.before, *table_);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (row[i].kind == model::CellKind::kAbsent || row[i].kind == model::CellKind::kUnchanged)
      continue;
    if (text_.size() > 1) text_ += ',';
    append_json_text(text_, columns_[i].output);
    text_ += ':';
    if (row[i].kind == model::CellKind::kText)
      append_json_text(text_, row[i].text());
    else
      text_ += "null";
  }
  text_ += '}';
  appender.append_text(text_);
}

Error EventWriter::unfit(engine::Fit fit, const EventHead& head, std::span<const model::Cell> row,
                         std::size_t column) const {
  std::string key;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (!table_->columns[i].in_key || row[i].kind != model::CellKind::kText) continue;
    key += fmt::format("{}{}={}", key.empty() ? "" : ", ", table_->columns[i].name, row[i].text());
  }
  const model::Column& source = table_->columns[column];
  const bool range = fit == engine::Fit::kOutOfRange;
  return error(
      Code::kInvalid,
      fmt::format("'{}' of {}.{} {} {}", row[column].text().substr(0, kShownBytesMax),
                  table_->qualified_name(), source.name,
                  range ? "does not fit into" : "is not the text of",
                  columns_[column].type.duck_type),
      fmt::format("type {}, key ({}), LSN {}", source.type_name, key, head.lsn_text),
      range ? "Leave the table out of the sink, or set source.numeric to hold such values" : "");
}

}  // namespace pgweir::sinks
