// For tests: pgoutput messages from a short script, as PostgreSQL would send them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "postgres/replication_stream.h"

namespace pgweir::pipeline {

// Table 7, "public.t", with one column of type text in its key.
inline std::string relation_message() {
  std::string out = "R";
  append_network<std::uint32_t>(out, 7);
  out += std::string("public\0t\0d", 10);
  append_network<std::uint16_t>(out, 1);
  out += '\1';
  out += std::string("v\0", 2);
  append_network<std::uint32_t>(out, 25);
  append_network<std::int32_t>(out, -1);
  return out;
}

inline std::string begin_message(std::uint64_t commit_lsn) {
  std::string out = "B";
  append_network<std::uint64_t>(out, commit_lsn);
  append_network<std::int64_t>(out, 1'000'000);
  append_network<std::uint32_t>(out, 77);
  return out;
}

inline std::string commit_message(std::uint64_t commit_lsn) {
  std::string out = "C";
  out += '\0';
  append_network<std::uint64_t>(out, commit_lsn);
  append_network<std::uint64_t>(out, commit_lsn + 8);
  append_network<std::int64_t>(out, 1'000'000);
  return out;
}

inline std::string insert_message(std::string_view value) {
  std::string out = "I";
  append_network<std::uint32_t>(out, 7);
  out += 'N';
  append_network<std::uint16_t>(out, 1);
  out += 't';
  append_network<std::uint32_t>(out, static_cast<std::uint32_t>(value.size()));
  out += value;
  return out;
}

// Digits begin a transaction that commits at LSN 100 × the digit; '.' commits it; letters insert
// themselves; 'R' is the table's Relation message, 'Y' a Type message.
inline postgres::Gulp gulp_of(std::string_view script, std::uint64_t& open_lsn) {
  postgres::Gulp gulp;
  for (const char step : script) {
    std::string message;
    if (step >= '0' && step <= '9') {
      open_lsn = 100 * static_cast<std::uint64_t>(step - '0');
      message = begin_message(open_lsn);
    } else if (step == '.') {
      message = commit_message(open_lsn);
    } else if (step == 'R') {
      message = relation_message();
    } else if (step == 'Y') {
      message = std::string("Y\0\0\x40\0public\0mood\0", 17);
    } else {
      message = insert_message(std::string_view(&step, 1));
    }
    append_file<std::uint32_t>(gulp.arena, static_cast<std::uint32_t>(message.size()));
    gulp.messages.push_back({model::Lsn{open_lsn}, static_cast<std::uint32_t>(gulp.arena.size()),
                             static_cast<std::uint32_t>(message.size())});
    gulp.arena += message;
  }
  return gulp;
}

}  // namespace pgweir::pipeline
