// What peers_bench measures: its queries, and pgweir over the changes that wait in a PostgreSQL.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "event_stream.h"
#include "harness/cluster.h"

namespace pgweir::bench {

// A line of the answer is a row, its columns divided by '|', whoever gives it.
struct Query {
  std::string name;
  std::string view;
  std::string postgres;  // the same rows of the tables
  std::string read;      // and of the view, which is called `result`
  int parts = 1;         // in which these are read, by id
};

const std::vector<Query>& queries();
// By which first results are measured.
const Query& group_query();

using Rows = std::multiset<std::string>;
Rows rows_of(const std::string& text, char separator);

// Ends the benchmark.
[[noreturn]] void give_up(const std::string& why);

// What one run took.
struct Cost {
  double cpu_seconds = 0;
  double seconds = 0;
  double memory_mb = 0;
};

// A PostgreSQL with all changes in a slot for each query, which waits since before the first.
class ViewsSource {
 public:
  // `query`: one alone; "": all. Files go into `directory`; `memory_mib` is the engine's.
  ViewsSource(const EventStream& events, const std::string& query, int memory_mib,
              const std::string& directory);

  bool wanted(const Query& query) const { return only_.empty() || only_ == query.name; }
  // What PostgreSQL says.
  Rows answer(const Query& query);

  // pgweir over all changes, to their end. `rows`, if wanted, gets the view's.
  Cost run(const Query& query, Rows* rows);
  // Seconds from exec to the first rows of a view whose changes wait.
  double first_result();
  // The same where nothing was before: slot, publication and snapshot are part of it.
  double first_result_of_all(const EventStream& events);

 private:
  struct Copy {
    std::string slot;
    std::string data;
  };

  std::string rest_of_yaml(const Query& query, const std::string& data) const;
  std::string yaml(const Query& query, const std::string& slot, const std::string& data) const;
  void first_run(const Query& query);
  void fill(const std::string& database, const EventStream& events);
  Copy make_copy(const Query& query);
  void remove(const Copy& copy);
  Rows read_rows(const Query& query, const Copy& copy);

  const std::string only_;
  const int memory_mib_;
  const std::string directory_;
  harness::Cluster cluster_;
  std::string end_lsn_;
  int copies_ = 0;
};

}  // namespace pgweir::bench
