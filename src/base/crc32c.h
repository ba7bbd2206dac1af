// CRC-32C (Castagnoli polynomial 0x1EDC6F41, reflected; RFC 3720 appendix B.4).
#pragma once

#include <cstdint>
#include <string_view>

namespace pgweir {

// Extends `crc`, the checksum of what came before (0 for nothing).
std::uint32_t crc32c(std::string_view bytes, std::uint32_t crc = 0);

}  // namespace pgweir
