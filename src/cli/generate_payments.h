// pgweir generate payments: the well-known bank, written into a PostgreSQL.
//
// Place:   executes the plan of payments_plan.h over connections of its own.
// Life:    runs until its end, SIGINT or SIGTERM; a batch that has begun is finished.
// Threads: one thread a connection, each with its own share of accounts and transfers, so that they
//          never wait for each other.
#pragma once

#include <cstdint>
#include <string>

#include "base/units.h"
#include "cli/output.h"
#include "cli/payments_plan.h"

namespace pgweir::cli {

struct GeneratePaymentsOptions {
  std::string url;
  PaymentsOptions plan;
  double rate = 100;               // transactions a second over all connections; 0 is without limit
  Milliseconds duration{0};        // zero is without end
  std::uint64_t transactions = 0;  // zero is without end
  std::uint32_t connections = 1;
  bool init_only = false;
  bool real_time = false;  // created_at is the wall clock's, not the plan's
  bool asynchronous_commit = false;
  std::uint32_t batch_transactions = 64;  // sent in one round trip, when so many are due
  Milliseconds reconnect_for{60'000};     // how long a lost server is waited for
};

int generate_payments(const GeneratePaymentsOptions& options, Output& output);

}  // namespace pgweir::cli
