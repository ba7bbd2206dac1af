// How fast changes are captured, against a loop that throws the stream away, in one run on copies
// of one slot.
//
// usage: capture_bench RESULT.json [--changes N] [--runs N] [--profile capture|whole]
//                      [--threads N]
//
// --profile runs that contestant alone, for a profiler to look at, and stores no figures; --threads
// is the engine's.
//
// A backlog of transactions of ten changes (five inserts, four updates, one delete; rows of about
// 110 bytes) waits in a slot. Each contestant reads it from a copy of that slot:
//   pg_recvlogical   PostgreSQL's own client, to /dev/null
//   null drain       our receiver, throwing the messages away
//   capture          pgweir run with the engine off: everything durable in the log
//   whole            pgweir run with mirrors, activity, three views and Parquet
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "config/config.h"
#include "figures.h"
#include "harness/cluster.h"
#include "harness/program.h"
#include "io/clock.h"
#include "postgres/connection.h"
#include "postgres/replication_stream.h"
#include "postgres/setup.h"

namespace pgweir::bench {
namespace {
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// CPU seconds that a process has used, itself and its threads (proc(5), fields 14 and 15).
double cpu_seconds(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text);
  const std::size_t behind_name = text.rfind(')');
  if (behind_name == std::string::npos) return 0;
  std::istringstream rest(text.substr(behind_name + 2));
  std::string skipped;
  double user = 0, system = 0;
  for (int i = 3; i < 14; ++i) rest >> skipped;
  rest >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// Peak resident memory in MB.
double peak_memory_mb(int pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

struct Outcome {
  double rows_per_second = 0;
  double reader_cpu = 0;
  double walsender_cpu = 0;
  double memory_mb = 0;
};

class Backlog {
 public:
  Backlog(std::int64_t changes, int threads, const std::string& directory)
      : directory_(directory),
        threads_(threads),
        cluster_({.settings = {{"synchronous_commit", "off"},
                               {"shared_buffers", "512MB"},
                               {"max_wal_size", "8GB"},
                               {"jit", "off"},
                               {"wal_sender_timeout", "600s"}}}) {
    cluster_.sql(
        "CREATE TABLE customers (id int PRIMARY KEY, region text NOT NULL);"
        "INSERT INTO customers SELECT i, 'region ' || i % 20 FROM generate_series(1, 1000) i;"
        "CREATE TABLE orders (id uuid PRIMARY KEY, customer_id int NOT NULL, amount numeric(12,2) "
        "NOT NULL,"
        " status text NOT NULL, note text NOT NULL, created_at timestamptz NOT NULL);");
    // One pipeline makes publications, slot and the data folders that all runs start from.
    for (const char* kind : {"capture", "whole"}) {
      const harness::Json state = first_run(kind);
      (void)state;
    }
    fill(changes);
    end_lsn_ = cluster_.sql("SELECT pg_current_wal_lsn()");
  }

  harness::Cluster& cluster() { return cluster_; }
  const std::string& end_lsn() const { return end_lsn_; }
  std::int64_t rows() const { return rows_; }

  std::string copy_slot(const std::string& kind) {
    const std::string name = fmt::format("run_{}", ++copies_);
    cluster_.sql(
        fmt::format("SELECT pg_copy_logical_replication_slot('bench_{}', '{}')", kind, name));
    return name;
  }
  void drop_slot(const std::string& name) {
    cluster_.sql(fmt::format("SELECT pg_drop_replication_slot('{}')", name));
  }
  int walsender_pid(const std::string& slot) {
    const std::string pid = cluster_.sql(fmt::format(
        "SELECT coalesce(active_pid, 0) FROM pg_replication_slots WHERE slot_name = '{}'", slot));
    return std::atoi(pid.c_str());
  }

  std::string yaml(const std::string& kind, const std::string& slot, const std::string& data) {
    std::string out = fmt::format(
        "source: {{url: \"{}\", slot: {}, publication: bench_{}, tables: [public.*]}}\ndata: {}\n",
        cluster_.url(), slot, kind, data);
    if (kind == "capture") return out + "engine: {mirrors: none}\n";
    return out + fmt::format(
                     "engine: {{memory: 256MiB, mirrors: all, threads: {}}}\n"
                     "sinks: {{lake: {{type: parquet, path: {}/lake}}}}\n"
                     "views:\n"
                     "  large: SELECT id, customer_id, amount FROM orders WHERE amount > 900\n"
                     "  by_region: SELECT c.region, count(*) AS orders, sum(o.amount) AS volume "
                     "FROM orders o "
                     "JOIN customers c ON c.id = o.customer_id GROUP BY c.region\n"
                     "  per_minute: SELECT window_start, count(*) AS orders FROM tumble(orders, "
                     "created_at, "
                     "INTERVAL 1 MINUTE) GROUP BY window_start\n",
                     threads_, data);
  }

  // A copy of the first run's data folder for a run on `slot`.
  std::string copy_data(const std::string& kind, const std::string& slot) {
    const std::string data = fmt::format("{}/{}", directory_, slot);
    std::filesystem::copy(fmt::format("{}/{}", directory_, kind), data,
                          std::filesystem::copy_options::recursive);
    std::ifstream in(data + "/pipeline.json");
    harness::Json state = harness::Json::parse(in);
    in.close();
    state["slot"] = slot;
    std::ofstream(data + "/pipeline.json") << state.dump();
    return data;
  }

 private:
  harness::Json first_run(const std::string& kind) {
    const std::string data = fmt::format("{}/{}", directory_, kind);
    std::filesystem::create_directories(data);
    harness::Program program(directory_, yaml(kind, "bench_" + kind, data));
    program.start({"--once"});
    program.wait(120s);
    return {};
  }

  void fill(std::int64_t changes) {
    // Keys are random UUIDs made from a counter, so that updates and deletes find them.
    cluster_.sql(R"sql(
      CREATE PROCEDURE fill(first bigint, transactions bigint) LANGUAGE plpgsql AS $$
      DECLARE n bigint;
      BEGIN
        FOR t IN first .. first + transactions - 1 LOOP
          n := t::bigint * 5;
          INSERT INTO public.orders
            SELECT md5((n + i)::text)::uuid, 1 + (n + i) % 1000, ((n + i) * 7919 % 100000) / 100.0,
                   'new', 'a note of some length ' || n + i,
                   '2026-01-01Z'::timestamptz + (n + i) * interval '20 ms'
              FROM generate_series(0, 4) i;
          -- An array, so that each key is looked up in the index whatever the statistics say.
          UPDATE public.orders SET status = 'paid', amount = amount + 1
            WHERE id = ANY (ARRAY[md5((n - 5000)::text)::uuid, md5((n - 3763)::text)::uuid,
                                  md5((n - 2526)::text)::uuid, md5((n - 1289)::text)::uuid]);
          DELETE FROM public.orders WHERE id = md5((n - 20001)::text)::uuid;
          COMMIT;
        END LOOP;
      END $$)sql");
    const std::int64_t transactions = changes / 10;
    constexpr std::int64_t kWriters = 3;
    const std::int64_t share = transactions / kWriters + 1;
    // The writers' keys must not meet: each has a range of its own.
    std::vector<std::thread> writers;
    for (std::int64_t i = 0; i < kWriters; ++i) {
      writers.emplace_back([this, i, share] {
        auto connection =
            postgres::Connection::open({.url = cluster_.url(), .query_timeout = Milliseconds(0)});
        if (!connection.ok()) std::abort();
        const auto done = connection->execute(
            fmt::format("CALL public.fill({}, {})", 1'000'000'000 + i * 100'000'000, share));
        if (!done.ok()) {
          fmt::print(stderr, "{}\n", done.error().text());
          std::abort();
        }
      });
    }
    for (std::thread& writer : writers) writer.join();
    // What was really changed: the first updates and deletes find no rows yet.
    std::this_thread::sleep_for(2s);
    rows_ =
        std::atoll(cluster_
                       .sql("SELECT pg_stat_force_next_flush(); SELECT sum(n_tup_ins + n_tup_upd + "
                            "n_tup_del) FROM pg_stat_user_tables WHERE relname = 'orders'")
                       .c_str());
  }

  const std::string directory_;
  const int threads_;
  harness::Cluster cluster_;
  std::string end_lsn_;
  std::int64_t rows_ = 0;
  int copies_ = 0;
};

Outcome null_drain(Backlog& backlog) {
  const std::string slot = backlog.copy_slot("capture");
  auto connection = postgres::Connection::open(
      {.url = backlog.cluster().url(), .kind = postgres::ConnectionKind::kReplication});
  const auto end = model::parse_lsn(backlog.end_lsn()).value();
  Outcome out;
  const auto start = Clock::now();
  const double cpu_before = cpu_seconds(::getpid());
  {
    auto stream =
        postgres::ReplicationStream::start(std::move(connection).value(),
                                           {.slot = slot, .publications = {"bench_capture"}})
            .value();
    const int sender = backlog.walsender_pid(slot);
    postgres::Gulp gulp;
    std::uint64_t rows = 0;
    io::RealClock clock;
    while (rows < static_cast<std::uint64_t>(backlog.rows()) && gulp.keepalive_lsn < end) {
      if (!stream.read(gulp, 100ms, nullptr).ok()) std::abort();
      for (std::size_t i = 0; i < gulp.messages.size(); ++i) {
        const char kind = gulp.message(i)[0];
        rows += kind == 'I' || kind == 'U' || kind == 'D';
      }
      if (gulp.reply_requested)
        (void)stream.send_feedback({}, {}, {}, postgres::ReplicationStream::Reply::kNotNeeded,
                                   clock.now_us());
    }
    out.rows_per_second = static_cast<double>(rows) / seconds_since(start);
    out.walsender_cpu = cpu_seconds(sender);
    out.reader_cpu = cpu_seconds(::getpid()) - cpu_before;
  }
  std::this_thread::sleep_for(500ms);  // the server frees the slot
  backlog.drop_slot(slot);
  return out;
}

// Runs a program to its end, looking at its CPU, memory and walsender meanwhile.
Outcome watch(Backlog& backlog, const std::string& slot, io::Process process) {
  Outcome out;
  const auto start = Clock::now();
  int sender = 0;
  while (!process.poll()) {
    if (sender == 0) sender = backlog.walsender_pid(slot);
    if (sender != 0) out.walsender_cpu = std::max(out.walsender_cpu, cpu_seconds(sender));
    out.reader_cpu = std::max(out.reader_cpu, cpu_seconds(process.pid()));
    out.memory_mb = std::max(out.memory_mb, peak_memory_mb(process.pid()));
    std::this_thread::sleep_for(20ms);
  }
  const double seconds = seconds_since(start);
  if (*process.poll() != 0) fmt::print(stderr, "the program ended with {}\n", *process.poll());
  out.rows_per_second = *process.poll() == 0 ? static_cast<double>(backlog.rows()) / seconds : 0;
  backlog.drop_slot(slot);
  return out;
}

Outcome recvlogical(Backlog& backlog) {
  const std::string slot = backlog.copy_slot("capture");
  auto process = io::Process::start(
      {.arguments = {backlog.cluster().bin() + "/pg_recvlogical", "-d", backlog.cluster().url(),
                     "-S", slot, "--start", "--endpos", backlog.end_lsn(), "-f", "/dev/null",
                     "--no-loop", "-o", "proto_version=1", "-o",
                     "publication_names=bench_capture"}});
  return watch(backlog, slot, std::move(process).value());
}

Outcome pgweir(Backlog& backlog, const std::string& kind, const std::string& directory) {
  const std::string slot = backlog.copy_slot(kind);
  const std::string data = backlog.copy_data(kind, slot);
  const std::string config = fmt::format("{}/{}.yaml", directory, slot);
  std::ofstream(config) << backlog.yaml(kind, slot, data)
                        << fmt::format("server: {{listen: \"127.0.0.1:{}\"}}\n",
                                       harness::free_port());
  auto process = io::Process::start({.arguments = {harness::program_path(), "-c", config, "run",
                                                   "--until-lsn", backlog.end_lsn()},
                                     .output = fmt::format("{}/{}.log", directory, slot)});
  const Outcome out = watch(backlog, slot, std::move(process).value());
  std::filesystem::remove_all(data);
  return out;
}

std::vector<double> pick(const std::vector<Outcome>& outcomes, double Outcome::*field) {
  std::vector<double> out;
  for (const Outcome& outcome : outcomes) out.push_back(outcome.*field);
  return out;
}

// Ratio of each run to the same round's reference.
std::vector<double> ratios(const std::vector<Outcome>& of, const std::vector<Outcome>& to,
                           double Outcome::*field) {
  std::vector<double> out;
  for (std::size_t i = 0; i < of.size(); ++i) out.push_back(of[i].*field / (to[i].*field));
  return out;
}

int run(const std::string& result, std::int64_t changes, int runs, int threads,
        const std::string& profiled) {
  const harness::ScratchFolder scratch;
  const auto start = Clock::now();
  Backlog backlog(changes, threads, scratch.path());
  fmt::print("backlog of {} changes made in {:.0f} s\n", backlog.rows(), seconds_since(start));
  for (int i = 0; !profiled.empty() && i < runs; ++i) {
    const Outcome outcome = pgweir(backlog, profiled, scratch.path());
    fmt::print("{}: {:.0f} rows/s, {:.2f} s of processor time, {:.0f} MB\n", profiled,
               outcome.rows_per_second, outcome.reader_cpu, outcome.memory_mb);
    std::fflush(stdout);
  }
  if (!profiled.empty()) return 0;
  std::vector<Outcome> drain, client, capture, whole;
  // Round by round, so that a busy moment of the machine hits all of them.
  for (int i = 0; i < runs; ++i) {
    drain.push_back(null_drain(backlog));
    client.push_back(recvlogical(backlog));
    capture.push_back(pgweir(backlog, "capture", scratch.path()));
    whole.push_back(pgweir(backlog, "whole", scratch.path()));
    fmt::print(
        "round {}: null drain {:.0f}, pg_recvlogical {:.0f}, capture {:.0f}, whole {:.0f} rows/s\n",
        i + 1, drain.back().rows_per_second, client.back().rows_per_second,
        capture.back().rows_per_second, whole.back().rows_per_second);
    std::fflush(stdout);
  }
  Figures figures;
  figures.note("null_drain", pick(drain, &Outcome::rows_per_second), "rows/s");
  figures.note("pg_recvlogical", pick(client, &Outcome::rows_per_second), "rows/s");
  figures.note("capture", pick(capture, &Outcome::rows_per_second), "rows/s");
  figures.note("whole", pick(whole, &Outcome::rows_per_second), "rows/s");
  figures.note("pg_recvlogical_walsender_cpu", pick(client, &Outcome::walsender_cpu), "s");
  figures.note("capture_walsender_cpu", pick(capture, &Outcome::walsender_cpu), "s");
  figures.note("capture_cpu", pick(capture, &Outcome::reader_cpu), "s");
  figures.note("whole_cpu", pick(whole, &Outcome::reader_cpu), "s");
  figures.add("null_drain_to_pg_recvlogical", ratios(drain, client, &Outcome::rows_per_second), "x",
              Goal::kAtLeast, 2);
  figures.add("capture_to_null_drain", ratios(capture, drain, &Outcome::rows_per_second), "x",
              Goal::kAtLeast, 0.9);
  figures.add("capture_walsender_cpu_to_pg_recvlogical",
              ratios(capture, client, &Outcome::walsender_cpu), "x", Goal::kAtMost, 0.6);
  figures.add("whole_to_null_drain", ratios(whole, drain, &Outcome::rows_per_second), "x",
              Goal::kAtLeast, 0.5);
  figures.add("capture_memory", pick(capture, &Outcome::memory_mb), "MB", Goal::kAtMost, 50);
  figures.add("whole_memory", pick(whole, &Outcome::memory_mb), "MB", Goal::kAtMost, 400);
  figures.store(result, "capture");
  return 0;
}

}  // namespace
}  // namespace pgweir::bench

int main(int argc, char** argv) {
  std::string result = "capture.json";
  std::int64_t changes = 10'000'000;
  int runs = 5;
  int threads = static_cast<int>(pgweir::config::EngineConfig().threads);
  std::string profiled;
  CLI::App arguments("How fast changes come into the log and the mirrors");
  arguments.add_option("result", result, "where the figures go, as JSON");
  arguments.add_option("--changes", changes);
  arguments.add_option("--runs", runs);
  arguments.add_option("--threads", threads);
  arguments.add_option("--profile", profiled);
  CLI11_PARSE(arguments, argc, argv);
  return pgweir::bench::run(result, changes, runs, threads, profiled);
}
