// The text of a view's SQL with its names resolved.
#include "views/plan.h"

namespace pgweir::views {

using duck::quote_identifier;

ResolvedSql::ResolvedSql(const ViewDefinition& view, const std::vector<const Relation*>& relations,
                         const std::vector<std::optional<Window>>& windows,
                         std::string (*rows_of)(const Relation&)) {
  const std::string& sql = view.source.sql;
  std::size_t at = 0;
  for (std::size_t i = 0; i < view.refs.size(); ++i) {
    const RelationRef& ref = view.refs[i];
    text_.append(sql, at, ref.start - at);
    Edit edit{text_.size(), 0, ref.start, ref.end};
    const std::string rows = rows_of(*relations[i]);
    if (windows[i]) {
      text_ += windowed_rows(*windows[i], rows);
      if (ref.alias.empty()) text_ += " AS " + quote_identifier(ref.name);
    } else {
      text_ += rows;
    }
    edit.end = text_.size();
    edits_.push_back(edit);
    at = ref.end;
  }
  text_.append(sql, at, std::string::npos);
  // A closing semicolon would end the statements that the text is put into.
  const std::size_t last = text_.find_last_not_of(" \t\r\n");
  if (last != std::string::npos && text_[last] == ';') text_.erase(last);
}

std::uint64_t ResolvedSql::original(std::uint64_t offset) const {
  if (offset == kNoOffset) return offset;
  std::uint64_t shift_from = 0, shift_to = 0;
  for (const Edit& edit : edits_) {
    if (offset < edit.start) break;
    if (offset < edit.end) return edit.original;
    shift_from = edit.end;
    shift_to = edit.original_end;
  }
  return offset - shift_from + shift_to;
}

std::string select_over_rows(const ViewDefinition& view,
                             const std::vector<const Relation*>& relations,
                             const std::vector<std::optional<Window>>& windows) {
  return ResolvedSql(view, relations, windows,
                     [](const Relation& relation) { return relation.rows; })
      .text();
}

}  // namespace pgweir::views
