#include "event_stream.h"

#include <fmt/chrono.h>
#include <fmt/core.h>
#include <fmt/os.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

namespace pgweir::bench {
namespace {

constexpr std::int64_t kInserts = 16, kUpdates = 3, kChanges = kInserts + kUpdates + 1;
constexpr std::int64_t kAccountChanges = 100, kAccountStep = 97;
constexpr std::int64_t kFactor = 2'654'435'761, kModulus = 4'294'967'296;
constexpr std::int64_t kCents = 100'000, kMoreCents = 54'321;
constexpr std::int64_t kRegions = 50, kNextRegion = 7;
constexpr std::int64_t kStepMs = 10;
constexpr std::int64_t kStartMs = 1'767'225'600'000;  // 2026-01-01 00:00:00 UTC

// One row of transfers, by its number.
struct Transfer {
  std::int64_t id = 0, account = 0, cents = 0;

  static Transfer inserted(std::int64_t id, std::int64_t accounts) {
    const std::int64_t mixed = id * kFactor % kModulus;
    return {id, 1 + mixed / kCents % accounts, mixed % kCents};
  }
  Transfer updated() const { return {id, account, (cents + kMoreCents) % kCents}; }

  std::string json() const {
    const std::int64_t at_ms = kStartMs + id * kStepMs;
    return fmt::format(
        R"({{"id":{0},"account_id":{1},"amount":"{2}.{3:02}","note":"a note of some length {0}",)"
        R"("created_at":"{4:%Y-%m-%dT%H:%M:%S}.{5:03}Z"}})",
        id, account, cents / 100, cents % 100, fmt::gmtime(at_ms / 1000), at_ms % 1000);
  }
};

std::string account_json(std::int64_t id, std::int64_t region) {
  return fmt::format(R"({{"id":{},"region":"region {}"}})", id, region % kRegions);
}

std::string event(const std::string& before, const std::string& after, char op) {
  return fmt::format(R"({{"before":{},"after":{},"op":"{}"}})"
                     "\n",
                     before.empty() ? "null" : before, after.empty() ? "null" : after, op);
}

}  // namespace

EventStream::EventStream(std::int64_t changes)
    : accounts_(std::min<std::int64_t>(10'000, changes / kChanges)),
      transactions_((changes - accounts_) / kChanges),
      update_lag_(std::min<std::int64_t>(500, transactions_ / 8)),
      delete_lag_(std::min<std::int64_t>(3000, transactions_ / 2) + kUpdates),
      account_every_(transactions_ / (kAccountChanges + 1) + 1) {}

std::string EventStream::tables_sql() {
  return fmt::format(
      R"sql(
      CREATE TABLE accounts (id bigint PRIMARY KEY, region text NOT NULL);
      CREATE TABLE transfers (id bigint PRIMARY KEY, account_id bigint NOT NULL,
        amount numeric(12,2) NOT NULL, note text NOT NULL, created_at timestamptz NOT NULL);
      -- As Debezium's events have their before images whole.
      ALTER TABLE accounts REPLICA IDENTITY FULL;
      ALTER TABLE transfers REPLICA IDENTITY FULL;
      CREATE PROCEDURE fill(account_count bigint, transactions bigint, update_lag bigint,
                            delete_lag bigint, account_every bigint) LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO public.accounts SELECT i, 'region ' || i % {regions}
          FROM generate_series(1, account_count) i;
        COMMIT;
        FOR t IN 0 .. transactions - 1 LOOP
          INSERT INTO public.transfers
            SELECT n, 1 + mixed / {cents} % account_count, mixed % {cents} / 100.0,
                   'a note of some length ' || n,
                   '2026-01-01Z'::timestamptz + n * interval '{step} ms'
              FROM (SELECT n, n * {factor} % {modulus} AS mixed
                      FROM generate_series(t * {inserts} + 1, (t + 1) * {inserts}) n) numbers;
          -- An array, so that each key is looked up in the index whatever the statistics say.
          UPDATE public.transfers
            SET amount = ((amount * 100)::bigint + {more}) % {cents} / 100.0
            WHERE id = ANY (ARRAY[(t - update_lag) * {inserts} + 1,
                                  (t - update_lag - 1) * {inserts} + 2,
                                  (t - update_lag - 2) * {inserts} + 3]);
          DELETE FROM public.transfers
            WHERE id = (t - delete_lag) * {inserts} + CASE WHEN t % 2 = 0 THEN 1 ELSE 4 END;
          IF t > 0 AND t % account_every = 0 THEN
            UPDATE public.accounts SET region = 'region ' || (id + {next}) % {regions}
              WHERE id = 1 + t / account_every * {account_step} % account_count;
          END IF;
          COMMIT;
        END LOOP;
      END $$)sql",
      fmt::arg("regions", kRegions), fmt::arg("cents", kCents), fmt::arg("step", kStepMs),
      fmt::arg("factor", kFactor), fmt::arg("modulus", kModulus), fmt::arg("inserts", kInserts),
      fmt::arg("more", kMoreCents), fmt::arg("next", kNextRegion),
      fmt::arg("account_step", kAccountStep));
}

std::string EventStream::fill_sql() const {
  return fmt::format("CALL public.fill({}, {}, {}, {}, {})", accounts_, transactions_, update_lag_,
                     delete_lag_, account_every_);
}

std::int64_t EventStream::write_json(const std::string& folder, int parts) const {
  std::filesystem::create_directories(folder + "/accounts");
  std::filesystem::create_directories(folder + "/transfers");
  std::int64_t written = 0;
  auto accounts = fmt::output_file(folder + "/accounts/part-0.json");
  for (std::int64_t id = 1; id <= accounts_; ++id, ++written)
    accounts.print("{}", event("", account_json(id, id), 'c'));
  std::vector<fmt::ostream> files;
  for (int part = 0; part < parts; ++part)
    files.push_back(fmt::output_file(fmt::format("{}/transfers/part-{}.json", folder, part)));
  const auto add = [&](const std::optional<Transfer>& before, const std::optional<Transfer>& after,
                       char op) {
    const std::int64_t id = after ? after->id : before->id;
    files[static_cast<std::size_t>(id % parts)].print(
        "{}", event(before ? before->json() : "", after ? after->json() : "", op));
    ++written;
  };
  const auto row = [&](std::int64_t transaction, std::int64_t place) {
    return Transfer::inserted(transaction * kInserts + place, accounts_);
  };
  for (std::int64_t t = 0; t < transactions_; ++t) {
    for (std::int64_t i = 1; i <= kInserts; ++i) add({}, row(t, i), 'c');
    for (std::int64_t i = 0; i < kUpdates && t - update_lag_ - i >= 0; ++i) {
      const Transfer before = row(t - update_lag_ - i, i + 1);
      add(before, before.updated(), 'u');
    }
    if (t >= delete_lag_) {
      // The first of a transaction was updated before, the fourth was not.
      add(t % 2 == 0 ? row(t - delete_lag_, 1).updated() : row(t - delete_lag_, 4), {}, 'd');
    }
    if (t > 0 && t % account_every_ == 0) {
      const std::int64_t id = 1 + t / account_every_ * kAccountStep % accounts_;
      accounts.print("{}", event(account_json(id, id), account_json(id, id + kNextRegion), 'u'));
      ++written;
    }
  }
  return written;
}

}  // namespace pgweir::bench
