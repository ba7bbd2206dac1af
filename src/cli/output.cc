#include "cli/output.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/exit_code.h"

namespace pgweir::cli {
namespace {

using Json = nlohmann::ordered_json;

// Letters as a terminal counts them, near enough: UTF-8 continuation bytes take no room.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
  }));
}

bool is_number(const std::string& text) {
  const std::size_t begin = text.starts_with('-') ? 1 : 0;
  return text.size() > begin &&
         text.find_first_not_of("0123456789.eE+-", begin) == std::string::npos &&
         text[begin] >= '0' && text[begin] <= '9' && text.find('-', 1) == std::string::npos;
}

// A line break would break the table, an escape sequence could rule the terminal.
std::string one_line(const std::string& text) {
  std::string out;
  for (const char letter : text) {
    if (letter == '\n') {
      out += "\\n";
    } else if (letter == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(letter));
    } else {
      out += letter;
    }
  }
  return out;
}

std::string indented(std::string_view label, const std::string& text) {
  std::string out = fmt::format("  {}: ", label);
  for (const char letter : text) {
    out += letter;
    if (letter == '\n') out.append(label.size() + 4, ' ');
  }
  return out + "\n";
}

std::string csv_cell(const Cell& cell) {
  if (!cell) return "";
  if (!cell->empty() && cell->find_first_of(",\"\r\n") == std::string::npos) return *cell;
  std::string out = "\"";
  for (const char letter : *cell) {
    if (letter == '"') out += '"';
    out += letter;
  }
  return out + "\"";
}

}  // namespace

std::string error_text(const Error& failure) {
  std::string out = fmt::format("pgweir: {}\n", failure.message);
  if (!failure.detail.empty()) out += indented("detail", failure.detail);
  if (!failure.hint.empty()) out += indented("hint", failure.hint);
  return out;
}

std::string table_text(const Table& table, bool color) {
  const std::size_t count = table.columns.size();
  std::vector<std::size_t> widths(count);
  std::vector<bool> right(count, !table.rows.empty());
  std::vector<std::vector<std::string>> lines = {table.columns};
  for (const auto& row : table.rows) {
    auto& line = lines.emplace_back();
    for (std::size_t i = 0; i < count; ++i) {
      line.push_back(row[i] ? one_line(*row[i]) : "");
      if (row[i] && !is_number(*row[i])) right[i] = false;
    }
  }
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < count; ++i) widths[i] = std::max(widths[i], width_of(line[i]));
  }
  std::string out;
  for (std::size_t l = 0; l < lines.size(); ++l) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string padding(widths[i] - width_of(lines[l][i]), ' ');
      text += right[i] ? padding + lines[l][i] : lines[l][i] + padding;
      if (i + 1 < count) text += "  ";
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += l == 0 && color ? fmt::format("\x1b[1m{}\x1b[0m\n", text) : text + "\n";
  }
  return out;
}

std::string csv_text(const Table& table) {
  std::string out;
  const auto add = [&](const std::vector<Cell>& cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) out += (i == 0 ? "" : ",") + csv_cell(cells[i]);
    out += "\r\n";
  };
  add({table.columns.begin(), table.columns.end()});
  for (const auto& row : table.rows) add(row);
  return out;
}

std::string json_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool stdout_is_terminal() {
  return ::isatty(STDOUT_FILENO) != 0;
}

bool stdout_takes_color() {
  const char* no_color = std::getenv("NO_COLOR");
  return stdout_is_terminal() && (no_color == nullptr || *no_color == '\0');
}

void Output::line(std::string_view text) {
  out_ << text << '\n' << std::flush;
}

void Output::message(std::string_view text) {
  if (options_.verbosity != Verbosity::kQuiet) messages_ << text << '\n' << std::flush;
}

void Output::detail(std::string_view text) {
  if (options_.verbosity == Verbosity::kVerbose) messages_ << text << '\n' << std::flush;
}

int Output::fail(const Error& failure) {
  out_ << std::flush;
  messages_ << error_text(failure) << std::flush;
  return exit_code(failure.code);
}

void Output::table(const Table& table) {
  out_ << table_text(table, options_.color) << std::flush;
}

void Output::json(const Json& object) {
  Json whole = {{"schema_version", 1}};
  whole.update(object);
  out_ << whole.dump(2, ' ', false, Json::error_handler_t::replace) << '\n' << std::flush;
}

}  // namespace pgweir::cli
