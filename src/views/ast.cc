#include "views/ast.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "engine/postgres_semantics.h"

namespace pgweir::views {

using duck::quote_identifier;

std::string place_of(std::string_view sql, std::uint64_t offset) {
  if (offset > sql.size()) return "";
  std::size_t line = 1, column = 1;
  for (const char c : sql.substr(0, offset)) {
    if (c == '\n') {
      ++line;
      column = 1;
    } else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) {  // characters, not bytes
      ++column;
    }
  }
  return fmt::format("{}:{}", line, column);
}

const Json& child(const Json& node, const char* key) {
  static const Json kNull;
  if (!node.is_object()) return kNull;
  const auto found = node.find(key);
  return found == node.end() ? kNull : *found;
}

std::string text_of(const Json& node, const char* key) {
  const Json& text = child(node, key);
  return text.is_string() ? text.get<std::string>() : std::string();
}

std::uint64_t offset_of(const Json& node) {
  const Json& offset = child(node, "query_location");
  return offset.is_number_unsigned() ? offset.get<std::uint64_t>() : kNoOffset;
}

bool is_class(const Json& node, const char* name) {
  return text_of(node, "class") == name;
}

std::vector<std::string> names_of(const Json& column_ref) {
  std::vector<std::string> names;
  for (const Json& name : child(column_ref, "column_names")) {
    if (name.is_string()) names.push_back(name.get<std::string>());
  }
  return names;
}

Json make_column_ref(std::vector<std::string> names) {
  return Json{{"class", "COLUMN_REF"},
              {"type", "COLUMN_REF"},
              {"alias", ""},
              {"query_location", kNoOffset},
              {"column_names", std::move(names)}};
}

void walk(const Json& node, const std::function<bool(const Json&)>& visit) {
  if (!node.is_structured()) return;
  if (node.is_object() && !visit(node)) return;
  for (const Json& below : node) walk(below, visit);
}

void strip_offsets(Json& node) {
  if (node.is_object()) node.erase("query_location");
  if (!node.is_structured()) return;
  for (Json& below : node) strip_offsets(below);
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && lower(a) == lower(b);
}

namespace {

// A SELECT of one expression, as the deserializer wants it.
Json select_of(const Json& expression) {
  const Json node = {
      {"type", "SELECT_NODE"},
      {"modifiers", Json::array()},
      {"cte_map", {{"map", Json::array()}}},
      {"select_list", Json::array({expression})},
      {"from_table",
       {{"type", "EMPTY"}, {"alias", ""}, {"sample", nullptr}, {"query_location", kNoOffset}}},
      {"where_clause", nullptr},
      {"group_expressions", Json::array()},
      {"group_sets", Json::array()},
      {"aggregate_handling", "STANDARD_HANDLING"},
      {"having", nullptr},
      {"sample", nullptr},
      {"qualify", nullptr}};
  return node;
}

Json statement_of(const Json& node) {
  return {{"error", false},
          {"statements", Json::array({{{"node", node}, {"named_param_map", Json::array()}}})}};
}

std::string type_text(const std::string& type) {
  return type == "NULL" || type == "\"NULL\"" ? "INTEGER" : type;
}

}  // namespace

Result<std::unique_ptr<SqlParser>> SqlParser::create() {
  const std::string version = duck::library_version();
  if (!version.starts_with("v1.5.")) {
    return error(
        Code::kUnsupported, "views need DuckDB 1.5, this library is " + version,
        "the analysis reads DuckDB's own syntax tree, which differs between minor versions",
        "use the libduckdb.so that the build brings");
  }
  TRY_ASSIGN(auto database,
             duck::Database::open("", {{"threads", "1"}, {"enable_external_access", "false"}}));
  TRY_ASSIGN(auto connection, database->connect());
  TRY(connection->execute("SET TimeZone = 'UTC'; SET errors_as_json = true"));
  TRY(engine::set_postgres_semantics(*connection));
  TRY(engine::add_postgres_macros(*connection));
  std::unique_ptr<SqlParser> parser(new SqlParser(std::move(database), std::move(connection)));
  TRY_ASSIGN(parser->serialize_, parser->connection_->prepare(
                                     "SELECT CAST(json_serialize_sql($1::VARCHAR) AS VARCHAR)"));
  TRY_ASSIGN(parser->deserialize_,
             parser->connection_->prepare("SELECT json_deserialize_sql($1::JSON)"));
  return parser;
}

