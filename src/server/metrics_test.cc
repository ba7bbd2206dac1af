// Prometheus text: well formed, and each name documented.
#include "server/metrics.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "server/fake_backend.h"

namespace pgweir::server {
namespace {

using testing::HasSubstr;

std::vector<MetricFamily> collect_fake() {
  FakeBackend backend;
  HttpStats http;
  http.requests[2] = 5;
  return collect_metrics(backend.status(), backend.tables(), backend.views(), http);
}

TEST(Metrics, ValuesAndLabelsAreThere) {
  const std::string text = render_metrics(collect_fake());
  for (const char* line : {
           "# HELP pgweir_state 1 for the state that the pipeline is in, else 0\n",
           "# TYPE pgweir_state gauge\n",
           "pgweir_state{source=\"bank\",state=\"streaming\"} 1\n",
           "pgweir_state{source=\"bank\",state=\"failed\"} 0\n",
           "pgweir_source_retained_wal_bytes{source=\"bank\"} 1024\n",
           "pgweir_source_wal_status{source=\"bank\",status=\"reserved\"} 1\n",
           "pgweir_source_wal_status{source=\"bank\",status=\"lost\"} 0\n",
           "pgweir_source_confirmed_lsn_bytes{source=\"bank\"} 23803720\n",
           "pgweir_follower_lag_seconds{source=\"bank\",follower=\"engine\",kind=\"engine\"} "
           "0.003\n",
           "pgweir_follower_healthy{source=\"bank\",follower=\"lake\",kind=\"parquet\"} 0\n",
           "# TYPE pgweir_table_changes_total counter\n",
           "pgweir_table_changes_total{source=\"bank\",table=\"public.accounts\",op=\"update\"} "
           "7\n",
           "pgweir_view_live{source=\"bank\",view=\"balance\",strategy=\"delta\"} 1\n",
           "pgweir_view_batch_seconds_total{source=\"bank\",view=\"balance\"} 4.25\n",
           "pgweir_view_longest_batch_seconds{source=\"bank\",view=\"balance\"} 0.0125\n",
           "pgweir_http_requests_total{source=\"bank\",status=\"2xx\"} 5\n",
       })
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_THAT(text, testing::Not(HasSubstr("follower=\"lake\",kind=\"parquet\"} NaN")));
}

bool is_name(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos;
}

// name{label="value",…} number
bool is_sample(const std::string& line) {
  const std::size_t brace = line.find('{');
  const std::size_t end = line.rfind("} ");
  if (brace == std::string::npos || end == std::string::npos) return false;
  if (!is_name(line.substr(0, brace)) || line.substr(0, 7) != "pgweir_") return false;
  char* rest = nullptr;
  std::strtod(line.c_str() + end + 2, &rest);
  if (*rest != '\0') return false;
  std::istringstream labels(line.substr(brace + 1, end - brace - 1));
  for (std::string label; std::getline(labels, label, ',');) {
    const std::size_t equals = label.find("=\"");
    if (equals == std::string::npos || !is_name(label.substr(0, equals)) || label.back() != '"')
      return false;
  }
  return true;
}

TEST(Metrics, EveryLineIsWellFormed) {
  std::istringstream lines(render_metrics(collect_fake()));
  for (std::string line; std::getline(lines, line);) {
    if (line[0] == '#') {
      EXPECT_TRUE(line.rfind("# HELP pgweir_", 0) == 0 || line.rfind("# TYPE pgweir_", 0) == 0);
    } else {
      EXPECT_TRUE(is_sample(line)) << line;
    }
  }
}

TEST(Metrics, NamesCarryTheirUnitAndCountersEndInTotal) {
  std::set<std::string> seen;
  for (const MetricFamily& family : collect_fake()) {
    EXPECT_TRUE(seen.insert(family.name).second) << family.name << " comes twice";
    const bool is_counter = family.kind == MetricKind::kCounter;
    EXPECT_EQ(is_counter, testing::Matches(testing::EndsWith("_total"))(family.name))
        << family.name;
  }
}

TEST(Metrics, LabelsAndHelpAreEscaped) {
  EXPECT_EQ(
      render_metrics({{"m", "a\\b\nc\"", MetricKind::kGauge, {{{{"l", "a\\b\"c\nd"}}, 1.5}}}}),
      "# HELP m a\\\\b\\nc\"\n# TYPE m gauge\nm{l=\"a\\\\b\\\"c\\nd\"} 1.5\n");
  EXPECT_EQ(render_metrics({{"m", "h", MetricKind::kCounter, {{{}, 7}}}}),
            "# HELP m h\n# TYPE m counter\nm 7\n");
  EXPECT_EQ(render_metrics({{"empty", "h", MetricKind::kGauge, {}}}), "");
}

// docs/metrics.md has one row for each family, with the same help.
TEST(Metrics, EachNameIsDocumented) {
  std::ifstream file(std::string(PGWEIR_SOURCE_DIR) + "/docs/metrics.md");
  std::string doc;
  std::set<std::string> documented;
  for (std::string line; std::getline(file, line); doc += line + "\n") {
    if (line.rfind("| `", 0) == 0) documented.insert(line.substr(3, line.find('`', 3) - 3));
  }
  for (const MetricFamily& family : collect_fake()) {
    const std::string kind = family.kind == MetricKind::kCounter ? "counter" : "gauge";
    EXPECT_THAT(doc, HasSubstr("| `" + family.name + "` | " + kind + " |"));
    EXPECT_THAT(doc, HasSubstr("| " + family.help + " |"));
    documented.erase(family.name);
  }
  EXPECT_THAT(documented, testing::IsEmpty()) << "documented, but not there";
}

}  // namespace
}  // namespace pgweir::server
