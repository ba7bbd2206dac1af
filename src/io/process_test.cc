#include "io/process.h"

#include <gtest/gtest.h>

#include <csignal>

namespace pgweir::io {
using namespace std::chrono_literals;

TEST(Process, OutputAndExitCodeComeBack) {
  const auto finished = run(
      {.arguments = {"sh", "-c", "echo $GREETING; exit 3"}, .environment = {{"GREETING", "hi"}}},
      5s);
  EXPECT_EQ(finished.value().exit_code, 3);
  EXPECT_EQ(finished.value().output, "hi\n");
}

TEST(Process, UnknownProgramIsNotFound) {
  EXPECT_EQ(Process::start({.arguments = {"pgweir-no-such-program"}}).error().code,
            Code::kNotFound);
}

TEST(Process, DestroyedProcessIsGone) {
  pid_t pid = 0;
  {
    auto process = Process::start({.arguments = {"sleep", "100"}}).value();
    pid = process.pid();
    EXPECT_EQ(process.wait(10ms).error().code, Code::kTimeout);
  }
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST(Process, DeathBySignalIsTold) {
  auto process = Process::start({.arguments = {"sleep", "100"}}).value();
  ASSERT_TRUE(process.signal(SIGTERM).ok());
  EXPECT_EQ(process.wait(5s).value(), 128 + SIGTERM);
}

TEST(Process, WhatIsIgnoredHereStillEndsAChild) {
  auto* const before = ::signal(SIGINT, SIG_IGN);
  auto process = Process::start({.arguments = {"sleep", "100"}}).value();
  ::signal(SIGINT, before);
  ASSERT_TRUE(process.signal(SIGINT).ok());
  EXPECT_EQ(process.wait(30s).value(), 128 + SIGINT);
}

}  // namespace pgweir::io
