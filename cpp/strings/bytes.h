#pragma once

// Numbers that lie at any address, lowest byte first.

#include <bit>
#include <cstdint>
#include <cstring>

namespace pyrec {

static_assert(std::endian::native == std::endian::little);

template <class Number>
Number read_number(const char* from) {
  Number number;
  std::memcpy(&number, from, sizeof number);
  return number;
}

inline std::uint32_t read32(const char* from) { return read_number<std::uint32_t>(from); }
inline std::uint64_t read64(const char* from) { return read_number<std::uint64_t>(from); }

}  // namespace pyrec
