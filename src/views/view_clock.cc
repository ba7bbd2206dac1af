#include "views/view_clock.h"

#include <fmt/core.h>

#include "engine/store.h"

namespace pgweir::views {
namespace {

std::string table_name() {
  return fmt::format("{}.view_clock", engine::kInternalSchema);
}

}  // namespace

Status ViewClock::create(duck::Connection& connection) {
  TRY(connection.execute(fmt::format(
      "CREATE TABLE IF NOT EXISTS {0} (step BIGINT); INSERT INTO {0} SELECT 0 WHERE NOT "
      "EXISTS (SELECT 1 FROM {0})",
      table_name())));
  return connection.execute(fmt::format(
      "CREATE SCHEMA IF NOT EXISTS pgweir; CREATE OR REPLACE VIEW pgweir.clock AS SELECT "
      "make_timestamptz(step * {}) AS now FROM {} WHERE step > 0",
      kStepUs, table_name()));
}

Result<std::int64_t> ViewClock::read_step(duck::Connection& connection) {
  return connection.query_int("SELECT step FROM " + table_name());
}

std::string ViewClock::sql() {
  return fmt::format("(SELECT step FROM {})", table_name());
}

Status ViewClock::read(duck::Connection& connection) {
  TRY_ASSIGN(step_, read_step(connection));
  return {};
}

Result<bool> ViewClock::advance(duck::Connection& connection, std::int64_t wall_us) {
  const std::int64_t step = step_of(wall_us);
  if (step <= step_) return false;
  TRY(connection.execute(fmt::format("UPDATE {} SET step = {}", table_name(), step)));
  step_ = step;
  return true;
}

}  // namespace pgweir::views
