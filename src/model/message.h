// Logical messages (pg_logical_emit_message) as changes: rows of a table that the source does not
// have, so that whatever takes changes takes them, too.
//
// Place:   made by postgres/pgoutput; the engine keeps no mirror of them: they are events, not
// rows. Threads: immutable.
#pragma once

#include <memory>

#include "model/table.h"

namespace pgweir::model {

// "pgweir.messages", OID 0, without a key. Its columns, in this order:
//   prefix         text
//   content        bytea; NULL where it was too large to be kept
//   content_bytes  bigint, how large it was
//   transactional  boolean; false: written at once, whatever became of its transaction
const std::shared_ptr<const Table>& messages_table();

constexpr bool holds_messages(const Table& table) {
  return value(table.id) == 0;
}

}  // namespace pgweir::model
