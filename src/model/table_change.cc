#include "model/table_change.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

namespace pgweir::model {
namespace {

// OIDs of built-in types (pg_type.dat).
constexpr Oid kText{25}, kVarchar{1043}, kNumeric{1700}, kVarbit{1562};
constexpr std::int32_t kTypmodHeader = 4;

bool both_known(std::uint32_t a, std::uint32_t b) {
  return a != 0 && b != 0;
}

// The same scale, and room for as many digits before the point.
bool numeric_grows(std::int32_t old, std::int32_t now) {
  if (now < 0) return true;
  if (old < 0) return false;
  const auto scale = [](std::int32_t modifier) { return (modifier - kTypmodHeader) & 0x7ff; };
  const auto precision = [](std::int32_t modifier) { return (modifier - kTypmodHeader) >> 16; };
  return scale(old) == scale(now) && precision(old) <= precision(now);
}

bool longer(std::int32_t old, std::int32_t now) {
  return now < 0 || (old >= 0 && old <= now);
}

// One that stayed is enough.
bool was_unpublished(const Table& old, const Table& now) {
  std::vector<std::uint64_t> stayed;
  std::set_intersection(old.published_by.begin(), old.published_by.end(), now.published_by.begin(),
                        now.published_by.end(), std::back_inserter(stayed));
  return stayed.empty() && !old.published_by.empty() && !now.published_by.empty();
}

class Comparison {
 public:
  Comparison(const Table& old, const Table& now) : old_(old), now_(now) {}

  TableChange make() {
    match_columns();
    out_.unknown.resize(now_.columns.size());
    rewritten_ = was_rewritten();
    check_dropped();
    check_added();
    check_kept();
    check_partitions();
    check_identity();
    if (old_.row_filter != now_.row_filter) other_rows("its row filter was changed");
    if (was_unpublished(old_, now_)) other_rows("it was out of the publication for a time");
    return std::move(out_);
  }

 private:
  void other_rows(std::string why) {
    if (out_.other_rows.empty()) out_.other_rows = std::move(why);
  }
  void unknown(std::size_t column, std::string why) {
    if (out_.unknown[column].empty()) out_.unknown[column] = std::move(why);
  }

  void match_columns() {
    for (const Column& column : now_.columns) {
      const auto same = [&](const Column& was) {
        const bool numbered = was.number != 0 && column.number != 0;
        return numbered ? was.number == column.number : was.name == column.name;
      };
      const auto found = std::find_if(old_.columns.begin(), old_.columns.end(), same);
      out_.from.push_back(found == old_.columns.end()
                              ? kAddedColumn
                              : static_cast<std::uint32_t>(found - old_.columns.begin()));
    }
  }

  // The table, or a partition that both versions have, lies in other files: unknown is "yes".
  bool was_rewritten() const {
    for (const Partition& partition : now_.partitions) {
      const auto same = [&](const Partition& was) { return was.id == partition.id; };
      const auto found = std::find_if(old_.partitions.begin(), old_.partitions.end(), same);
      if (found != old_.partitions.end() && found->storage != partition.storage) return true;
    }
    if (!now_.partitions.empty() || !old_.partitions.empty()) return false;
    return !both_known(old_.storage, now_.storage) || old_.storage != now_.storage;
  }

  // A column that went and came again under its old name: which of the two the stream means, the
  // name does not tell.
  void check_dropped() {
    for (std::size_t i = 0; i < now_.columns.size(); ++i) {
      if (out_.from[i] != kAddedColumn) continue;
      const auto same_name = [&](const Column& was) { return was.name == now_.columns[i].name; };
      if (std::any_of(old_.columns.begin(), old_.columns.end(), same_name))
        unknown(i, fmt::format("column {} was dropped and added again", now_.columns[i].name));
    }
  }

