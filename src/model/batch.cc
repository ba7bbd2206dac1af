#include "model/batch.h"

namespace pgweir::model {

void Batch::clear() {
  from = to = {};
  transactions.clear();
  changes.clear();
  cells.clear();
  tables.clear();
  arenas.clear();
}

std::size_t Batch::used_bytes() const {
  return transactions.size() * sizeof(Transaction) + changes.size() * sizeof(Change) +
         cells.size() * sizeof(Cell);
}

std::size_t Batch::memory_bytes() const {
  return transactions.capacity() * sizeof(Transaction) + changes.capacity() * sizeof(Change) +
         cells.capacity() * sizeof(Cell);
}

}  // namespace pgweir::model
