// What many groups in one batch cost: no more than their number.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <ctime>

#include "views/view_fixture.h"

namespace pgweir::views {

using engine::int_column;

class GroupScaleTest : public ViewFixture {
 protected:
  static double cpu_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
  }

  static std::string sums_of(const std::string& table) {
    return "SELECT g, count(*) AS n, sum(v) AS v FROM " + table + " GROUP BY g";
  }

  static TablePtr table_of(std::uint32_t oid, const std::string& name) {
    return make_table(oid, name, {int_column("id", true), int_column("g"), int_column("v")});
  }

  // Of a batch that changes so many groups, which are there.
  double seconds_of(const TablePtr& table, int groups) {
    double seconds = 0;
    for (int batch = 0; batch < 2; ++batch) {
      begin();
      for (int i = 0; i < groups; ++i)
        builder().insert(table, {std::to_string(batch * groups + i), std::to_string(i), "1"});
      const double start = cpu_seconds();
      EXPECT_EQ(commit(), "");
      seconds = cpu_seconds() - start;
    }
    return seconds;
  }
};

// Twenty times as many would cost four hundred times as much by comparing all with all.
TEST_F(GroupScaleTest, ABatchCostsByItsGroupsAndNotByTheirSquare) {
  const TablePtr few_groups = table_of(1, "few_groups"), many_groups = table_of(2, "many_groups");
  open({few_groups, many_groups},
       {{"few", sums_of("few_groups")}, {"many", sums_of("many_groups")}});
  const double few = seconds_of(few_groups, 4'000);
  const double many = seconds_of(many_groups, 80'000);
  EXPECT_LT(many, few * 60) << few << " s";
  EXPECT_EQ(difference("few", sums_of("few_groups")), "");
  EXPECT_EQ(difference("many", sums_of("many_groups")), "");
}

}  // namespace pgweir::views
