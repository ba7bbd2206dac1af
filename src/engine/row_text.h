// A row's checksum that PostgreSQL and DuckDB both compute, each over its own copy of the row.
//
// Place:   SQL for both sides, and the same in C++ for rows of the log; pipeline/verify compares.
//          docs/verify.md says how fast it is, and why not md5.
// Text:    every value has one canonical text, made by an expression on each side: PostgreSQL's own
//          text, but for what the mirror does not keep (the zeros at the end of a numeric without a
//          scale, the sign of a zero, the padding of a char(n)) or prints in other words.
// Hash:    PostgreSQL's hashtextextended(), which it promises to keep (hash partitions are stored
//          by it). key = over the key columns' texts, one the seed of the next; row = key XOR, for
//          each other column, its text's hash with (key XOR column number) as the seed. So a value
//          that moves to another column or row changes the sum of a range.
//          Without a key the "key" is over all columns, and is the row's hash, too.
// Threads: plain values and functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/type_map.h"
#include "model/batch.h"

namespace pgweir::engine {

// hashtextextended(text COLLATE "C", seed).
std::int64_t text_hash(std::string_view text, std::int64_t seed);
// Its name in the engine's database.
inline constexpr const char* kTextHashFunction = "pgweir_text_hash";

// The canonical text of a column's value: as SQL over `column`, an expression; NULL stays NULL.
std::string source_text(const model::Column& column, const ColumnType& type,
                        const std::string& expression);
std::string mirror_text(const model::Column& column, const ColumnType& type,
                        const std::string& expression);
// The value as pgoutput would send it, but for what the mirror does not keep, as SQL.
std::string image_text(const model::Column& column, const ColumnType& type,
                       const std::string& expression);
// Of a text as pgoutput sends it.
std::string wire_text(const model::Column& column, const ColumnType& type, std::string_view text);

class RowHash {
 public:
  // kUnavailable when the mirror's store is gone: the engine is being opened anew.
  static Result<RowHash> make(const Mirror& mirror, const TypeOptions& options);

  struct Column {
    std::uint32_t index = 0;  // in the table
    std::string name;         // PostgreSQL's
    bool in_key = false;
  };
  // The kept ones.
  const std::vector<Column>& columns() const { return columns_; }
  bool has_key() const { return has_key_; }

  // SELECTs with the columns k and v (bigint): hash of the key, of the row. `from` is the table
  // for FROM.
  std::string source_hashes(const std::string& from) const;
  std::string mirror_hashes() const;
  // The same, and for each column i the hash h<i> of its canonical text, and a text for people
  // s<i>, cut after `length_max` characters.
  std::string source_texts(const std::string& from, std::size_t length_max) const;
  std::string mirror_texts(std::size_t length_max) const;
  // k, v, and where the row lies: `o`, `t` are `from`'s columns tableoid and ctid.
  std::string source_places(const std::string& from) const;
  // k, v, and for each column i its value i<i> as pgoutput would send it (image_text()). Ends so
  // that "WHERE k ..." can follow.
  std::string mirror_images() const;

  // Hash of the key of a row of the log; nothing when the row does not hold the whole key.
  std::optional<std::int64_t> key_hash(const model::Cell* row) const;

 private:
  enum class Side { kSource, kMirror };
  std::string text(Side side, std::size_t column) const;
  std::string hash(Side side, const std::string& text, const std::string& seed) const;
  std::string key_expression(Side side) const;
  std::string row_expression(Side side) const;
  std::string select(Side side, const std::string& from, const std::string& more_names,
                     const std::string& more) const;
  std::string texts(Side side, std::size_t length_max) const;
  std::string shown(Side side, std::size_t column) const;

  std::vector<Column> columns_;
  std::vector<model::Column> source_columns_;
  std::vector<ColumnType> types_;
  std::vector<std::string> mirror_names_;
  std::string mirror_;
  bool has_key_ = true;
};

}  // namespace pgweir::engine