SqlParser::SqlParser(std::unique_ptr<duck::Database> database,
                     std::unique_ptr<duck::Connection> connection)
    : database_(std::move(database)), connection_(std::move(connection)) {}

Result<std::string> SqlParser::call(duck::Statement& statement, const std::string& argument) {
  TRY(statement.bind(1, argument));
  TRY_ASSIGN(duck::Rows rows, statement.execute());
  const duck::Chunk* chunk = rows.next();
  if (chunk == nullptr || chunk->row_count() == 0 || chunk->is_null(0, 0))
    return error(Code::kInternal, "DuckDB gave no syntax tree");
  return std::string(chunk->string(0, 0));
}

Result<Json> SqlParser::parse(const std::string& sql) {
  TRY_ASSIGN(const std::string text, call(*serialize_, sql));
  const Json tree = Json::parse(text, nullptr, false);
  if (tree.is_discarded()) return error(Code::kInternal, "DuckDB's syntax tree is not JSON");
  if (child(tree, "error") == true) {
    const std::string position = text_of(tree, "position");
    std::string message = text_of(tree, "error_message");
    if (text_of(tree, "error_type") == "not implemented") message = "a view is one SELECT";
    if (!position.empty()) message += " at " + place_of(sql, std::stoull(position));
    return error(Code::kInvalid, message);
  }
  const Json& statements = child(tree, "statements");
  if (statements.size() != 1) {
    return error(Code::kInvalid,
                 statements.empty() ? "there is no SELECT" : "a view is one SELECT, not several");
  }
  return child(statements[0], "node");
}

Result<std::string> SqlParser::print(const Json& expression) {
  TRY_ASSIGN(std::string text, call(*deserialize_, statement_of(select_of(expression)).dump()));
  constexpr std::string_view kPrefix = "SELECT ";
  if (!std::string_view(text).starts_with(kPrefix))
    return error(Code::kInternal, "DuckDB printed an expression unexpectedly", text);
  return text.substr(kPrefix.size());
}

Result<std::string> SqlParser::print_select(const Json& node) {
  return call(*deserialize_, statement_of(node).dump());
}

bool SqlParser::prints_back(const Json& node) {
  const auto text = call(*deserialize_, statement_of(node).dump());
  if (!text.ok()) return false;
  auto again = parse(text.value());
  if (!again.ok()) return false;
  Json first = node;
  strip_offsets(first);
  strip_offsets(again.value());
  return first == again.value();
}

Status SqlParser::declare(const std::string& schema, const std::string& name,
                          const std::vector<engine::StoreColumn>& columns) {
  std::string list;
  for (const auto& column : columns) {
    list += fmt::format("{}CAST(NULL AS {}) AS {}", list.empty() ? "" : ", ", column.type,
                        quote_identifier(column.name));
  }
  TRY(connection_->execute("CREATE SCHEMA IF NOT EXISTS " + quote_identifier(schema)));
  // A view and not a table, so that nobody can refer to rowid.
  return connection_->execute(fmt::format("CREATE OR REPLACE VIEW {}.{} AS SELECT {} LIMIT 0",
                                          quote_identifier(schema), quote_identifier(name), list));
}

Status SqlParser::forget(const std::string& schema, const std::string& name) {
  return connection_->execute(
      fmt::format("DROP VIEW IF EXISTS {}.{}", quote_identifier(schema), quote_identifier(name)));
}

Result<std::vector<engine::StoreColumn>> SqlParser::describe(const std::string& select,
                                                             std::uint64_t* offset) {
  // Bound alone first: only then are the offsets in an error those of the text.
  const auto bound = connection_->prepare(select);
  if (!bound.ok()) {
    Error failure = bound.error();
    const std::size_t start = failure.message.find('{');
    const Json details = start == std::string::npos
                             ? Json()
                             : Json::parse(failure.message.substr(start), nullptr, false);
    if (details.is_object()) {
      failure.message = text_of(details, "exception_message");
      const std::string position = text_of(details, "position");
      if (offset != nullptr) *offset = position.empty() ? kNoOffset : std::stoull(position);
    }
    return failure;
  }
  TRY_ASSIGN(const duck::TextRows rows,
             connection_->query_texts(
                 fmt::format("SELECT column_name, column_type FROM (DESCRIBE {}\n)", select)));
  std::vector<engine::StoreColumn> columns;
  for (const auto& row : rows.rows)
    columns.push_back({row[0].value_or(""), type_text(row[1].value_or(""))});
  return columns;
}

}  // namespace pgweir::views
