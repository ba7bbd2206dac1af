// Internal consistency: transfers between accounts as pairs of entries, the balance of each account
// as a view, the sum of all balances as a view over that view. It reads 0 after every batch.
#include <fmt/core.h>

#include <random>

#include "views/view_fixture.h"

namespace pgweir::views {

class BankTest : public ViewFixture {
 protected:
  void open_bank() {
    open({accounts_, entries_},
         {{"balance", "SELECT account_id, sum(amount) AS balance FROM entries GROUP BY 1"},
          {"total", "SELECT sum(balance) AS total FROM balance"},
          {"by_region",
           "SELECT region, sum(balance) AS balance FROM balance "
           "JOIN accounts ON account_id = accounts.id GROUP BY region"},
          {"overall", "SELECT sum(balance) AS total FROM by_region"}});
    for (const char* view : {"balance", "total", "by_region", "overall"})
      EXPECT_EQ(views_->view(view).value().strategy, "delta");
  }

  int up_to(int most) { return std::uniform_int_distribution<int>(0, most)(random_); }

  // Two entries that add up to nothing, both or none of them.
  void transfer() {
    const std::string cents = fmt::format("{}.{:02}", up_to(500), up_to(99));
    const int number = next_number_;
    next_number_ += 2;
    for (int side = 0; side < 2; ++side) {
      const std::string id = std::to_string(number + side);
      builder().insert(entries_,
                       {id, std::to_string(up_to(kAccounts - 1)), (side == 0 ? "" : "-") + cents});
    }
    transfers_.push_back(number);
  }

  void take_back() {
    if (transfers_.empty()) return;
    const auto at = static_cast<std::size_t>(up_to(static_cast<int>(transfers_.size()) - 1));
    for (int side = 0; side < 2; ++side)
      builder().remove(entries_, {std::to_string(transfers_[at] + side), "", ""});
    transfers_.erase(transfers_.begin() + static_cast<std::ptrdiff_t>(at));
  }

  // The total of one side's account stays as it is.
  void move_account() {
    const int account = up_to(kAccounts - 1);
    builder().update(accounts_, {}, {std::to_string(account), fmt::format("region {}", up_to(3))});
  }

  static constexpr int kAccounts = 10;
  std::mt19937 random_{harness::test_seed()};
  const TablePtr accounts_ =
      make_table(1, "accounts", {engine::int_column("id", true), engine::text_column("region")});
  const TablePtr entries_ =
      make_table(2, "entries",
                 {engine::int_column("id", true), engine::int_column("account_id"),
                  engine::typed_column("amount", 1700, ((12 << 16) | 2) + 4)});
  std::vector<int> transfers_;
  int next_number_ = 1;
};

TEST_F(BankTest, TheTotalIsNothingAfterEveryBatch) {
  open_bank();
  begin();
  for (int i = 0; i < kAccounts; ++i) builder().insert(accounts_, {std::to_string(i), "region 0"});
  transfer();
  ASSERT_EQ(commit(), "");
  for (int batch = 0; batch < 60; ++batch) {
    begin();
    const int transactions = 1 + up_to(30);
    for (int i = 0; i < transactions; ++i) {
      const int kind = up_to(9);
      kind < 7 ? transfer() : kind < 9 ? take_back() : move_account();
    }
    ASSERT_EQ(commit(), "");
    ASSERT_EQ(rows("SELECT coalesce(total, 0) FROM total"), "0.00") << "after batch " << batch;
    ASSERT_EQ(rows("SELECT coalesce(total, 0) FROM overall"), "0.00") << "after batch " << batch;
    if (batch % 20 == 19) open_bank();
  }
  EXPECT_EQ(difference("balance", "SELECT account_id, sum(amount) FROM entries GROUP BY 1"), "");
}

}  // namespace pgweir::views
