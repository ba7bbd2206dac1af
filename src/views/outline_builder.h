// Writes an outline: prints trees, names parts.
//
// Place:   shared by the layers of outline.cc. Private to views/.
// Life:    one for a layer. The first failure is kept, and what is built after it is thrown away.
// Threads: as the parser.
#pragma once

#include <string>
#include <vector>

#include "views/outline.h"

namespace pgweir::views {

// More of the first rows are not few.
inline constexpr std::int64_t kFirstRowsMax = 10'000;

class OutlineBuilder {
 public:
  // Both must outlive this.
  OutlineBuilder(SqlParser& parser, const NamePart& name_part)
      : parser_(parser), name_part_(name_part) {}

  Outline& outline() { return outline_; }
  SqlParser& parser() { return parser_; }
  bool ok() const { return failure_.ok(); }
  void fail(const Error& why) { failure_ = why; }

  std::string printed(const Json& select);
  std::string printed_expression(Json expression);
  Json expression_of(const std::string& sql, const std::string& alias = "");

  // The part's name.
  std::string add_part(std::string sql, Extent extent = Extent::kAny);
  // The columns of the part have these names; all of them may be left out.
  std::string add_part(Json select, const std::vector<std::string>& names);
  // The first rows of a part. `count` is at most kFirstRowsMax.
  std::string add_first_rows(const std::string& part, std::vector<FirstRows::Order> order,
                             std::int64_t count);

  // What was built, when a layer was `taken`. A SELECT that DuckDB does not take is not.
  Result<std::optional<Outline>> result(bool taken);

 private:
  SqlParser& parser_;
  const NamePart& name_part_;
  Outline outline_;
  Status failure_;
};

// Names every table by its schema, and by an alias, so that the text means the same wherever it
// stands. `node` is the select's tree, or a part of it that has its offsets.
void qualify_tables(Json& node, const BoundSelect& select);

// "a DESC NULLS FIRST, b ASC NULLS LAST"
std::string order_text(const std::vector<FirstRows::Order>& order);

}  // namespace pgweir::views
