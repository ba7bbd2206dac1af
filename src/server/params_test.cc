// Globs.
#include "server/params.h"

#include <gtest/gtest.h>

namespace pgweir::server {
namespace {

TEST(Params, Globs) {
  const std::tuple<const char*, const char*, bool> cases[] = {
      {"public.*", "public.accounts", true},
      {"public.*", "other.accounts", false},
      {"*", "", true},
      {"*", "anything", true},
      {"a?c", "abc", true},
      {"a?c", "ac", false},
      {"*.acc*ts", "public.accounts", true},
      {"*a*b*c*", "xxaxxbxxcxx", true},
      {"*a*b*c*", "xxcxxbxxaxx", false},
      {"", "", true},
      {"", "a", false},
      {"abc", "abcd", false},
      {"abc*", "abc", true},
      {"a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false},
  };
  for (const auto& [glob, text, matches] : cases)
    EXPECT_EQ(glob_matches(glob, text), matches) << glob << " " << text;
}

}  // namespace
}  // namespace pgweir::server
