#include "harness/scratch.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>

namespace pgweir::harness {

ScratchFolder::ScratchFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "pgweir-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) std::abort();
  path_ = pattern;
  // Servers that run as another user must reach their files in here.
  std::filesystem::permissions(path_, std::filesystem::perms::all);
}

ScratchFolder::~ScratchFolder() {
  if (testing::Test::HasFailure()) {
    std::fprintf(stderr, "kept for inspection: %s\n", path_.c_str());
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

namespace {

// Below the range out of which the system takes ports of outgoing connections: one of those would
// otherwise be handed our port between now and the moment when a server listens on it.
constexpr int kPortMin = 15'000;
constexpr int kPortMax = 32'000;

bool nobody_listens(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  ::close(fd);
  return bound;
}

// Other test processes leave the port alone as long as this one lives: it holds the abstract socket
// of that name until it ends, however it ends.
bool reserve(int port) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "pgweir-test-port-" + std::to_string(port);
  name.copy(address.sun_path + 1, name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0) return true;
  ::close(fd);
  return false;
}

}  // namespace

int free_port() {
  std::random_device random;
  std::uniform_int_distribution<int> any(kPortMin, kPortMax);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const int port = any(random);
    if (reserve(port) && nobody_listens(port)) return port;
  }
  std::abort();
}

unsigned test_seed() {
  const char* given = std::getenv("PGWEIR_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                         : std::random_device{}();
  std::printf("seed: PGWEIR_SEED=%u\n", seed);
  return seed;
}

int random_rounds(int wanted, int at_least) {
#ifdef PGWEIR_SANITIZED
  return std::max(wanted / 3, at_least);
#else
  return std::max(wanted, at_least);
#endif
}

}  // namespace pgweir::harness
