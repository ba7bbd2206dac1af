// Heartbeats: logical messages of our own that keep a slot moving where nothing else is written.
//
// Place:   written by an ordinary connection, seen by the replication stream, which makes a
//          keepalive of them: they reach neither the log nor its followers.
// Threads: as the Connection.
#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"
#include "model/position.h"
#include "postgres/connection.h"

namespace pgweir::postgres {

// The prefix of every logical message that pgweir itself writes.
inline constexpr std::string_view kMessagePrefix = "pgweir";

// Writes one, in no transaction; every slot of the database sees it. kCheckFailed (42501) when the
// role may not execute pg_logical_emit_message, or (25006) when the server is a standby.
Status emit_heartbeat(Connection& connection);

// Where a pgoutput message that is a heartbeat ends in the WAL; nothing for any other message.
// Every transaction that committed before it has been sent before it.
std::optional<model::Lsn> heartbeat_lsn(std::string_view message);

}  // namespace pgweir::postgres
