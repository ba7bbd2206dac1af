// DuckDB's own parser and binder, used to look into a view's SQL without running it.
//
// Place:   the only user of json_serialize_sql. Works on a private database in memory, in which the
//          relations that views may read are declared without rows; so a view can be analysed
//          before an engine is open, and a bad one cannot touch it.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "duck/duck.h"
#include "engine/store.h"

namespace pgweir::views {

using Json = nlohmann::json;

inline constexpr std::uint64_t kNoOffset = ~std::uint64_t{0};

// "2:14": line and column, both from 1, of a byte offset; "" for kNoOffset.
std::string place_of(std::string_view sql, std::uint64_t offset);

// The child of an AST node, or JSON null.
const Json& child(const Json& node, const char* key);
std::string text_of(const Json& node, const char* key);
std::uint64_t offset_of(const Json& node);
// True for an expression of this class: "COLUMN_REF", "FUNCTION", "CONSTANT" ...
bool is_class(const Json& node, const char* name);
// The parts of a COLUMN_REF's name.
std::vector<std::string> names_of(const Json& column_ref);
// A COLUMN_REF of these names.
Json make_column_ref(std::vector<std::string> names);
// Calls `visit` for the node and everything below it, parents first; `visit` returns whether to go
// down into the node.
void walk(const Json& node, const std::function<bool(const Json&)>& visit);
// Takes out where a node stood in the text, so that equal SQL compares equal.
void strip_offsets(Json& node);

std::string lower(std::string_view text);
bool same_name(std::string_view a, std::string_view b);  // as SQL compares names: ignoring case

class SqlParser {
 public:
  // kUnsupported when the library is of another minor version than 1.5, whose AST may differ.
  static Result<std::unique_ptr<SqlParser>> create();

  // The AST of the one SELECT in `sql` (the statement's "node"). kInvalid with line and column.
  Result<Json> parse(const std::string& sql);
  // SQL text of an expression of an AST.
  Result<std::string> print(const Json& expression);
  // SQL text of a whole SELECT.
  Result<std::string> print_select(const Json& node);
  // True when DuckDB prints the AST as a text that parses to the same AST.
  bool prints_back(const Json& node);

  // Declares a relation for describe(); replaces an earlier one. `schema` "main" for views.
  Status declare(const std::string& schema, const std::string& name,
                 const std::vector<engine::StoreColumn>& columns);
  Status forget(const std::string& schema, const std::string& name);

  // Names and types (DuckDB's full text) of a SELECT's result over declared relations.
  // On an error of the binder `offset`, when given, is set to the byte offset it points at.
  Result<std::vector<engine::StoreColumn>> describe(const std::string& select,
                                                    std::uint64_t* offset = nullptr);

  duck::Connection& connection() { return *connection_; }

 private:
  SqlParser(std::unique_ptr<duck::Database> database, std::unique_ptr<duck::Connection> connection);
  Result<std::string> call(duck::Statement& statement, const std::string& argument);

  std::unique_ptr<duck::Database> database_;
  std::unique_ptr<duck::Connection> connection_;
  std::unique_ptr<duck::Statement> serialize_;
  std::unique_ptr<duck::Statement> deserialize_;
};

}  // namespace pgweir::views
