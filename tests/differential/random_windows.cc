#include "differential/random_windows.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

namespace pgweir::differential {
namespace {

// Of hop(): the slide. Of cumulate(): the step, which divides the size.
struct Lengths {
  const char* step;
  const char* size;
  int steps;  // in a size, rounded up
};
constexpr Lengths kHops[] = {{"5 minutes", "15 minutes", 3},
                             {"4 minutes", "10 minutes", 3},
                             {"20 minutes", "1 hour", 3},
                             {"30 minutes", "30 minutes", 1}};
constexpr Lengths kCumulated[] = {
    {"5 minutes", "15 minutes", 3}, {"30 minutes", "1 hour", 2}, {"10 minutes", "10 minutes", 1}};

constexpr const char* kFunctions[] = {"tumble(", "hop(", "cumulate(", "session("};

// One window function call over a column of a table.
class Windows {
 public:
  Windows(Dice& dice, const ScopeItem& item, const OutColumn& column)
      : dice_(dice),
        item_(item),
        time_("t." + column.name),
        table_and_column_(item.relation.name + ", " + column.name),
        type_(column.type) {
    if (dice.one_in(4)) offset_ = dice.pick({"2 minutes", "-90 seconds"});
  }

  Tree tumble() {
    const char* size = dice_.pick({"5 minutes", "1 hour", "7 minutes", "1 day"});
    return both(fmt::format("SELECT t.*, {0} AS window_start, {0} + interval '{1}' AS window_end "
                            "FROM {2} AS t",
                            bin(size), size, item_.relation.name),
                fmt::format("tumble({}, INTERVAL '{}'{})", table_and_column_, size, offset()));
  }

  Tree hop(const Lengths& lengths) {
    return both(
        fmt::format("SELECT t.*, g.w AS window_start, g.w + interval '{1}' AS window_end "
                    "FROM {4} AS t LEFT JOIN LATERAL generate_series({0} - {3} * interval '{2}', "
                    "{0}, interval '{2}') AS g (w) ON g.w + interval '{1}' > {5}",
                    bin(lengths.step), lengths.size, lengths.step, lengths.steps,
                    item_.relation.name, time_),
        fmt::format("hop({}, INTERVAL '{}', INTERVAL '{}'{})", table_and_column_, lengths.step,
                    lengths.size, offset()));
  }

  Tree cumulate(const Lengths& lengths) {
    return both(
        fmt::format("SELECT t.*, {0} AS window_start, g.w AS window_end FROM {3} AS t "
                    "LEFT JOIN LATERAL generate_series({0} + interval '{2}', {0} + interval '{1}', "
                    "interval '{2}') AS g (w) ON g.w > {4}",
                    bin(lengths.size), lengths.size, lengths.step, item_.relation.name, time_),
        fmt::format("cumulate({}, INTERVAL '{}', INTERVAL '{}'{})", table_and_column_, lengths.step,
                    lengths.size, offset()));
  }

  Tree session() {
    std::vector<std::string> columns;
    for (const OutColumn& column : item_.relation.columns)
      if (column.type == Type::kInt || column.type == Type::kText) columns.push_back(column.name);
    const std::string by = columns.empty() || dice_.one_in(4) ? "" : dice_.pick(columns);
    const char* gap = dice_.pick({"1 minute", "10 minutes", "1 hour"});
    // Rows without a time are a session of their own.
    const std::string part =
        fmt::format("PARTITION BY {}{} IS NULL", by.empty() ? "" : "t." + by + ", ", time_);
    return both(
        fmt::format("SELECT t.*, min({0}) OVER session AS window_start, "
                    "max({0}) OVER session + interval '{1}' AS window_end FROM ("
                    "SELECT t.*, sum(t.is_first) OVER ({2} ORDER BY {0}) AS run FROM ("
                    "SELECT t.*, CASE WHEN {0} - lag({0}) OVER ({2} ORDER BY {0}) <= "
                    "interval '{1}' THEN 0 ELSE 1 END AS is_first FROM {3} AS t) AS t) AS t "
                    "WINDOW session AS ({2}, t.run)",
                    time_, gap, part, item_.relation.name),
        fmt::format("session({}, INTERVAL '{}'{})", table_and_column_, gap,
                    by.empty() ? "" : ", " + by));
  }

 private:
  Tree both(const std::string& theirs, const std::string& ours) const {
    return branch("", fmt::format("({}) AS {}", theirs, item_.alias), {},
                  fmt::format("{} AS {}", ours, item_.alias));
  }

  std::string bin(const char* size) const {
    const std::string origin = fmt::format(
        "'1970-01-01{}'::{}", type_ == Type::kZoned ? " 00:00:00+00" : "", type_name(type_));
    return fmt::format("date_bin('{}', {}, {}{})", size, time_, origin,
                       offset_.empty() ? "" : " + interval '" + offset_ + "'");
  }

  std::string offset() const { return offset_.empty() ? "" : ", INTERVAL '" + offset_ + "'"; }

  Dice& dice_;
  const ScopeItem& item_;
  const std::string time_;
  const std::string table_and_column_;
  const Type type_;
  std::string offset_;
};

}  // namespace

std::optional<Tree> random_windows(Dice& dice, ScopeItem& item) {
  if (!item.relation.is_table) return std::nullopt;
  const auto time = std::find_if(
      item.relation.columns.begin(), item.relation.columns.end(), [](const OutColumn& column) {
        return column.type == Type::kTimestamp || column.type == Type::kZoned;
      });
  if (time == item.relation.columns.end()) return std::nullopt;
  const Type type = time->type;
  Windows windows(dice, item, *time);
  Tree tree;
  switch (dice.up_to(5)) {
    case 0:
    case 1: {
      const Lengths& lengths = kHops[dice.up_to(static_cast<int>(std::size(kHops)) - 1)];
      tree = windows.hop(lengths);
      item.relation.rows *= lengths.steps;
      break;
    }
    case 2: {
      const Lengths& lengths = kCumulated[dice.up_to(static_cast<int>(std::size(kCumulated)) - 1)];
      tree = windows.cumulate(lengths);
      item.relation.rows *= lengths.steps;
      break;
    }
    case 3:
      tree = windows.session();
      break;
    default:
      tree = windows.tumble();
  }
  item.relation.columns.push_back({"window_start", type});
  item.relation.columns.push_back({"window_end", type});
  item.relation.is_table = false;
  item.relation.key.clear();
  return tree;
}

bool has_windows(const std::string& view_text) {
  return std::any_of(std::begin(kFunctions), std::end(kFunctions), [&](const char* function) {
    return view_text.find(function) != std::string::npos;
  });
}

}  // namespace pgweir::differential
