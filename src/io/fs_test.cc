#include "io/fs.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace pgweir::io {

class RealFsTest : public testing::Test {
 protected:
  RealFsTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pgweir-fs-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  ~RealFsTest() override { std::filesystem::remove_all(directory_); }
  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  RealFs fs_;
  std::string directory_;
};

TEST_F(RealFsTest, WhatIsAppendedIsRead) {
  {
    auto file = fs_.create(path("a")).value();
    ASSERT_TRUE(file->append("hello ").ok());
    ASSERT_TRUE(file->sync().ok());
  }
  auto file = fs_.open_append(path("a")).value();
  EXPECT_EQ(file->size(), 6u);
  ASSERT_TRUE(file->append("world").ok());
  EXPECT_EQ(read_file(fs_, path("a")).value(), "hello world");
  ASSERT_TRUE(file->truncate(5).ok());
  ASSERT_TRUE(file->append("!").ok());
  EXPECT_EQ(read_file(fs_, path("a")).value(), "hello!");
}

TEST_F(RealFsTest, MissingFileIsNotFoundAndNamed) {
  const auto result = fs_.open_read(path("none"));
  EXPECT_EQ(result.error().code, Code::kNotFound);
  EXPECT_NE(result.error().message.find("none"), std::string::npos);
}

TEST_F(RealFsTest, FullDiskIsNoSpace) {
  auto file = fs_.open_append("/dev/full").value();
  EXPECT_EQ(file->append("x").error().code, Code::kNoSpace);
}

TEST_F(RealFsTest, SecondLockIsRefusedUntilTheFirstIsGone) {
  auto first = fs_.lock(path("lock")).value();
  EXPECT_EQ(fs_.lock(path("lock")).error().code, Code::kCheckFailed);
  first.reset();
  EXPECT_TRUE(fs_.lock(path("lock")).ok());
}

TEST_F(RealFsTest, DurableWriteReplaces) {
  ASSERT_TRUE(write_file_durably(fs_, path("s"), "one").ok());
  ASSERT_TRUE(write_file_durably(fs_, path("s"), "two").ok());
  EXPECT_EQ(read_file(fs_, path("s")).value(), "two");
  EXPECT_EQ(fs_.list(directory_).value(), std::vector<std::string>{"s"});
}

}  // namespace pgweir::io
