// Numbers as Java and Kafka Connect write them, out of PostgreSQL's texts.
//
// Place:   under value_encoding. Threads: pure functions.
//          False: the text is not a number; nothing was appended.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pgweir::debezium {

// float4 and float8, as Java's Double.toString() spells them: "1.0E-30", "1.6777216E7", "-0.0".
// PostgreSQL's digits are the shortest that tell the value, as are those of Java 19 and later;
// Java before that adds or changes a last digit now and then. NaN and the infinities are strings.
bool append_java_double(std::string_view text, std::string& out);

// A numeric, taken to the nearest double first.
bool append_as_double(std::string_view numeric, std::string& out);

// Connect's Decimal: numeric * 10^scale as a big-endian two's complement integer of the fewest
// bytes. More digits behind the point than `scale` are rounded, halves away from zero. NaN and the
// infinities are not numbers here.
bool append_unscaled(std::string_view numeric, std::uint32_t scale, std::string& bytes);

// Digits behind the point, without the zeros at their end.
std::uint32_t scale_of(std::string_view numeric);

// A money text under lc_monetary=C, "-$1,234.56", as a numeric, "-1234.56".
std::string money_digits(std::string_view money);

}  // namespace pgweir::debezium
