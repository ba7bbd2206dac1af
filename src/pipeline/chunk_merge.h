// Rows that a snapshot read, brought up to date with what the log says since: what makes a reading
// beside the stream exact.
//
// Place:   pure; table_reads.h gives it the rows and the recorded changes.
// Rows:    as COPY text, fields escaped: they are neither decoded nor encoded on the way.
// Threads: plain functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/batch.h"
#include "model/table.h"

namespace pgweir::pipeline {

// The columns that tell a table's rows apart, as indexes; empty without a key.
std::vector<std::uint32_t> key_columns(const model::Table& table);

// A field as COPY text has it: "\N" is NULL.
std::string copy_field(const model::Cell& cell);

// The fields of the key, with tabs between them.
std::string key_of_cells(std::span<const model::Cell> row, std::span<const std::uint32_t> key);
std::string key_of_line(std::string_view line, std::span<const std::uint32_t> key);

// One change of a row, as the stream told of it.
struct RecordedChange {
  model::Op op = model::Op::kInsert;
  model::Xid xid{};
  std::string old_key;  // of an update or delete
  std::string new_key;  // of an insert or update
  // The new row's fields; nothing is a value that was not sent.
  std::vector<std::optional<std::string>> fields;
  std::string old_line;  // of a table without a key: the whole old row as COPY text

  std::size_t bytes() const;
  bool is_complete() const;
};

struct MergedChunk {
  std::string lines;  // each ended by a newline
  std::uint32_t row_count = 0;
  // Of the chunk's keys and those asked for: whose rows came from elsewhere, without all values.
  std::vector<std::string> incomplete;
};

// `lines`: the rows of some range of a table as a snapshot saw them. `changes`: those that this
// snapshot did not see, in order. Gives the same rows as they are after the changes: a row that was
// deleted is left out, one that got another key has it; a row that only the changes brought is not
// added, since they say all of it. `asked`: keys that the chunk was to bring.
MergedChunk merge_chunk(std::string lines, std::span<const std::uint32_t> key,
                        std::span<const RecordedChange* const> changes,
                        std::span<const std::string> asked = {});

// The same for all rows of a table without a key: equal rows are as many as they are.
MergedChunk merge_whole(std::string lines, std::span<const RecordedChange* const> changes);

}  // namespace pgweir::pipeline
