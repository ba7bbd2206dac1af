// The stream through TLS: the encryption layer keeps bytes back that the socket no longer shows.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "harness/cluster.h"
#include "io/process.h"
#include "postgres/replication_stream.h"
#include "postgres/setup.h"

namespace pgweir::postgres {
namespace {

// A key and a certificate for 127.0.0.1, owned by the server's user.
void make_certificate(const harness::ScratchFolder& folder) {
  const auto made =
      io::run({.arguments = {"openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-subj",
                             "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-newkey",
                             "rsa:2048", "-keyout", folder.file("server.key"), "-out",
                             folder.file("server.crt")},
               .directory = "/",
               .user = ::geteuid() == 0 ? "postgres" : ""},
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

}  // namespace
}  // namespace pgweir::postgres
