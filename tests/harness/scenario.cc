#include "harness/scenario.h"

#include <fmt/core.h>

#include "harness/wait.h"

namespace pgweir::harness {

Scenario::Scenario(const std::string& setup, const std::string& yaml, const std::string& tables,
                   const std::string& source)
    : database_(shared_cluster().create_database()),
      slot_("slot_" + database_),
      publication_("pub_" + database_) {
  sql(setup);
  program_ = std::make_unique<Program>(
      scratch_.path(),
      fmt::format(
          "source: {{url: \"{}\", slot: {}, publication: {}, tables: {}{}}}\ndata: {}/data\n{}",
          shared_cluster().url(database_), slot_, publication_, tables, source, scratch_.path(),
          yaml));
}

Scenario::~Scenario() {
  program_.reset();
  const std::string count =
      fmt::format("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'", slot_);
  wait_for(std::chrono::seconds(10), [&] { return sql(count + " AND active") == "0"; });
  if (sql(count) == "1") sql(fmt::format("SELECT pg_drop_replication_slot('{}')", slot_));
}

bool Scenario::start() {
  program_->start();
  return program_->wait_ready();
}

std::string Scenario::sql(const std::string& statements) {
  return shared_cluster().sql(statements, database_);
}

bool Scenario::change(const std::string& statements) {
  sql(statements);
  return program_->wait_position(sql("SELECT pg_current_wal_lsn()"));
}

io::Finished Scenario::command(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"-c", program_->config_file()});
  return run_program(std::move(arguments));
}

}  // namespace pgweir::harness
