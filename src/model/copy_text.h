// Rows as COPY TO STDOUT prints them, taken apart into cells; and blocks of them that nobody has
// taken apart yet.
//
// Place:   the log keeps the rows of a snapshot in this form. postgres/pgoutput makes batches of
//          them; the engine takes the blocks of a first snapshot as they are, so that several
//          threads can take them apart.
// Threads: plain values; blocks are immutable once shared.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/batch.h"
#include "model/position.h"
#include "model/table.h"

namespace pgweir::model {

// Some rows of one table.
struct RowBlock {
  std::shared_ptr<const Table> table;
  std::string_view lines;  // each ended by a newline (the last one's may be missing)
};

// Rows of a first snapshot, in the order of the log.
struct RowBlocks {
  Position from, to;  // (from, to]
  Timestamp time{};   // of the snapshot
  std::vector<RowBlock> blocks;
  // Keeps alive what the lines point into.
  std::vector<std::shared_ptr<const void>> arenas;
};

using RowBlocksPtr = std::shared_ptr<const RowBlocks>;

// Room for texts that had escapes in them. clear() keeps the memory.
class TextRoom {
 public:
  // Room for a text of up to `size`; keep() tells how much of it was used.
  char* space(std::size_t size);
  void keep(std::size_t size) { used_ += size; }
  void clear() { block_ = used_ = 0; }

 private:
  struct Block {
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;
  };
  std::vector<Block> blocks_;
  std::size_t block_ = 0;  // being filled
  std::size_t used_ = 0;   // of it
};

// `line` is not a row of this table.
Error not_a_row_of(const Table& table, std::string_view line);

// The first line, without its newline; `lines` goes on behind it.
inline std::string_view next_line(std::string_view& lines) {
  const void* end = std::memchr(lines.data(), '\n', lines.size());
  const std::size_t size =
      end == nullptr ? lines.size()
                     : static_cast<std::size_t>(static_cast<const char*>(end) - lines.data());
  const std::string_view line = lines.substr(0, size);
  lines.remove_prefix(std::min(size + 1, lines.size()));
  return line;
}

// The text of a field with escapes, written to `out`, which has room for field.size(); its size.
std::size_t unescape_copy_field(std::string_view field, char* out);

// False when the line has not exactly `count` fields. `room` as TextRoom has it. Cells point into
// the line, or into the room.
template <typename Room>
bool split_copy_row(std::string_view line, std::size_t count, Cell* cell, Room& room) {
  const char* at = line.data();
  const char* const end = at + line.size();
  const bool escapes = line.empty() || std::memchr(at, '\\', line.size()) != nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    const auto left = static_cast<std::size_t>(end - at);
    const void* tab = left == 0 ? nullptr : std::memchr(at, '\t', left);
    const bool is_last = i + 1 == count;
    if ((tab == nullptr) != is_last) return false;
    const char* const stop = is_last ? end : static_cast<const char*>(tab);
    const std::string_view field(at, static_cast<std::size_t>(stop - at));
    at = is_last ? end : stop + 1;
    if (!escapes || field.find('\\') == std::string_view::npos) {
      *cell++ = {field.data(), static_cast<std::uint32_t>(field.size()), CellKind::kText};
    } else if (field == "\\N") {
      *cell++ = {};
    } else {
      char* const text = room.space(field.size());
      const std::size_t size = unescape_copy_field(field, text);
      room.keep(size);
      *cell++ = {text, static_cast<std::uint32_t>(size), CellKind::kText};
    }
  }
  return at == end;
}

}  // namespace pgweir::model
