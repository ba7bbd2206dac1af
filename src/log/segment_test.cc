// The bytes of format 1 stay what they are.
#include "log/segment.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

namespace pgweir::log {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes)
    text += fmt::format("{:02x}", static_cast<unsigned>(static_cast<unsigned char>(byte)));
  return text;
}

SegmentHeader sample_header() {
  SegmentHeader header;
  header.identity = "00112233445566778899aabbccddeeff";
  header.number = 2;
  header.salt = 0x0123456789abcdef;
  header.epoch = 3;
  header.protocol_version = 4;
  header.codec = Codec::kLz4;
  header.repeated_count = 5;
  header.created_us = 6;
  header.first = {3, model::Lsn{7}, 8};
  header.before = {{2, model::Lsn{9}, 10}, model::Lsn{11}, 12, 13, true};
  header.bytes_before = 14;
  return header;
}

StoredFrame sample_frame() {
  StoredFrame frame;
  frame.header.kind = FrameKind::kSchema;
  frame.header.first = {1, model::Lsn{2}, 3};
  frame.header.last = {4, model::Lsn{5}, 6};
  frame.header.start_lsn = model::Lsn{7};
  frame.header.end_lsn = model::Lsn{8};
  frame.header.xid = 9;
  frame.header.record_count = 10;
  frame.header.time_us = 11;
  frame.header.key = 12;
  frame.repeated = true;
  frame.number = 13;
  frame.synced_bytes = 14;
  return frame;
}

TEST(LogSegment, FileNamesComeBack) {
  EXPECT_EQ(segment_file_name(42), "000000000042.log");
  EXPECT_EQ(parse_segment_file_name("000000000042.log"), 42u);
  for (const char* other : {"", "42.log", "000000000042.log.new", "00000000004x.log", "x"})
    EXPECT_EQ(parse_segment_file_name(other), std::nullopt) << other;
}

TEST(LogSegment, HeaderBytesAreThoseOfFormat1) {
  const std::string bytes = encode_segment_header(sample_header());
  EXPECT_EQ(hex(bytes),
            "5047574549524c47010000009400000000112233445566778899aabbccddeeff0200000000000000"
            "efcdab89674523010300000004000000010100000500000006000000000000000300000007000000"
            "0000000008000000000000000200000009000000000000000a000000000000000b00000000000000"
            "0c000000000000000d000000000000000e0000000000000004506ff5");
  const SegmentHeader header = decode_segment_header(bytes).value();
  EXPECT_EQ(encode_segment_header(header), bytes);
  EXPECT_EQ(header.before, sample_header().before);
}

TEST(LogSegment, FrameBytesAreThoseOfFormat1) {
  std::string bytes;
  FrameEncoder(Codec::kNone).encode(sample_frame(), "payload", 0x0123456789abcdef, bytes);
  EXPECT_EQ(hex(bytes),
            "7746726d0700000007000000768a77e3020001000a0000000d000000000000000e00000000000000"
            "01000000020000000000000003000000000000000400000005000000000000000600000000000000"
            "070000000000000008000000000000000c000000000000000b000000000000000900000091b012e5"
            "7061796c6f6164");
  const auto frame = decode_frame_header(bytes, 0x0123456789abcdef);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->header, sample_frame().header);
  EXPECT_FALSE(decode_frame_header(bytes, 1)) << "the salt is another";
}

TEST(LogSegment, PayloadsOfAllKindsComeBack) {
  std::string random;
  for (unsigned i = 0, state = 1; i < 5000; ++i, state = state * 1664525 + 1013904223)
    random += static_cast<char>(state >> 24);
  const std::string payloads[] = {"", "short", std::string(64, 'x'), std::string(1 << 20, 'x'),
                                  random};
  for (const Codec codec : {Codec::kNone, Codec::kLz4}) {
    FrameEncoder encoder(codec);
    for (const std::string& payload : payloads) {
      std::string bytes;
      encoder.encode(sample_frame(), payload, 1, bytes);
      EXPECT_LE(bytes.size(), frame_bytes(payload.size()));
      const StoredFrame frame = decode_frame_header(bytes, 1).value();
      std::string restored;
      ASSERT_TRUE(
          restore_payload(frame, std::string_view(bytes).substr(kFrameHeaderBytes), restored));
      EXPECT_EQ(restored, payload);
    }
  }
}

TEST(LogSegment, PayloadThatClaimsTooMuchIsRefusedWithoutTakingMemory) {
  StoredFrame frame;
  frame.codec = Codec::kLz4;
  frame.stored_bytes = 4;
  frame.raw_bytes = 1u << 30;
  std::string payload;
  EXPECT_FALSE(restore_payload(frame, "abcd", payload));
  EXPECT_LT(payload.capacity(), 100u);
}

}  // namespace
}  // namespace pgweir::log
