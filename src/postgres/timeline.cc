#include "postgres/timeline.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace pgweir::postgres {

std::optional<model::Lsn> end_of_timeline(std::string_view history, std::uint32_t timeline) {
  while (!history.empty()) {
    const std::string_view line = history.substr(0, history.find('\n'));
    history.remove_prefix(std::min(line.size() + 1, history.size()));
    std::uint32_t number = 0;
    const auto parsed = std::from_chars(line.data(), line.data() + line.size(), number);
    if (parsed.ec != std::errc() || number != timeline) continue;
    std::string_view rest = line.substr(static_cast<std::size_t>(parsed.ptr - line.data()));
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    const auto end = model::parse_lsn(rest.substr(0, rest.find_first_of(" \t")));
    if (end.ok()) return *end;
  }
  return std::nullopt;
}

Error old_primary(const std::string& where, const SystemIdentity& system, std::uint32_t timeline) {
  return error(
      Code::kCheckFailed, "the server is not the one that took over",
      fmt::format("{} is on timeline {}, the log has followed timeline {}: an old primary "
                  "came back",
                  where, system.timeline, timeline),
      fmt::format("Stop it, or make it a standby of the new primary (pg_rewind). If it was "
                  "restored on purpose: {}",
                  kResyncHint));
}

Error other_cluster(const std::string& data_directory, const std::string& followed,
                    const SystemIdentity& system) {
  return error(
      Code::kCorruption,
      fmt::format("the server is not the PostgreSQL cluster that the data folder '{}' follows",
                  data_directory),
      fmt::format("its system identifier is {}, the data folder's is {}: it was made anew, as by "
                  "pg_upgrade or to restore a dump into, or source.url leads to another one",
                  system.system_identifier, followed),
      fmt::format("For the same tables: {}. For others: name another folder in `data`, or point "
                  "source.url back",
                  kResyncHint));
}

Status check_history(Connection& replication, const SystemIdentity& system, std::uint32_t timeline,
                     model::Lsn taken) {
  TRY_ASSIGN(const QueryResult rows,
             replication.query(fmt::format("TIMELINE_HISTORY {}", system.timeline)));
  const auto end = end_of_timeline(rows.row_count() == 0 ? "" : rows.text(0, 1), timeline);
  if (end && taken <= *end) return {};
  const std::string left =
      end ? fmt::format("left timeline {} at {}", timeline, model::to_string(*end))
          : fmt::format("never was on timeline {}", timeline);
  return error(Code::kCorruption, "the server that took over lacks changes that the log has",
               fmt::format("it is on timeline {} and {}, the log ends at {}", system.timeline, left,
                           model::to_string(taken)),
               fmt::format("{}. synchronized_standby_slots (PostgreSQL 17) keeps this from "
                           "happening",
                           kResyncHint));
}

Status check_same_server(Connection& replication, const SystemIdentity& system) {
  TRY_ASSIGN(const QueryResult rows, replication.query("IDENTIFY_SYSTEM"));
  if (rows.text(0, 0) == system.system_identifier &&
      rows.integer(0, 1) == static_cast<std::int64_t>(system.timeline))
    return {};
  return error(Code::kUnavailable, "another server answered meanwhile",
               fmt::format("PostgreSQL at {} is system {} on timeline {}, before it was {} on {}",
                           replication.where(), rows.text(0, 0), rows.text(0, 1),
                           system.system_identifier, system.timeline));
}

}  // namespace pgweir::postgres
