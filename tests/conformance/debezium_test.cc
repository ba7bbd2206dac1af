// Events beside those that a real Debezium sent for the same SQL: every key, value, header, topic,
// and the order within a topic. Of times, LSNs and transaction ids the form alone is compared.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "debezium/properties.h"
#include "harness/cluster.h"
#include "harness/wait.h"
#include "io/fake_fs.h"
#include "pipeline/batch_reader.h"
#include "pipeline/capture.h"

namespace pgweir {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

const std::string kFolder = std::string(PGWEIR_SOURCE) + "/tests/conformance/debezium/";

std::string file_text(const std::string& name) {
  std::ifstream file(kFolder + name);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

// What docs/debezium.md says is otherwise here: a text of Debezium's, and ours. Each must be met.
struct Difference {
  const char* sql;
  const char* recorded;  // a regular expression
  const char* ours;
};
constexpr Difference kDifferences[] = {
    {"types.sql", R"j("id":1,(.*)"nm":null)j", R"j("id":1,$1"nm":"a_name")j"},
    {"types.sql", R"j("id":2,(.*)"nm":null)j", R"j("id":2,$1"nm":"")j"},
    {"types.sql", R"j("id":4,(.*)"nm":null)j", R"j("id":4,$1"nm":"n")j"},
    {"special_infinity.sql", R"j("d":-622191234)j", R"j("d":-2147472692)j"},
    {"special_infinity.sql", R"j("ts":-9223372036853775810)j", R"j("ts":9223372036854775807)j"},
    {"special_numeric_negscale.sql", R"j("a":"(\d+)\.0{2046}")j", R"j("a":"$1")j"},
};

struct Record {
  std::vector<std::pair<std::string, std::string>> headers;
  std::string key, value;  // "null" for none

  bool operator==(const Record&) const = default;
};
using Topics = std::map<std::string, std::vector<Record>>;

// A snapshot's markers, of one topic's rows; with which ends are taken as they come: which table is
// the first or the last of all depends on the tables' order.
void mask_markers(std::vector<Record>& records) {
  static const std::regex kMarker(R"j("snapshot":"(\w+)")j");
  const auto rows = static_cast<std::size_t>(std::count_if(
      records.begin(), records.end(),
      [](const Record& record) { return record.value.find(R"("op":"r")") != std::string::npos; }));
  for (std::size_t i = 0; i < rows; ++i) {
    std::smatch found;
    ASSERT_TRUE(std::regex_search(records[i].value, found, kMarker)) << records[i].value;
    const std::string marker = found[1];
    const bool first = marker.starts_with("first"), last = marker.starts_with("last");
    EXPECT_TRUE(first || last ? (first && i == 0) || (last && i + 1 == rows)
                              : marker == "true" && i != 0 && i + 1 != rows)
        << marker << " at " << i << " of " << rows;
    records[i].value = std::regex_replace(records[i].value, kMarker, R"("snapshot":MARKER)");
  }
}

// The parts that are never the same twice, as what they are.
std::string masked(std::string text) {
  static const std::vector<std::pair<std::regex, std::string>> kMasks = {
      {std::regex(R"j("ts_(ms|us|ns)":\d{13,19})j"), R"j("ts_$1":TIME)j"},
      {std::regex(R"j("txId":\d+)j"), R"j("txId":XID)j"},
      {std::regex(R"j("lsn":\d+)j"), R"j("lsn":LSN)j"},
      {std::regex(R"j(\[null,\\"\d+\\"\])j"), "[null,LSN]"},
      {std::regex(R"j(\[\\"\d+\\",\\"\d+\\"\])j"), "[LSN,LSN]"},
      {std::regex(R"j("id":"\d+:\d+")j"), R"j("id":"XID:LSN")j"},
      // Our snapshots belong to no transaction of the source.
      {std::regex(R"j("txId":(XID|null)(.*"op":"r"))j"), R"j("txId":NONE$2)j"},
  };
  for (const auto& [expression, mask] : kMasks) text = std::regex_replace(text, expression, mask);
  return text;
}

// `met`: of kDifferences.
Topics recorded(const std::string& variant, const std::string& sql, std::set<std::size_t>& met) {
  Topics out;
  const auto as_ours = [&](std::string text) {
    for (std::size_t i = 0; i < std::size(kDifferences); ++i) {
      if (kDifferences[i].sql != sql) continue;
      const std::string before = text;
      text = std::regex_replace(text, std::regex(kDifferences[i].recorded), kDifferences[i].ours);
      if (text != before) met.insert(i);
    }
    return text;
  };
  std::istringstream lines(file_text(variant + ".jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const json record = json::parse(line);
    Record each;
    for (const json& header : record["headers"]) {
      const std::string name = header[0], text = header[1];
      each.headers.emplace_back(name, name == "__debezium.context.runId" ? "RUN" : text);
    }
    const auto text = [&](const char* what) {
      return record[what].is_null() ? "null" : masked(as_ours(record[what]));
    };
    each.key = text("key");
    each.value = text("value");
    out[record["topic"]].push_back(std::move(each));
  }
  return out;
}

// What capture's log holds of one case's SQL.
class Source {
 public:
  explicit Source(const std::string& sql_file)
      : cluster_(harness::shared_cluster()), database_(cluster_.create_database()) {
    (void)fs_.create_directories("data");
    const std::string text = file_text(sql_file);
    const std::string kStream = "-- @stream";
    const std::size_t stream = text.find(kStream);
    cluster_.sql(text.substr(0, stream), database_);
    // New tables are in it at once.
    cluster_.sql(fmt::format("CREATE PUBLICATION pub_{} FOR ALL TABLES WITH "
                             "(publish_via_partition_root = true)",
                             database_),
                 database_);
    log_ = log::Log::open(fs_, clock_, "data/log", log::LogOptions{}).value();
    pipeline::CaptureOptions options;
    options.url = cluster_.url(database_);
    options.source = {"slot_" + database_, "pub_" + database_, {"public.*"}, {}};
    options.data_directory = "data";
    options.mark_interval = 5ms;
    options.feedback_interval = 10ms;
    capture_ = std::make_unique<pipeline::Capture>(*log_, fs_, clock_, logger_, options);
    capture_->start();
    EXPECT_TRUE(harness::wait_for(30s, [&] {
      return capture_->status().state == pipeline::CaptureState::kStreaming;
    })) << capture_->status().message;
    cluster_.sql(text.substr(stream), database_);
    cluster_.sql("SELECT pg_logical_emit_message(true, 'pgweir', '')", database_);
    const auto lsn = model::parse_lsn(cluster_.sql("SELECT pg_current_wal_flush_lsn()", database_));
    EXPECT_TRUE(harness::wait_for(30s, [&] { return log_->durable_end_lsn() >= *lsn; }));
    capture_->stop();
  }
  ~Source() { cluster_.sql(fmt::format("SELECT pg_drop_replication_slot('slot_{}')", database_)); }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  Topics events(const std::map<std::string, std::string>& properties) {
    debezium::Properties left = properties;
    auto options = debezium::take_event_options(left);
    if (!options.ok()) ADD_FAILURE() << options.error().text();
    for (const auto& [name, value] : left) ADD_FAILURE() << name << " is not known";
    options->run_id = "RUN";
    debezium::EventEncoder encoder(*options);
    auto reader = pipeline::BatchReader::open(*log_, {}, {}).value();
    debezium::Events events;
    while (true) {
      auto event = reader->next(Microseconds(0));
      if (!event.ok()) ADD_FAILURE() << event.error().text();
      using Kind = pipeline::LogEvent::Kind;
      if (!event.ok() || event->kind == Kind::kNothing) break;
      if (event->kind == Kind::kSnapshotBegin) encoder.begin_snapshot();
      if (event->batch) {
        const Status status = encoder.encode(*event->batch, clock_.now_us(), events);
        if (!status.ok()) ADD_FAILURE() << status.error().text();
      }
      if (event->kind == Kind::kSnapshotEnd) encoder.end_snapshot(events);
    }
    return by_topic(encoder, events);
  }

 private:
  static Topics by_topic(const debezium::EventEncoder& encoder, const debezium::Events& events) {
    Topics out;
    for (const debezium::Event& event : events.events) {
      Record record;
      using debezium::EventHeaders;
      const std::string other(events.text(event.other_key));
      if (event.headers == EventHeaders::kNewKey)
        record.headers.emplace_back("__debezium.newkey", other);
      if (event.headers == EventHeaders::kOldKey)
        record.headers.emplace_back("__debezium.oldkey", other);
      if (event.headers != EventHeaders::kNone)
        record.headers.insert(record.headers.end(), encoder.context().begin(),
                              encoder.context().end());
      const auto text = [&](const debezium::EventText& piece) {
        return piece.is_null() ? "null" : masked(std::string(events.text(piece)));
      };
      record.key = text(event.key);
      record.value = text(event.value);
      out[encoder.topic(event.topic)].push_back(std::move(record));
    }
    return out;
  }

  harness::Cluster& cluster_;
  io::FakeFs fs_;
  io::RealClock clock_;
  Logger logger_{LogLevel::kOff};
  std::string database_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<pipeline::Capture> capture_;
};

std::string text_of(const Record& record) {
  std::string out = record.key + " = " + record.value;
  for (const auto& [name, value] : record.headers) out += fmt::format("\n    {}: {}", name, value);
  return out;
}

void expect_same(const Topics& expected, const Topics& found) {
  for (const auto& [topic, records] : found)
    EXPECT_TRUE(expected.contains(topic)) << topic << " has " << text_of(records.front());
  for (const auto& [topic, records] : expected) {
    const auto at = found.find(topic);
    const std::vector<Record> none, &ours = at == found.end() ? none : at->second;
    EXPECT_EQ(ours.size(), records.size()) << topic;
    for (std::size_t i = 0; i < std::min(ours.size(), records.size()); ++i) {
      if (ours[i] == records[i]) continue;
      ADD_FAILURE() << topic << " " << i << "\n  found    " << text_of(ours[i]) << "\n  expected "
                    << text_of(records[i]);
    }
  }
}

// Over all topics: one row is the first of all, one the last.
void expect_one_of_each_end(const Topics& topics) {
  for (const char* end : {R"("snapshot":"first")", R"("snapshot":"last")"}) {
    std::size_t count = 0, rows = 0;
    for (const auto& [topic, records] : topics) {
      for (const Record& record : records) {
        count += record.value.find(end) != std::string::npos ? 1 : 0;
        rows += record.value.find(R"("op":"r")") != std::string::npos ? 1 : 0;
      }
    }
    EXPECT_TRUE(count == 1 || rows < 2) << count << " of " << end;
  }
}

class DebeziumConformance : public testing::TestWithParam<std::string> {};

TEST_P(DebeziumConformance, SameEvents) {
  Source source(GetParam());
  std::set<std::size_t> met;
  const json variants = json::parse(file_text("variants.json"));
  for (const auto& [name, variant] : variants.items()) {
    if (variant["sql"] != GetParam()) continue;
    SCOPED_TRACE(name);
    Topics expected = recorded(name, GetParam(), met), found = source.events(variant["properties"]);
    expect_one_of_each_end(found);
    for (Topics* topics : {&expected, &found}) {
      for (auto& [topic, records] : *topics) mask_markers(records);
    }
    expect_same(expected, found);
  }
  for (std::size_t i = 0; i < std::size(kDifferences); ++i) {
    EXPECT_TRUE(met.contains(i) || kDifferences[i].sql != GetParam())
        << kDifferences[i].recorded << " was nowhere";
  }
}

std::vector<std::string> cases() {
  std::vector<std::string> out;
  const json variants = json::parse(file_text("variants.json"));
  for (const auto& [name, variant] : variants.items()) {
    const std::string sql = variant["sql"];
    if (std::find(out.begin(), out.end(), sql) == out.end()) out.push_back(sql);
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Recorded, DebeziumConformance, testing::ValuesIn(cases()),
                         [](const auto& each) {
                           return each.param.substr(0, each.param.find('.'));
                         });

}  // namespace
}  // namespace pgweir
