// Timelines: a server that took over after a promotion is the same system with a new timeline,
// which left the old one somewhere. What we took beyond that point never happened there.
//
// Place:   asked over a replication connection, beside setup.h.
// Threads: as the Connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/position.h"
#include "postgres/connection.h"
#include "postgres/setup.h"

namespace pgweir::postgres {

// Where `timeline` ended, by a history file's text ("1\t0/3000000\treason" a line); nothing when
// the history does not go through it.
std::optional<model::Lsn> end_of_timeline(std::string_view history, std::uint32_t timeline);

// Whether what was taken on `timeline` up to `taken` belongs to the history of the server that
// `system` describes, which has a later timeline. kCorruption when it left `timeline` before
// `taken`, or never was on it.
Status check_history(Connection& replication, const SystemIdentity& system, std::uint32_t timeline,
                     model::Lsn taken);

// The error (kCheckFailed) for a server whose timeline is older than the one that was followed.
Error old_primary(const std::string& where, const SystemIdentity& system, std::uint32_t timeline);

// The error (kCorruption) for a server of another system identifier than the data folder's.
Error other_cluster(const std::string& data_directory, const std::string& followed,
                    const SystemIdentity& system);

// That a replication connection has reached the server that `system` describes: among several hosts
// it may not. kUnavailable when not.
Status check_same_server(Connection& replication, const SystemIdentity& system);

}  // namespace pgweir::postgres
