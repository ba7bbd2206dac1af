// Reading and writing integers in byte buffers that come from outside: every read is checked.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace pgweir {

// Reads big-endian (network order, PostgreSQL's protocol) or little-endian (our files) integers.
// After the first read past the end, ok() is false and every read gives zero or an empty view.
template <std::endian Order>
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  T read() {
    static_assert(std::is_integral_v<T>);
    if (bytes_.size() - offset_ < sizeof(T) || !ok_) {
      ok_ = false;
      return T{};
    }
    std::make_unsigned_t<T> value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      const std::size_t at = Order == std::endian::big ? i : sizeof(T) - 1 - i;
      value =
          static_cast<std::make_unsigned_t<T>>((static_cast<std::uint64_t>(value) << 8) |
                                               static_cast<unsigned char>(bytes_[offset_ + at]));
    }
    offset_ += sizeof(T);
    return static_cast<T>(value);
  }

  std::string_view bytes(std::size_t size) {
    if (bytes_.size() - offset_ < size || !ok_) {
      ok_ = false;
      return {};
    }
    const std::string_view out = bytes_.substr(offset_, size);
    offset_ += size;
    return out;
  }

  // A text that ends with a zero byte, without it.
  std::string_view c_string() {
    const std::size_t end = ok_ ? bytes_.find('\0', offset_) : std::string_view::npos;
    if (end == std::string_view::npos) {
      ok_ = false;
      return {};
    }
    const std::string_view out = bytes_.substr(offset_, end - offset_);
    offset_ = end + 1;
    return out;
  }

  bool ok() const { return ok_; }
  bool at_end() const { return offset_ == bytes_.size(); }
  std::size_t offset() const { return offset_; }
  std::size_t remaining() const { return bytes_.size() - offset_; }

 private:
  std::string_view bytes_;
  std::size_t offset_ = 0;
  bool ok_ = true;
};

using NetworkReader = ByteReader<std::endian::big>;
using FileReader = ByteReader<std::endian::little>;

template <std::endian Order, typename T>
void append_integer(std::string& out, T value) {
  static_assert(std::is_integral_v<T>);
  char bytes[sizeof(T)];
  auto rest = static_cast<std::make_unsigned_t<T>>(value);
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    const std::size_t at = Order == std::endian::little ? i : sizeof(T) - 1 - i;
    bytes[at] = static_cast<char>(rest & 0xff);
    rest = static_cast<std::make_unsigned_t<T>>(static_cast<std::uint64_t>(rest) >> 8);
  }
  out.append(bytes, sizeof(T));
}

template <typename T>
void append_network(std::string& out, T value) {
  append_integer<std::endian::big>(out, value);
}
template <typename T>
void append_file(std::string& out, T value) {
  append_integer<std::endian::little>(out, value);
}

}  // namespace pgweir
