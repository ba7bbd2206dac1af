// The fake forgets exactly what the real system may forget, and no more.
#include "io/fake_fs.h"

#include <gtest/gtest.h>

#include <functional>

namespace pgweir::io {
namespace {

class FakeFsTest : public testing::Test {
 protected:
  FakeFsTest() { fs_.create_directories("d").value(); }

  // Creates "d/a" durably with "base".
  std::unique_ptr<WritableFile> make_durable() {
    auto file = fs_.create("d/a").value();
    file->append("base").value();
    file->sync().value();
    fs_.sync_directory("d").value();
    return file;
  }

  FakeFs fs_;
};

TEST_F(FakeFsTest, UnsyncedBytesAreForgottenOnCrash) {
  const auto file = make_durable();
  ASSERT_TRUE(file->append("-more").ok());
  EXPECT_EQ(fs_.content("d/a"), "base-more");
  fs_.crash();
  EXPECT_EQ(fs_.content("d/a"), "base");
  EXPECT_EQ(file->append("x").error().code, Code::kIo);
}

TEST_F(FakeFsTest, CrashKeepsThatManyUnsyncedBytes) {
  const auto file = make_durable();
  ASSERT_TRUE(file->append("-more").ok());
  fs_.crash(2);
  EXPECT_EQ(fs_.content("d/a"), "base-m");
}

TEST_F(FakeFsTest, UnsyncedTruncationIsForgottenOnCrash) {
  const auto file = make_durable();
  ASSERT_TRUE(file->truncate(1).ok());
  EXPECT_EQ(fs_.content("d/a"), "b");
  fs_.crash();
  EXPECT_EQ(fs_.content("d/a"), "base");
}

TEST_F(FakeFsTest, UnsyncedNamesRevertOnCrash) {
  const auto file = make_durable();
  ASSERT_TRUE(fs_.create("d/new").value()->sync().ok());
  ASSERT_TRUE(fs_.rename("d/a", "d/b").ok());
  EXPECT_EQ(fs_.list("d").value(), (std::vector<std::string>{"b", "new"}));
  fs_.crash();
  EXPECT_EQ(fs_.list("d").value(), std::vector<std::string>{"a"});
  ASSERT_TRUE(fs_.remove("d/a").ok());
  ASSERT_TRUE(fs_.sync_directory("d").ok());
  fs_.crash();
  EXPECT_TRUE(fs_.list("d").value().empty());
}

TEST_F(FakeFsTest, KillKeepsWhatIsUnsyncedUntilTheNextCrash) {
  const auto file = make_durable();
  ASSERT_TRUE(file->append("-more").ok());
  fs_.kill();
  EXPECT_EQ(fs_.content("d/a"), "base-more");
  fs_.crash();
  EXPECT_EQ(fs_.content("d/a"), "base");
}

TEST_F(FakeFsTest, RandomCrashKeepsWhatWasSynced) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    FakeFs fs;
    fs.create_directories("d").value();
    auto file = fs.create("d/a").value();
    file->append(std::string(700, 'a')).value();
    file->sync().value();
    fs.sync_directory("d").value();
    file->append(std::string(2000, 'b')).value();
    fs.crash_at_random(seed);
    const std::string left = fs.content("d/a");
    ASSERT_GE(left.size(), 700u);
    EXPECT_EQ(left.substr(0, 700), std::string(700, 'a'));
    EXPECT_EQ(left.substr(700).find_first_not_of(std::string("b\0", 2)), std::string::npos);
  }
}

TEST_F(FakeFsTest, RequestedOperationFailsOnce) {
  const auto file = make_durable();
  fs_.fail_at(fs_.operations(), Code::kIo);
  EXPECT_EQ(file->sync().error().code, Code::kIo);
  EXPECT_TRUE(file->sync().ok());
  fs_.fail_at(fs_.operations(), Code::kNoSpace);
  EXPECT_EQ(file->append("1234").error().code, Code::kNoSpace);
  EXPECT_EQ(fs_.content("d/a"), "base12");
  ASSERT_TRUE(file->truncate(4).ok());
  ASSERT_TRUE(file->append("1234").ok());
  EXPECT_EQ(fs_.content("d/a"), "base1234");
}

TEST_F(FakeFsTest, DeadProcessDoesNothingMore) {
  const auto file = make_durable();
  fs_.die_at(fs_.operations());
  EXPECT_FALSE(file->append("1234").ok());
  EXPECT_FALSE(file->append("5678").ok());
  EXPECT_FALSE(fs_.remove("d/a").ok());
  EXPECT_TRUE(fs_.dead());
  fs_.kill();
  EXPECT_EQ(fs_.content("d/a"), "base12");
}

TEST_F(FakeFsTest, CapacityIsFullUntilLifted) {
  const auto file = make_durable();
  fs_.set_capacity(6);
  EXPECT_EQ(fs_.free_bytes("d").value(), 2u);
  EXPECT_EQ(file->append("1234").error().code, Code::kNoSpace);
  EXPECT_EQ(fs_.content("d/a"), "base12");
  fs_.set_no_capacity_limit();
  EXPECT_TRUE(file->append("34").ok());
  EXPECT_EQ(fs_.content("d/a"), "base1234");
}

TEST_F(FakeFsTest, LockIsGivenUpByItsOwnerAndByACrash) {
  auto first = fs_.lock("d/lock").value();
  EXPECT_EQ(fs_.lock("d/lock").error().code, Code::kCheckFailed);
  first.reset();
  first = fs_.lock("d/lock").value();
  fs_.crash();
  const auto second = fs_.lock("d/lock").value();
  first.reset();
  EXPECT_EQ(fs_.lock("d/lock").error().code, Code::kCheckFailed);
}

}  // namespace
}  // namespace pgweir::io
