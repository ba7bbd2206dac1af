// The client against the real server with made-up answers, and its reader of event streams.
#include "cli/http_client.h"

#include <gtest/gtest.h>

#include "harness/scratch.h"

namespace pgweir::cli {
namespace {

// The events of a stream that arrives in pieces of `size` bytes, as "id|name|data;".
std::string events_of(const std::string& stream, std::size_t size) {
  EventReader reader;
  std::string out;
  for (std::size_t at = 0; at < stream.size(); at += size) {
    const Status status = reader.feed(std::string_view(stream).substr(at, size),
                                      [&](const ServerEvent& event) -> Status {
                                        out += event.id + "|" + event.name + "|" + event.data + ";";
                                        return {};
                                      });
    EXPECT_TRUE(status.ok());
  }
  return out;
}

}  // namespace

TEST(EventReader, GivesTheSameEventsWhateverThePieces) {
  const std::string stream =
      ": hello\n\nid: 1\ndata: a\n\ndata: b\ndata: c\n\r\nevent: end\r\ndata:d\r\n\r\ndata\n\n"
      "event: nothing\n\ndata: cut off";
  for (std::size_t size = 1; size <= stream.size(); ++size)
    EXPECT_EQ(events_of(stream, size), "1||a;1||b\nc;1|end|d;1||;") << size;
}

TEST(EventReader, HandsOnTheReadersError) {
  EventReader reader;
  const Status status =
      reader.feed("data: a\n\ndata: b\n\n", [](const ServerEvent& event) -> Status {
        return error(Code::kCancelled, "after " + event.data);
      });
  EXPECT_EQ(status.error().message, "after a");
}

TEST(HttpClient, EncodesEverythingUnusual) {
  EXPECT_EQ(encode_part("a-Z_0.~"), "a-Z_0.~");
  EXPECT_EQ(encode_part("a b/ü?*"), "a%20b%2F%C3%BC%3F%2A");
}

TEST(HttpClient, SaysThatNothingListens) {
  const std::string address = "127.0.0.1:" + std::to_string(harness::free_port());
  HttpClient client({.address = address});
  const auto answer = client.get("/healthz");
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, Code::kUnavailable);
  EXPECT_EQ(answer.error().message,
            "no pgweir answers at " + address + ": is `pgweir run` running?");
}

}  // namespace pgweir::cli
