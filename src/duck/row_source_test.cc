#include "duck/row_source.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "duck/duck.h"

namespace pgweir::duck {

// Numbers 0, 1, ... as rows (n BIGINT, text VARCHAR, d DECIMAL(12,2)), in blocks that the threads
// take. Every seventh text is NULL, every third is longer than what DuckDB keeps inside a row.
class Numbers : public RowSource {
 public:
  explicit Numbers(std::int64_t count) : count_(count) {}
  std::size_t makers_max() const override { return 4; }
  std::unique_ptr<RowMaker> maker() override { return std::make_unique<Maker>(*this); }

  std::int64_t fails_at = -1;

  static std::string text(std::int64_t n) {
    return n % 3 == 0 ? fmt::format("a text that is not short {}", n) : fmt::format("s{}", n);
  }

 private:
  static constexpr std::int64_t kBlockRows = 3000;

  class Maker : public RowMaker {
   public:
    explicit Maker(Numbers& numbers) : numbers_(numbers) {}
    Status make(SourceRows& out) override {
      texts_.clear();
      texts_.reserve(kBlockRows);
      while (!out.is_full() && take_block()) {
        if (next_ == numbers_.fails_at) return error(Code::kCorruption, "no such number", "detail");
        out.append_int(next_);
        if (next_ % 7 == 0) {
          out.append_null();
        } else {
          out.append_lasting_text(texts_.emplace_back(text(next_)));
        }
        out.append_int(next_ * 100);
        out.end_row();
        ++next_;
      }
      return {};
    }

   private:
    bool take_block() {
      if (next_ < end_) return true;
      next_ = numbers_.next_.fetch_add(kBlockRows);
      end_ = std::min(next_ + kBlockRows, numbers_.count_);
      return next_ < end_;
    }

    Numbers& numbers_;
    std::vector<std::string> texts_;
    std::int64_t next_ = 0, end_ = 0;
  };

  const std::int64_t count_;
  std::atomic<std::int64_t> next_{0};
};

class RowSourceTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(connection_->add_row_sources().ok());
    ASSERT_TRUE(
        connection_->execute("CREATE TABLE t (n BIGINT, text VARCHAR, d DECIMAL(12,2))").ok());
  }

  Result<std::uint64_t> insert(Numbers& numbers) {
    return connection_->run_over(numbers, "SELECT * FROM t",
                                 fmt::format("INSERT INTO t SELECT * FROM {}", kRowSource));
  }
  std::int64_t number(const std::string& select) { return connection_->query_int(select).value(); }

  std::unique_ptr<Database> database_ =
      Database::open("", {{"threads", "4"}, {"preserve_insertion_order", "false"}}).value();
  std::unique_ptr<Connection> connection_ = database_->connect().value();
};

TEST_F(RowSourceTest, EveryRowArrivesOnce) {
  constexpr std::int64_t kRows = 200'000;
  Numbers numbers(kRows);
  const auto rows = insert(numbers);
  ASSERT_TRUE(rows.ok()) << rows.error().text();
  EXPECT_EQ(*rows, kRows);
  EXPECT_EQ(number("SELECT count(DISTINCT n) FROM t"), kRows);
  EXPECT_EQ(number("SELECT max(n) FROM t"), kRows - 1);
  EXPECT_EQ(number("SELECT count(*) FROM t WHERE d <> n OR (text IS NULL) <> (n % 7 = 0)"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM t WHERE text <> CASE WHEN n % 3 = 0 THEN 'a text that is "
                   "not short ' || n ELSE 's' || n END"),
            0);
}

TEST_F(RowSourceTest, NoRowsAreFine) {
  Numbers numbers(0);
  EXPECT_EQ(insert(numbers).value(), 0U);
}

TEST_F(RowSourceTest, ItsErrorComesBackAsItIsAndNothingStays) {
  Numbers numbers(100'000);
  numbers.fails_at = 50'000;
  const auto rows = insert(numbers);
  ASSERT_FALSE(rows.ok());
  EXPECT_EQ(rows.error().code, Code::kCorruption);
  EXPECT_EQ(rows.error().detail, "detail");
  EXPECT_EQ(number("SELECT count(*) FROM t"), 0);
  Numbers again(10);
  EXPECT_EQ(insert(again).value(), 10U);
}

TEST_F(RowSourceTest, TheStatementsOwnErrorComesBack) {
  Numbers numbers(10);
  const auto rows = connection_->run_over(numbers, "SELECT * FROM t",
                                          fmt::format("INSERT INTO missing FROM {}", kRowSource));
  ASSERT_FALSE(rows.ok());
  EXPECT_NE(rows.error().message.find("missing"), std::string::npos);
}

// Neither outside of run_over(), nor on another connection while it goes on.
TEST_F(RowSourceTest, OnlyTheStatementItselfSeesRows) {
  const std::string select = fmt::format("SELECT count(*) FROM {}", kRowSource);
  const auto refused = [&](Connection& connection) {
    const auto rows = connection.query(select);
    return rows.ok() ? "" : rows.error().message;
  };
  EXPECT_NE(refused(*connection_).find("no rows for this connection"), std::string::npos);

  class Asks : public RowSource {
   public:
    explicit Asks(std::function<void()> ask) : ask_(std::move(ask)) {}
    std::size_t makers_max() const override { return 1; }
    std::unique_ptr<RowMaker> maker() override {
      ask_();
      return std::make_unique<None>();
    }

   private:
    class None : public RowMaker {
      Status make(SourceRows&) override { return {}; }
    };
    const std::function<void()> ask_;
  };
  const auto other = database_->connect().value();
  std::string message;
  Asks asks([&] { message = refused(*other); });
  ASSERT_TRUE(connection_->run_over(asks, "SELECT * FROM t", select).ok());
  EXPECT_NE(message.find("no rows for this connection"), std::string::npos);
}

}  // namespace pgweir::duck
