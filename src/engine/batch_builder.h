// Makes batches of changes for tests and benchmarks, as the feed would. Not used by the product.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/batch.h"

namespace pgweir::engine {

// A row as texts; nothing is NULL. kUnchangedText stands for a TOAST value that was not sent.
using TextRow = std::vector<std::optional<std::string>>;
inline const std::string kUnchangedText = "<unchanged>";

model::Column text_column(const std::string& name, bool in_key = false);
model::Column int_column(const std::string& name, bool in_key = false);
model::Column typed_column(const std::string& name, std::uint32_t type, std::int32_t modifier = -1);

class BatchBuilder {
 public:
  explicit BatchBuilder(model::Position from) { batch_.from = batch_.to = from; }

  // Transactions follow each other at LSNs of their own; one that goes on has begin = false.
  void begin(std::uint64_t lsn, model::Timestamp time, bool is_first_part = true,
             model::Transaction::Kind kind = model::Transaction::Kind::kStream);
  void insert(const std::shared_ptr<const model::Table>& table, const TextRow& row,
              model::Op op = model::Op::kInsert);
  // `before` empty: none was sent. Only key columns are given in a key image, whatever `before`
  // has.
  void update(const std::shared_ptr<const model::Table>& table, const TextRow& before,
              const TextRow& after);
  void remove(const std::shared_ptr<const model::Table>& table, const TextRow& before);
  void truncate(const std::shared_ptr<const model::Table>& table);
  // Ends the transaction, or leaves it open for the next batch.
  void end(bool ends = true);

  const model::Batch& batch() { return batch_; }

 private:
  model::Change& add(const std::shared_ptr<const model::Table>& table, model::Op op);
  std::uint32_t add_row(const TextRow& row, const model::Table& table, bool key_only);

  model::Batch batch_;
};

}  // namespace pgweir::engine
