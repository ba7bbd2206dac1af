// The block `source` of an event: what stands in it, and its order.
//
// Place:   one for a connector; most of a block is the same for a whole transaction, and made once.
// Threads: one thread at a time.
// Source:  messages recorded from Debezium 3.6.3 (its schema's version 1).
#pragma once

#include <string>
#include <string_view>

#include "model/batch.h"

namespace pgweir::debezium {

// Schemas of the blocks `source`, in its version 1, and `transaction`, as fields.
inline constexpr std::string_view kSourceSchema =
    R"({"type":"struct","fields":[{"type":"string","optional":false,"field":"version"},)"
    R"({"type":"string","optional":false,"field":"connector"},)"
    R"({"type":"string","optional":false,"field":"name"},)"
    R"({"type":"int64","optional":false,"field":"ts_ms"},)"
    R"({"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,)"
    R"("parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,)"
    R"(last,false,incremental"},"default":"false","field":"snapshot"},)"
    R"({"type":"string","optional":false,"field":"db"},)"
    R"({"type":"string","optional":true,"field":"sequence"},)"
    R"({"type":"int64","optional":true,"field":"ts_us"},)"
    R"({"type":"int64","optional":true,"field":"ts_ns"},)"
    R"({"type":"string","optional":false,"field":"schema"},)"
    R"({"type":"string","optional":false,"field":"table"},)"
    R"({"type":"int64","optional":true,"field":"txId"},)"
    R"({"type":"int64","optional":true,"field":"lsn"},)"
    R"({"type":"int64","optional":true,"field":"xmin"},)"
    R"({"type":"string","optional":true,"field":"origin"},)"
    R"({"type":"int64","optional":true,"field":"origin_lsn"}],"optional":false,)"
    R"("name":"io.debezium.connector.postgresql.Source","version":1,"field":"source"})";

inline constexpr std::string_view kTransactionBlockSchema =
    R"({"type":"struct","fields":[{"type":"string","optional":false,"field":"id"},)"
    R"({"type":"int64","optional":false,"field":"total_order"},)"
    R"({"type":"int64","optional":false,"field":"data_collection_order"}],"optional":true,)"
    R"("name":"event.block","version":1,"field":"transaction"})";

class SourceBlock {
 public:
  SourceBlock(std::string_view version, std::string_view topic_prefix, std::string_view database);

  // Of a table, ready for append(): "schema":"public","table":"item"
  static std::string table(std::string_view schema, std::string_view name);

  // What the blocks to come have in common. `last_commit_lsn`: zero is null. `snapshot`: the
  // marker.
  void begin(const model::Transaction& transaction, model::Lsn last_commit_lsn,
             std::string_view snapshot);
  // "source":{...} of a change there. `table` of table().
  void append(std::string_view table, model::Lsn lsn, std::string& out) const;
  // The same of a row that was read beside the stream: it stands nowhere in the WAL.
  void append_without_lsn(std::string_view table, std::string& out) const;

 private:
  std::string head_;      // up to the commit's time
  std::string database_;  // "db":"..."
  // Of the transaction: up to the LSN in the sequence, from there to the table, from there to the
  // LSN, and behind it.
  std::string before_sequence_, before_table_, before_lsn_, behind_lsn_;
  std::string last_commit_;  // in the sequence
};

// A number in decimal.
void append_integer(std::int64_t value, std::string& out);

}  // namespace pgweir::debezium
