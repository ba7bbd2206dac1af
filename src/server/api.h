// The native HTTP API (docs/http_api.md): parameters are checked here, a Backend answers.
//
// Place:   between http_server.h and backend.h.
#pragma once

#include <cstdint>

#include "base/units.h"
#include "io/clock.h"
#include "server/backend.h"
#include "server/http_server.h"
#include "server/router.h"

namespace pgweir::server {

struct ApiOptions {
  std::uint64_t rows_limit_default = 100;
  std::uint64_t rows_limit_max = 10'000;
  std::uint64_t sql_limit_default = 1'000;
  std::uint64_t sql_limit_max = 100'000;
  Milliseconds sql_timeout_default{10'000};
  Milliseconds sql_timeout_max{60'000};
  std::uint64_t answer_bytes_max = 64 * kMiB;   // cell text of one answer
  std::uint64_t activity_buckets_max = 10'000;  // of time, in one answer
  // Unread events of one reader of a tail, or of a view's changes.
  std::uint64_t tail_buffer_bytes_max = 4 * kMiB;
};

// Adds every call to `router`. All references must outlive the server.
void add_api(Router& router, Backend& backend, const HttpStats& stats, const io::Clock& clock,
             ApiOptions options = {});

}  // namespace pgweir::server
