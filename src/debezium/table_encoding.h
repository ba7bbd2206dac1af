// One version of a table in events: its topic, its schemas, and its rows as JSON.
//
// Place:   made once for each version of a table; asked for every change.
// Threads: immutable once made.
// Source:  messages recorded from Debezium 3.6.3 with Kafka Connect's JsonConverter.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "debezium/selection.h"
#include "debezium/value_type.h"
#include "model/batch.h"
#include "model/table.h"

namespace pgweir::debezium {

struct TableOptions {
  std::string topic_prefix;  // "dbserver1"
  ValueOptions values;
  // Columns, as schema.table.column. One of the two at the most has something.
  Selection include_columns;
  Selection exclude_columns;
  // message.key.columns: of tables (schema.table) that match, the first entry's columns are the
  // key.
  struct KeyColumns {
    Selection tables;
    std::vector<std::string> columns;
  };
  std::vector<KeyColumns> key_columns;
};

// What a name becomes in a topic's: characters that Kafka does not take are underscores. A
// character outside of ASCII is one underscore for each of its UTF-16 units.
std::string topic_name(std::string_view name);

class TableEncoding {
 public:
  TableEncoding(const model::Table& table, const TableOptions& options);

  const std::string& topic() const { return topic_; }

  // False: records of this table have no key.
  bool has_key() const { return !key_.empty(); }
  // {"type":"struct",...}: of keys, and of the whole envelope.
  const std::string& key_schema() const { return key_schema_; }
  const std::string& envelope_schema() const { return envelope_schema_; }

  // {"id":1}. Requires has_key(), and a row of this table. A column that is not part of the row has
  // its zero: under REPLICA IDENTITY USING INDEX the old row may be without its primary key.
  // kInvalid names the column and the value; the caller knows where it was.
  Status append_key(std::span<const model::Cell> row, std::string& out) const;

  // {"id":1,"name":null}. What an old row does not have is its default, its zero where the column
  // is NOT NULL, or null; TOAST values that were not sent are the placeholder.
  Status append_row(std::span<const model::Cell> row, std::string& out) const;

  // Whether the two rows, with the columns that events have, are the same. False where one of them
  // does not have them all.
  bool same_row(std::span<const model::Cell> a, std::span<const model::Cell> b) const;

  // Whether the two rows have the same key. False where one lacks a part of it.
  bool same_key(std::span<const model::Cell> a, std::span<const model::Cell> b) const;

 private:
  struct Field {
    std::uint32_t column = 0;  // in the row
    std::string name;          // "\"id\":"
    ValueType type;
    std::string absent;  // JSON
    std::string qualified_name;
  };

  bool is_same(std::uint32_t field, std::span<const model::Cell> a,
               std::span<const model::Cell> b) const;
  void choose_key(const model::Table& table, const TableOptions& options);
  Status append(const Field& field, const model::Cell& cell, std::string& out) const;
  std::string struct_schema(const std::vector<std::string>& fields, bool optional,
                            std::string_view suffix) const;

  std::string topic_;
  std::vector<Field> fields_;
  std::vector<std::uint32_t> key_;  // into fields_, in key order
  std::string key_schema_;
  std::string envelope_schema_;
};

}  // namespace pgweir::debezium
