// The buffer between a producer and one reader: order, limits, reasons.
#include "server/event_stream.h"

#include <gtest/gtest.h>

#include <thread>

namespace pgweir::server {
namespace {

TEST(EventStream, FramesEventsInOrder) {
  EventStream stream;
  EXPECT_EQ(stream.send({"1", "a"}), SinkState::kOpen);
  EXPECT_EQ(stream.send({"", "b\nc"}), SinkState::kOpen);
  const EventStream::Chunk chunk = stream.take();
  EXPECT_EQ(chunk.bytes, "id: 1\ndata: a\n\ndata: b\ndata: c\n\n");
  EXPECT_FALSE(chunk.end);
  EXPECT_EQ(stream.take().bytes, "");
}

TEST(EventStream, NamedEventsAndAProducersDrop) {
  EventStream stream;
  stream.send({"1", "a", "changes"});
  EXPECT_EQ(stream.take().bytes, "id: 1\nevent: changes\ndata: a\n\n");
  stream.send({"2", "b", "changes"});
  stream.drop("no longer kept");
  const EventStream::Chunk last = stream.take();
  EXPECT_EQ(last.bytes,
            "event: dropped\ndata: {\"error\":{\"code\":\"too_slow\",\"message\":\"no longer "
            "kept\",\"hint\":\"\"}}\n\n");
  EXPECT_TRUE(last.end);
  EXPECT_TRUE(stream.was_dropped());
}

TEST(EventStream, WakesOnceForWhatHasNotBeenTaken) {
  EventStream stream;
  int wakes = 0;
  stream.attach([&] { ++wakes; });
  stream.send({"1", "a"});
  stream.send({"2", "b"});
  EXPECT_EQ(wakes, 1);
  stream.take();
  stream.send({"3", "c"});
  EXPECT_EQ(wakes, 2);
  stream.finish("done", "m");
  EXPECT_EQ(wakes, 3);
  stream.abandon();
  stream.fail(error(Code::kIo, "late"));
  EXPECT_EQ(wakes, 3);
}

TEST(EventStream, OverflowDropsTheReaderAndKeepsTheReason) {
  EventStream stream({100});
  EXPECT_EQ(stream.send({"1", std::string(60, 'x')}), SinkState::kOpen);
  EXPECT_EQ(stream.wait_for_room(Milliseconds(1)), SinkState::kFull);
  EXPECT_EQ(stream.send({"2", std::string(60, 'x')}), SinkState::kClosed);
  EXPECT_EQ(stream.send({"3", "x"}), SinkState::kClosed);
  EXPECT_EQ(stream.wait_for_room(Milliseconds(1)), SinkState::kClosed);
  EXPECT_TRUE(stream.was_dropped());
  const EventStream::Chunk last = stream.take();
  EXPECT_TRUE(last.end);
  EXPECT_EQ(last.bytes,
            "event: dropped\ndata: {\"error\":{\"code\":\"too_slow\",\"message\":\"the reader left "
            "more than 100 bytes of events unread\",\"hint\":\"\"}}\n\n");
}

TEST(EventStream, OversizedEventIsToldNotSent) {
  EventStream stream({100});
  EXPECT_EQ(stream.send({"7", std::string(1000, 'x')}), SinkState::kOpen);
  EXPECT_EQ(stream.take().bytes,
            "id: 7\nevent: oversized\ndata: {\"error\":{\"code\":\"too_large\",\"message\":\"an "
            "event of 1000 bytes is larger than the limit of 100\",\"hint\":\"\"}}\n\n");
  EXPECT_EQ(stream.send({"8", "x"}), SinkState::kOpen);
}

TEST(EventStream, EndKeepsWhatWasSentAndComesOnce) {
  EventStream stream;
  stream.send({"1", "a"});
  stream.finish("done", "enough");
  stream.fail(error(Code::kIo, "late"));
  const EventStream::Chunk chunk = stream.take();
  EXPECT_TRUE(chunk.end);
  EXPECT_EQ(chunk.bytes,
            "id: 1\ndata: a\n\nevent: end\ndata: {\"error\":{\"code\":\"done\",\"message\":"
            "\"enough\",\"hint\":\"\"}}\n\n");
}

TEST(EventStream, AbandoningFreesAWaitingProducer) {
  EventStream stream({100});
  stream.send({"1", std::string(80, 'x')});
  std::jthread reader([&] { stream.abandon(); });
  EXPECT_EQ(stream.wait_for_room(Milliseconds(20'000)), SinkState::kClosed);
  reader.join();
}

}  // namespace
}  // namespace pgweir::server
