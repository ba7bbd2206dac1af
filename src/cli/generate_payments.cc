#include "cli/generate_payments.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/mutex.h"
#include "cli/stop_signals.h"
#include "io/clock.h"
#include "io/waker.h"
#include "postgres/connection.h"

namespace pgweir::cli {
namespace {

// What the threads of one run share.
class Progress {
 public:
  explicit Progress(std::uint32_t workers) : running_(workers) {}

  io::Waker stop;   // the workers end after their batch
  io::Waker ended;  // every worker has ended

  void finish(const Status& status, const PaymentsCounts& counts) {
    MutexLock lock(mutex_);
    counts_ += counts;
    if (!status.ok() && failure_.ok()) failure_ = status;
    if (!status.ok()) stop.wake();
    if (--running_ == 0) ended.wake();
  }
  PaymentsCounts counts() {
    MutexLock lock(mutex_);
    return counts_;
  }
  Status failure() {
    MutexLock lock(mutex_);
    return failure_;
  }

 private:
  Mutex mutex_;
  std::uint32_t running_ GUARDED_BY(mutex_);
  PaymentsCounts counts_ GUARDED_BY(mutex_);
  Status failure_ GUARDED_BY(mutex_);
};

Result<postgres::Connection> open_connection(const GeneratePaymentsOptions& options,
                                             const io::Waker* cancel) {
  return postgres::Connection::open({.url = options.url,
                                     .application_name = "pgweir generate",
                                     .query_timeout = Milliseconds(0),
                                     .cancel = cancel});
}

// One connection's share of the work.
class Worker {
 public:
  Worker(const GeneratePaymentsOptions& options, PaymentsShare share, Progress& progress)
      : options_(options),
        progress_(progress),
        plan_(options.plan, share),
        rate_(options.rate / share.count),
        transactions_max_(options.transactions / share.count +
                          (share.index < options.transactions % share.count ? 1 : 0)) {}

  void run() {
    const Status status = work();
    progress_.finish(status, counts_);
  }

 private:
  Status work() {
    TRY(connect());
    const auto start = clock_.steady();
    while (!progress_.stop.woken() && !finished()) {
      const auto due = due_transactions(clock_.steady() - start);
      if (due == 0) {
        const auto next = Microseconds(
            static_cast<std::int64_t>(1e6 * static_cast<double>(counts_.transactions + 1) / rate_));
        const auto wait = std::max(start + next - clock_.steady(), Microseconds(100));
        TRY_ASSIGN(const auto woken,
                   io::wait_socket(-1, io::Interest::kNothing, wait, &progress_.stop));
        (void)woken;
        continue;
      }
      TRY(plan_.next_is_large() ? large_transaction() : batch(due));
    }
    return {};
  }

  bool finished() const {
    return options_.transactions > 0 && counts_.transactions >= transactions_max_;
  }

  std::uint64_t due_transactions(Microseconds elapsed) const {
    std::uint64_t due = options_.batch_transactions;
    if (rate_ > 0) {
      const auto wanted =
          static_cast<std::uint64_t>(static_cast<double>(elapsed.count()) * rate_ / 1e6);
      due = std::min(due, wanted - std::min(wanted, counts_.transactions));
    }
    if (options_.transactions > 0) due = std::min(due, transactions_max_ - counts_.transactions);
    return due;
  }

  std::int64_t now_us() const { return options_.real_time ? clock_.now_us() : 0; }

  // Up to `due` transactions in one round trip.
  Status batch(std::uint64_t due) {
    sql_.clear();
    PaymentsCounts counts;
    do {
      plan_.next(sql_, counts, now_us());
    } while (counts.transactions < due && !plan_.next_is_large());
    const auto send = [&] { return connection_->execute(sql_); };
    TRY(repeated(send));
    counts_ += counts;
    return {};
  }

  Status large_transaction() {
    const PaymentsPlan before = plan_;
    PaymentsCounts counts;
    const auto pieces = [&]() -> Status {
      plan_ = before;
      counts = {};
      bool ended = false;
      while (!ended) {
        // Not committed yet: closing the connection takes it back.
        if (progress_.stop.woken()) {
          connection_->close();
          counts = {};
          return {};
        }
        sql_.clear();
        ended = plan_.next(sql_, counts, now_us());
        TRY(connection_->execute(sql_));
      }
      return {};
    };
    TRY(repeated(pieces));
    counts_ += counts;
    return {};
  }

