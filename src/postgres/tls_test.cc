// The ways in: TLS, certificates, passwords. And the stream through TLS, where the encryption layer
// keeps bytes back that the socket no longer shows.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "harness/cluster.h"
#include "io/process.h"
#include "postgres/replication_stream.h"
#include "postgres/setup.h"

namespace pgweir::postgres {
namespace {

// NAME.key and NAME.crt for 127.0.0.1 and the common name, owned by `user`, or by us.
void make_certificate(const harness::ScratchFolder& folder, const std::string& name = "server",
                      const std::string& common_name = "127.0.0.1",
                      const std::string& user = ::geteuid() == 0 ? "postgres" : "") {
  const auto made =
      io::run({.arguments = {"openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-subj",
                             "/CN=" + common_name, "-addext", "subjectAltName=IP:127.0.0.1",
                             "-newkey", "rsa:2048", "-keyout", folder.file(name + ".key"), "-out",
                             folder.file(name + ".crt")},
               .directory = "/",
               .user = user},
              Milliseconds(60'000));
  ASSERT_TRUE(made.ok() && made->exit_code == 0) << (made.ok() ? made->output : "");
}

TEST(Tls, EveryMessageComesWithoutAWait) {
  harness::ScratchFolder folder;
  make_certificate(folder);
  harness::ClusterOptions options;
  options.settings = {{"ssl", "on"},
                      {"ssl_cert_file", folder.file("server.crt")},
                      {"ssl_key_file", folder.file("server.key")}};
  harness::Cluster cluster(options);
  const std::string url =
      cluster.url() + "?sslmode=verify-full&sslrootcert=" + folder.file("server.crt");
  cluster.sql("CREATE TABLE t (id int PRIMARY KEY, a text); CREATE PUBLICATION pub FOR TABLE t");
  auto control = Connection::open({.url = url});
  ASSERT_TRUE(control.ok()) << control.error().text();
  auto ssl = control->query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
  EXPECT_TRUE(ssl->boolean(0, 0));
  (void)create_slot(*control, {.name = "tls", .export_snapshot = false}).value();
  // Sizes around the 16 kB of a TLS record, and many small ones.
  cluster.sql(
      "SELECT setseed(0.5); INSERT INTO t SELECT i, repeat('x', (CASE WHEN i % 10 = 0"
      " THEN random() * 40000 ELSE random() * 300 END)::int) FROM generate_series(1, 20000) i");
  auto connection = Connection::open({.url = url, .kind = ConnectionKind::kReplication});
  auto stream = ReplicationStream::start(std::move(connection).value(),
                                         {.slot = "tls", .publications = {"pub"}});
  ASSERT_TRUE(stream.ok()) << stream.error().text();
  Gulp gulp;
  std::size_t rows = 0, waits = 0;
  for (bool done = false; !done;) {
    ASSERT_TRUE(stream->read(gulp, Microseconds(20'000'000), nullptr).ok());
    waits += gulp.empty() ? 1 : 0;
    for (std::size_t i = 0; i < gulp.messages.size(); ++i) {
      rows += gulp.message(i)[0] == 'I' ? 1 : 0;
      done = done || gulp.message(i)[0] == 'C';
    }
    ASSERT_EQ(waits, 0u);
  }
  EXPECT_EQ(rows, 20'000u);
  ASSERT_TRUE(stream->stop(Milliseconds(10'000)).ok());
}

TEST(Tls, WrongCertificateIsRefusedWithAdvice) {
  harness::ScratchFolder folder, other;
  make_certificate(folder);
  make_certificate(other);
  harness::ClusterOptions options;
  options.settings = {{"ssl", "on"},
                      {"ssl_cert_file", folder.file("server.crt")},
                      {"ssl_key_file", folder.file("server.key")}};
  harness::Cluster cluster(options);
  auto connection = Connection::open(
      {.url = cluster.url() + "?sslmode=verify-full&sslrootcert=" + other.file("server.crt")});
  ASSERT_FALSE(connection.ok());
  EXPECT_EQ(connection.error().code, Code::kCheckFailed) << connection.error().text();
  EXPECT_NE(connection.error().hint.find("sslrootcert"), std::string::npos);
}

// Both kinds of connection come in with this URL, as this user.
void expect_let_in(const std::string& url, const std::string& user) {
  for (const ConnectionKind kind : {ConnectionKind::kOrdinary, ConnectionKind::kReplication}) {
    auto connection = Connection::open({.url = url, .kind = kind});
    ASSERT_TRUE(connection.ok()) << connection.error().text();
    const auto who = connection->query("SELECT current_user");
    ASSERT_TRUE(who.ok()) << who.error().text();
    EXPECT_EQ(who->text(0, 0), user);
  }
}

TEST(Authentication, APasswordByScramFromTheUrlOrAPasswordFile) {
  harness::ScratchFolder folder;
  harness::Cluster cluster({.settings = {{"password_encryption", "scram-sha-256"}},
                            .hba = "host all keeper 127.0.0.1/32 scram-sha-256\n"
                                   "host all all 127.0.0.1/32 trust\n"});
  cluster.sql("CREATE ROLE keeper LOGIN REPLICATION PASSWORD 'p:w\\d'");
  const std::string file = folder.file("passwords");
  std::ofstream(file) << "*:*:*:keeper:p\\:w\\\\d\n";
  std::filesystem::permissions(file, std::filesystem::perms::owner_read);
  const std::string at = fmt::format("127.0.0.1:{}/postgres", cluster.port());
  expect_let_in("postgresql://keeper@" + at + "?passfile=" + file, "keeper");
  expect_let_in("postgresql://keeper:p%3Aw%5Cd@" + at, "keeper");
  const auto refused = Connection::open({.url = "postgresql://keeper:wrong@" + at});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kCheckFailed);
}

TEST(Authentication, ACertificateOfTheClients) {
  harness::ScratchFolder folder, ours;
  make_certificate(folder);
  make_certificate(ours, "client", "keeper", "");
  // What a client's certificate says of itself is its own authority here.
  std::filesystem::copy_file(ours.file("client.crt"), folder.file("authority.crt"));
  harness::Cluster cluster({.settings = {{"ssl", "on"},
                                         {"ssl_cert_file", folder.file("server.crt")},
                                         {"ssl_key_file", folder.file("server.key")},
                                         {"ssl_ca_file", folder.file("authority.crt")}},
                            .hba = "hostssl all keeper 127.0.0.1/32 cert\n"
                                   "host all postgres 127.0.0.1/32 trust\n"});
  cluster.sql("CREATE ROLE keeper LOGIN REPLICATION");
  const std::string url =
      fmt::format("postgresql://keeper@127.0.0.1:{}/postgres?sslmode=verify-full&sslrootcert={}",
                  cluster.port(), folder.file("server.crt"));
  expect_let_in(
      fmt::format("{}&sslcert={}&sslkey={}", url, ours.file("client.crt"), ours.file("client.key")),
      "keeper");
  const auto refused = Connection::open({.url = url});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kCheckFailed) << refused.error().text();
}

}  // namespace
}  // namespace pgweir::postgres
