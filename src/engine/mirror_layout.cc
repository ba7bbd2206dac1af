#include "engine/mirror_layout.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

namespace pgweir::engine {
namespace {

using model::Cell;
using model::CellKind;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return c < 0x80 ? static_cast<char>(std::tolower(c)) : static_cast<char>(c);
  });
  return text;
}

// DuckDB's names ignore case, PostgreSQL's do not; some are ours.
std::string free_name(const std::string& name, std::set<std::string>& taken) {
  std::string candidate = name;
  for (int i = 2; !taken.insert(lower(candidate)).second; ++i)
    candidate = fmt::format("{}_{}", name, i);
  return candidate;
}

RowIdentity identify(const model::Table& table) {
  RowIdentity identity;
  std::vector<std::uint32_t> marked;
  for (std::uint32_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].in_key) marked.push_back(i);
  }
  switch (table.replica_identity) {
    case model::ReplicaIdentity::kNothing:
      identity.kind = MirrorKind::kAppendOnly;
      break;
    case model::ReplicaIdentity::kFull:
      identity.key = table.primary_key;
      identity.kind = table.primary_key.empty() ? MirrorKind::kBag : MirrorKind::kKeyed;
      break;
    default:
      identity.key = marked.empty() ? table.primary_key : marked;
      identity.kind = identity.key.empty() ? MirrorKind::kAppendOnly : MirrorKind::kKeyed;
  }
  return identity;
}

std::string key_text(const MirrorLayout& layout, const Cell* row) {
  std::string names, values;
  for (const std::uint32_t column : layout.identity.key) {
    const char* comma = names.empty() ? "" : ", ";
    names += comma + layout.table.columns[column].name;
    values += comma + (row[column].kind == CellKind::kText ? std::string(row[column].text())
                                                           : std::string("NULL"));
  }
  if (names.empty()) return "a table without a key";
  return fmt::format("key ({})=({})", names, values);
}

}  // namespace

MirrorLayout lay_out(const model::Table& table, std::vector<std::uint32_t> kept,
                     const TypeOptions& options) {
  MirrorLayout layout{.table = table, .identity = identify(table)};
  RowIdentity& identity = layout.identity;
  kept.insert(kept.end(), identity.key.begin(), identity.key.end());
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  identity.kept = kept;
  if (identity.kind == MirrorKind::kBag) identity.key = kept;
  std::set<std::string> taken{kHashColumn, kWeightColumn, kRunColumn};
  for (const std::uint32_t i : kept) {
    const ColumnType& type = layout.types.emplace_back(map_type(table.columns[i], options));
    layout.columns.push_back({free_name(table.columns[i].name, taken), type.duck_type});
  }
  return layout;
}

Error does_not_fit(const MirrorLayout& layout, const RowMisfit& misfit, const Cell* row,
                   const Cell* key_row, model::Lsn lsn) {
  const std::uint32_t column = layout.identity.kept[misfit.kept_index];
  constexpr std::size_t kShown = 100;
  const std::string_view text = row[column].text();
  const std::string& type = layout.columns[misfit.kept_index].type;
  const model::Column& source = layout.table.columns[column];
  const bool free_precision = source.type_modifier < 0 || source.base_type != model::Oid{};
  const bool configurable = type.starts_with("DECIMAL") && free_precision &&
                            text.find_first_not_of("-.0123456789") == std::string_view::npos;
  return error(
      Code::kInvalid,
      fmt::format("a value of {}.{} ({}) {} {}", layout.table.qualified_name(), source.name,
                  source.type_name,
                  misfit.fit == Fit::kOutOfRange ? "does not fit into" : "cannot be read as", type),
      fmt::format("{}; commit {}; value '{}'", key_text(layout, key_row), model::to_string(lsn),
                  text.substr(0, kShown)),
      configurable ? "Choose a source.numeric that holds it and remove the folder engine "
                     "in the data folder, which is then built anew from the log"
                   : "Correct it at the source, and start anew with an empty data folder");
}

std::optional<RowMisfit> put_row(const MirrorLayout& layout, const Cell* row,
                                 duck::RowWriter& out) {
  const auto& kept = layout.identity.kept;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const Cell& cell = row[kept[i]];
    if (cell.kind != CellKind::kText) {
      out.append_null();
      continue;
    }
    const Fit fit = layout.types[i].convert(layout.types[i], cell.text(), out);
    if (fit != Fit::kOk) return RowMisfit{fit, i};
  }
  return std::nullopt;
}

}  // namespace pgweir::engine
