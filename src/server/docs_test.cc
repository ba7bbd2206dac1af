// The examples in docs/http_api.md are what the server answers.
//
// Method: every ```http block is sent, and the ```json block behind it must be the answer. With
//         PGWEIR_UPDATE_DOCS=1 the file is written anew instead.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "server/api.h"
#include "server/fake_backend.h"
#include "server/metrics.h"
#include "server/test_client.h"

namespace pgweir::server {
namespace {

std::string read_doc(const std::string& name) {
  std::ifstream file(std::string(PGWEIR_SOURCE_DIR) + "/docs/" + name);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

Reply send_example(std::uint16_t port, const std::string& example) {
  const std::size_t space = example.find(' ');
  const std::size_t line = example.find('\n');
  const std::string target = example.substr(space + 1, line - space - 1);
  TestClient client(port);
  if (example.substr(0, space) == "GET") return client.get(target);
  return client.post(target, example.substr(line + 2));
}

TEST(Docs, ExamplesOfHttpApiAreTrue) {
  FakeBackend backend;
  HttpStats stats;
  Logger logger(LogLevel::kOff);
  io::FakeClock clock;
  clock.advance(std::chrono::microseconds(kFakeTime - clock.now_us()));
  Router router;
  add_api(router, backend, stats, clock);
  HttpServerOptions options;
  options.listen.port = 0;
  const auto server = HttpServer::start(options, std::move(router), stats, logger).value();

  std::string text = read_doc("http_api.md");
  ASSERT_FALSE(text.empty());
  const bool update = std::getenv("PGWEIR_UPDATE_DOCS") != nullptr;
  int examples = 0;
  std::size_t at = 0;
  while ((at = text.find("```http\n", at)) != std::string::npos) {
    at += 8;
    const std::string example = text.substr(at, text.find("```", at) - at);
    const std::size_t start = text.find("```json\n", at) + 8;
    const std::size_t end = text.find("\n```", start);
    const std::string answer =
        nlohmann::ordered_json::parse(send_example(server->port(), example).body).dump(1);
    if (update) {
      text.replace(start, end - start, answer);
    } else {
      EXPECT_EQ(text.substr(start, end - start), answer) << example;
    }
    at = start;
    ++examples;
  }
  EXPECT_GT(examples, 8);
  if (update) std::ofstream(std::string(PGWEIR_SOURCE_DIR) + "/docs/http_api.md") << text;
}

}  // namespace
}  // namespace pgweir::server
