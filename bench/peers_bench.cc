// What views cost by pgweir, Flink SQL and Spark structured streaming, on the same changes, in one
// run: a filter, a group, a join with group, a tumbling window, the best three of each group.
//
// usage: peers_bench RESULT.json [--changes N] [--rounds N] [--parallelism N] [--memory-mib N]
//                     [--query NAME] [--peers flink|spark|none]
//
// The changes (event_stream.h: inserts, updates and deletes) are made in a PostgreSQL, where they
// wait in a slot, and are written as Debezium's JSON into files, which Flink and Spark read without
// a broker between. Those events have the whole row before each update and delete, which Debezium
// finds in PostgreSQL's stream only under REPLICA IDENTITY FULL: so that is what both tables have,
// and what pgweir reads. Each round runs every query by each of them, alone:
//   pgweir   the whole program with that one view, from a copy of the slot, to its end: changes
//            durable in the log, mirrors of what the view needs (engine.mirrors: needed_columns:
//            of one table's filter, group or window nothing; batches of 100,000 changes), the
//            view's rows stored
//   Flink    a cluster on its own, as a user first runs it, then again while it is warm, into a
//            sink that throws the rows away (bench/peers/flink.py)
//   Spark    likewise one session, as one batch (bench/peers/spark.py)
// Counted are the CPU seconds of all their processes, but not those of the sources: the files, and
// PostgreSQL's walsender. In the first round everyone's rows are compared with PostgreSQL's answer.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <tuple>

#include "event_stream.h"
#include "figures.h"
#include "harness/program.h"
#include "harness/scratch.h"
#include "io/process.h"
#include "views_source.h"

namespace pgweir::bench {
namespace {
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using harness::Json;

struct Options {
  std::string result = "views.json";
  std::int64_t changes = 2'000'000;
  int rounds = 2;
  int parallelism = 2;   // of Flink and Spark, and files of events
  int memory_mib = 256;  // of pgweir's engine
  std::string query;     // "": all
  std::set<std::string> peers = {"flink", "spark"};
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Rows that are there and should not be, and the other way round; the first ones are printed.
double wrong_rows(const std::string& who, const Rows& found, const Rows& expected) {
  std::vector<std::string> many, few;
  std::set_difference(found.begin(), found.end(), expected.begin(), expected.end(),
                      std::back_inserter(many));
  std::set_difference(expected.begin(), expected.end(), found.begin(), found.end(),
                      std::back_inserter(few));
  for (std::size_t i = 0; i < std::min<std::size_t>(2, many.size()); ++i)
    fmt::print("{}: wrong row {}\n", who, many[i]);
  for (std::size_t i = 0; i < std::min<std::size_t>(2, few.size()); ++i)
    fmt::print("{}: no row {}\n", who, few[i]);
  return static_cast<double>(std::max(many.size(), few.size()));
}

// Runs bench/peers/NAME.py; what it found.
class Peers {
 public:
  Peers(const Options& options, const std::string& directory)
      : options_(options), directory_(directory) {
    for (const auto& [name, file] : {std::pair("flink", "/flink/bin/sql-client.sh"),
                                     std::pair("spark", "/python/bin/python3")}) {
      if (has(name) && !std::filesystem::exists(kDeps + file))
        give_up(fmt::format("{} is not there: run tools/setup.sh peers", kDeps + file));
    }
  }

  bool has(const std::string& name) const { return options_.peers.contains(name); }

