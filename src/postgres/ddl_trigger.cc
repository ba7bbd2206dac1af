#include "postgres/ddl_trigger.h"

#include "base/bytes.h"

namespace pgweir::postgres {

namespace {
constexpr std::string_view kPrefix = "pgweir.ddl";
}  // namespace

// Commands on objects that no table is made of (functions, roles, rights) tell nothing.
std::string ddl_trigger_sql() {
  return "CREATE OR REPLACE FUNCTION public.pgweir_ddl() RETURNS event_trigger LANGUAGE plpgsql AS "
         "$$ BEGIN PERFORM pg_logical_emit_message(true, 'pgweir.ddl', tg_tag); END $$;\n"
         "CREATE EVENT TRIGGER pgweir_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE', "
         "'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE', 'DROP TABLE', 'ALTER SCHEMA', "
         "'DROP SCHEMA', 'ALTER TYPE', 'CREATE INDEX', 'DROP INDEX', 'ALTER PUBLICATION', "
         "'DROP PUBLICATION', 'DROP OWNED') EXECUTE FUNCTION public.pgweir_ddl();";
}

Result<bool> has_ddl_trigger(Connection& connection) {
  TRY_ASSIGN(const QueryResult found,
             connection.query(
                 "SELECT EXISTS (SELECT 1 FROM pg_event_trigger WHERE evtname = 'pgweir_ddl')"));
  return found.boolean(0, 0);
}

Status ensure_ddl_trigger(Connection& connection) {
  TRY_ASSIGN(const bool is_there, has_ddl_trigger(connection));
  if (is_there) return {};
  return connection.execute("BEGIN;\n" + ddl_trigger_sql() + "\nCOMMIT");
}

Status drop_ddl_trigger(Connection& connection) {
  return connection.execute(
      "DROP EVENT TRIGGER IF EXISTS pgweir_ddl; DROP FUNCTION IF EXISTS public.pgweir_ddl()");
}

bool is_ddl_message(std::string_view message) {
  NetworkReader in(message);
  if (in.read<char>() != 'M') return false;
  in.read<std::uint8_t>();   // flags
  in.read<std::uint64_t>();  // LSN
  return in.c_string() == kPrefix && in.ok();
}

}  // namespace pgweir::postgres
