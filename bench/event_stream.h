// The same changes twice: as transactions in a PostgreSQL, and as Debezium's JSON in files, as
// Flink and Spark read it.
//
// Transfers between accounts: transactions of sixteen inserts, three updates and a delete, of rows
// that earlier ones brought; a hundred accounts change their region between them. Everything
// follows from the number of a row, in SQL and here alike.
#pragma once

#include <cstdint>
#include <string>

namespace pgweir::bench {

class EventStream {
 public:
  // Of about so many changes, at least 1,000.
  explicit EventStream(std::int64_t changes);

  // SQL that makes the two tables, accounts and transfers, and the procedure that fills them.
  static std::string tables_sql();
  // SQL that makes all the changes; outside of a transaction.
  std::string fill_sql() const;
  // FOLDER/accounts and FOLDER/transfers, with as many files as `parts` in the latter: the changes
  // of a row stand in one file, in their order. Returns how many changes there are.
  std::int64_t write_json(const std::string& folder, int parts) const;

 private:
  std::int64_t accounts_;
  std::int64_t transactions_;
  std::int64_t update_lag_;  // transactions between a row's insert and its update
  std::int64_t delete_lag_;
  std::int64_t account_every_;  // transactions between two changes of accounts
};

}  // namespace pgweir::bench
