#include "differential/test_case.h"

#include <fmt/core.h>

#include <algorithm>
#include <sstream>

namespace pgweir::differential {
namespace {

constexpr const char* kSmallStores = "small stores";
constexpr const char* kPartsOf = "parts of ";

// The end of a statement is the end of a line.
std::vector<Tree> split_statements(const std::string& text) {
  std::vector<Tree> statements;
  std::string statement;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    statement += (statement.empty() ? "" : "\n") + line;
    if (!line.ends_with(';')) continue;
    statement.pop_back();
    statements.push_back(leaf("", statement));
    statement.clear();
  }
  if (!statement.empty()) statements.push_back(leaf("", statement));
  return statements;
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \n");
  const std::size_t last = text.find_last_not_of(" \n");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

CaseView* find_view(TestCase& test_case, const std::string& name) {
  for (CaseView& view : test_case.views)
    if (view.name == name) return &view;
  return nullptr;
}

Status add_options(TestCase& test_case, const std::string& options) {
  std::istringstream parts(options);
  for (std::string part; std::getline(parts, part, ',');) {
    part = trimmed(part);
    if (part == kSmallStores) {
      test_case.small_stores = true;
    } else if (part.starts_with(kPartsOf)) {
      test_case.part_changes = std::stoul(part.substr(std::string(kPartsOf).size()));
    } else if (!part.empty()) {
      return error(Code::kInvalid, "there is no option \"" + part + "\"");
    }
  }
  return {};
}

Status add_section(TestCase& test_case, const std::string& header, const std::string& body) {
  const std::size_t blank = header.find(' ');
  const std::string kind = header.substr(0, blank);
  const std::string name = blank == std::string::npos ? "" : header.substr(blank + 1);
  const std::string text = trimmed(body);
  if (kind == "options") return add_options(test_case, name + text);
  if (kind == "table") {
    test_case.tables.push_back(text);
  } else if (kind == "view") {
    test_case.views.push_back({name, leaf("", text)});
  } else if (kind == "postgres") {
    CaseView* view = find_view(test_case, name);
    if (view == nullptr) return error(Code::kInvalid, "there is no view " + name);
    view->sql.view_text = view->sql.text;
    view->sql.text = text;
  } else if (kind == "transaction") {
    test_case.steps.push_back({Step::Kind::kTransaction, split_statements(text), {}});
  } else if (kind == "restart") {
    test_case.steps.push_back({Step::Kind::kRestart, {}, {}});
  } else if (kind == "rebuild") {
    test_case.steps.push_back({Step::Kind::kRebuild, {}, {}});
  } else if (kind == "rows") {
    if (test_case.steps.empty()) return error(Code::kInvalid, "rows before the first step");
    std::vector<std::string>& rows = test_case.steps.back().rows[name];
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) rows.push_back(line);
    std::sort(rows.begin(), rows.end());
  } else {
    return error(Code::kInvalid, "there is no section [" + header + "]");
  }
  return {};
}

}  // namespace

std::string to_text(const TestCase& test_case) {
  std::string out;
  if (test_case.small_stores || test_case.part_changes > 0) {
    out += fmt::format(
        "[options] {}{}{}\n\n", test_case.small_stores ? kSmallStores : "",
        test_case.small_stores && test_case.part_changes > 0 ? ", " : "",
        test_case.part_changes > 0 ? kPartsOf + std::to_string(test_case.part_changes) : "");
  }
  for (const std::string& table : test_case.tables) out += "[table]\n" + table + "\n\n";
  for (const CaseView& view : test_case.views) {
    out += fmt::format("[view {}]\n{}\n\n", view.name, print(view.sql, Dialect::kView));
    if (differs(view.sql))
      out += fmt::format("[postgres {}]\n{}\n\n", view.name, print(view.sql, Dialect::kPostgres));
  }
  for (const Step& step : test_case.steps) {
    if (step.kind == Step::Kind::kRestart) out += "[restart]\n";
    if (step.kind == Step::Kind::kRebuild) out += "[rebuild]\n";
    if (step.kind == Step::Kind::kTransaction) out += "[transaction]\n";
    for (const Tree& statement : step.statements)
      out += print(statement, Dialect::kPostgres) + ";\n";
    out += "\n";
    for (const auto& [view, rows] : step.rows) {
      out += fmt::format("[rows {}]\n", view);
      for (const std::string& row : rows) out += row + "\n";
      out += "\n";
    }
  }
  return out;
}

Result<TestCase> parse_case(const std::string& title, const std::string& text) {
  TestCase test_case;
  test_case.title = title;
  std::string header, body;
  int number = 0;
  int header_line = 0;
  const auto end_section = [&]() -> Status {
    if (header.empty()) return {};
    const Status added = add_section(test_case, header, body);
    if (added.ok()) return {};
    return error(Code::kInvalid,
                 fmt::format("{}:{}: {}", title, header_line, added.error().message));
  };
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.starts_with('#')) continue;
    if (!line.starts_with('[')) {
      body += line + "\n";
      continue;
    }
    TRY(end_section());
    const std::size_t end = line.find(']');
    if (end == std::string::npos)
      return error(Code::kInvalid, fmt::format("{}:{}: no ]", title, number));
    header = line.substr(1, end - 1);
    header_line = number;
    body = line.substr(end + 1) + "\n";
  }
  TRY(end_section());
  return test_case;
}

}  // namespace pgweir::differential
