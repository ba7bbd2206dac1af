#include "differential/random_changes.h"

#include <fmt/core.h>

namespace pgweir::differential {
namespace {

constexpr int kKeys = 30;          // keys of small rows are 1 to this
constexpr int kHalfKeys = 6;       // those of two columns
constexpr int kLargeFirst = 1000;  // keys and numbers of rows that come in large numbers
constexpr int kLargeRows = 1200;

const OutColumn kColumns[] = {{"a", Type::kInt},    {"b", Type::kInt},     {"r", Type::kInt},
                              {"l", Type::kBigint}, {"n", Type::kNumeric}, {"f", Type::kFloat},
                              {"s", Type::kText},   {"t", Type::kText},    {"g", Type::kBool},
                              {"d", Type::kDate},   {"e", Type::kDate},    {"ts", Type::kTimestamp},
                              {"tz", Type::kZoned}, {"j", Type::kJson}};

std::string json_value(Dice& dice) {
  switch (dice.up_to(6)) {
    case 0:
      return "{}";
    case 1:
      return fmt::format(R"({{"k": "{}", "n": {}}})", dice.pick({"x", "y", ""}), dice.up_to(3));
    case 2:
      return fmt::format(R"({{"n": {}, "o": {{"k": "{}"}}}})", dice.up_to(3),
                         dice.pick({"x", "y"}));
    case 3:
      return R"({"k": null, "l": [1, 2, "z"]})";
    case 4:
      return fmt::format(R"({{"l": [{}], "n": {}}})", dice.pick({"", "1", "1, 2"}), dice.up_to(3));
    default:
      return fmt::format(R"({{"k": "{}"}})", dice.pick({"x", "y", "z"}));
  }
}

bool is_key(const Relation& table, const std::string& column) {
  for (const std::string& key : table.key)
    if (key == column) return true;
  return false;
}

std::string column_value(Dice& dice, const Relation& table, const OutColumn& column) {
  if (is_key(table, column.name))
    return std::to_string(table.key.size() == 1 ? dice.between(1, kKeys) : dice.up_to(kHalfKeys));
  // What refers to other tables' keys.
  if (column.name == "r" && !dice.one_in(8)) return std::to_string(dice.between(1, kKeys));
  return random_value(dice, column.type);
}

// The value of row number i where many come at once.
std::string many_value(const Relation& table, const OutColumn& column) {
  if (is_key(table, column.name)) return column.name == "k2" ? "i % 3" : "i";
  switch (column.type) {
    case Type::kInt:
      return column.name == "r" ? "i" : fmt::format("{} + i % 397", kLargeFirst);
    case Type::kBigint:
      return fmt::format("{} + i % 211", kLargeFirst);
    case Type::kNumeric:
      return "(i % 1000) / 100.0";
    case Type::kFloat:
      return "(i % 64) * 0.25";
    case Type::kText:
      return "'m' || (i % 311)";
    case Type::kBool:
      return "i % 3 = 0";
    case Type::kDate:
      return "'2026-03-01'::date + i % 50";
    case Type::kTimestamp:
      return "'2026-03-01'::timestamp + i * interval '7 seconds'";
    case Type::kZoned:
      return "'2026-03-01 00:00+00'::timestamptz + i * interval '7 seconds'";
    case Type::kJson:
      return "jsonb_build_object('n', i % 5, 'k', 'm' || (i % 7))";
  }
  return "NULL";
}

Tree insert(Dice& dice, const Relation& table, int rows) {
  std::vector<Tree> lists;
  for (int i = 0; i < rows; ++i) {
    std::string values;
    for (const OutColumn& column : table.columns)
      values += (values.empty() ? "" : ", ") + column_value(dice, table, column);
    lists.push_back(optional(leaf("", "(" + values + ")")));
  }
  return branch("", fmt::format("INSERT INTO {} VALUES @a ON CONFLICT DO NOTHING", table.name),
                {list(", ", std::move(lists))});
}

Tree insert_many(Dice& dice, const Relation& table) {
  std::string values;
  for (const OutColumn& column : table.columns)
    values += (values.empty() ? "" : ", ") + many_value(table, column);
  return leaf("", fmt::format("INSERT INTO {} SELECT {} FROM generate_series({}, {}) AS i ON "
                              "CONFLICT DO NOTHING",
                              table.name, values, kLargeFirst,
                              kLargeFirst + dice.between(100, kLargeRows)));
}

std::string condition(Dice& dice, const Relation& table) {
  const OutColumn& column = dice.pick(table.columns);
  if (dice.percent(50) && !table.key.empty()) {
    const std::string& key = table.key[0];
    const int most = table.key.size() == 1 ? kKeys : kHalfKeys;
    switch (dice.up_to(2)) {
      case 0:
        return fmt::format("{} = {}", key, dice.between(1, most));
      case 1:
        return fmt::format("{} % 5 = {}", key, dice.up_to(4));
      default:
        return fmt::format("{} >= {}", key, dice.between(most / 2, most + 5));
    }
  }
  if (column.type == Type::kJson || dice.one_in(6)) return column.name + " IS NULL";
  return fmt::format("{} = {}", column.name, random_value(dice, column.type, true));
}

// Of rows that are equal only one.
std::string one_row(Dice& dice, const Relation& table) {
  return fmt::format("ctid = (SELECT ctid FROM {0} AS o WHERE {1} ORDER BY o::text LIMIT 1)",
                     table.name, condition(dice, table));
}

Tree update(Dice& dice, const Relation& table) {
  std::string set;
  const int columns = dice.between(1, 2);
  for (int i = 0; i < columns; ++i) {
    const OutColumn& column = dice.pick(table.columns);
    if (is_key(table, column.name) || set.find(column.name + " =") != std::string::npos) continue;
    set += fmt::format("{}{} = {}", set.empty() ? "" : ", ", column.name,
                       dice.one_in(12) ? column.name : column_value(dice, table, column));
  }
  if (set.empty()) set = "a = b";
  const bool one = table.key.empty() && dice.percent(50);
  return leaf("", fmt::format("UPDATE {} SET {} WHERE {}", table.name, set,
                              one ? one_row(dice, table) : condition(dice, table)));
}

// To a key that nobody has.
Tree update_key(Dice& dice, const Relation& table) {
  const std::string& key = table.key[0];
  const int most = table.key.size() == 1 ? kKeys : kHalfKeys;
  const int from = dice.between(1, most), to = dice.between(1, most + 3);
  return leaf("", fmt::format("UPDATE {0} SET {1} = {3}, b = {4} WHERE {1} = {2} AND NOT EXISTS "
                              "(SELECT 1 FROM {0} AS o WHERE o.{1} = {3})",
                              table.name, key, from, to,
                              dice.percent(50) ? "b" : random_value(dice, Type::kInt)));
}

Tree remove(Dice& dice, const Relation& table) {
  const bool one = table.key.empty() && dice.percent(60);
  return leaf("", fmt::format("DELETE FROM {} WHERE {}", table.name,
                              one ? one_row(dice, table) : condition(dice, table)));
}

Tree random_statement(Dice& dice, const Relation& table) {
  const int kind = dice.up_to(199);
  if (kind < 3) return leaf("", "TRUNCATE " + table.name);
  if (kind < 6) return leaf("", "DELETE FROM " + table.name);
  if (kind < 9) return insert_many(dice, table);
  if (kind < 16) {
    const std::string large = table.key.empty() ? "a" : table.key[0];
    return leaf("", fmt::format("DELETE FROM {} WHERE {} >= {}", table.name, large, kLargeFirst));
  }
  if (kind < 18) return leaf("", fmt::format("UPDATE {0} SET a = a", table.name));
  if (kind < 80) return insert(dice, table, dice.between(1, 5));
  if (kind < 135) return update(dice, table);
  if (kind < 155 && !table.key.empty()) return update_key(dice, table);
  return remove(dice, table);
}

}  // namespace

const char* kind_of(Type type) {
  switch (type) {
    case Type::kInt:
      return "int";
    case Type::kBigint:
      return "bigint";
    case Type::kNumeric:
      return "numeric";
    case Type::kFloat:
      return "float";
    case Type::kText:
      return "text";
    case Type::kBool:
      return "bool";
    case Type::kDate:
      return "date";
    case Type::kTimestamp:
      return "timestamp";
    case Type::kZoned:
      return "zoned";
    case Type::kJson:
      return "json";
  }
  return "";
}

const char* type_name(Type type) {
  switch (type) {
    case Type::kNumeric:
      return "numeric(12,2)";
    case Type::kFloat:
      return "float8";
    case Type::kZoned:
      return "timestamptz";
    case Type::kJson:
      return "jsonb";
    default:
      return kind_of(type);
  }
}

bool is_number(Type type) {
  return type == Type::kInt || type == Type::kBigint || type == Type::kNumeric ||
         type == Type::kFloat;
}

std::string random_value(Dice& dice, Type type, bool not_null) {
  if (!not_null && dice.one_in(7)) return "NULL";
  switch (type) {
    case Type::kInt:
      return std::to_string(dice.between(-1, 4));
    case Type::kBigint:
      return dice.one_in(10) ? "10000000000" : std::to_string(dice.between(-3, 9));
    case Type::kNumeric:
      return fmt::format("{}.{}", dice.between(-4, 9), dice.pick({"00", "25", "50", "99"}));
    case Type::kFloat:
      return fmt::format("{}", dice.between(-8, 20) * 0.25);
    case Type::kText:
      return fmt::format("'{}'", dice.pick({"a", "b", "c", "ab", "B", "", "ä"}));
    case Type::kBool:
      return dice.percent(50) ? "true" : "false";
    case Type::kDate:
      return fmt::format("'2026-{:02}-{:02}'", dice.between(1, 2), dice.between(1, 28));
    case Type::kTimestamp:
      return fmt::format("'2026-01-0{} {:02}:{:02}:{:02}.{}'", dice.between(1, 2), dice.up_to(2),
                         dice.up_to(59), dice.up_to(59), dice.pick({"0", "5", "000001"}));
    case Type::kZoned:
      return fmt::format("'2026-01-01 {:02}:{:02}:{:02}+0{}'", dice.between(2, 4), dice.up_to(59),
                         dice.up_to(59), dice.up_to(2));
    case Type::kJson:
      return "'" + json_value(dice) + "'";
  }
  return "NULL";
}

std::vector<RandomTable> random_tables(Dice& dice) {
  std::vector<RandomTable> tables;
  const int count = dice.between(3, 5);
  for (int i = 1; i <= count; ++i) {
    RandomTable table;
    Relation& relation = table.relation;
    relation.name = fmt::format("t{}", i);
    relation.is_table = true;
    const int kind = i <= 2 ? 0 : dice.up_to(3);  // at least two with a plain key
    if (kind <= 1) relation.key = {"id"};
    if (kind == 2) relation.key = {"k1", "k2"};
    for (const std::string& key : relation.key) relation.columns.push_back({key, Type::kInt});
    for (const OutColumn& column : kColumns) {
      const bool always = column.name == "a" || column.name == "b" || column.name == "r";
      if (always || dice.percent(40)) relation.columns.push_back(column);
    }
    std::string columns;
    for (const OutColumn& column : relation.columns)
      columns +=
          fmt::format("{}{} {}", columns.empty() ? "" : ", ", column.name, type_name(column.type));
    if (!relation.key.empty())
      columns += fmt::format(", PRIMARY KEY ({})", relation.key.size() == 1 ? "id" : "k1, k2");
    table.sql = fmt::format("CREATE TABLE {} ({})", relation.name, columns);
    if (relation.key.empty() || dice.one_in(5))
      table.sql += fmt::format("; ALTER TABLE {} REPLICA IDENTITY FULL", relation.name);
    tables.push_back(std::move(table));
  }
  return tables;
}

Step first_step(Dice& dice, const std::vector<RandomTable>& tables) {
  Step step;
  for (const RandomTable& table : tables) {
    if (dice.one_in(8)) continue;
    step.statements.push_back(optional(insert(dice, table.relation, dice.between(5, 30))));
  }
  return step;
}

Step random_step(Dice& dice, const std::vector<RandomTable>& tables) {
  Step step;
  if (dice.one_in(25)) {
    step.kind = dice.one_in(3) ? Step::Kind::kRebuild : Step::Kind::kRestart;
    return step;
  }
  if (dice.one_in(40)) return step;  // a transaction of nothing
  const int statements = dice.one_in(6) ? dice.between(6, 15) : dice.between(1, 4);
  for (int i = 0; i < statements; ++i) {
    step.statements.push_back(optional(random_statement(dice, dice.pick(tables).relation)));
    if (!dice.one_in(25)) continue;
    step.statements.push_back(
        optional(branch("", "SAVEPOINT s;\n@a;\nROLLBACK TO s",
                        {random_statement(dice, dice.pick(tables).relation)})));
  }
  return step;
}

}  // namespace pgweir::differential
