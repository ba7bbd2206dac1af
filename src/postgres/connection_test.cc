#include "postgres/connection.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "harness/cluster.h"
#include "harness/scratch.h"
#include "postgres/server_error.h"

namespace pgweir::postgres {
namespace {
using namespace std::chrono_literals;
using harness::shared_cluster;

// A port that takes connections and never says a word.
class SilentServer {
 public:
  SilentServer() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(socket_, generic, size), 0);
    EXPECT_EQ(::getsockname(socket_, generic, &size), 0);
    EXPECT_EQ(::listen(socket_, 5), 0);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { ::close(socket_); }
  int port() const { return port_; }

 private:
  int socket_;
  int port_ = 0;
};

struct SettingCase {
  const char* name;
  const char* value;
};
constexpr SettingCase kSettings[] = {
    {"DateStyle", "ISO, MDY"},
    {"IntervalStyle", "postgres"},
    {"extra_float_digits", "3"},
    {"bytea_output", "hex"},
    {"TimeZone", "UTC"},
    {"client_encoding", "UTF8"},
    {"search_path", ""},
    {"statement_timeout", "0"},
    {"idle_session_timeout", "0"},
    {"lc_monetary", "C"},
    {"idle_in_transaction_session_timeout", "0"},
    {"jit", "off"},
};

TEST(Connection, SessionSettingsHoldAgainstRoleAndDatabase) {
  auto& cluster = shared_cluster();
  const std::string database = cluster.create_database();
  cluster.sql(fmt::format(
      "ALTER DATABASE {0} SET DateStyle='SQL, DMY'; ALTER DATABASE {0} SET "
      "IntervalStyle='iso_8601';"
      "ALTER DATABASE {0} SET extra_float_digits=-3; ALTER DATABASE {0} SET bytea_output='escape';"
      "ALTER DATABASE {0} SET TimeZone='Asia/Kathmandu'; ALTER DATABASE {0} SET search_path='x';"
      "ALTER DATABASE {0} SET client_encoding='LATIN1'; ALTER DATABASE {0} SET lock_timeout='1ms';"
      "ALTER DATABASE {0} SET statement_timeout='1ms';"
      "ALTER DATABASE {0} SET idle_session_timeout='1ms';"
      "ALTER DATABASE {0} SET idle_in_transaction_session_timeout='1ms'",
      database));
  for (const auto kind : {ConnectionKind::kOrdinary, ConnectionKind::kReplication}) {
    auto connection = Connection::open({.url = cluster.url(database), .kind = kind});
    ASSERT_TRUE(connection.ok()) << connection.error().text();
    for (const auto& [name, value] : kSettings) {
      auto shown = connection->query(std::string("SHOW ") + name);
      ASSERT_TRUE(shown.ok()) << shown.error().text();
      EXPECT_EQ(shown->text(0, 0), value) << name;
    }
    auto lock = connection->query("SHOW lock_timeout");
    EXPECT_EQ(lock->text(0, 0), kind == ConnectionKind::kOrdinary ? "10s" : "0");
  }
}

TEST(Connection, QueryGivesRowsNullsAndParameters) {
  auto connection = Connection::open({.url = shared_cluster().url()});
  ASSERT_TRUE(connection.ok());
  const std::string awkward = R"(it's "a" \ test, {x})";
  auto result = connection->query("SELECT $1::text, NULL, 7, true, ($2::text[])[1]",
                                  {awkward, array_literal(std::vector<std::string>{awkward})});
  ASSERT_TRUE(result.ok()) << result.error().text();
  EXPECT_EQ(result->text(0, 0), awkward);
  EXPECT_TRUE(result->is_null(0, 1));
  EXPECT_EQ(result->integer(0, 2), 7);
  EXPECT_TRUE(result->boolean(0, 3));
  EXPECT_EQ(result->text(0, 4), awkward);
  auto quoted =
      connection->query("SELECT " + quote_literal(awkward) + " AS " + quote_identifier("a\"b"));
  EXPECT_EQ(quoted->text(0, 0), awkward);
}

struct OpenFailure {
  std::string url;
  Code code;
  std::string text;  // a part of the error's text
};

TEST(Connection, OpenFailuresSayWhatIsWrong) {
  harness::ClusterOptions options;
  options.hba =
      "local all all trust\nhost all postgres 127.0.0.1/32 trust\n"
      "host all secured 127.0.0.1/32 scram-sha-256\n";
  harness::Cluster cluster(options);
  cluster.sql("CREATE ROLE secured LOGIN PASSWORD 'right'; CREATE ROLE stranger LOGIN");
  const auto at = [&](const std::string& user, const std::string& database) {
    return fmt::format("postgresql://{}@127.0.0.1:{}/{}", user, cluster.port(), database);
  };
  ::unsetenv("PGPASSWORD");
  const std::vector<OpenFailure> cases = {
      {fmt::format("postgresql://x@127.0.0.1:{}/d", harness::free_port()), Code::kUnavailable,
       "cannot be reached"},
      {at("secured:wr0ng", "postgres"), Code::kCheckFailed, "SQLSTATE 28P01"},
      {at("secured", "postgres"), Code::kCheckFailed, "no password supplied"},
      {at("stranger", "postgres"), Code::kCheckFailed, "pg_hba.conf"},
      {at("postgres", "nowhere"), Code::kCheckFailed, "SQLSTATE 3D000"},
      {at("postgres", "postgres") + "?sslmode=require", Code::kCheckFailed, "sslmode"},
      {"postgresql://x:se%zzcret@h/d", Code::kConfig, "cannot be read"},
      {"postgresql://x@127.0.0.1:99999/d", Code::kUnavailable, "port"},
  };
  for (const auto& test : cases) {
    auto connection = Connection::open({.url = test.url});
    ASSERT_FALSE(connection.ok()) << test.url;
    const std::string text = connection.error().text();
    EXPECT_EQ(connection.error().code, test.code) << text;
    EXPECT_NE(text.find(test.text), std::string::npos) << text;
    EXPECT_EQ(text.find("wr0ng"), std::string::npos) << text;
    EXPECT_EQ(text.find("cret"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
  EXPECT_TRUE(Connection::open({.url = at("secured:right", "postgres")}).ok());
}

TEST(Connection, SilentHostIsPassedOverForTheNext) {
  SilentServer silent;
  auto& cluster = shared_cluster();
  const std::string url = fmt::format("postgresql://postgres@127.0.0.1:{},127.0.0.1:{}/postgres",
                                      silent.port(), cluster.port());
  auto connection = Connection::open({.url = url, .connect_timeout = 100ms});
  ASSERT_TRUE(connection.ok()) << connection.error().text();
  EXPECT_TRUE(connection->execute("SELECT 1").ok());
  auto alone = Connection::open(
      {.url = fmt::format("postgresql://127.0.0.1:{}/x", silent.port()), .connect_timeout = 50ms});
  ASSERT_FALSE(alone.ok());
  EXPECT_EQ(alone.error().code, Code::kUnavailable);
  EXPECT_NE(alone.error().text().find("no answer in 50ms"), std::string::npos);
}

TEST(Connection, WakerEndsConnectingAndWaiting) {
  SilentServer silent;
  io::Waker waker;
  std::jthread other([&] { waker.wake(); });
  auto never = Connection::open(
      {.url = fmt::format("postgresql://127.0.0.1:{}/x", silent.port()), .cancel = &waker});
  other.join();
  ASSERT_FALSE(never.ok());
  EXPECT_EQ(never.error().code, Code::kCancelled);

  waker.clear();
  auto connection = Connection::open({.url = shared_cluster().url(), .cancel = &waker});
  ASSERT_TRUE(connection.ok());
  std::jthread again([&] { waker.wake(); });
  const Status slept = connection->execute("SELECT pg_sleep(60)");
  again.join();
  ASSERT_FALSE(slept.ok());
  EXPECT_EQ(slept.error().code, Code::kCancelled);
  EXPECT_FALSE(connection->is_open());
}

TEST(Connection, CommandErrorsCarrySqlstateAndHint) {
  auto& cluster = shared_cluster();
  cluster.sql("CREATE ROLE nobody_special LOGIN");
  auto connection = Connection::open(
      {.url = fmt::format("postgresql://nobody_special@127.0.0.1:{}/postgres", cluster.port())});
  ASSERT_TRUE(connection.ok()) << connection.error().text();
  const Status refused = connection->execute("SELECT * FROM pg_catalog.pg_authid");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kCheckFailed);
  EXPECT_EQ(sqlstate_of(refused.error()), "42501");
  EXPECT_EQ(connection->execute("SELECT * FROM nowhere").error().code, Code::kNotFound);
  EXPECT_EQ(connection->execute("SELEC 1").error().code, Code::kInternal);
  EXPECT_TRUE(connection->execute("SELECT 1; SELECT 2").ok());
}

TEST(Connection, TimeoutAndLossCloseTheConnection) {
  auto& cluster = shared_cluster();
  auto connection = Connection::open({.url = cluster.url(), .query_timeout = 20ms});
  const Status slow = connection->execute("SELECT pg_sleep(60)");
  ASSERT_FALSE(slow.ok());
  EXPECT_EQ(slow.error().code, Code::kTimeout);
  EXPECT_FALSE(connection->is_open());
  EXPECT_EQ(connection->execute("SELECT 1").error().code, Code::kUnavailable);

  auto victim = Connection::open({.url = cluster.url()});
  cluster.sql(fmt::format("SELECT pg_terminate_backend({}, 10000)", victim->backend_pid()));
  const Status lost = victim->execute("SELECT 1");
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().code, Code::kUnavailable) << lost.error().text();
  EXPECT_FALSE(victim->is_open());
}

TEST(Connection, CommandInTwoStepsCanBeLookedInto) {
  auto connection = Connection::open({.url = shared_cluster().url()});
  ASSERT_TRUE(connection->send("SELECT 5 FROM pg_sleep(0.1)").ok());
  auto early = connection->finish(1ms);
  ASSERT_FALSE(early.ok());
  EXPECT_EQ(early.error().code, Code::kTimeout);
  auto late = connection->finish(60s);
  ASSERT_TRUE(late.ok()) << late.error().text();
  EXPECT_EQ(late->integer(0, 0), 5);
}

}  // namespace
}  // namespace pgweir::postgres
