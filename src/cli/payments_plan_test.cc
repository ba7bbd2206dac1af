// The plan is the same for the same seed, and PostgreSQL's sums stay zero whatever it mixes in.
#include "cli/payments_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "harness/cluster.h"
#include "postgres/connection.h"

namespace pgweir::cli {
namespace {

PaymentsOptions mixed(std::uint64_t seed) {
  return {.seed = seed,
          .accounts = 20,
          .updates = 0.4,
          .deletes = 0.2,
          .large_transfers = 2500,
          .large_every = 50,
          .remembered_max = 100};
}

// `count` transactions, one piece of SQL each, with what they do.
std::vector<std::string> pieces_of(const PaymentsOptions& options, PaymentsShare share,
                                   std::uint64_t count, PaymentsCounts& counts) {
  PaymentsPlan plan(options, share);
  std::vector<std::string> out;
  while (counts.transactions < count) plan.next(out.emplace_back(), counts);
  return out;
}

std::string text_of(const PaymentsOptions& options, PaymentsShare share, std::uint64_t count) {
  PaymentsCounts counts;
  std::string out;
  for (const std::string& piece : pieces_of(options, share, count, counts)) out += piece + "\n";
  return out;
}

// The tables' content in one text.
std::string content_of(harness::Cluster& cluster, const std::string& database) {
  return cluster.sql(
      "SELECT sum(balance), md5(string_agg(a::text, '' ORDER BY id)) FROM accounts a;"
      "SELECT coalesce(sum(amount), 0), md5(string_agg(e::text, '' ORDER BY id)) FROM entries e;"
      "SELECT count(*), md5(string_agg(t::text, '' ORDER BY id)) FROM transfers t",
      database);
}

std::string sums_of(harness::Cluster& cluster, const std::string& database) {
  return cluster.sql(
      "SELECT sum(balance) FROM accounts; SELECT sum(amount) FROM entries;"
      "SELECT count(*) FROM accounts a WHERE balance <> "
      "(SELECT coalesce(sum(amount), 0) FROM entries WHERE account_id = a.id);"
      "SELECT (SELECT count(*) FROM entries) - 2 * (SELECT count(*) FROM transfers)",
      database);
}

postgres::Connection prepared(harness::Cluster& cluster, const std::string& database) {
  auto connection = postgres::Connection::open({.url = cluster.url(database)}).value();
  EXPECT_TRUE(connection.execute(payments_schema_sql()).ok());
  EXPECT_TRUE(connection.execute(payments_accounts_sql(20)).ok());
  EXPECT_TRUE(connection.execute(payments_session_sql()).ok());
  return connection;
}

}  // namespace

TEST(PaymentsPlan, SameSeedGivesTheSameStatements) {
  EXPECT_EQ(text_of(mixed(7), {}, 200), text_of(mixed(7), {}, 200));
  EXPECT_NE(text_of(mixed(7), {}, 200), text_of(mixed(8), {}, 200));
  EXPECT_NE(text_of(mixed(7), {0, 2}, 200), text_of(mixed(7), {1, 2}, 200));
  // The first statements stay what they were: a seed in a report must mean the same later on.
  EXPECT_EQ(text_of({.seed = 1}, {}, 1),
            "BEGIN;EXECUTE payments_transfer(1,611,616,1101.24,'insurance',"
            "to_timestamp(1767225600.001000));COMMIT;\n");
}

TEST(PaymentsPlan, SharesKeepToTheirOwnAccounts) {
  // Two accounts for each of three shares, and one that is left over.
  for (std::uint32_t index = 0; index < 3; ++index) {
    const std::string text = text_of({.seed = 3, .accounts = 7}, {index, 3}, 100);
    std::size_t at = 0;
    while ((at = text.find("payments_transfer(", at)) != std::string::npos) {
      unsigned long long id = 0;
      unsigned long long from = 0;
      unsigned long long to = 0;
      ASSERT_EQ(std::sscanf(text.c_str() + at, "payments_transfer(%llu,%llu,%llu", &id, &from, &to),
                3);
      EXPECT_EQ(id % 3, index);
      EXPECT_EQ(from % 3, index);
      EXPECT_EQ(to % 3, index);
      EXPECT_NE(from, to);
      EXPECT_TRUE(from >= 1 && from <= 7 && to >= 1 && to <= 7) << from << " " << to;
      ++at;
    }
  }
}

TEST(PaymentsPlan, GoesOnAboveTheHighestNumber) {
  EXPECT_NE(text_of({.first_transfer = 10}, {0, 3}, 1).find("payments_transfer(12,"),
            std::string::npos);
  EXPECT_NE(text_of({.first_transfer = 10}, {1, 3}, 1).find("payments_transfer(13,"),
            std::string::npos);
}

TEST(PaymentsPlan, EveryPrefixKeepsTheSumsAtZeroAndCountsRight) {
  const unsigned seed = harness::test_seed();
  harness::Cluster& cluster = harness::shared_cluster();
  const std::string database = cluster.create_database();
  postgres::Connection connection = prepared(cluster, database);
  cluster.sql(
      "CREATE TABLE counts (op text, n bigint);"
      "CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS "
      "$$BEGIN INSERT INTO public.counts VALUES (TG_OP, 1); RETURN NULL; END$$;"
      "CREATE TRIGGER c AFTER INSERT OR UPDATE OR DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION "
      "count_rows();"
      "CREATE TRIGGER c AFTER INSERT OR UPDATE OR DELETE ON transfers FOR EACH ROW EXECUTE "
      "FUNCTION count_rows();"
      "CREATE TRIGGER c AFTER INSERT OR UPDATE OR DELETE ON entries FOR EACH ROW EXECUTE FUNCTION "
      "count_rows()",
      database);
  PaymentsCounts counts;
  int checked = 0;
  for (const std::string& piece : pieces_of(mixed(seed), {}, 120, counts)) {
    const Status done = connection.execute(piece);
    ASSERT_TRUE(done.ok()) << done.error().text() << "\n" << piece;
    if (++checked % 20 != 0) continue;
    // Not inside a large transaction's pieces, which other connections do not see.
    EXPECT_EQ(sums_of(cluster, database), "0.00\n0.00\n0\n0");
  }
  EXPECT_EQ(sums_of(cluster, database), "0.00\n0.00\n0\n0");
  // What the plan says that it does is what PostgreSQL has done. A large transaction comes in
  // pieces, and each piece updates an account once.
  EXPECT_EQ(cluster.sql("SELECT op, count(*) FROM counts GROUP BY 1 ORDER BY 1", database),
            "DELETE|" + std::to_string(counts.deletes) + "\nINSERT|" +
                std::to_string(counts.inserts) + "\nUPDATE|" + std::to_string(counts.updates));
}

TEST(PaymentsPlan, SendingABatchAgainChangesNothing) {
  const unsigned seed = harness::test_seed();
  harness::Cluster& cluster = harness::shared_cluster();
  const std::string once = cluster.create_database();
  const std::string twice = cluster.create_database();
  postgres::Connection first = prepared(cluster, once);
  postgres::Connection second = prepared(cluster, twice);
  PaymentsCounts counts;
  PaymentsOptions options = mixed(seed);
  options.large_transfers = 0;
  std::string batch;
  int size = 0;
  for (const std::string& piece : pieces_of(options, {}, 300, counts)) {
    ASSERT_TRUE(first.execute(piece).ok());
    batch += piece;
    if (++size % 30 != 0) continue;
    ASSERT_TRUE(second.execute(batch).ok());
    ASSERT_TRUE(second.execute(batch).ok());
    batch.clear();
  }
  EXPECT_EQ(sums_of(cluster, twice), "0.00\n0.00\n0\n0");
  // Times of accounts differ where a transfer was made and taken back once more.
  cluster.sql("UPDATE accounts SET updated_at = 'epoch'", once);
  cluster.sql("UPDATE accounts SET updated_at = 'epoch'", twice);
  EXPECT_EQ(content_of(cluster, once), content_of(cluster, twice));
}

}  // namespace pgweir::cli
