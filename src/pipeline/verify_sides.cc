// What verify asks of the source and of the mirrors.
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <future>

#include "pipeline/verify.h"

namespace pgweir::pipeline {

Status Verifier::both(const std::function<Status()>& source,
                      const std::function<Status()>& mirror) {
  auto beside = std::async(std::launch::async, source);
  const Status status = mirror();
  TRY(beside.get());
  return status;
}

Result<postgres::QueryResult> Verifier::ask(const std::string& sql) {
  return source_->query(sql);
}

// A mirror that is exchanged, or whose database is opened anew, is there again in a moment.
Result<Verifier::Side> Verifier::sides_of(const std::string& table) {
  constexpr Milliseconds kTry{50};
  const auto deadline = std::chrono::steady_clock::now() + options_.engine_wait;
  Side out;
  while (true) {
    TRY_ASSIGN(out.mirror, mirror_of(table));
    auto hash = engine::RowHash::make(out.mirror, options_.types);
    if (hash.ok()) {
      out.hash = std::move(hash).value();
      break;
    }
    const bool passes = hash.error().code == Code::kUnavailable;
    if (!passes || std::chrono::steady_clock::now() >= deadline) return hash.error();
    TRY(io::wait_socket(-1, io::Interest::kNothing, kTry, &cancelled_));
    TRY(check_cancelled());
  }
  const engine::Mirror& mirror = out.mirror;
  TRY_ASSIGN(const auto named,
             source_->query("SELECT n.nspname, c.relname, c.relkind FROM pg_class c JOIN "
                            "pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::oid",
                            {std::to_string(model::value(mirror.table.id))}));
  if (named.row_count() == 0) {
    return error(Code::kNotFound,
                 fmt::format("the source has no table {} any more", mirror.table.qualified_name()),
                 "SQLSTATE 42P01");
  }
  // Rows of an ordinary table's children are theirs.
  out.from = fmt::format("{}{}", named.text(0, 2) == "p" ? "" : "ONLY ",
                         postgres::quote_name(named.text(0, 0), named.text(0, 1)));
  if (!mirror.table.row_filter.empty()) out.from += " WHERE " + mirror.table.row_filter;
  return out;
}

Result<Verifier::Ranges> Verifier::source_ranges(const Side& side, std::int64_t mask) {
  TRY_ASSIGN(const auto rows,
             ask(fmt::format("SELECT k & {}, count(*), sum(v) FROM ({}) AS hashed GROUP BY 1", mask,
                             side.hash->source_hashes(side.from))));
  Ranges out;
  for (int row = 0; row < rows.row_count(); ++row) {
    out[rows.integer(row, 0)] = {static_cast<std::uint64_t>(rows.integer(row, 1)),
                                 std::string(rows.text(row, 2))};
  }
  return out;
}

Result<Verifier::Ranges> Verifier::mirror_ranges(Look& look, const Side& side, std::int64_t mask) {
  TRY_ASSIGN(duck::Rows rows,
             look.reader->connection().query(fmt::format(
                 "SELECT k & {}, count(*), CAST(sum(v) AS VARCHAR) FROM ({}) AS hashed GROUP BY 1",
                 mask, side.hash->mirror_hashes())));
  Ranges out;
  while (const duck::Chunk* chunk = rows.next()) {
    for (std::size_t row = 0; row < chunk->row_count(); ++row) {
      out[chunk->data<std::int64_t>(0)[row]] = {
          static_cast<std::uint64_t>(chunk->data<std::int64_t>(1)[row]),
          std::string(chunk->string(2, row))};
    }
  }
  return out;
}

Result<std::vector<Verifier::HashPair>> Verifier::source_pairs(const Side& side,
                                                               const std::string& condition) {
  TRY_ASSIGN(const auto rows, ask(fmt::format("SELECT k, v FROM ({}) AS hashed WHERE {}",
                                              side.hash->source_hashes(side.from), condition)));
  std::vector<HashPair> out;
  out.reserve(static_cast<std::size_t>(rows.row_count()));
  for (int row = 0; row < rows.row_count(); ++row)
    out.push_back({rows.integer(row, 0), rows.integer(row, 1)});
  std::sort(out.begin(), out.end());
  return out;
}

Result<std::vector<Verifier::HashPair>> Verifier::mirror_pairs(Look& look, const Side& side,
                                                               const std::string& condition) {
  TRY_ASSIGN(duck::Rows rows,
             look.reader->connection().query(fmt::format("SELECT k, v FROM ({}) AS hashed WHERE {}",
                                                         side.hash->mirror_hashes(), condition)));
  std::vector<HashPair> out;
  while (const duck::Chunk* chunk = rows.next()) {
    for (std::size_t row = 0; row < chunk->row_count(); ++row)
      out.push_back({chunk->data<std::int64_t>(0)[row], chunk->data<std::int64_t>(1)[row]});
  }
  std::sort(out.begin(), out.end());
  return out;
}

Result<std::vector<Verifier::HashPair>> Verifier::differing_pairs(Look& look, const Side& side,
                                                                  const std::string& condition) {
  std::vector<HashPair> source, mirror, out;
  TRY(both(
      [&]() -> Status {
        TRY_ASSIGN(source, source_pairs(side, condition));
        return {};
      },
      [&]() -> Status {
        TRY_ASSIGN(mirror, mirror_pairs(look, side, condition));
        return {};
      }));
  std::set_symmetric_difference(source.begin(), source.end(), mirror.begin(), mirror.end(),
                                std::back_inserter(out));
  return out;
}

// --- Values of the rows that differ --------------------------------------------------------------

namespace {

using Cells = std::vector<std::optional<std::string>>;

std::optional<std::int64_t> number(const std::optional<std::string>& text) {
  std::int64_t out = 0;
  if (!text) return std::nullopt;
  std::from_chars(text->data(), text->data() + text->size(), out);
  return out;
}

// Columns: k, v, then hash and text of every column.
template <typename Rows>
void add_row(Rows& rows, const Cells& cells) {
  auto& row = rows[number(cells[0]).value_or(0)];
  if (row.count++ > 0) return;
  for (std::size_t i = 2; i + 1 < cells.size(); i += 2) {
    row.hashes.push_back(number(cells[i]));
    row.texts.push_back(cells[i + 1]);
  }
}

}  // namespace

Result<Verifier::ShownRows> Verifier::source_rows(const Side& side, const std::string& condition) {
  TRY_ASSIGN(
      const auto rows,
      ask(fmt::format("SELECT * FROM ({}) AS hashed WHERE {}",
                      side.hash->source_texts(side.from, options_.value_length_max), condition)));
  ShownRows out;
  for (int row = 0; row < rows.row_count(); ++row) {
    Cells cells;
    for (int column = 0; column < rows.column_count(); ++column) {
      cells.emplace_back();
      if (!rows.is_null(row, column)) cells.back() = std::string(rows.text(row, column));
    }
    add_row(out, cells);
  }
  return out;
}

Result<Verifier::ShownRows> Verifier::mirror_rows(Look& look, const Side& side,
                                                  const std::string& condition) {
  TRY_ASSIGN(const duck::TextRows rows,
             look.reader->connection().query_texts(
                 fmt::format("SELECT * FROM ({}) AS hashed WHERE {}",
                             side.hash->mirror_texts(options_.value_length_max), condition)));
  ShownRows out;
  for (const duck::TextRow& row : rows.rows) add_row(out, row);
  return out;
}

RowDifference Verifier::difference_of(const engine::RowHash& hash, const ShownRow* source,
                                      const ShownRow* mirror) {
  RowDifference out;
  out.source_rows = source != nullptr ? source->count : 0;
  out.mirror_rows = mirror != nullptr ? mirror->count : 0;
  const ShownRow& present = source != nullptr ? *source : *mirror;
  for (std::size_t i = 0; i < hash.columns().size(); ++i) {
    const auto& column = hash.columns()[i];
    if (column.in_key) {
      out.key.emplace_back(column.name, present.texts[i]);
    } else if (source != nullptr && mirror != nullptr && source->hashes[i] != mirror->hashes[i]) {
      out.columns.push_back({column.name, source->texts[i], mirror->texts[i]});
    }
  }
  return out;
}

Status Verifier::report(Look& look, const Side& side, const std::vector<std::int64_t>& keys,
                        TableVerdict& verdict) {
  const std::size_t room =
      options_.differences_max - std::min(options_.differences_max, verdict.differences.size());
  const std::size_t count = std::min(room, keys.size());
  if (count == 0) return {};
  std::string list;
  for (std::size_t i = 0; i < count; ++i) list += (i == 0 ? "" : ",") + std::to_string(keys[i]);
  const std::string condition = fmt::format("k IN ({})", list);
  ShownRows source, mirror;
  TRY(both(
      [&]() -> Status {
        TRY_ASSIGN(source, source_rows(side, condition));
        return {};
      },
      [&]() -> Status {
        TRY_ASSIGN(mirror, mirror_rows(look, side, condition));
        return {};
      }));
  const auto find = [](const ShownRows& rows, std::int64_t key) {
    const auto found = rows.find(key);
    return found == rows.end() ? nullptr : &found->second;
  };
  for (std::size_t i = 0; i < count; ++i) {
    const ShownRow* in_source = find(source, keys[i]);
    const ShownRow* in_mirror = find(mirror, keys[i]);
    if (in_source == nullptr && in_mirror == nullptr) continue;
    verdict.differences.push_back(difference_of(*side.hash, in_source, in_mirror));
  }
  return {};
}

}  // namespace pgweir::pipeline
