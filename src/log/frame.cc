#include "log/frame.h"

#include "base/assert.h"
#include "base/bytes.h"

namespace pgweir::log {

void append_record(std::string& payload, std::string_view record) {
  PGWEIR_ASSERT(record.size() <= 0xffffffffu, "a record's length must fit its 32-bit field");
  append_file(payload, static_cast<std::uint32_t>(record.size()));
  payload.append(record);
}

bool RecordReader::next(std::string_view& record) {
  if (rest_.empty() || !ok_) return false;
  FileReader reader(rest_);
  const auto size = reader.read<std::uint32_t>();
  record = reader.bytes(size);
  ok_ = reader.ok();
  if (ok_) rest_.remove_prefix(reader.offset());
  return ok_;
}

}  // namespace pgweir::log
