// For tests and fuzzers: builds pgoutput messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace pgweir::postgres::testing_messages {

inline std::string begin(std::uint64_t commit_lsn, std::uint32_t xid) {
  std::string out = "B";
  append_network(out, commit_lsn);
  append_network(out, std::int64_t{1'000'000});
  append_network(out, xid);
  return out;
}

inline std::string commit(std::uint64_t commit_lsn) {
  std::string out = "C";
  append_network(out, std::uint8_t{0});
  append_network(out, commit_lsn);
  append_network(out, commit_lsn + 48);
  append_network(out, std::int64_t{1'000'000});
  return out;
}

// A table public.NAME with int columns named by the letters of `columns`; capitals are its key.
inline std::string relation(std::uint32_t id, std::string_view name, std::string_view columns,
                            char identity = 'd') {
  std::string out = "R";
  append_network(out, id);
  out += std::string("public\0", 7) + std::string(name) + '\0' + identity;
  append_network(out, static_cast<std::uint16_t>(columns.size()));
  for (const char column : columns) {
    append_network(out, static_cast<std::uint8_t>(column >= 'A' && column <= 'Z' ? 1 : 0));
    out += column;
    out += '\0';
    append_network(out, std::uint32_t{23});
    append_network(out, std::int32_t{-1});
  }
  return out;
}

// Columns as texts; "null" and "~" (unchanged) stand for themselves.
inline void append_tuple(std::string& out, char kind, const std::vector<std::string>& row) {
  out += kind;
  append_network(out, static_cast<std::uint16_t>(row.size()));
  for (const std::string& cell : row) {
    if (cell == "null" || cell == "~") {
      out += cell == "~" ? 'u' : 'n';
      continue;
    }
    out += 't';
    append_network(out, static_cast<std::uint32_t>(cell.size()));
    out += cell;
  }
}

inline std::string insert(std::uint32_t id, const std::vector<std::string>& row) {
  std::string out = "I";
  append_network(out, id);
  append_tuple(out, 'N', row);
  return out;
}

// `kind`: 'K' or 'O'.
inline std::string update(std::uint32_t id, char kind, const std::vector<std::string>& before,
                          const std::vector<std::string>& after) {
  std::string out = "U";
  append_network(out, id);
  if (!before.empty()) append_tuple(out, kind, before);
  append_tuple(out, 'N', after);
  return out;
}

inline std::string remove(std::uint32_t id, char kind, const std::vector<std::string>& before) {
  std::string out = "D";
  append_network(out, id);
  append_tuple(out, kind, before);
  return out;
}

inline std::string truncate(const std::vector<std::uint32_t>& ids) {
  std::string out = "T";
  append_network(out, static_cast<std::uint32_t>(ids.size()));
  append_network(out, std::uint8_t{0});
  for (const std::uint32_t id : ids) append_network(out, id);
  return out;
}

}  // namespace pgweir::postgres::testing_messages