  void check_added() {
    std::int16_t next = old_.numbers_max;
    for (std::size_t i = 0; i < now_.columns.size(); ++i) {
      if (out_.from[i] != kAddedColumn) continue;
      const Column& column = now_.columns[i];
      // Others came and went in between, or a column list has let it in: old rows have values.
      const bool follows = old_.numbers_max != 0 && column.number == ++next;
      if (!follows) {
        unknown(i, fmt::format("column {} came, with values that are not known", column.name));
      } else if (rewritten_ && !column.missing) {
        unknown(i, fmt::format("column {} was added and the table rewritten", column.name));
      }
    }
  }

  void check_kept() {
    for (std::size_t i = 0; i < now_.columns.size(); ++i) {
      if (out_.from[i] == kAddedColumn) continue;
      const Column& was = old_.columns[out_.from[i]];
      const Column& is = now_.columns[i];
      if (!keeps_values(was, is)) {
        unknown(i,
                fmt::format("column {} was {} and is {}", is.name, type_text(was), type_text(is)));
      } else if (rewritten_ && both_known(was.revision, is.revision) &&
                 was.revision != is.revision && was.missing.has_value() == is.missing.has_value()) {
        unknown(i, fmt::format("column {} was changed and the table rewritten", is.name));
      }
    }
  }

  void check_partitions() {
    const auto has = [](const Table& table, Oid id) {
      return std::any_of(table.partitions.begin(), table.partitions.end(),
                         [&](const Partition& each) { return each.id == id; });
    };
    // Not known before: an older record.
    if (old_.numbers_max == 0) return;
    for (const Partition& was : old_.partitions) {
      if (!has(now_, was.id)) other_rows("a partition was detached or dropped");
    }
    for (const Partition& is : now_.partitions) {
      if (!is.made_here && !has(old_, is.id)) other_rows("a partition was attached");
    }
    // Sent as its root's, a partition's TRUNCATE is not sent at all.
    for (const Partition& is : now_.partitions) {
      const auto was = std::find_if(old_.partitions.begin(), old_.partitions.end(),
                                    [&](const Partition& each) { return each.id == is.id; });
      if (was == old_.partitions.end()) continue;
      if (was->storage != is.storage) other_rows("a partition was truncated or rewritten");
      // What was done to it meanwhile, its root's changes do not tell.
      if (came_again(*was, is)) other_rows("a partition was detached and attached again");
    }
  }

  void check_identity() {
    const auto sends_all = [](const Table& table) {
      return table.replica_identity == ReplicaIdentity::kFull ||
             std::any_of(table.columns.begin(), table.columns.end(),
                         [](const Column& column) { return column.in_key; });
    };
    if (sends_all(now_) && !sends_all(old_))
      other_rows("its updates and deletes were not sent before it had a replica identity");
  }

  static std::string type_text(const Column& column) {
    return column.type_name.empty() ? fmt::format("type {}", value(column.type)) : column.type_name;
  }

  const Table& old_;
  const Table& now_;
  bool rewritten_ = false;
  TableChange out_;
};

}  // namespace

bool keeps_values(const Column& old, const Column& now) {
  if (old.type == now.type) {
    if (old.type_modifier == now.type_modifier) return true;
    if (old.type == kNumeric) return numeric_grows(old.type_modifier, now.type_modifier);
    return (old.type == kVarchar || old.type == kVarbit) &&
           longer(old.type_modifier, now.type_modifier);
  }
  return (old.type == kText || old.type == kVarchar) && now.type_modifier < 0 &&
         (now.type == kText || now.type == kVarchar);
}

bool came_again(const Partition& was, const Partition& is) {
  return both_known(was.attached, is.attached) && was.attached != is.attached;
}

bool was_away(const Table& old, const Table& now) {
  const auto came = [&](const Partition& is) {
    return std::any_of(old.partitions.begin(), old.partitions.end(), [&](const Partition& was) {
      return was.id == is.id && came_again(was, is);
    });
  };
  return was_unpublished(old, now) ||
         std::any_of(now.partitions.begin(), now.partitions.end(), came);
}

TableChange compare(const Table& old, const Table& now) {
  return Comparison(old, now).make();
}

}  // namespace pgweir::model
