// A mirror while its table is read beside the stream: which rows came, and which did not.
#include <fmt/core.h>

#include "engine/mirror_writer.h"

namespace pgweir::engine {

using duck::quote_identifier;

std::string MirrorWriter::key_columns() const {
  std::string out;
  for (std::size_t i = 0; i < layout_.columns.size(); ++i) {
    if (is_key(i))
      out += fmt::format("{}c{} {}", out.empty() ? "" : ", ", i, layout_.columns[i].type);
  }
  return out;
}

// The stage table holds the batch's rows.
Status MirrorWriter::note_seen() {
  note_seen_sql_.set(
      fmt::format("INSERT INTO {} SELECT {} FROM {} WHERE has_new", seen_, staged_keys(), stage_));
  TRY(note_seen_sql_.run(connection_));
  return {};
}

Result<std::uint64_t> MirrorWriter::make_delta_of_unseen() {
  std::string columns, same_key;
  for (std::size_t i = 0; i < layout_.columns.size(); ++i) {
    const std::string name = quote_identifier(layout_.columns[i].name);
    columns += "m." + name + ", ";
    if (is_key(i))
      same_key += fmt::format("{}m.{} = s.c{}", same_key.empty() ? "" : " AND ", name, i);
  }
  PreparedSql statement;
  statement.set(fmt::format("INSERT INTO {} SELECT {}m.{}, -1 FROM {} AS m ANTI JOIN {} AS s ON {}",
                            delta_, columns, kHashColumn, store_->content_name(), seen_, same_key));
  return statement.run(connection_);
}

}  // namespace pgweir::engine