  // Without a result when it failed, which it has said.
  Json run(const std::string& name, const std::string& events,
           const std::vector<std::string>& more) {
    const std::string result = directory_ + "/result.json";
    const std::string log = directory_ + "/peer.log";
    std::filesystem::remove(result);
    std::filesystem::remove(log);
    std::vector<std::string> arguments = {
        name == "spark" ? kDeps + "/python/bin/python3" : "/usr/bin/python3",
        fmt::format(PGWEIR_SOURCE "/bench/peers/{}.py", name),
        events,
        directory_ + "/work",
        result,
        "--parallelism",
        std::to_string(options_.parallelism)};
    if (name == "flink") arguments.insert(arguments.end(), {"--flink", kDeps + "/flink"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    auto process = io::Process::start({.arguments = arguments, .output = log});
    if (!process.ok()) give_up(process.error().text());
    const auto code = process->wait(kPatience);
    if (!code.ok() || *code != 0) {
      std::stringstream said;
      said << std::ifstream(log).rdbuf();
      fmt::print(stderr, "{} {} failed:\n{}\n", name, fmt::to_string(fmt::join(more, " ")),
                 said.str());
      return Json::object();
    }
    return Json::parse(std::ifstream(result), nullptr, false);
  }

 private:
  static constexpr std::chrono::minutes kPatience{40};
  inline static const std::string kDeps = PGWEIR_SOURCE "/.deps";

  const Options& options_;
  const std::string directory_;
};

// Values by name, one of each round.
using Series = std::map<std::string, std::vector<double>>;

std::vector<double> ratios(const std::vector<double>& of, const std::vector<double>& to) {
  std::vector<double> out;
  for (std::size_t i = 0; i < std::min(of.size(), to.size()); ++i) out.push_back(of[i] / to[i]);
  return out;
}

class Bench {
 public:
  Bench(const Options& options, const std::string& directory)
      : options_(options), directory_(directory), peers_(options, directory) {
    const auto start = Clock::now();
    const EventStream stream(options.changes);
    changes_ = static_cast<double>(stream.write_json(directory + "/events", options.parallelism));
    head_.write_json(directory + "/head", options.parallelism);
    source_ = std::make_unique<ViewsSource>(stream, options.query, options.memory_mib, directory);
    fmt::print("{} changes made twice in {:.0f} s\n", changes_, seconds_since(start));
    std::fflush(stdout);
  }

  int run() {
    Figures figures;
    figures.note("views_changes", {changes_}, "changes");
    std::map<std::string, Series> found;
    Series starts;
    for (int round = 0; round < options_.rounds; ++round) {
      for (const Query& query : queries()) {
        if (source_->wanted(query)) measure(query, round, found[query.name]);
      }
      measure_starts(starts);
    }
    for (const Query& query : queries()) {
      if (source_->wanted(query)) add_figures(figures, "views_" + query.name, found[query.name]);
    }
    add_starts(figures, starts);
    figures.store(options_.result, "views");
    return right_ ? 0 : 1;
  }

 private:
  void measure(const Query& query, int round, Series& series) {
    Rows expected, rows;
    if (round == 0) expected = source_->answer(query);
    const Cost own = source_->run(query, round == 0 ? &rows : nullptr);
    series["pgweir"].push_back(changes_ / own.cpu_seconds);
    series["pgweir_seconds"].push_back(own.seconds);
    series["pgweir_memory"].push_back(own.memory_mb);
    if (round == 0) {
      series["pgweir_wrong"].push_back(wrong_rows("pgweir " + query.name, rows, expected));
      right_ = right_ && series["pgweir_wrong"][0] == 0;
      series["rows"].push_back(static_cast<double>(expected.size()));
    }
    for (const char* peer : {"flink", "spark"}) {
      if (peers_.has(peer)) measure_peer(peer, query, round == 0 ? &expected : nullptr, series);
    }
    // Its windows as their own documentation shows them, which drop what comes late.
    if (round == 0 && query.name == "window" && peers_.has("flink"))
      series["flink_tumble_wrong"].push_back(
          rows_of_peer("flink", "tumble", {"--rows-only"}, expected).second);
    fmt::print("{}, round {}: pgweir {:.2f} CPU s", query.name, round + 1, own.cpu_seconds);
    for (const char* name : {"flink_first", "flink_second", "spark_first", "spark_second"}) {
      if (!series[name].empty())
        fmt::print(", {} {:.2f} CPU s", name, changes_ / series[name].back());
    }
    fmt::print("\n");
    std::fflush(stdout);
  }

  // What the peer found, and how many of its rows are wrong.
  std::pair<Json, double> rows_of_peer(const std::string& peer, const std::string& query,
                                       std::vector<std::string> more, const Rows& expected) {
    const std::string file = directory_ + "/rows";
    std::filesystem::remove(file);
    more.insert(more.end(), {"--query", query, "--rows", file});
    const Json found = peers_.run(peer, directory_ + "/events", more);
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    const bool answered = std::filesystem::exists(file);
    return {found,
            answered ? wrong_rows(peer + " " + query, rows_of(text.str(), '\n'), expected) : 0};
  }

  // `expected` only where its rows are to be compared.
  void measure_peer(const std::string& peer, const Query& query, const Rows* expected,
                    Series& series) {
    if (!series[peer + "_cannot"].empty()) return;
    Json found;
    double wrong = 0;
    if (expected != nullptr) {
      std::tie(found, wrong) = rows_of_peer(peer, query.name, {}, *expected);
    } else {
      found = peers_.run(peer, directory_ + "/events", {"--query", query.name});
    }
    if (found.contains("cannot")) {
      fmt::print("{} cannot {}: {}\n", peer, query.name, found["cannot"].get<std::string>());
      series[peer + "_cannot"].push_back(1);
      return;
    }
    if (!found.contains("first")) {
      right_ = false;
      return;
    }
    if (expected != nullptr) series[peer + "_wrong"].push_back(wrong);
    for (const std::string which : {"first", "second"}) {
      const Json& run = found[which];
      const std::string name = peer + "_" + which;
      series[name].push_back(changes_ / run["cpu_seconds"].get<double>());
      series[name + "_seconds"].push_back(run["seconds"].get<double>());
      if (!run.contains("client_cpu_seconds")) continue;
      series[name + "_worker_alone"].push_back(changes_ / run["worker_cpu_seconds"].get<double>());
      series[name + "_with_client"].push_back(
          changes_ / (run["cpu_seconds"].get<double>() + run["client_cpu_seconds"].get<double>()));
    }
    series[peer + "_memory"].push_back(found["memory_mb"].get<double>());
  }

  // By a group, whose slot is not there when another query is measured alone.
  void measure_starts(Series& starts) {
    if (!source_->wanted(group_query())) return;
    starts["pgweir"].push_back(source_->first_result());
    starts["pgweir_from_nothing"].push_back(source_->first_result_of_all(head_));
    for (const char* peer : {"flink", "spark"}) {
      if (!peers_.has(peer)) continue;
      const Json found = peers_.run(peer, directory_ + "/head", {"--first-result"});
      right_ = right_ && found.contains("seconds");
      if (found.contains("seconds")) starts[peer].push_back(found["seconds"].get<double>());
    }
  }

  void add_figures(Figures& figures, const std::string& prefix, Series& series) const {
    for (const char* who :
         {"pgweir", "flink_first", "flink_first_worker_alone", "flink_first_with_client",
          "flink_second", "flink_second_worker_alone", "spark_first", "spark_second"})
      note(figures, prefix, who, "", "changes/CPU s", series);
    for (const char* who : {"pgweir", "flink_first", "flink_second", "spark_first", "spark_second"})
      note(figures, prefix, who, "_seconds", "s", series);
    for (const char* who : {"pgweir", "flink", "spark"})
      note(figures, prefix, who, "_memory", "MB", series);
    note(figures, prefix, "rows", "", "rows", series);
    if (!series["pgweir_wrong"].empty())
      figures.add(prefix + "_pgweir_wrong", series["pgweir_wrong"], "rows", Goal::kAtMost, 0);
    for (const char* who : {"flink", "flink_tumble", "spark"})
      note(figures, prefix, who, "_wrong", "rows", series);
    for (const char* who : {"flink", "spark"}) note(figures, prefix, who, "_cannot", "", series);
    const auto rate = [&](const char* peer, double goal) {
      if (!series[peer].empty())
        figures.add(fmt::format("{}_to_{}", prefix, peer), ratios(series["pgweir"], series[peer]),
                    "x", Goal::kAtLeast, goal);
    };
    rate("flink_first", 5);
    rate("flink_second", 3);
    rate("spark_first", 5);
    if (!series["spark_second"].empty())
      figures.note(prefix + "_to_spark_second", ratios(series["pgweir"], series["spark_second"]),
                   "x");
    for (const char* peer : {"flink", "spark"}) {
      const auto& memory = series[fmt::format("{}_memory", peer)];
      if (!memory.empty())
        figures.add(fmt::format("{}_memory_to_{}", prefix, peer),
                    ratios(series["pgweir_memory"], memory), "x", Goal::kAtMost, 0.2);
    }
  }

  static void note(Figures& figures, const std::string& prefix, const std::string& who,
                   const std::string& what, const std::string& unit, Series& series) {
    if (!series[who + what].empty())
      figures.note(fmt::format("{}_{}{}", prefix, who, what), series[who + what], unit);
  }

  static void add_starts(Figures& figures, Series& starts) {
    for (const auto& [who, seconds] : starts)
      figures.note("views_first_result_" + who, seconds, "s");
    for (const char* peer : {"flink", "spark"}) {
      if (starts[peer].empty()) continue;
      for (const char* own : {"pgweir", "pgweir_from_nothing"})
        figures.add(fmt::format("views_first_result_{}_to_{}", own, peer),
                    ratios(starts[own], starts[peer]), "x", Goal::kAtMost, 0.05);
    }
  }

  const Options& options_;
  const std::string directory_;
  Peers peers_;
  const EventStream head_{20'000};
  std::unique_ptr<ViewsSource> source_;
  double changes_ = 0;
  bool right_ = true;  // every program ended well, and our rows were right
};

}  // namespace
}  // namespace pgweir::bench

int main(int argc, char** argv) {
  pgweir::bench::Options options;
  std::string peers;
  CLI::App arguments("What views cost by pgweir, Flink SQL and Spark structured streaming");
  arguments.add_option("result", options.result, "where the figures go, as JSON");
  arguments.add_option("--changes", options.changes);
  arguments.add_option("--rounds", options.rounds);
  arguments.add_option("--parallelism", options.parallelism, "of Flink and Spark");
  arguments.add_option("--memory-mib", options.memory_mib, "engine.memory of pgweir");
  arguments.add_option("--query", options.query, "one query alone");
  arguments.add_option("--peers", peers, "flink, spark or none; both when not given")
      ->check(CLI::IsMember({"flink", "spark", "none"}));
  CLI11_PARSE(arguments, argc, argv);
  if (!peers.empty()) options.peers = {peers};
  if (options.changes < 20'000 || options.rounds < 1 || options.parallelism < 1) {
    fmt::print(stderr, "peers_bench: --changes from 20000, --rounds and --parallelism from 1\n");
    return 2;
  }
  const pgweir::harness::ScratchFolder scratch;
  return pgweir::bench::Bench(options, scratch.path()).run();
}
