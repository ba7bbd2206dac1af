// What the commands print: data on stdout, messages on stderr.
//
// Place:   every command writes through one of these; nothing else in cli/ knows the terminal.
// Threads: one thread at a time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pgweir::cli {

enum class Format { kTable, kJson, kJsonl, kCsv };

enum class Verbosity { kQuiet, kNormal, kVerbose };

struct OutputOptions {
  bool json = false;  // --json: data as JSON with "schema_version": 1
  Verbosity verbosity = Verbosity::kNormal;
  bool color = false;  // of stdout; false without a terminal and under NO_COLOR
};

using Cell = std::optional<std::string>;  // nothing is NULL

struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<Cell>> rows;  // each as long as `columns`
};

class Output {
 public:
  // The streams must outlive the Output.
  Output(std::ostream& out, std::ostream& messages, OutputOptions options)
      : out_(out), messages_(messages), options_(options) {}

  bool json() const { return options_.json; }
  std::ostream& out() { return out_; }

  // A line of data as it stands.
  void line(std::string_view text);
  // A line on stderr: nothing under --quiet; detail() only under --verbose.
  void message(std::string_view text);
  void detail(std::string_view text);

  // "pgweir: message", then detail and hint; returns the exit code.
  int fail(const Error& failure);

  // Columns under a header; columns of numbers to the right. NULL is empty.
  void table(const Table& table);
  // Adds "schema_version": 1 in front. Requires an object.
  void json(const nlohmann::ordered_json& object);

 private:
  std::ostream& out_;
  std::ostream& messages_;
  OutputOptions options_;
};

// The error in the form in which fail() prints it, with a line break at the end.
std::string error_text(const Error& failure);
std::string table_text(const Table& table, bool color);
// RFC 4180; NULL is empty, an empty text is "".
std::string csv_text(const Table& table);
// JSON on one line; what is not UTF-8 is replaced.
std::string json_line(const nlohmann::ordered_json& value);

// Of this process's stdout.
bool stdout_is_terminal();
bool stdout_takes_color();

}  // namespace pgweir::cli
