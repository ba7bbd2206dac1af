// Rows of a table by COPY: a part of it under a snapshot of its own, and what every such reading
// needs.
//
// Place:   snapshot.h reads everything under one snapshot; this reads a part beside the stream.
// Threads: as the Connection.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/position.h"
#include "model/table.h"
#include "postgres/connection.h"
#include "postgres/xid_snapshot.h"

namespace pgweir::postgres {

// The condition `where`, which may be empty, and that of the table's row filter.
std::string row_condition(const model::Table& table, const std::string& where);

// "SELECT columns FROM ONLY schema.table"; without ONLY for a partitioned table.
std::string select_rows(const model::Table& table, bool partitioned);

// Whether the table still has the columns of `table`, with their types: kUnavailable, naming what
// is different, when it has not. From here to the transaction's end it stays so.
Result<int> check_columns(Connection& connection, const model::Table& table, bool partitioned);

// Runs COPY (`select`) TO STDOUT and gives every line, with its newline. An error of `row` ends the
// copy, and closes the connection.
Status copy_rows(Connection& connection, const model::Table& table, const std::string& select,
                 const std::function<Status(std::string_view line)>& row);

struct ChunkRequest {
  const model::Table& table;
  bool partitioned = false;
  std::string where;          // SQL; "" takes all rows
  std::size_t bytes_max = 0;  // with more than this the chunk is cut, and the connection closed
  std::string files;          // TableFiles::now of the reading's begin; "" where any will do
  // Takes the rows instead of TableChunk::lines; may be empty. An error of it is read_chunk()'s.
  std::function<Status(std::string_view line)> on_row;
  // Called as soon as the snapshot is known, in front of the first row; may be empty.
  std::function<void(const XidSnapshot&)> on_snapshot;
};

struct TableChunk {
  std::string lines;
  std::uint32_t row_count = 0;
  bool cut = false;    // there are more rows, nobody knows which
  bool moved = false;  // the table lies in other files: nothing was read
  XidSnapshot snapshot;
  // Every transaction that the snapshot sees is in the WAL in front of it.
  model::Lsn seen_lsn{};
};

// The rows in a REPEATABLE READ transaction of its own.
Result<TableChunk> read_chunk(Connection& connection, const ChunkRequest& request);

// Writes an empty message of ours into the WAL and to the disk, so that the stream moves beyond
// everything before it. Gives the transaction's id: smaller ones had begun before.
Result<std::uint64_t> move_wal(Connection& connection);

// Where the WAL ends, written or not.
Result<model::Lsn> insert_lsn(Connection& connection);

// The snapshot of this moment.
Result<XidSnapshot> current_snapshot(Connection& connection);

// The transactions with an id below `xid` that still run, in words; "" when there is none.
Result<std::string> running_before(Connection& connection, std::uint64_t xid);

}  // namespace pgweir::postgres
