#include "harness/bank.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace pgweir::harness {
namespace {

struct View {
  const char* name;
  const char* sql;       // ours
  const char* postgres;  // the same answer by PostgreSQL
};

const View kViews[] = {
    {"balance", "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY account_id",
     "SELECT account_id, sum(amount) FROM entries GROUP BY account_id"},
    {"total", "SELECT sum(balance) AS total, count(*) AS accounts FROM balance",
     "SELECT sum(amount), count(DISTINCT account_id) FROM entries"},
    {"large", "SELECT id, amount, status FROM transfers WHERE amount >= 900",
     "SELECT id, amount, status FROM transfers WHERE amount >= 900"},
    {"by_region",
     "SELECT a.region, count(*) AS entries, sum(e.amount) AS volume FROM entries e JOIN accounts a "
     "ON a.id = e.account_id GROUP BY a.region",
     "SELECT a.region, count(*), sum(e.amount) FROM entries e JOIN accounts a ON a.id = "
     "e.account_id "
     "GROUP BY a.region"},
    {"per_minute",
     "SELECT window_start, count(*) AS transfers, sum(amount) AS volume FROM tumble(transfers, "
     "created_at, INTERVAL 1 MINUTE) GROUP BY window_start",
     "SELECT to_char(date_bin('1 minute', created_at, '1970-01-01Z') AT TIME ZONE 'UTC', "
     "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), count(*), sum(amount) FROM transfers GROUP BY 1"},
};

const BankTable kTables[] = {
    {"accounts", "count(*), sum(id), sum(balance), count(DISTINCT region)"},
    {"transfers", "count(*), sum(id), sum(amount)"},
    {"entries", "count(*), sum(id), sum(amount)"},
};

}  // namespace

std::span<const BankTable> bank_tables() {
  return kTables;
}

std::string bank_views_yaml() {
  std::string yaml = "views:\n";
  for (const View& view : kViews) yaml += fmt::format("  {}: {}\n", view.name, view.sql);
  return yaml;
}

std::string sorted_lines(const std::string& text, char separator) {
  std::vector<std::string> lines;
  std::string line;
  for (const char c : text + separator) {
    if (c != separator) {
      line += c;
      continue;
    }
    lines.push_back(line);
    line.clear();
  }
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string& each : lines) out += each + "\n";
  return out;
}

BankAnswers bank_answers_of(Cluster& cluster, const std::string& database) {
  BankAnswers out;
  for (const View& view : kViews)
    out.views.push_back(sorted_lines(cluster.sql(view.postgres, database), '\n'));
  for (const BankTable& table : kTables)
    out.tables.push_back(
        cluster.sql(fmt::format("SELECT {} FROM {}", table.columns, table.name), database));
  return out;
}

void expect_bank_answers(Program& program, const BankAnswers& expected) {
  for (std::size_t i = 0; i < std::size(kViews); ++i) {
    const std::string rows = program.sql(fmt::format("SELECT * FROM {}", kViews[i].name));
    EXPECT_EQ(sorted_lines(rows, ';'), expected.views[i]) << kViews[i].name;
  }
  for (std::size_t i = 0; i < std::size(kTables); ++i) {
    EXPECT_EQ(
        program.sql(fmt::format("SELECT {} FROM public.{}", kTables[i].columns, kTables[i].name)),
        expected.tables[i])
        << kTables[i].name;
  }
}

}  // namespace pgweir::harness