  // Does it again over a new connection when the server was lost; every transaction allows that.
  template <typename Work>
  Status repeated(Work work) {
    const auto deadline = clock_.steady() + options_.reconnect_for;
    Microseconds pause = std::chrono::milliseconds(50);
    while (true) {
      Status status = connection_ ? Status() : connect();
      if (status.ok()) status = work();
      if (status.ok() || status.error().code != Code::kUnavailable) return status;
      if (clock_.steady() >= deadline || progress_.stop.woken()) return status;
      connection_.reset();
      TRY_ASSIGN(const auto woken,
                 io::wait_socket(-1, io::Interest::kNothing, pause, &progress_.stop));
      (void)woken;
      pause = std::min<Microseconds>(pause * 2, std::chrono::seconds(2));
    }
  }

  Status connect() {
    TRY_ASSIGN(auto connection, open_connection(options_, nullptr));
    connection_.emplace(std::move(connection));
    if (options_.asynchronous_commit) TRY(connection_->execute("SET synchronous_commit = off"));
    return connection_->execute(payments_session_sql());
  }

  const GeneratePaymentsOptions& options_;
  Progress& progress_;
  io::RealClock clock_;
  PaymentsPlan plan_;
  const double rate_;  // transactions a second; 0 is without limit
  const std::uint64_t transactions_max_;
  PaymentsCounts counts_;
  std::optional<postgres::Connection> connection_;
  std::string sql_;
};

// Makes tables and accounts, and returns the highest number of a transfer that is there.
Result<std::uint64_t> prepare(const GeneratePaymentsOptions& options, const io::Waker* cancel) {
  TRY_ASSIGN(auto connection, open_connection(options, cancel));
  TRY(connection.execute(payments_schema_sql()));
  TRY(connection.execute(payments_accounts_sql(options.plan.accounts)));
  // A transfer that was taken back may have had the highest number, its entries too; both may be
  // used again, since nothing of them is left.
  TRY_ASSIGN(const auto highest,
             connection.query("SELECT coalesce(max(id), 0) FROM public.transfers"));
  return static_cast<std::uint64_t>(highest.integer(0, 0));
}

void print_summary(const GeneratePaymentsOptions& options, const PaymentsCounts& counts,
                   double seconds, Output& output) {
  if (output.json()) {
    output.json({{"workload", "payments"},
                 {"transactions", counts.transactions},
                 {"inserts", counts.inserts},
                 {"updates", counts.updates},
                 {"deletes", counts.deletes},
                 {"seed", options.plan.seed},
                 {"seconds", seconds}});
  } else {
    output.line(fmt::format(
        "payments: {} transactions, {} inserts, {} updates, {} deletes, seed {}, {:.1f} s",
        counts.transactions, counts.inserts, counts.updates, counts.deletes, options.plan.seed,
        seconds));
  }
}

// The same, cut short by a signal: kCancelled.
Result<std::uint64_t> prepare_unless_stopped(const GeneratePaymentsOptions& options,
                                             StopSignals& signals) {
  io::Waker stop;
  io::Waker ended;
  Result<std::uint64_t> highest = std::uint64_t{0};
  std::thread thread([&] {
    highest = prepare(options, &stop);
    ended.wake();
  });
  const auto waited = signals.wait(Microseconds(-1), &ended);
  if (!waited.ok() || *waited != 0) stop.wake();
  thread.join();
  return highest;
}

// Starts the workers and waits for their end, a signal or the end of the time.
Result<PaymentsCounts> run_workers(const GeneratePaymentsOptions& options, StopSignals& signals) {
  Progress progress(options.connections);
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < options.connections; ++i) {
    workers.push_back(
        std::make_unique<Worker>(options, PaymentsShare{i, options.connections}, progress));
    threads.emplace_back([worker = workers.back().get()] { worker->run(); });
  }
  const bool endless = options.duration.count() == 0;
  const auto waited =
      signals.wait(endless ? Microseconds(-1) : Microseconds(options.duration), &progress.ended);
  progress.stop.wake();
  for (std::thread& thread : threads) thread.join();
  TRY(waited.ok() ? Status() : Status(waited.error()));
  TRY(progress.failure());
  return progress.counts();
}

}  // namespace

int generate_payments(const GeneratePaymentsOptions& options, Output& output) {
  StopSignals signals;
  const auto highest = prepare_unless_stopped(options, signals);
  if (!highest.ok()) return output.fail(highest.error());
  if (options.init_only) {
    output.message(
        fmt::format("payments: tables and {} accounts are there", options.plan.accounts));
    return 0;
  }
  GeneratePaymentsOptions with_start = options;
  with_start.plan.first_transfer = *highest;
  if (options.rate > 0) {
    with_start.plan.step_us =
        std::max<std::uint64_t>(1, static_cast<std::uint64_t>(1e6 / options.rate));
  }
  const io::RealClock clock;
  const auto start = clock.steady();
  const auto counts = run_workers(with_start, signals);
  if (!counts.ok()) return output.fail(counts.error());
  const std::chrono::duration<double> elapsed = clock.steady() - start;
  print_summary(options, *counts, elapsed.count(), output);
  return 0;
}

}  // namespace pgweir::cli
