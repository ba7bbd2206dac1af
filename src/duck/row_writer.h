// Writes values into the columns of a chunk, row by row.
//
// Place:   what an Appender (duck.h) and a RowMaker (row_source.h) give to those who have rows.
// Life:    of who gives it.
// Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pgweir::duck {

// The types that we bind, append and read natively; everything else travels as text.
enum class Type : std::uint8_t {
  kBoolean,
  kTinyint,
  kSmallint,
  kInteger,
  kBigint,
  kUbigint,
  kHugeint,
  kFloat,
  kDouble,
  kDecimal,
  kVarchar,
  kBlob,
  kDate,         // days since 1970-01-01
  kTime,         // microseconds of the day
  kTimestamp,    // microseconds since 1970-01-01
  kTimestampTz,  // the same, UTC
  kUuid,
  kInterval,
  kOther,
};

// Every value must fit the column's type exactly; a text that does not parse as a DATE, DECIMAL ...
// is an error of the caller, who converts (engine/type_map.h).
class RowWriter {
 public:
  RowWriter(const RowWriter&) = delete;
  RowWriter& operator=(const RowWriter&) = delete;

  std::size_t column_count() const { return columns_.size(); }
  Type column_type(std::size_t column) const { return columns_[column].type; }

  void append_null();
  void append_bool(bool value);
  // For every integer type up to 64 bits, kDate, kTime, kTimestamp, kTimestampTz, and a kDecimal of
  // up to 18 digits (the unscaled value). Requires a value in the column's range.
  void append_int(std::int64_t value);
  // kHugeint, kUuid (as DuckDB stores it: top bit flipped) and a kDecimal above 18 digits.
  void append_int128(std::uint64_t low, std::int64_t high);
  void append_double(double value);  // kDouble, kFloat
  void append_interval(std::int32_t months, std::int32_t days, std::int64_t micros);
  void append_text(std::string_view value);  // kVarchar, kBlob
  // The same for a text, in valid UTF-8, that stays where it is until the rows are taken: where
  // they are taken soon it is not copied.
  void append_lasting_text(std::string_view value);

 protected:
  enum class Texts : std::uint8_t { kCopied, kReferred };

  struct Column {
    Type type = Type::kOther;
    int decimal_width = 0;
    void* vector = nullptr;  // duckdb_vector
    void* data = nullptr;
    std::uint64_t* validity = nullptr;  // nullptr until the chunk holds a NULL in this column
  };

  explicit RowWriter(Texts lasting_texts) : lasting_texts_(lasting_texts) {}
  ~RowWriter() = default;

  void add_column(void* logical_type);
  // Rows go into this chunk from its beginning on.
  void begin_chunk(void* chunk);
  // Every column of the row must have been given.
  void next_row();
  std::size_t row_count() const { return row_; }

 private:
  template <typename T>
  void put(T value) {
    static_cast<T*>(columns_[column_].data)[row_] = value;
    ++column_;
  }

  const Texts lasting_texts_;
  std::vector<Column> columns_;
  std::size_t column_ = 0;
  std::size_t row_ = 0;
};

}  // namespace pgweir::duck
