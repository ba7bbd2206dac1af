// What the payments workload does, step by step: pure, and the same for the same seed.
//
// Place:   knows SQL texts, not connections; generate_payments.h executes it.
// Invariant: after every transaction sum(accounts.balance) = 0 and sum(entries.amount) = 0, and
//          every account's balance is the sum of its entries.
// Repeats: every transaction can be sent again without effect, so a batch whose fate is unknown
//          after a lost connection is simply repeated.
// Threads: one thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "base/result.h"

namespace pgweir::cli {

struct PaymentsOptions {
  std::uint64_t seed = 1;
  std::uint64_t accounts = 1000;  // over all shares; at least two for each
  double updates = 0;             // share of transactions that change a transfer's status and note
  double deletes = 0;             // share that takes an old transfer back
  std::uint64_t large_transfers = 0;      // transfers in a large transaction; 0 makes none
  std::uint64_t large_every = 1000;       // one in so many transactions is a large one
  std::uint64_t step_us = 1000;           // between two transactions' created_at
  std::uint64_t first_transfer = 0;       // numbers from here on: above all that are there
  std::uint32_t remembered_max = 20'000;  // transfers that updates and deletes choose from
};

// One of several plans that run side by side on accounts and transfers of their own.
struct PaymentsShare {
  std::uint32_t index = 0;
  std::uint32_t count = 1;
};

struct PaymentsCounts {
  std::uint64_t transactions = 0;
  std::uint64_t inserts = 0;
  std::uint64_t updates = 0;
  std::uint64_t deletes = 0;

  PaymentsCounts& operator+=(const PaymentsCounts& other);
  bool operator==(const PaymentsCounts&) const = default;
};

class PaymentsPlan {
 public:
  PaymentsPlan(const PaymentsOptions& options, PaymentsShare share);

  // Appends the next piece of SQL to `sql` and adds what it does to `counts`: a whole transaction,
  // or a part of a large one. Returns whether a transaction ends with it. `now_us` above zero goes
  // before the plan's own clock.
  bool next(std::string& sql, PaymentsCounts& counts, std::int64_t now_us = 0);
  // The next transaction comes in pieces. To repeat it, go on with a copy of the plan made before.
  bool next_is_large() const;

 private:
  struct Transfer {
    std::uint64_t id = 0;
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    std::int64_t cents = 0;
  };

  std::uint64_t below(std::uint64_t bound);
  bool chance(double share);
  Transfer make_transfer();
  void remember(const Transfer& transfer);
  void add_transfer(std::string& sql, PaymentsCounts& counts);
  void add_update(std::string& sql, PaymentsCounts& counts);
  void add_delete(std::string& sql, PaymentsCounts& counts);
  void add_large_piece(std::string& sql, PaymentsCounts& counts);

  PaymentsOptions options_;
  PaymentsShare share_;
  std::mt19937_64 random_;
  std::deque<Transfer> remembered_;
  std::uint64_t next_transfer_;
  std::uint64_t transactions_ = 0;
  std::uint64_t large_left_ = 0;  // transfers that the large transaction still lacks
  std::int64_t now_us_ = 0;
};

// Tables, if they are not there.
std::string payments_schema_sql();
// Accounts 1 to `count`, if they are not there.
std::string payments_accounts_sql(std::uint64_t count);
// What every connection runs first: the prepared statements that the plan's SQL executes.
std::string payments_session_sql();

}  // namespace pgweir::cli
