// Pieces of JSON, byte for byte as Kafka Connect's JsonConverter writes them.
//
// Place:   beneath everything here that writes. Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace pgweir::debezium {

// `text` in quotes. Requires UTF-8. The converter escapes what JSON demands, and writes characters
// beyond the basic plane as two escapes of uppercase digits; all others stay as they are.
void append_json_string(std::string_view text, std::string& out);

enum class Base64 { kStandard, kUrlSafe };

// With padding, without quotes.
void append_base64(std::string_view bytes, Base64 alphabet, std::string& out);

// In lowercase, without quotes.
void append_hex(std::string_view bytes, std::string& out);

}  // namespace pgweir::debezium
