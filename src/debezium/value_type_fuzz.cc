// Any text of any type becomes sound JSON, or is refused.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "debezium/column_default.h"
#include "debezium/value_type.h"

namespace {
using pgweir::debezium::ValueOptions;
using pgweir::debezium::ValueType;

constexpr std::uint32_t kTypes[] = {16,   17,   20,   23,   25,   600,  603,  701,  790,
                                    1082, 1083, 1114, 1184, 1186, 1266, 1560, 1562, 1700};

pgweir::model::Column column_of(std::uint8_t which, std::uint8_t modifier) {
  pgweir::model::Column column;
  column.base_type = pgweir::model::Oid{kTypes[which % std::size(kTypes)]};
  column.facts.name = which % 5 == 0 ? "public.hstore" : "text";
  column.facts.modifier = column.type_modifier = modifier % 16 - 1;
  if (which >= 128) column.facts.element = column.base_type;
  return column;
}

ValueOptions options_of(std::uint8_t bits) {
  ValueOptions options;
  options.decimals = static_cast<pgweir::debezium::DecimalMode>(bits % 3);
  options.times = static_cast<pgweir::debezium::TimeMode>(bits % 6);
  options.binaries = static_cast<pgweir::debezium::BinaryMode>(bits % 4);
  options.intervals = static_cast<pgweir::debezium::IntervalMode>(bits % 2);
  options.hstores = static_cast<pgweir::debezium::HstoreMode>(bits / 2 % 2);
  options.include_unknown_types = true;
  return options;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const std::optional<ValueType> type =
      ValueType::of(column_of(data[0], data[1]), options_of(data[2]));
  std::string text(reinterpret_cast<const char*>(data) + 3, size - 3);
  for (char& c : text) c = static_cast<char>(c & 0x7f);  // PostgreSQL sends UTF-8 alone
  std::string json;
  if (type->append(text, json) && !nlohmann::json::accept(json)) std::abort();
  const std::optional<std::string> by_default = default_json(text, *type);
  if (by_default && !nlohmann::json::accept(*by_default)) std::abort();
  if (!nlohmann::json::accept(type->schema(true, {}, text))) std::abort();
  return 0;
}
