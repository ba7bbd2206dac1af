#include "views_source.h"

#include <fmt/core.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "harness/program.h"
#include "harness/scratch.h"
#include "harness/wait.h"
#include "postgres/connection.h"

namespace pgweir::bench {
namespace {
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using harness::Json;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of all children that ended, with theirs.
double cpu_seconds_of_ended() {
  rusage used{};
  ::getrusage(RUSAGE_CHILDREN, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double peak_memory_mb(int pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

// From exec to the first rows of the view.
double until_rows(const std::string& yaml) {
  const harness::ScratchFolder folder;
  harness::Program program(folder.path(), yaml);
  const auto start = Clock::now();
  program.start();
  while (std::atoll(program.sql("SELECT count(*) FROM result").c_str()) == 0) {
    if (!program.running() || seconds_since(start) > 120) give_up(program.output());
    std::this_thread::sleep_for(2ms);
  }
  const double seconds = seconds_since(start);
  program.kill();
  return seconds;
}

}  // namespace

const std::vector<Query>& queries() {
  static const std::vector<Query> all = {
      {"filter", "SELECT id, account_id, amount FROM transfers WHERE amount > 900",
       "SELECT id, account_id, amount FROM transfers WHERE amount > 900",
       "SELECT id, account_id, amount FROM result", 16},
      {"group",
       "SELECT account_id, count(*) AS n, sum(amount) AS total FROM transfers GROUP BY account_id",
       "SELECT account_id, count(*), sum(amount) FROM transfers GROUP BY account_id",
       "SELECT account_id, n, total FROM result"},
      {"join_group",
       "SELECT a.region, count(*) AS n, sum(t.amount) AS total FROM transfers t JOIN accounts a "
       "ON t.account_id = a.id GROUP BY a.region",
       "SELECT a.region, count(*), sum(t.amount) FROM transfers t JOIN accounts a "
       "ON t.account_id = a.id GROUP BY a.region",
       "SELECT region, n, total FROM result"},
      {"window",
       "SELECT window_start, count(*) AS n, sum(amount) AS total FROM "
       "tumble(transfers, created_at, INTERVAL 1 MINUTE) GROUP BY window_start",
       "SELECT extract(epoch FROM date_trunc('minute', created_at))::bigint, count(*), sum(amount) "
       "FROM transfers GROUP BY 1",
       "SELECT epoch(window_start)::BIGINT, n, total FROM result"},
      {"top_k",
       "SELECT account_id, id, amount FROM transfers QUALIFY row_number() OVER "
       "(PARTITION BY account_id ORDER BY amount DESC, id) <= 3",
       "SELECT account_id, id, amount FROM (SELECT account_id, id, amount, row_number() OVER "
       "(PARTITION BY account_id ORDER BY amount DESC, id) AS place FROM transfers) best "
       "WHERE place <= 3",
       "SELECT account_id, id, amount FROM result", 4},
  };
  return all;
}

const Query& group_query() {
  return queries()[1];
}

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "peers_bench: {}\n", why);
  std::exit(1);
}

Rows rows_of(const std::string& text, char separator) {
  Rows out;
  std::istringstream in(text);
  for (std::string row; std::getline(in, row, separator);) out.insert(std::move(row));
  return out;
}

ViewsSource::ViewsSource(const EventStream& events, const std::string& query, int memory_mib,
                         const std::string& directory)
    : only_(query),
      memory_mib_(memory_mib),
      directory_(directory),
      cluster_({.settings = {{"synchronous_commit", "off"},
                             {"shared_buffers", "512MB"},
                             {"max_wal_size", "8GB"},
                             {"jit", "off"},
                             {"wal_sender_timeout", "600s"}}}) {
  cluster_.sql(EventStream::tables_sql());
  for (const Query& each : queries()) {
    if (wanted(each)) first_run(each);
  }
  fill("postgres", events);
  end_lsn_ = cluster_.sql("SELECT pg_current_wal_lsn()");
}

Rows ViewsSource::answer(const Query& query) {
  return rows_of(cluster_.sql(query.postgres), '\n');
}

Cost ViewsSource::run(const Query& query, Rows* rows) {
  const Copy copy = make_copy(query);
  const std::string config = copy.data + ".yaml";
  std::ofstream(config) << yaml(query, copy.slot, copy.data)
                        << fmt::format("server: {{listen: \"127.0.0.1:{}\"}}\n",
                                       harness::free_port());
  Cost cost;
  const double before = cpu_seconds_of_ended();
  const auto start = Clock::now();
  auto process = io::Process::start(
      {.arguments = {harness::program_path(), "-c", config, "run", "--until-lsn", end_lsn_},
       .output = copy.data + ".log"});
  if (!process.ok()) give_up(process.error().text());
  while (!process->poll()) {
    cost.memory_mb = std::max(cost.memory_mb, peak_memory_mb(process->pid()));
    std::this_thread::sleep_for(10ms);
  }
  cost.seconds = seconds_since(start);
  cost.cpu_seconds = cpu_seconds_of_ended() - before;
  if (*process->poll() != 0) give_up("pgweir failed: " + copy.data + ".log");
  if (rows != nullptr) *rows = read_rows(query, copy);
  remove(copy);
  return cost;
}

double ViewsSource::first_result() {
  const Query& query = group_query();
  const Copy copy = make_copy(query);
  const double seconds = until_rows(yaml(query, copy.slot, copy.data));
  remove(copy);
  return seconds;
}

double ViewsSource::first_result_of_all(const EventStream& events) {
  const Query& query = group_query();
  const std::string database = cluster_.create_database();
  cluster_.sql(EventStream::tables_sql(), database);
  fill(database, events);
  const std::string slot = "first_" + database;
  const std::string data = directory_ + "/" + slot;
  const double seconds = until_rows(
      fmt::format("source: {{url: \"{}\", slot: {}, publication: first, tables: [public.*]}}\n",
                  cluster_.url(database), slot) +
      rest_of_yaml(query, data));
  remove({slot, data});
  return seconds;
}

std::string ViewsSource::rest_of_yaml(const Query& query, const std::string& data) const {
  return fmt::format(
      "data: {}\nengine: {{memory: {}MiB, batch_wait: 150ms, batch_rows: 100000, mirrors: "
      "needed_columns}}\nviews:\n  "
      "result: >\n    {}\n",
      data, memory_mib_, query.view);
}

std::string ViewsSource::yaml(const Query& query, const std::string& slot,
                              const std::string& data) const {
  return fmt::format("source: {{url: \"{}\", slot: {}, publication: bench, tables: [public.*]}}\n",
                     cluster_.url(), slot) +
         rest_of_yaml(query, data);
}

// Makes the slot and the data folder, with empty tables, that all runs start from.
void ViewsSource::first_run(const Query& query) {
  const std::string name = "bench_" + query.name;
  const harness::ScratchFolder folder;
  std::filesystem::create_directories(directory_ + "/" + name);
  harness::Program program(folder.path(), yaml(query, name, directory_ + "/" + name));
  program.start({"--once"});
  if (program.wait(120s) != 0) give_up(program.output());
}

void ViewsSource::fill(const std::string& database, const EventStream& events) {
  auto connection =
      postgres::Connection::open({.url = cluster_.url(database), .query_timeout = Milliseconds(0)});
  if (!connection.ok()) give_up(connection.error().text());
  const Status filled = connection->execute(events.fill_sql());
  if (!filled.ok()) give_up(filled.error().text());
}

ViewsSource::Copy ViewsSource::make_copy(const Query& query) {
  const std::string name = "bench_" + query.name;
  const std::string slot = fmt::format("run_{}", ++copies_);
  cluster_.sql(fmt::format("SELECT pg_copy_logical_replication_slot('{}', '{}')", name, slot));
  const std::string data = directory_ + "/" + slot;
  std::filesystem::copy(directory_ + "/" + name, data, std::filesystem::copy_options::recursive);
  Json state = Json::parse(std::ifstream(data + "/pipeline.json"), nullptr, false);
  state["slot"] = slot;
  std::ofstream(data + "/pipeline.json") << state.dump();
  return {slot, data};
}

void ViewsSource::remove(const Copy& copy) {
  // The server notices a moment later that a killed program is gone.
  harness::wait_for(60s, [&] {
    return cluster_.sql(fmt::format(
               "SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots "
               "WHERE slot_name = '{}' AND NOT active",
               copy.slot)) == "1";
  });
  std::filesystem::remove_all(copy.data);
}

Rows ViewsSource::read_rows(const Query& query, const Copy& copy) {
  const harness::ScratchFolder folder;
  harness::Program program(folder.path(), yaml(query, copy.slot, copy.data));
  program.start();
  if (!program.wait_position(end_lsn_)) give_up(program.output());
  Rows out;
  for (int part = 0; part < query.parts; ++part) {
    const std::string select =
        query.parts == 1 ? query.read
                         : fmt::format("{} WHERE id % {} = {}", query.read, query.parts, part);
    out.merge(rows_of(program.sql(select), ';'));
  }
  program.terminate();
  return out;
}

}  // namespace pgweir::bench
