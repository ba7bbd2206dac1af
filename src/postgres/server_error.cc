#include "postgres/server_error.h"

#include <fmt/core.h>

#include <array>
#include <utility>

namespace pgweir::postgres {
namespace {

struct Meaning {
  std::string_view prefix;  // of the SQLSTATE; the first that fits decides
  Code code;
  const char* hint;
};

constexpr std::array kMeanings = {
    Meaning{"28P01", Code::kCheckFailed,
            "Put the right password into the URL, PGPASSWORD or the password file (PGPASSFILE)"},
    Meaning{"28", Code::kCheckFailed,
            "Let this user connect to this database from here in the server's pg_hba.conf, and "
            "reload it"},
    Meaning{"3D000", Code::kCheckFailed, "Correct the database's name in the URL, or create it"},
    Meaning{"42501", Code::kCheckFailed, "Give the role the missing privilege"},
    Meaning{"53300", Code::kCheckFailed,
            "Raise max_wal_senders or max_connections and restart the server, or end connections "
            "that nobody needs"},
    Meaning{"53400", Code::kCheckFailed,
            "Raise max_replication_slots and restart the server, or drop a slot that nobody needs"},
    Meaning{"55006", Code::kCheckFailed, "Stop the other reader"},
    Meaning{"55P03", Code::kTimeout, "Try again when the other transaction has ended"},
    Meaning{"57014", Code::kTimeout, ""},
    Meaning{"25006", Code::kCheckFailed,
            "Connect to the primary: target_session_attrs=read-write finds it among several hosts"},
    Meaning{"42704", Code::kNotFound, ""},
    Meaning{"42P01", Code::kNotFound, ""},
    Meaning{"3F000", Code::kNotFound, ""},
    Meaning{"08P01", Code::kInternal, ""},
    Meaning{"08", Code::kUnavailable, ""},
    Meaning{"40", Code::kUnavailable, ""},
    Meaning{"53", Code::kUnavailable, ""},
    Meaning{"57", Code::kUnavailable, ""},
    Meaning{"58", Code::kUnavailable, ""},
    Meaning{"42601", Code::kInternal, ""},
    Meaning{"XX", Code::kInternal, ""},
};

bool is_sqlstate(std::string_view text) {
  if (text.size() != 5) return false;
  for (const char c : text) {
    if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z')) return false;
  }
  return true;
}

// With several hosts there may be several; the last refusal that is not about being away decides.
std::string_view sqlstate_in(std::string_view message) {
  std::string_view found;
  for (std::size_t at = message.find(":  "); at != std::string_view::npos;
       at = message.find(":  ", at + 1)) {
    const std::string_view state = message.substr(at + 3, 5);
    if (!is_sqlstate(state) || message.substr(at + 8, 2) != ": ") continue;
    if (found.empty() || code_of_sqlstate(state) != Code::kUnavailable) found = state;
  }
  return found;
}

std::string without_sqlstates(std::string text) {
  for (std::size_t at = text.find(":  "); at != std::string::npos; at = text.find(":  ", at + 1)) {
    if (is_sqlstate(std::string_view(text).substr(at + 3, 5)) && text.substr(at + 8, 2) == ": ")
      text.erase(at + 2, 7);
  }
  return text;
}

// What libpq itself refuses before the server has said anything with a SQLSTATE.
struct LocalRefusal {
  std::string_view part;
  const char* hint;
  Code code = Code::kCheckFailed;
};
constexpr std::array kLocalRefusals = {
    LocalRefusal{"no password supplied",
                 "Put the password into the URL, PGPASSWORD or the password file (PGPASSFILE)"},
    LocalRefusal{"server does not support SSL",
                 "Set sslmode in the URL, or ssl = on at the server"},
    LocalRefusal{"certificate", "Check sslrootcert, sslcert, sslkey and sslmode in the URL"},
    LocalRefusal{"sslmode", "Check sslmode in the URL"},
    LocalRefusal{"session is read-only",
                 "The URL wants a server that can be written to: promote a standby, add the "
                 "primary's host, or change target_session_attrs",
                 Code::kUnavailable},
    LocalRefusal{"authentication method", "Check require_auth, gssencmode and channel_binding"},
};

}  // namespace

Code code_of_sqlstate(std::string_view sqlstate) {
  for (const Meaning& meaning : kMeanings) {
    if (sqlstate.substr(0, meaning.prefix.size()) == meaning.prefix) return meaning.code;
  }
  return Code::kCheckFailed;
}

std::string hint_of_sqlstate(std::string_view sqlstate) {
  for (const Meaning& meaning : kMeanings) {
    if (sqlstate.substr(0, meaning.prefix.size()) == meaning.prefix) return meaning.hint;
  }
  return {};
}

std::string one_line(std::string_view message) {
  std::string out;
  while (!message.empty()) {
    const std::size_t end = message.find('\n');
    std::string_view line = message.substr(0, end);
    message.remove_prefix(end == std::string_view::npos ? message.size() : end + 1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    if (line.empty() || line.substr(0, 9) == "LOCATION:") continue;
    if (!out.empty()) out += "; ";
    out += line;
  }
  return out;
}

Error connect_error(std::string_view where, std::string_view message) {
  const std::string_view sqlstate = sqlstate_in(message);
  const std::string text = without_sqlstates(one_line(message));
  if (!sqlstate.empty()) {
    const Code code = code_of_sqlstate(sqlstate);
    return error(
        code,
        fmt::format("PostgreSQL at {} {}", where,
                    code == Code::kUnavailable ? "is not available" : "refused the connection"),
        fmt::format("SQLSTATE {}; {}", sqlstate, text), hint_of_sqlstate(sqlstate));
  }
  for (const LocalRefusal& refusal : kLocalRefusals) {
    if (text.find(refusal.part) != std::string::npos) {
      return error(refusal.code,
                   fmt::format("the connection to PostgreSQL at {} could not be made", where), text,
                   refusal.hint);
    }
  }
  return error(Code::kUnavailable, fmt::format("PostgreSQL at {} cannot be reached", where), text,
               "Check that the server runs, that it listens there (listen_addresses, port), and "
               "that nothing is in between");
}

Error url_error(std::string_view message) {
  std::string clean;
  bool quoted = false;
  for (const char c : message) {
    if (c == '"') {
      if (!quoted) clean += "\"...\"";
      quoted = !quoted;
    } else if (!quoted) {
      clean += c;
    }
  }
  return error(
      Code::kConfig, "the source's URL cannot be read", one_line(clean),
      "Write postgresql://user@host:5432/database, with special characters in the password "
      "percent-encoded, or keywords: host=... dbname=...");
}

}  // namespace pgweir::postgres
