// How fast a slot is read and thrown away (the null drain), against pg_recvlogical in the same run.
//
// Method: a workload of transactions with 5 inserts, 4 updates and a delete of rows of about 110
//         bytes; one slot in front of it; every run reads a copy of that slot to the end.
// usage:  postgres_bench [TRANSACTIONS [RUNS]]
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "harness/cluster.h"
#include "postgres/pgoutput.h"
#include "postgres/replication_stream.h"

namespace pgweir::postgres {
namespace {
using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

// User and system time of a process; 0 when it is gone.
double cpu_seconds(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::stringstream text;
  text << file.rdbuf();
  const std::size_t name_end = text.str().rfind(") ");
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.str().substr(name_end + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double own_cpu_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

struct Figures {
  double seconds = 0;
  double reader_cpu = 0;
  double sender_cpu = 0;
  ReplicationStream::Counters counters;
};

double median(const std::vector<Figures>& runs, double (*of)(const Figures&)) {
  std::vector<double> values;
  for (const Figures& figures : runs) values.push_back(of(figures));
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Bench {
 public:
  Bench(int transactions, int runs) : transactions_(transactions), runs_(runs) {
    cluster_.sql(
        fmt::format("CREATE TABLE t (id int PRIMARY KEY, a int, b bigint, note text);"
                    "CREATE PUBLICATION p FOR TABLE t;"
                    "SELECT pg_create_logical_replication_slot('origin', 'pgoutput');"
                    "SET synchronous_commit = off;"
                    "DO $$ BEGIN FOR i IN 1..{} LOOP"
                    "  INSERT INTO t SELECT i * 5 + k, k, i, repeat(md5((i * 5 + k)::text), 2)"
                    "    FROM generate_series(0, 4) k;"
                    "  UPDATE t SET a = a + 1 WHERE id BETWEEN i * 5 AND i * 5 + 3;"
                    "  DELETE FROM t WHERE id = i * 5 + 4;"
                    "  COMMIT; END LOOP; END $$",
                    transactions_));
    end_ = model::parse_lsn(cluster_.sql("SELECT pg_current_wal_flush_lsn()")).value();
    // Every reader stops at this commit, which lies behind all the others.
    cluster_.sql("INSERT INTO t VALUES (-1, 0, 0, 'end'); CHECKPOINT");
  }

  void run() {
    std::vector<Figures> ours, decoded, peers;
    for (int i = 0; i < runs_; ++i) {
      ours.push_back(drain(false));
      print("null drain", ours.back());
      decoded.push_back(drain(true));
      print("null drain, decoded", decoded.back());
      peers.push_back(peer());
      print("pg_recvlogical", peers.back());
    }
    const auto seconds = [](const Figures& figures) { return figures.seconds; };
    const auto sender = [](const Figures& figures) { return figures.sender_cpu; };
    const double rows = transactions_ * 10.0;
    fmt::print("medians of {}: null drain {:.0f} rows/s, decoded {:.0f}, pg_recvlogical {:.0f}\n",
               runs_, rows / median(ours, seconds), rows / median(decoded, seconds),
               rows / median(peers, seconds));
    fmt::print("null drain is {:.2f} times pg_recvlogical, at {:.2f} of the sender's CPU\n",
               median(peers, seconds) / median(ours, seconds),
               median(ours, sender) / median(peers, sender));
  }

 private:
  void copy_slot(const std::string& name) {
    cluster_.sql(fmt::format("SELECT pg_copy_logical_replication_slot('origin', '{}')", name));
  }

  Figures drain(bool decode) {
    copy_slot("ours");
    auto connection =
        Connection::open({.url = cluster_.url(), .kind = ConnectionKind::kReplication});
    const int sender = connection->backend_pid();
    StreamOptions options{.slot = "ours", .publications = {"p"}};
    auto stream = ReplicationStream::start(std::move(connection).value(), options);
    const double cpu = own_cpu_seconds();
    const auto start = SteadyClock::now();
    Figures out;
    Gulp gulp;
    PgoutputDecoder decoder(model::Position{1, {}, 0});
    for (bool done = false; !done;) {
      stream->read(gulp, 10s, nullptr).value();
      if (gulp.reply_requested) {
        stream->send_feedback({}, {}, {}, ReplicationStream::Reply::kNotNeeded, 0).value();
      }
      for (const auto& message : gulp.messages) done = done || message.start_lsn > end_;
      if (decode) take_batch(decoder, gulp);
    }
    out.seconds = seconds_since(start);
    out.reader_cpu = own_cpu_seconds() - cpu;
    out.sender_cpu = cpu_seconds(sender);
    out.counters = stream->counters();
    stream->connection().close();
    drop("ours");
    return out;
  }

  static void take_batch(PgoutputDecoder& decoder, Gulp& gulp) {
    auto arena = std::make_shared<std::string>(std::move(gulp.arena));
    decoder.keep_alive(arena);
    for (const auto& message : gulp.messages)
      decoder.feed(std::string_view(*arena).substr(message.offset, message.size)).value();
    (void)decoder.take();
  }

  Figures peer() {
    copy_slot("peer");
    const auto start = SteadyClock::now();
    auto process = io::Process::start(
        {.arguments = {cluster_.bin() + "/pg_recvlogical", "-d", cluster_.url(), "-S", "peer",
                       "--start", "--no-loop", "-f", "/dev/null", "-o", "proto_version=1", "-o",
                       "publication_names=p", "-E", model::to_string(end_)}});
    Figures out;
    int sender = 0;
    while (!process->poll()) {
      if (sender == 0) {
        sender = std::atoi(
            cluster_.sql("SELECT active_pid FROM pg_replication_slots WHERE slot_name='peer'")
                .c_str());
      }
      out.reader_cpu = std::max(out.reader_cpu, cpu_seconds(process->pid()));
      out.sender_cpu = std::max(out.sender_cpu, cpu_seconds(sender));
      std::this_thread::sleep_for(5ms);
    }
    out.seconds = seconds_since(start);
    drop("peer");
    return out;
  }

  void drop(const std::string& slot) {
    cluster_.sql(fmt::format(
        "DO $$ BEGIN WHILE (SELECT active FROM pg_replication_slots WHERE slot_name = '{0}') LOOP"
        " PERFORM pg_sleep(0.01); END LOOP; END $$; SELECT pg_drop_replication_slot('{0}')",
        slot));
  }

  void print(const char* name, const Figures& figures) const {
    const double rows = transactions_ * 10.0;
    fmt::print(
        "{:<22} {:>8.0f} rows/s  {:.2f} s  reader {:.2f} cpu s  sender {:.2f} cpu s  "
        "{} gulps {} reads {} sleeps {} polls, fill {:.2f}\n",
        name, rows / figures.seconds, figures.seconds, figures.reader_cpu, figures.sender_cpu,
        figures.counters.gulps, figures.counters.reads, figures.counters.sleeps,
        figures.counters.polls,
        figures.counters.fill_sum / static_cast<double>(figures.counters.gulps));
    std::fflush(stdout);
  }

  harness::Cluster cluster_;
  const int transactions_;
  const int runs_;
  model::Lsn end_{};
};

}  // namespace
}  // namespace pgweir::postgres

int main(int argc, char** argv) {
  const int transactions = argc > 1 ? std::atoi(argv[1]) : 100'000;
  const int runs = argc > 2 ? std::atoi(argv[2]) : 3;
  pgweir::postgres::Bench(transactions, runs).run();
}
