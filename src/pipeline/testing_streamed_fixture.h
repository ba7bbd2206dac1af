// A capture of a server that streams every transaction larger than 64 kB before it commits, in each
// of the ways in which such a transaction enters the log. For tests only.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "pipeline/testing_capture_fixture.h"
#include "postgres/connection.h"

namespace pgweir::pipeline {

inline harness::Cluster& streaming_cluster() {
  static harness::Cluster cluster(
      {.settings = {{"logical_decoding_work_mem", "64kB"}, {"max_prepared_transactions", "20"}}});
  return cluster;
}

// How a streamed transaction enters the log.
struct Way {
  const char* name;
  StreamedOptions options;
};

inline Way adopted() {
  Way way{"Adopted", {}};
  way.options.frame_bytes_max = 16 * 1024;
  way.options.adopt_bytes_min = 1;
  return way;
}

class StreamedFixture : public CaptureFixture, public testing::WithParamInterface<Way> {
 protected:
  StreamedFixture() : CaptureFixture(streaming_cluster()) {}
  void adjust(CaptureOptions& options) override {
    options.streamed = GetParam().options;
    if (!confirms_) options.feedback_interval = std::chrono::hours(1);
  }

  postgres::Connection session() {
    auto opened = postgres::Connection::open({.url = cluster_.url(database_)}).value();
    EXPECT_TRUE(opened.execute("SET search_path = public, pg_catalog").ok());
    return opened;
  }

  void run(postgres::Connection& session, const std::string& statements) {
    const Status done = session.execute(statements);
    ASSERT_TRUE(done.ok()) << done.error().text();
  }

  // Waits until the server has sent what is there of transactions that are still open.
  void wait_streamed(std::uint64_t transactions = 1) {
    EXPECT_TRUE(wait_until([&] {
      return sql(fmt::format("SELECT coalesce(sum(stream_txns), 0) >= {} FROM "
                             "pg_stat_replication_slots WHERE slot_name = '{}'",
                             transactions, slot_)) == "t";
    })) << "the server has not streamed";
  }

  bool confirms_ = true;  // to the slot, what the log has
};

}  // namespace pgweir::pipeline
