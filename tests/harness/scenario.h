// One database of the shared cluster with one pipeline on it.
//
// Life: the program is killed and the slot dropped when destroyed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "harness/cluster.h"
#include "harness/program.h"
#include "harness/scratch.h"

namespace pgweir::harness {

class Scenario {
 public:
  // Runs `setup` in a database of its own. `yaml` goes behind source and data, `source` into the
  // source: ", catalog_interval: 200ms".
  Scenario(const std::string& setup, const std::string& yaml,
           const std::string& tables = "[public.*]", const std::string& source = "");
  ~Scenario();

  Program& program() { return *program_; }
  const std::string& slot() const { return slot_; }
  const std::string& publication() const { return publication_; }
  const std::string& directory() const { return scratch_.path(); }

  // Starts it and waits until it is ready.
  bool start();
  // By PostgreSQL; by us at the current position, as Program::sql().
  std::string sql(const std::string& statements);
  std::string ours(const std::string& select) { return program_->sql(select); }
  // Runs SQL in PostgreSQL and waits until the engine has taken it.
  bool change(const std::string& statements);
  // A command of the program with this configuration, to its end.
  io::Finished command(std::vector<std::string> arguments);

 private:
  ScratchFolder scratch_;
  const std::string database_;
  const std::string slot_;
  const std::string publication_;
  std::unique_ptr<Program> program_;
};

}  // namespace pgweir::harness
