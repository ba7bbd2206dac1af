// The queries of TPC-H and of Nexmark as views.
//
// Method: the tables in a real PostgreSQL, each query as a view of PostgreSQL's and as one of ours,
//         and a stream of transactions, with a restart and a rebuild between. Behind each one every
//         view has PostgreSQL's rows, and those of DuckDB's full recomputation
//         (differential/runner.h). A query that answers with nothing, or always the same, proves
//         nothing: each must have had rows, and other ones later.
//         The SQL stands in tpch/ and nexmark/: its first line says what the query asks for;
//         NAME.postgres.sql is PostgreSQL's text where it has not the functions of a view.
//         How each view is kept is a table in docs/views.md: PGWEIR_WRITE_DOCS=1 writes it,
//         otherwise it is compared.
//
// PGWEIR_QUERIES_SCALE multiplies the rows (1 is TPC-H's scale 0.005), PGWEIR_QUERIES_ROUNDS is how
// often changes come, and PGWEIR_SEED makes other rows and changes.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "differential/runner.h"
#include "queries/nexmark.h"
#include "queries/tpch.h"

namespace pgweir::queries {
namespace {

using differential::CaseView;
using differential::Dice;
using differential::Outcome;
using differential::TestCase;

constexpr std::uint64_t kSeed = 1;
constexpr double kTpchScale = 0.005;
constexpr int kRounds = 4;

double scale() {
  const char* given = std::getenv("PGWEIR_QUERIES_SCALE");
  return given == nullptr ? 1 : std::atof(given);
}

int rounds() {
  const char* given = std::getenv("PGWEIR_QUERIES_ROUNDS");
  return given == nullptr ? kRounds : std::atoi(given);
}

// The rows that every run of the tests has, for which it is known what changes.
bool usual_rows() {
  return std::getenv("PGWEIR_SEED") == nullptr && scale() == 1 && rounds() == kRounds;
}

Dice dice() {
  const char* given = std::getenv("PGWEIR_SEED");
  return Dice(given == nullptr ? kSeed : std::strtoull(given, nullptr, 10));
}

std::string content(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

struct Query {
  CaseView view;
  std::string title;
};

// Those of a folder, by name.
std::vector<Query> read_queries(const std::string& folder) {
  const auto path = std::filesystem::path(PGWEIR_SOURCE) / "tests/queries" / folder;
  std::vector<Query> queries;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() != ".sql" || name.ends_with(".postgres")) continue;
    const std::string text = content(entry.path());
    const std::size_t line = text.find('\n');
    Query query{.title = text.substr(3, line - 3)};
    query.view.name = name;
    query.view.sql.text = text.substr(line + 1);
    const std::string theirs = content(path / (name + ".postgres.sql"));
    if (!theirs.empty()) {
      query.view.sql.view_text = query.view.sql.text;
      query.view.sql.text = theirs;
    }
    queries.push_back(std::move(query));
  }
  std::sort(queries.begin(), queries.end(),
            [](const Query& a, const Query& b) { return a.view.name < b.view.name; });
  return queries;
}

// --- The table of docs/views.md ---

// "an inner join on equality" of "an inner join on equality at 3:7".
std::string without_place(const std::string& reason) {
  const std::size_t at = reason.rfind(" at ");
  const bool place = at != std::string::npos &&
                     reason.find_first_not_of("0123456789:", at + 4) == std::string::npos;
  return place ? reason.substr(0, at) : reason;
}

std::string parts_text(const views::Explanation& told) {
  if (told.parts.empty()) return without_place(told.view.reason);
  std::vector<std::pair<std::string, int>> counts;
  for (const auto& part : told.parts) {
    const std::string text = part.strategy + ": " + without_place(part.reason);
    const auto found = std::find_if(counts.begin(), counts.end(),
                                    [&](const auto& known) { return known.first == text; });
    if (found == counts.end()) {
      counts.emplace_back(text, 1);
    } else {
      ++found->second;
    }
  }
  std::string out;
  for (const auto& [text, count] : counts)
    out += fmt::format("{}{}{}", out.empty() ? "" : "; ",
                       count > 1 ? fmt::format("{} × ", count) : "", text);
  return out;
}

std::string table_of(const std::vector<Query>& queries, const Outcome& outcome) {
  std::string table = "| | | kept by | in one piece, or its parts |\n| --- | --- | --- | --- |\n";
  for (const Query& query : queries) {
    const views::Explanation& told = outcome.views.at(query.view.name).told;
    table += fmt::format("| {} | {} | {} | {} |\n", query.view.name, query.title,
                         told.view.strategy, parts_text(told));
  }
  return table;
}

void expect_documented(const std::string& folder, const std::string& table) {
  const std::string path = std::string(PGWEIR_SOURCE) + "/docs/views.md";
  const std::string found = content(path);
  const std::string begin = fmt::format("<!-- table: tests/queries, {} -->\n", folder);
  const std::size_t at = found.find(begin);
  ASSERT_NE(at, std::string::npos) << begin;
  const std::size_t from = at + begin.size(), to = found.find("\n\n", from - 1);
  ASSERT_NE(to, std::string::npos);
  const std::string made = found.substr(0, from) + table + found.substr(to + 1);
  if (std::getenv("PGWEIR_WRITE_DOCS") != nullptr) {
    std::ofstream(path) << made;
  } else {
    EXPECT_EQ(found.substr(from, to + 1 - from), table)
        << "run with PGWEIR_WRITE_DOCS=1 to bring docs/views.md up to date";
  }
}

void expect_right(const std::string& folder, TestCase test_case) {
  const std::vector<Query> queries = read_queries(folder);
  ASSERT_FALSE(queries.empty());
  for (const Query& query : queries) test_case.views.push_back(query.view);
  differential::Runner runner(differential::shared_source());
  const Outcome outcome = runner.run(test_case);
  ASSERT_EQ(outcome.failure, "") << "view " << outcome.view << " behind step " << outcome.step + 1;
  for (const auto& [view, why] : outcome.not_taken)
    ADD_FAILURE() << "PostgreSQL does not take " << view << ": " << why;
  for (const Query& query : queries) {
    const auto run = outcome.views.find(query.view.name);
    ASSERT_NE(run, outcome.views.end()) << query.view.name;
    EXPECT_GT(run->second.rows_most, 0U) << query.view.name << " never has an answer";
    if (usual_rows()) {
      EXPECT_GT(run->second.answers, 2U) << query.view.name << " hardly changes";
    }
    fmt::print("{} {}: {} rows at most, {} answers\n", folder, query.view.name,
               run->second.rows_most, run->second.answers);
  }
  fmt::print("{}: {}", folder, runner.counts().text());
  expect_documented(folder, table_of(queries, outcome));
}

}  // namespace

TEST(QueriesTest, TpchEqualsPostgresAfterEveryBatch) {
  Dice numbers = dice();
  expect_right("tpch", tpch_case(numbers, {.scale = kTpchScale * scale(), .rounds = rounds()}));
}

TEST(QueriesTest, NexmarkEqualsPostgresAfterEveryBatch) {
  Dice numbers = dice();
  expect_right("nexmark", nexmark_case(numbers, {.scale = scale(), .rounds = rounds()}));
}

}  // namespace pgweir::queries
