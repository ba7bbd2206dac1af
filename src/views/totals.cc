#include "views/totals.h"

#include <fmt/core.h>

#include <algorithm>
#include <initializer_list>
#include <vector>

namespace pgweir::views {
namespace {

// The type in which a column is added up for one row, and that of the total; empty when the total
// could not be taken back exactly.
struct SumType {
  std::string value;
  std::string total;
};

bool is_one_of(const std::string& text, std::initializer_list<const char*> options) {
  return std::any_of(options.begin(), options.end(), [&](const char* o) { return text == o; });
}

SumType sum_type(const std::string& type) {
  if (is_one_of(type,
                {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "BOOLEAN"}))
    return {"BIGINT", "HUGEINT"};
  if (is_one_of(type, {"BIGINT", "UBIGINT", "HUGEINT"})) return {"HUGEINT", "HUGEINT"};
  if (type.starts_with("DECIMAL(")) {
    const std::string scale = type.substr(type.find(',') + 1);
    return {"DECIMAL(38," + scale, "DECIMAL(38," + scale};
  }
  return {};
}

// The partial that holds `value`, shared by all who need it.
std::string partial(Plan& plan, const char* prefix, const std::string& type,
                    const std::string& value) {
  for (const Partial& known : plan.partials)
    if (known.value == value && known.type == type) return known.column;
  plan.partials.push_back({fmt::format("pgweir_{}{}", prefix, plan.partials.size()), type, value});
  return plan.partials.back().column;
}

}  // namespace

std::string add_total(const Aggregate& aggregate, Plan& plan, std::string* sql) {
  const std::string when = aggregate.filter.empty() ? "" : "(" + aggregate.filter + ")";
  const std::string argument = "(" + aggregate.argument + ")";
  std::string counted = plan.partials[0].column;
  if (!aggregate.argument.empty() || !when.empty()) {
    std::string test = aggregate.argument.empty() ? "" : argument + " IS NOT NULL";
    if (!when.empty()) test = test.empty() ? when : when + " AND " + test;
    counted =
        partial(plan, "c", "BIGINT", "CASE WHEN " + test + " THEN CAST(1 AS BIGINT) ELSE 0 END");
  }
  if (aggregate.function == "count") {
    *sql = counted;
    return "";
  }
  const SumType types = sum_type(aggregate.argument_type);
  if (types.value.empty())
    return fmt::format("{}() over {}, from which a value cannot be taken back exactly",
                       aggregate.function, aggregate.argument_type);
  const std::string zero = fmt::format("CAST(0 AS {})", types.value);
  std::string value = fmt::format("coalesce(CAST({} AS {}), {})", argument, types.value, zero);
  if (!when.empty()) value = fmt::format("CASE WHEN {} THEN {} ELSE {} END", when, value, zero);
  const std::string total = partial(plan, "s", types.total, value);
  *sql = aggregate.function == "sum"
             ? fmt::format("CASE WHEN {} > 0 THEN {} END", counted, total)
             : fmt::format("CASE WHEN {0} > 0 THEN CAST({1} AS DOUBLE) / {0} END", counted, total);
  return "";
}

bool joinable(const std::string& a, const std::string& b) {
  const auto is_number = [](const std::string& type) {
    return type != "BOOLEAN" && !sum_type(type).value.empty();
  };
  return a == b || (is_number(a) && is_number(b));
}

std::string common_type(const std::string& a, const std::string& b) {
  if (a == b) return a;
  // Each holds all values of those before it.
  static const std::vector<std::string> kIntegers = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT",
                                                     "HUGEINT"};
  const auto one = std::find(kIntegers.begin(), kIntegers.end(), a);
  const auto other = std::find(kIntegers.begin(), kIntegers.end(), b);
  if (one == kIntegers.end() || other == kIntegers.end()) return "";
  return *std::max(one, other);
}

}  // namespace pgweir::views
