#include "queries/tpch.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>

#include "queries/insert_rows.h"

namespace pgweir::queries {
namespace {

using differential::Dice;
using differential::leaf;
using differential::Step;
using differential::TestCase;
using std::chrono::days;
using std::chrono::sys_days;

constexpr sys_days kFirstOrder = std::chrono::year(1992) / 1 / 1;
constexpr sys_days kLastOrder = std::chrono::year(1998) / 8 / 2;
constexpr sys_days kToday = std::chrono::year(1995) / 6 / 17;
constexpr int kSuppliersOfPart = 4;
constexpr int kRefreshedOrdersMin = 20;
constexpr int kUpdatesInRound = 21;

struct Nation {
  const char* name;
  int region;
};
constexpr Nation kNations[] = {
    {"ALGERIA", 0},      {"ARGENTINA", 1}, {"BRAZIL", 1}, {"CANADA", 1},
    {"EGYPT", 4},        {"ETHIOPIA", 0},  {"FRANCE", 3}, {"GERMANY", 3},
    {"INDIA", 2},        {"INDONESIA", 2}, {"IRAN", 4},   {"IRAQ", 4},
    {"JAPAN", 2},        {"JORDAN", 4},    {"KENYA", 0},  {"MOROCCO", 0},
    {"MOZAMBIQUE", 0},   {"PERU", 1},      {"CHINA", 2},  {"ROMANIA", 3},
    {"SAUDI ARABIA", 4}, {"VIETNAM", 2},   {"RUSSIA", 3}, {"UNITED KINGDOM", 3},
    {"UNITED STATES", 1}};
constexpr int kNationCount = static_cast<int>(std::size(kNations));
// Brazil, Canada, France, Germany, Saudi Arabia: those that queries name.
constexpr std::array kAskedNations = {2, 3, 6, 7, 20};
constexpr const char* kRegions[] = {"AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"};

const std::vector<std::string>& table_definitions() {
  static const std::vector<std::string> kTables = {
      "CREATE TABLE region (r_regionkey int PRIMARY KEY, r_name varchar(25) NOT NULL, "
      "r_comment varchar(152))",
      "CREATE TABLE nation (n_nationkey int PRIMARY KEY, n_name varchar(25) NOT NULL, "
      "n_regionkey int NOT NULL, n_comment varchar(152))",
      "CREATE TABLE supplier (s_suppkey int PRIMARY KEY, s_name varchar(25) NOT NULL, "
      "s_address varchar(40) NOT NULL, s_nationkey int NOT NULL, s_phone char(15) NOT NULL, "
      "s_acctbal numeric(15,2) NOT NULL, s_comment varchar(101) NOT NULL)",
      "CREATE TABLE part (p_partkey int PRIMARY KEY, p_name varchar(55) NOT NULL, "
      "p_mfgr varchar(25) NOT NULL, p_brand varchar(10) NOT NULL, p_type varchar(25) NOT NULL, "
      "p_size int NOT NULL, p_container varchar(10) NOT NULL, "
      "p_retailprice numeric(15,2) NOT NULL, p_comment varchar(23) NOT NULL)",
      "CREATE TABLE partsupp (ps_partkey int, ps_suppkey int, ps_availqty int NOT NULL, "
      "ps_supplycost numeric(15,2) NOT NULL, ps_comment varchar(199) NOT NULL, "
      "PRIMARY KEY (ps_partkey, ps_suppkey))",
      "CREATE TABLE customer (c_custkey int PRIMARY KEY, c_name varchar(25) NOT NULL, "
      "c_address varchar(40) NOT NULL, c_nationkey int NOT NULL, c_phone char(15) NOT NULL, "
      "c_acctbal numeric(15,2) NOT NULL, c_mktsegment varchar(10) NOT NULL, "
      "c_comment varchar(117) NOT NULL)",
      "CREATE TABLE orders (o_orderkey bigint PRIMARY KEY, o_custkey int NOT NULL, "
      "o_orderstatus char(1) NOT NULL, o_totalprice numeric(15,2) NOT NULL, "
      "o_orderdate date NOT NULL, o_orderpriority varchar(15) NOT NULL, "
      "o_clerk varchar(15) NOT NULL, o_shippriority int NOT NULL, o_comment varchar(79) NOT NULL);"
      "CREATE INDEX ON orders (o_custkey)",
      "CREATE TABLE lineitem (l_orderkey bigint, l_partkey int NOT NULL, l_suppkey int NOT NULL, "
      "l_linenumber int, l_quantity numeric(15,2) NOT NULL, "
      "l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL, "
      "l_tax numeric(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, "
      "l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL, "
      "l_shipinstruct varchar(25) NOT NULL, l_shipmode varchar(10) NOT NULL, "
      "l_comment varchar(44) NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber));"
      "CREATE INDEX ON lineitem (l_partkey, l_suppkey)"};
  return kTables;
}

std::string money(std::int64_t cents) {
  return fmt::format("{}{}.{:02}", cents < 0 ? "-" : "", std::abs(cents) / 100,
                     std::abs(cents) % 100);
}

class Tpch {
 public:
  Tpch(Dice& dice, const TpchOptions& options)
      : dice_(dice),
        options_(options),
        suppliers_(count_of(10'000, 40)),
        parts_(count_of(200'000, 200)),
        customers_(count_of(150'000, 150)),
        orders_(count_of(1'500'000, 1'500)) {}

  TestCase make() {
    TestCase out;
    out.title = "TPC-H";
    out.tables = table_definitions();
    out.steps.push_back(load());
    for (int round = 0; round < options_.rounds; ++round) {
      out.steps.push_back(insert_orders());
      out.steps.push_back(update_rows());
      out.steps.push_back(delete_orders());
      if (round == options_.rounds / 2) out.steps.push_back({.kind = Step::Kind::kRestart});
      if (round == options_.rounds / 3) out.steps.push_back({.kind = Step::Kind::kRebuild});
    }
    return out;
  }

 private:
  int count_of(int at_scale_1, int least) const {
    return std::max(least, static_cast<int>(at_scale_1 * options_.scale));
  }

  // --- Values ---

  std::string words(int least, int most) {
    std::string text;
    for (int i = dice_.between(least, most); i > 0; --i) {
      text += text.empty() ? "" : " ";
      text += dice_.pick({"quick", "deposits", "sleep", "even", "ideas", "above", "the", "pinto",
                          "foxes", "haggle", "idle", "packages", "among", "bold"});
    }
    return text;
  }
  // One in `n` has both words of a phrase that a query looks for, with others between.
  std::string comment(int n, const char* first, const char* second) {
    if (!dice_.one_in(n)) return words(2, 6);
    return fmt::format("{} {} {} {} {}", words(1, 1), first, words(1, 2), second, words(1, 1));
  }
  std::string part_name() {
    std::string name;
    for (int i = 0; i < 3; ++i) {
      name += name.empty() ? "" : " ";
      name += dice_.pick({"almond", "azure", "blue", "coral", "cream", "forest", "forest", "ghost",
                          "green", "green", "ivory", "lace", "linen", "olive", "plum", "salmon"});
    }
    return name;
  }
  std::string part_type() {
    if (dice_.one_in(8)) return "ECONOMY ANODIZED STEEL";
    return fmt::format("{} {} {}",
                       dice_.pick({"STANDARD", "SMALL", "MEDIUM", "LARGE", "ECONOMY", "PROMO"}),
                       dice_.pick({"ANODIZED", "BURNISHED", "PLATED", "POLISHED", "BRUSHED"}),
                       dice_.pick({"TIN", "NICKEL", "BRASS", "BRASS", "STEEL", "COPPER"}));
  }
  std::string brand() {
    if (dice_.one_in(2)) return dice_.pick({"Brand#12", "Brand#23", "Brand#34", "Brand#45"});
    return fmt::format("Brand#{}{}", dice_.between(1, 5), dice_.between(1, 5));
  }
  std::string container() {
    if (dice_.one_in(6)) return "MED BOX";
    return fmt::format("{} {}", dice_.pick({"SM", "MED", "LG", "JUMBO", "WRAP"}),
                       dice_.pick({"CASE", "BOX", "BAG", "PACK", "PKG", "JAR", "CAN", "DRUM"}));
  }
  int size() {
    static constexpr std::array kAsked = {15, 49, 14, 23, 45, 19, 3, 36, 9, 5};
    return dice_.one_in(2) ? dice_.pick(kAsked) : dice_.between(1, 50);
  }
  int nation() {
    return dice_.one_in(3) ? dice_.pick(kAskedNations) : dice_.up_to(kNationCount - 1);
  }
  std::string phone(int nation) {
    return fmt::format("{}-{:03}-{:03}-{:04}", nation + 10, dice_.between(100, 999),
                       dice_.between(100, 999), dice_.between(1000, 9999));
  }
  const char* priority() {
    return dice_.pick({"1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"});
  }
  const char* segment() {
    return dice_.pick({"AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY"});
  }
  const char* mode() {
    return dice_.pick({"AIR", "AIR REG", "FOB", "MAIL", "RAIL", "SHIP", "TRUCK"});
  }
  const char* instruction() {
    return dice_.pick({"DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"});
  }
  std::string balance() { return money(dice_.between(-99'999, 999'999)); }
  // A third of the customers never order.
  int buyer() {
    const int customer = dice_.between(1, customers_);
    return customer % 3 == 0 ? std::max(1, customer - 1) : customer;
  }
  int supplier_of(int part, int i) const {
    return (part + i * (suppliers_ / kSuppliersOfPart) + part / suppliers_) % suppliers_ + 1;
  }
  static std::int64_t retail_cents(int part) {
    return 90'000 + (part / 10) % 20'001 + 100 * (part % 1'000);
  }

  // --- Rows ---

  std::string supplier_row(int key) {
    // Every nation has some.
    const int of = key <= kNationCount ? key - 1 : nation();
    return fmt::format("{0}, 'Supplier#{0:09}', '{1}', {2}, '{3}', {4}, '{5}'", key, words(1, 3),
                       of, phone(of), balance(), comment(6, "Customer", "Complaints"));
  }
  std::string part_row(int key) {
    const std::string of = brand();
    return fmt::format("{}, '{}', 'Manufacturer#{}', '{}', '{}', {}, '{}', {}, '{}'", key,
                       part_name(), of[6], of, part_type(), size(), container(),
                       money(retail_cents(key)), words(1, 2));
  }
  std::string customer_row(int key) {
    const int of = nation();
    return fmt::format("{0}, 'Customer#{0:09}', '{1}', {2}, '{3}', {4}, '{5}', '{6}'", key,
                       words(1, 3), of, phone(of), balance(), segment(), words(2, 6));
  }

  struct Line {
    std::string row;
    std::int64_t cents = 0;  // with tax and discount
    bool shipped = false;
  };
  Line line(std::int64_t order, int number, sys_days ordered) {
    const int part = dice_.between(1, parts_);
    const int quantity = dice_.between(1, 50);
    const std::int64_t price = quantity * retail_cents(part);
    const int discount = dice_.up_to(10), tax = dice_.up_to(8);
    const sys_days ship = ordered + days(dice_.between(1, 121));
    const sys_days commit = ordered + days(dice_.between(30, 90));
    const sys_days receipt = ship + days(dice_.between(1, 30));
    Line out;
    out.shipped = ship <= kToday;
    out.cents = price * (100 - discount) * (100 + tax) / 10'000;
    const char* returned = receipt <= kToday ? dice_.pick({"R", "A"}) : "N";
    out.row = fmt::format(
        "{}, {}, {}, {}, {}, {}, 0.{:02}, 0.{:02}, '{}', '{}', '{}', '{}', '{}', "
        "'{}', '{}', '{}'",
        order, part, supplier_of(part, dice_.up_to(kSuppliersOfPart - 1)), number, quantity,
        money(price), discount, tax, returned, out.shipped ? "F" : "O", date_text(ship),
        date_text(commit), date_text(receipt), instruction(), mode(), words(1, 3));
    return out;
  }

  void add_order(std::int64_t key, InsertRows& orders, InsertRows& lines) {
    const sys_days ordered =
        kFirstOrder + days(dice_.up_to(static_cast<int>((kLastOrder - kFirstOrder).count())));
    const int count = dice_.between(1, 7);
    int shipped = 0;
    std::int64_t total = 0;
    for (int number = 1; number <= count; ++number) {
      const Line made = line(key, number, ordered);
      total += made.cents;
      shipped += made.shipped ? 1 : 0;
      lines.add(made.row);
    }
    orders.add(fmt::format("{}, {}, '{}', {}, '{}', '{}', 'Clerk#{:09}', 0, '{}'", key, buyer(),
                           shipped == count ? "F"
                           : shipped == 0   ? "O"
                                            : "P",
                           money(total), date_text(ordered), priority(), dice_.between(1, 1'000),
                           comment(8, "special", "requests")));
    live_.insert(key);
  }

  std::int64_t any_order() {
    // Keys are spread evenly.
    const auto found = live_.lower_bound(dice_.between(1, orders_ * kKeyStep));
    return found == live_.end() ? *live_.begin() : *found;
  }

  // --- Steps ---

  Step load() {
    InsertRows region("region"), nation("nation"), supplier("supplier"), part("part"),
        partsupp("partsupp"), customer("customer"), orders("orders"), lines("lineitem");
    for (int i = 0; i < static_cast<int>(std::size(kRegions)); ++i)
      region.add(fmt::format("{}, '{}', '{}'", i, kRegions[i], words(2, 6)));
    for (int i = 0; i < kNationCount; ++i)
      nation.add(
          fmt::format("{}, '{}', {}, '{}'", i, kNations[i].name, kNations[i].region, words(2, 6)));
    for (int key = 1; key <= suppliers_; ++key) supplier.add(supplier_row(key));
    for (int key = 1; key <= parts_; ++key) {
      part.add(part_row(key));
      for (int i = 0; i < kSuppliersOfPart; ++i)
        partsupp.add(fmt::format("{}, {}, {}, {}, '{}'", key, supplier_of(key, i),
                                 dice_.between(1, 9'999), money(dice_.between(100, 100'000)),
                                 words(2, 8)));
    }
    for (int key = 1; key <= customers_; ++key) customer.add(customer_row(key));
    for (int i = 1; i <= orders_; ++i) add_order(std::int64_t{i} * kKeyStep, orders, lines);
    Step step;
    for (InsertRows* rows :
         {&region, &nation, &supplier, &part, &partsupp, &customer, &orders, &lines})
      rows->move_to(step);
    step.statements.push_back(leaf("", "ANALYZE"));
    return step;
  }

  int refreshed_orders() const { return std::max(kRefreshedOrdersMin, orders_ / 1'000); }

  // RF1: new orders among the old ones, with their lines.
  Step insert_orders() {
    InsertRows orders("orders"), lines("lineitem");
    for (int i = refreshed_orders(); i > 0;) {
      const std::int64_t key = dice_.between(1, orders_ * kKeyStep);
      if (live_.contains(key)) continue;
      add_order(key, orders, lines);
      --i;
    }
    Step step;
    orders.move_to(step);
    lines.move_to(step);
    return step;
  }

  // RF2: as many orders go, with their lines.
  Step delete_orders() {
    std::string keys;
    for (int i = refreshed_orders(); i > 0; --i) {
      const std::int64_t key = any_order();
      live_.erase(key);
      keys += (keys.empty() ? "" : ", ") + std::to_string(key);
    }
    Step step;
    step.statements.push_back(leaf("", "DELETE FROM lineitem WHERE l_orderkey IN (" + keys + ")"));
    step.statements.push_back(leaf("", "DELETE FROM orders WHERE o_orderkey IN (" + keys + ")"));
    return step;
  }

  Step update_rows() {
    Step step;
    for (int kind = 0; kind < kUpdatesInRound; ++kind)
      step.statements.push_back(leaf("", update(kind)));
    return step;
  }

  std::string update(int kind) {
    const int part = dice_.between(1, parts_), supplier = dice_.between(1, suppliers_),
              customer = dice_.between(1, customers_);
    const std::int64_t order = any_order();
    switch (kind) {
      case 0:
        return fmt::format(
            "UPDATE lineitem SET l_quantity = {}, l_discount = 0.0{} "
            "WHERE l_orderkey = {}",
            dice_.between(1, 50), dice_.up_to(9), order);
      case 1:
        return fmt::format(
            "UPDATE lineitem SET l_shipdate = l_shipdate + {0}, l_receiptdate = "
            "l_receiptdate + {0}, l_shipmode = '{1}' WHERE l_partkey = {2}",
            dice_.between(-60, 60), mode(), part);
      case 2:
        return fmt::format(
            "UPDATE lineitem SET l_extendedprice = l_extendedprice + {} "
            "WHERE l_suppkey % 5 = {} AND (l_orderkey % 13 = {} OR "
            "l_shipdate BETWEEN '1996-01-15' AND '1996-03-31')",
            dice_.between(1'000, 90'000), dice_.up_to(4), dice_.up_to(12));
      case 3:
        return fmt::format(
            "UPDATE lineitem SET l_quantity = {}, l_shipmode = '{}', "
            "l_shipinstruct = 'DELIVER IN PERSON' WHERE l_orderkey % 2 = {} AND "
            "l_partkey IN (SELECT p_partkey FROM part WHERE p_brand = 'Brand#23' "
            "AND p_container = 'MED BOX' AND p_size % 3 = {})",
            dice_.pick({"1", "12"}), mode(), dice_.up_to(1), dice_.up_to(2));
      case 4:
        return fmt::format(
            "UPDATE lineitem SET l_extendedprice = l_extendedprice + {} "
            "WHERE l_orderkey IN (SELECT o_orderkey FROM orders WHERE o_custkey % 9 "
            "= {} AND o_orderdate BETWEEN '1993-10-01' AND '1995-03-14')",
            dice_.between(10'000, 200'000), dice_.up_to(8));
      case 5:
        return fmt::format(
            "UPDATE lineitem SET l_receiptdate = l_commitdate + {} "
            "WHERE l_orderkey % 5 = {} AND {}",
            dice_.between(-5, 10), dice_.up_to(4), of_asked("l_suppkey"));
      case 6:
        return fmt::format("DELETE FROM lineitem WHERE l_orderkey = {} AND l_linenumber > {}",
                           order, dice_.between(1, 3));
      case 7:
        return fmt::format(
            "UPDATE orders SET o_orderpriority = '{}', o_comment = '{}' "
            "WHERE o_custkey = {}",
            priority(), comment(2, "special", "requests"), buyer());
      case 8:
        return fmt::format(
            "UPDATE orders SET o_custkey = {}, o_orderdate = o_orderdate + {} "
            "WHERE o_orderkey = {}",
            customer, dice_.between(-40, 40), order);
      case 9:
        return fmt::format(
            "UPDATE orders SET o_totalprice = o_totalprice + {} WHERE o_orderkey IN "
            "(SELECT l_orderkey FROM lineitem GROUP BY l_orderkey HAVING "
            "sum(l_quantity) > 250 AND l_orderkey % 5 = {})",
            dice_.between(-1'000, 1'000), dice_.up_to(4));
      case 10: {
        const int of = nation();
        return fmt::format(
            "UPDATE customer SET c_nationkey = {}, c_phone = '{}', c_acctbal = {}, "
            "c_mktsegment = '{}' WHERE c_custkey = {}",
            of, phone(of), balance(), segment(), customer);
      }
      case 11:
        return fmt::format(
            "UPDATE customer SET c_acctbal = c_acctbal + {} WHERE c_custkey % 11 = "
            "{}",
            dice_.between(-2'000, 2'000), dice_.up_to(10));
      case 12:
        return fmt::format("INSERT INTO customer VALUES ({})", customer_row(++customers_));
      case 13:
        return fmt::format(
            "UPDATE part SET p_brand = '{}', p_container = '{}', p_size = {}, "
            "p_type = '{}', p_name = '{}' WHERE p_partkey = {}",
            brand(), container(), size(), part_type(), part_name(), part);
      case 14:
        return fmt::format(
            "UPDATE supplier SET s_nationkey = {}, s_acctbal = {}, s_comment = '{}' "
            "WHERE s_suppkey = {}",
            nation(), balance(), comment(2, "Customer", "Complaints"), supplier);
      case 15:
        // More and less than half of what was ordered.
        return fmt::format("UPDATE partsupp SET ps_availqty = {} WHERE ps_partkey % 3 = {} AND {}",
                           dice_.between(1, 40), dice_.up_to(2), of_asked("ps_suppkey"));
      case 16:
        return fmt::format(
            "UPDATE partsupp SET ps_supplycost = {} WHERE ps_partkey % 7 = {} AND {}",
            money(dice_.between(100, 100'000)), dice_.up_to(6), of_asked("ps_suppkey"));
      case 17:
        return fmt::format("DELETE FROM partsupp WHERE ps_partkey = {} AND ps_suppkey = {}", part,
                           supplier_of(part, dice_.up_to(kSuppliersOfPart - 1)));
      case 18:
        return fmt::format(
            "UPDATE nation SET n_regionkey = {}, n_comment = '{}' "
            "WHERE n_nationkey = {}",
            dice_.up_to(4), words(2, 4), dice_.up_to(kNationCount - 1));
      case 19:
        return fmt::format("UPDATE supplier SET s_address = '{}' WHERE s_suppkey % 3 = {}",
                           words(1, 3), dice_.up_to(2));
      default:
        return fmt::format("UPDATE region SET r_comment = '{}' WHERE r_regionkey = {}", words(2, 4),
                           dice_.up_to(4));
    }
  }

  // Of the nations that queries name.
  static std::string of_asked(const char* supplier) {
    std::string nations;
    for (const int nation : kAskedNations)
      nations += (nations.empty() ? "" : ", ") + std::to_string(nation);
    return fmt::format("{} IN (SELECT s_suppkey FROM supplier WHERE s_nationkey IN ({}))", supplier,
                       nations);
  }

  static constexpr int kKeyStep = 4;  // between the keys of the first orders

  Dice& dice_;
  const TpchOptions options_;
  const int suppliers_;
  const int parts_;
  int customers_;
  const int orders_;
  std::set<std::int64_t> live_;  // keys of orders
};

}  // namespace

TestCase tpch_case(Dice& dice, const TpchOptions& options) {
  return Tpch(dice, options).make();
}

}  // namespace pgweir::queries
