// Names of folders and files in a Parquet sink's output.
#include <fmt/core.h>

#include <charconv>
#include <chrono>

#include "sinks/parquet_folder_internal.h"

namespace pgweir::sinks {
namespace {

constexpr std::string_view kSuffix = ".parquet";

// A folder's value must survive every reader's own unescaping, so only plain characters stay. A dot
// inside a name is escaped too: it separates schema and table.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || byte >= 0x80;
    if (plain)
      out += c;
    else
      out += fmt::format("%{:02X}", byte);
  }
  return out;
}

std::string position_name(const model::Position& position) {
  return fmt::format("{:04}-{:016X}-{}", position.epoch, model::value(position.lsn),
                     position.sequence);
}

template <typename T>
bool take_number(std::string_view& text, T& out, int base) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (failure != std::errc{} || end == text.data()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take_char(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

bool take_position(std::string_view& text, model::Position& out) {
  std::uint64_t lsn = 0;
  if (!take_number(text, out.epoch, 10) || !take_char(text, '-')) return false;
  if (!take_number(text, lsn, 16) || !take_char(text, '-')) return false;
  out.lsn = model::Lsn{lsn};
  return take_number(text, out.sequence, 10);
}

}  // namespace

std::string file_name(const PositionRange& range, std::uint32_t part) {
  std::string name = position_name(range.from) + "_" + position_name(range.to);
  if (part > 0) name += fmt::format("_{}", part);
  return name.append(kSuffix);
}

std::optional<PositionRange> parse_file_name(std::string_view name) {
  if (!name.ends_with(kSuffix)) return {};
  name.remove_suffix(kSuffix.size());
  PositionRange range;
  if (!take_position(name, range.from) || !take_char(name, '_')) return {};
  if (!take_position(name, range.to)) return {};
  std::uint32_t part = 0;
  if (!name.empty() && (!take_char(name, '_') || !take_number(name, part, 10))) return {};
  if (!name.empty()) return {};
  return range;
}

std::string table_folder(const model::Table& table) {
  return fmt::format("table={}.{}", escaped(table.schema), escaped(table.name));
}

std::string date_folder(std::int64_t day) {
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{day}}};
  return fmt::format("date={:04}-{:02}-{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

}  // namespace pgweir::sinks
