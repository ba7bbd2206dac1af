#include "debezium/json_text.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace pgweir::debezium {
namespace {

constexpr std::string_view kUpperDigits = "0123456789ABCDEF";
constexpr std::string_view kLowerDigits = "0123456789abcdef";

// What append_json_string() cannot copy: 'u' an escape by number, '4' a character of four bytes,
// any other letter an escape of its own.
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> out{};
  for (std::size_t i = 0; i < 0x20; ++i) out[i] = 'u';
  out['\b'] = 'b';
  out['\t'] = 't';
  out['\n'] = 'n';
  out['\f'] = 'f';
  out['\r'] = 'r';
  out['"'] = '"';
  out['\\'] = '\\';
  for (std::size_t i = 0xf0; i < 0xf8; ++i) out[i] = '4';
  return out;
}();

void append_number_escape(std::uint32_t unit, std::string& out) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kUpperDigits[(unit >> shift) & 0xf];
}

void append_surrogates(const char* bytes, std::string& out) {
  std::uint32_t code = static_cast<unsigned char>(bytes[0]) & 0x07;
  for (int i = 1; i < 4; ++i) code = code << 6 | (static_cast<unsigned char>(bytes[i]) & 0x3f);
  code -= 0x10000;
  append_number_escape(0xd800 + (code >> 10), out);
  append_number_escape(0xdc00 + (code & 0x3ff), out);
}

}  // namespace

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  std::size_t copied = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const char escape = kEscapes[byte];
    if (escape == 0) continue;
    out.append(text, copied, at - copied);
    copied = at + 1;
    if (escape == 'u') {
      append_number_escape(byte, out);
    } else if (escape != '4') {
      out += '\\';
      out += escape;
    } else if (at + 4 <= text.size()) {
      append_surrogates(text.data() + at, out);
      at += 3;
      copied = at + 1;
    }
  }
  out.append(text, copied, text.size() - copied);
  out += '"';
}

void append_base64(std::string_view bytes, Base64 alphabet, std::string& out) {
  constexpr std::string_view kStandard =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  constexpr std::string_view kUrlSafe =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const std::string_view letters = alphabet == Base64::kStandard ? kStandard : kUrlSafe;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = bytes.size() - at < 3 ? bytes.size() - at : 3;
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i)
      group = group << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    const char four[] = {letters[group >> 18], letters[group >> 12 & 0x3f],
                         count > 1 ? letters[group >> 6 & 0x3f] : '=',
                         count > 2 ? letters[group & 0x3f] : '='};
    out.append(four, sizeof four);
  }
}

void append_hex(std::string_view bytes, std::string& out) {
  for (const char each : bytes) {
    const auto byte = static_cast<unsigned char>(each);
    out += kLowerDigits[byte >> 4];
    out += kLowerDigits[byte & 0xf];
  }
}

}  // namespace pgweir::debezium
