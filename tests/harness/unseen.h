// A difference that is planted: a change of rows that the stream does not have.
#pragma once

#include <fmt/core.h>

#include <string>

namespace pgweir::harness {

// SQL that runs `statement` in a transaction in which `table`, a regclass, is in no publication,
// and that leaves the catalog as it was: taken out and put back by ALTER PUBLICATION it would be
// noticed and read again. For a superuser.
inline std::string unseen(const std::string& table, const std::string& statement) {
  return fmt::format(
      "BEGIN; CREATE TEMP TABLE membership ON COMMIT DROP AS SELECT * FROM pg_publication_rel "
      "WHERE prrelid = '{0}'::regclass; DELETE FROM pg_publication_rel WHERE prrelid = "
      "'{0}'::regclass; {1}; INSERT INTO pg_publication_rel SELECT * FROM membership; COMMIT",
      table, statement);
}

}  // namespace pgweir::harness
