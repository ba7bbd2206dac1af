#include "cli/payments_plan.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/assert.h"

namespace pgweir::cli {
namespace {

// 2026-01-01T00:00:00Z; the clock of a plan that is not told the time.
constexpr std::int64_t kStartUs = 1'767'225'600'000'000;
constexpr std::int64_t kAmountCentsMax = 500'000;
// Rows of one statement inside a large transaction: long enough to be fast, short enough to parse.
constexpr std::uint64_t kPieceTransfers = 1000;

constexpr std::array kStatuses = {"settled", "flagged", "returned", "reviewed"};
constexpr std::array kNotes = {"rent",   "groceries", "salary", "insurance",
                               "refund", "invoice",   "gift",   "subscription"};

std::string amount_text(std::int64_t cents) {
  return fmt::format("{}.{:02}", cents / 100, cents % 100);
}

// Microseconds since 1970 as an expression that needs no parsing of dates.
std::string time_sql(std::int64_t time_us) {
  return fmt::format("to_timestamp({}.{:06})", time_us / 1'000'000, time_us % 1'000'000);
}

}  // namespace

PaymentsCounts& PaymentsCounts::operator+=(const PaymentsCounts& other) {
  transactions += other.transactions;
  inserts += other.inserts;
  updates += other.updates;
  deletes += other.deletes;
  return *this;
}

PaymentsPlan::PaymentsPlan(const PaymentsOptions& options, PaymentsShare share)
    : options_(options),
      share_(share),
      random_(options.seed * 1'000'003 + share.index),
      // The smallest number from first_transfer on that is this share's.
      next_transfer_((options.first_transfer / share.count + 1) * share.count + share.index),
      now_us_(kStartUs) {
  PGWEIR_ASSERT(options.accounts >= 2ull * share.count, "two accounts for each share");
}

// Not std::uniform_int_distribution, which differs between libraries.
std::uint64_t PaymentsPlan::below(std::uint64_t bound) {
  return random_() % bound;
}

bool PaymentsPlan::chance(double share) {
  constexpr std::uint64_t kParts = 1'000'000;
  return below(kParts) < static_cast<std::uint64_t>(share * static_cast<double>(kParts));
}

PaymentsPlan::Transfer PaymentsPlan::make_transfer() {
  // Accounts are 1 to N; those with id % count == index are this share's.
  const std::uint64_t count = share_.count;
  const std::uint64_t first = share_.index == 0 ? count : share_.index;
  const std::uint64_t mine = (options_.accounts - first) / count + 1;
  const std::uint64_t from = below(mine);
  const std::uint64_t to = (from + 1 + below(mine - 1)) % mine;
  Transfer transfer;
  transfer.id = next_transfer_;
  transfer.from = first + from * count;
  transfer.to = first + to * count;
  transfer.cents = 1 + static_cast<std::int64_t>(below(kAmountCentsMax));
  next_transfer_ += count;
  return transfer;
}

void PaymentsPlan::remember(const Transfer& transfer) {
  if (options_.updates <= 0 && options_.deletes <= 0) return;
  remembered_.push_back(transfer);
  if (remembered_.size() > options_.remembered_max) remembered_.pop_front();
}

void PaymentsPlan::add_transfer(std::string& sql, PaymentsCounts& counts) {
  const Transfer transfer = make_transfer();
  fmt::format_to(std::back_inserter(sql), "EXECUTE payments_transfer({},{},{},{},'{}',{});",
                 transfer.id, transfer.from, transfer.to, amount_text(transfer.cents),
                 kNotes[below(kNotes.size())], time_sql(now_us_));
  remember(transfer);
  counts.inserts += 3;
  counts.updates += 2;
}

void PaymentsPlan::add_update(std::string& sql, PaymentsCounts& counts) {
  // One by one: the order in which arguments are evaluated differs between compilers.
  const Transfer& transfer = remembered_[below(remembered_.size())];
  const char* status = kStatuses[below(kStatuses.size())];
  const char* note = kNotes[below(kNotes.size())];
  const std::uint64_t number = below(1000);
  fmt::format_to(std::back_inserter(sql), "EXECUTE payments_update({},'{}','{} {}');", transfer.id,
                 status, note, number);
  counts.updates += 1;
}

void PaymentsPlan::add_delete(std::string& sql, PaymentsCounts& counts) {
  // Out of the older half, as a bank would take back what has been there for a while.
  const std::uint64_t at = below(remembered_.size() / 2 + 1);
  fmt::format_to(std::back_inserter(sql), "EXECUTE payments_delete({},{});", remembered_[at].id,
                 time_sql(now_us_));
  std::swap(remembered_[at], remembered_.front());
  remembered_.pop_front();
  counts.deletes += 3;
  counts.updates += 2;
}

void PaymentsPlan::add_large_piece(std::string& sql, PaymentsCounts& counts) {
  const std::uint64_t size = std::min(large_left_, kPieceTransfers);
  auto out = std::back_inserter(sql);
  fmt::format_to(out, "WITH t AS (INSERT INTO public.transfers VALUES");
  std::vector<std::uint64_t> touched;
  for (std::uint64_t i = 0; i < size; ++i) {
    const Transfer transfer = make_transfer();
    fmt::format_to(out, "{}({},{},{},{},'settled','{}',{})", i == 0 ? "" : ",", transfer.id,
                   transfer.from, transfer.to, amount_text(transfer.cents),
                   kNotes[below(kNotes.size())], time_sql(now_us_));
    remember(transfer);
    touched.push_back(transfer.from);
    touched.push_back(transfer.to);
  }
  fmt::format_to(
      out,
      " ON CONFLICT DO NOTHING RETURNING *),"
      "e AS (INSERT INTO public.entries SELECT id*2, id, from_account, -amount, created_at FROM t "
      "UNION ALL SELECT id*2+1, id, to_account, amount, created_at FROM t "
      "RETURNING account_id, amount, created_at),"
      "s AS (SELECT account_id, sum(amount) AS amount, max(created_at) AS at FROM e GROUP BY 1)"
      "UPDATE public.accounts a SET balance = a.balance + s.amount, updated_at = s.at "
      "FROM s WHERE a.id = s.account_id;");
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  counts.inserts += 3 * size;
  counts.updates += touched.size();
  large_left_ -= size;
}

bool PaymentsPlan::next_is_large() const {
  return options_.large_transfers > 0 && (transactions_ + 1) % options_.large_every == 0;
}

bool PaymentsPlan::next(std::string& sql, PaymentsCounts& counts, std::int64_t now_us) {
  if (large_left_ == 0) {
    now_us_ += static_cast<std::int64_t>(options_.step_us);
    if (now_us > 0) now_us_ = now_us;
    const bool large = next_is_large();
    ++transactions_;
    sql += "BEGIN;";
    if (large) {
      large_left_ = options_.large_transfers;
    } else if (!remembered_.empty() && chance(options_.updates + options_.deletes)) {
      const double both = options_.updates + options_.deletes;
      chance(options_.deletes / both) ? add_delete(sql, counts) : add_update(sql, counts);
    } else {
      add_transfer(sql, counts);
    }
  }
  if (large_left_ > 0) add_large_piece(sql, counts);
  if (large_left_ > 0) return false;
  sql += "COMMIT;";
  ++counts.transactions;
  return true;
}

std::string payments_schema_sql() {
  return R"(
CREATE TABLE IF NOT EXISTS public.accounts (
  id bigint PRIMARY KEY,
  owner text NOT NULL,
  region text NOT NULL,
  balance numeric(18,2) NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS public.transfers (
  id bigint PRIMARY KEY,
  from_account bigint NOT NULL,
  to_account bigint NOT NULL,
  amount numeric(18,2) NOT NULL,
  status text NOT NULL,
  note text,
  created_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS public.entries (
  id bigint PRIMARY KEY,
  transfer_id bigint NOT NULL,
  account_id bigint NOT NULL,
  amount numeric(18,2) NOT NULL,
  created_at timestamptz NOT NULL);
)";
}

std::string payments_accounts_sql(std::uint64_t count) {
  return fmt::format(
      "INSERT INTO public.accounts SELECT id, 'owner ' || id, "
      "(ARRAY['north','south','east','west'])[1 + id % 4], 0, {} "
      "FROM generate_series(1, {}) id ON CONFLICT DO NOTHING",
      time_sql(kStartUs), count);
}

std::string payments_session_sql() {
  // The tables may be new and without statistics: without these a generic plan reads all of them.
  return R"(
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET plan_cache_mode = force_generic_plan;
PREPARE payments_transfer(bigint, bigint, bigint, numeric, text, timestamptz) AS
WITH t AS (
  INSERT INTO public.transfers VALUES ($1, $2, $3, $4, 'settled', $5, $6)
  ON CONFLICT DO NOTHING RETURNING id),
e AS (
  INSERT INTO public.entries
  SELECT v.* FROM t, (VALUES ($1 * 2, $1, $2, -$4, $6), ($1 * 2 + 1, $1, $3, $4, $6)) v
  RETURNING account_id, amount)
UPDATE public.accounts a SET balance = a.balance + e.amount, updated_at = $6
FROM e WHERE a.id = e.account_id;
PREPARE payments_update(bigint, text, text) AS
UPDATE public.transfers SET status = $2, note = $3 WHERE id = $1;
PREPARE payments_delete(bigint, timestamptz) AS
WITH t AS (DELETE FROM public.transfers WHERE id = $1),
e AS (
  DELETE FROM public.entries WHERE id IN ($1 * 2, $1 * 2 + 1) RETURNING account_id, amount)
UPDATE public.accounts a SET balance = a.balance - e.amount, updated_at = $2
FROM e WHERE a.id = e.account_id;
)";
}

}  // namespace pgweir::cli
