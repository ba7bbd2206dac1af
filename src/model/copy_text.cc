#include "model/copy_text.h"

#include <fmt/core.h>

namespace pgweir::model {
namespace {

constexpr std::size_t kRoomBlockBytes = 64 * 1024;

char unescaped(char c) {
  switch (c) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    default:
      return c;
  }
}

}  // namespace

char* TextRoom::space(std::size_t size) {
  while (block_ < blocks_.size() && blocks_[block_].size - used_ < size) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    const std::size_t bytes = std::max(size, kRoomBlockBytes);
    blocks_.push_back({std::make_unique<char[]>(bytes), bytes});
  }
  return blocks_[block_].bytes.get() + used_;
}

std::size_t unescape_copy_field(std::string_view field, char* out) {
  std::size_t size = 0;
  for (std::size_t i = 0; i < field.size(); ++i) {
    const bool escape = field[i] == '\\' && i + 1 < field.size();
    if (escape) ++i;
    out[size++] = escape ? unescaped(field[i]) : field[i];
  }
  return size;
}

Error not_a_row_of(const Table& table, std::string_view line) {
  const std::size_t count = table.columns.size();
  if (count == 0) {
    return error(Code::kCorruption, "a snapshot row does not fit its table",
                 fmt::format("table {} has no columns", table.qualified_name()));
  }
  const auto fields = static_cast<std::size_t>(std::count(line.begin(), line.end(), '\t')) + 1;
  return error(Code::kCorruption, "a snapshot row does not fit its table",
               fmt::format("table {} has {} columns, the row {}", table.qualified_name(), count,
                           fields > count ? "more" : "fewer"));
}

}  // namespace pgweir::model
