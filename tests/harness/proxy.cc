#include "harness/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <string_view>
#include <utility>
#include <vector>

namespace pgweir::harness {
namespace {

constexpr int kLookMs = 5;  // how soon a call of another thread is seen

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::abort();
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace

struct Proxy::Link {
  int client = -1;
  int server = -1;

  Link(int of_client, int of_server) : client(of_client), server(of_server) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() {
    ::close(client);
    ::close(server);
  }
};

Proxy::Proxy(int target) : target_(target) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);  // NOLINT(*-reinterpret-cast)
  if (listener_ < 0 || ::bind(listener_, any, size) != 0 || ::listen(listener_, 16) != 0 ||
      ::getsockname(listener_, any, &size) != 0)
    die("proxy: listen");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

Proxy::~Proxy() {
  stopping_ = true;
  thread_.join();
  ::close(listener_);
}

void Proxy::cut_after(std::uint64_t bytes) {
  cut_left_ = static_cast<std::int64_t>(bytes);
}

void Proxy::run() {
  std::list<Link> links;
  std::array<char, 64 * 1024> buffer{};
  // Takes what one side has; false when the link is over.
  const auto pass = [&](int from, int to, bool of_server) {
    const ssize_t count = ::recv(from, buffer.data(), buffer.size(), 0);
    if (count <= 0) return false;
    std::string_view bytes(buffer.data(), static_cast<std::size_t>(count));
    if (const std::int64_t left = cut_left_; of_server && left >= 0) {
      if (std::cmp_less_equal(bytes.size(), left)) {
        cut_left_ = left - count;
      } else {
        bytes = bytes.substr(0, static_cast<std::size_t>(left));
        cut_left_ = 0;
      }
    }
    return send_all(to, bytes);
  };
  while (!stopping_) {
    if (cut_left_ == 0) {
      links.clear();
      cut_left_ = -1;
      ++cuts_;
    }
    std::vector<pollfd> sockets{{listener_, POLLIN, 0}};
    if (!swallowing_) {
      for (const Link& link : links) {
        sockets.push_back({link.client, POLLIN, 0});
        sockets.push_back({link.server, POLLIN, 0});
      }
    }
    if (::poll(sockets.data(), sockets.size(), kLookMs) <= 0 || swallowing_) {
      if (swallowing_) ::poll(nullptr, 0, kLookMs);
      continue;
    }
    std::size_t at = 1;
    for (auto link = links.begin(); link != links.end() && cut_left_ != 0; at += 2) {
      const bool alive = (sockets[at].revents == 0 || pass(link->client, link->server, false)) &&
                         (sockets[at + 1].revents == 0 || pass(link->server, link->client, true));
      link = alive ? std::next(link) : links.erase(link);
    }
    if (sockets[0].revents != 0) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (client < 0 || server < 0) die("proxy: accept");
      const sockaddr_in address = loopback(target_);
      const auto* any = reinterpret_cast<const sockaddr*>(&address);  // NOLINT(*-reinterpret-cast)
      const bool connected = ::connect(server, any, sizeof address) == 0;
      links.emplace_back(client, server);
      if (!connected) links.pop_back();
    }
  }
}

}  // namespace pgweir::harness
