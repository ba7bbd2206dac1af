// For tests: what a source's changes look like after the whole way through slot, stream and
// decoder, as text.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "harness/cluster.h"
#include "postgres/catalog.h"
#include "postgres/connection.h"
#include "postgres/pgoutput.h"
#include "postgres/replication_stream.h"
#include "postgres/setup.h"
#include "postgres/testing_render.h"

namespace pgweir::postgres::testing_capture {

using testing_render::render;

// A database of its own in the shared cluster, with a slot and publications for all its tables.
class Capture {
 public:
  explicit Capture(const std::string& set_up_sql, std::vector<std::string> exclude = {})
      : cluster_(harness::shared_cluster()), database_(cluster_.create_database()) {
    slot_ = "slot_" + database_;
    cluster_.sql(set_up_sql, database_);
    control_ =
        std::make_unique<Connection>(Connection::open({.url = cluster_.url(database_)}).value());
    const auto expanded =
        expand_tables(*control_, std::vector<std::string>{"*.*"}, exclude).value();
    publications_ = ensure_publications(*control_, "pub", expanded.tables).value();
    (void)create_slot(*control_, {.name = slot_, .export_snapshot = false}).value();
    start();
  }
  ~Capture() {
    stream_.reset();
    EXPECT_TRUE(drop_slot(*control_, slot_, Milliseconds(10'000)).ok());
  }

  // Runs the statements (each by itself unless they say BEGIN) and returns what came of them, but
  // for the empty transactions that PostgreSQL 14 sends and later versions leave out.
  std::string changes(const std::string& sql) {
    cluster_.sql(sql, database_);
    return read();
  }

  // What came up to now.
  std::string read() {
    const model::Lsn end = current_lsn(*control_).value();
    std::string out;
    Gulp gulp;
    model::Lsn seen{};
    while (seen < end) {
      const Status got = stream_->read(gulp, Microseconds(10'000), nullptr);
      EXPECT_TRUE(got.ok()) << got.error().text();
      if (!got.ok()) break;
      auto arena = std::make_shared<std::string>(std::move(gulp.arena));
      decoder_.keep_alive(arena);
      for (const auto& message : gulp.messages) {
        const Status fed =
            decoder_.feed(std::string_view(*arena).substr(message.offset, message.size));
        EXPECT_TRUE(fed.ok()) << fed.error().text();
      }
      seen = std::max(seen, gulp.keepalive_lsn);
      if (gulp.empty()) {
        EXPECT_TRUE(
            stream_->send_feedback({}, {}, {}, ReplicationStream::Reply::kRequested, 0).ok());
      }
      out += render(decoder_.take());
    }
    if (control_->server_version() < 150000) drop_empty_transactions(out);
    return out;
  }

  // As after a crash of ours: the server sends again what was not confirmed.
  void restart(const model::Position& after = {1, {}, 0}) {
    stream_.reset();
    decoder_ = PgoutputDecoder(after);
    start();
  }

  const std::string& database() const { return database_; }
  const std::string& slot() const { return slot_; }
  Connection& control() { return *control_; }
  PgoutputDecoder& decoder() { return decoder_; }
  ReplicationStream& stream() { return *stream_; }
  const Publications& publications() const { return publications_; }

 private:
  static void drop_empty_transactions(std::string& changes) {
    constexpr std::string_view kCommit = "commit\n";
    while (changes.starts_with(kCommit)) changes.erase(0, kCommit.size());
    for (std::size_t at; (at = changes.find("\ncommit\ncommit\n")) != std::string::npos;)
      changes.erase(at, kCommit.size());
  }

  void start() {
    for (int attempt = 0;; ++attempt) {
      auto connection =
          Connection::open({.url = cluster_.url(database_), .kind = ConnectionKind::kReplication});
      auto stream = ReplicationStream::start(std::move(connection).value(),
                                             {.slot = slot_, .publications = publications_.names});
      // A walsender that was cut off needs a moment to notice.
      if (!stream.ok() && sqlstate_of(stream.error()) == "55006" && attempt < 200) {
        (void)io::wait_socket(-1, io::Interest::kNothing, Microseconds(20'000), nullptr);
        continue;
      }
      stream_ = std::make_unique<ReplicationStream>(std::move(stream).value());
      return;
    }
  }

  harness::Cluster& cluster_;
  std::string database_;
  std::string slot_;
  std::unique_ptr<Connection> control_;
  Publications publications_;
  std::unique_ptr<ReplicationStream> stream_;
  PgoutputDecoder decoder_{model::Position{1, {}, 0}};
};

}  // namespace pgweir::postgres::testing_capture
