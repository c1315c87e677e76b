#pragma once

// What CityHash64 and FarmHash's Fingerprint64 have in common: texts of up to 32 bytes, and the
// round of 64 bytes for long ones. G. Pike and J. Alakuijala, CityHash 1.1 (2013); G. Pike,
// FarmHash (2014).

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "strings/bytes.h"

namespace pyrec::city {

inline constexpr std::uint64_t k0 = 0xc3a5c85c97cb3127;
inline constexpr std::uint64_t k1 = 0xb492b66fbe98f273;
inline constexpr std::uint64_t k2 = 0x9ae16a3b2f90404f;

inline std::uint64_t shift_mix(std::uint64_t value) { return value ^ value >> 47; }

inline std::uint64_t join(std::uint64_t u, std::uint64_t v, std::uint64_t factor) {
  const std::uint64_t a = shift_mix((u ^ v) * factor);
  return shift_mix((v ^ a) * factor) * factor;
}

inline std::uint64_t factor_of(std::size_t size) { return k2 + 2 * size; }

inline std::uint64_t upto16(const char* at, std::size_t size) {
  const std::uint64_t factor = factor_of(size);
  if (size >= 8) {
    const std::uint64_t a = read64(at) + k2, b = read64(at + size - 8);
    const std::uint64_t c = std::rotr(b, 37) * factor + a;
    return join(c, (std::rotr(a, 25) + b) * factor, factor);
  }
  if (size >= 4) {
    return join(size + (std::uint64_t{read32(at)} << 3), read32(at + size - 4), factor);
  }
  if (size == 0) return k2;
  const auto byte = [&](std::size_t i) { return std::uint32_t{static_cast<unsigned char>(at[i])}; };
  const std::uint32_t y = byte(0) + (byte(size / 2) << 8);
  const std::uint32_t z = static_cast<std::uint32_t>(size) + (byte(size - 1) << 2);
  return shift_mix(y * k2 ^ z * k0) * k2;
}

inline std::uint64_t upto32(const char* at, std::size_t size) {
  const std::uint64_t factor = factor_of(size);
  const std::uint64_t a = read64(at) * k1, b = read64(at + 8);
  const std::uint64_t c = read64(at + size - 8) * factor, d = read64(at + size - 16) * k2;
  return join(std::rotr(a + b, 43) + std::rotr(c, 30) + d, a + std::rotr(b + k2, 18) + c, factor);
}

// What is carried along a long text.
struct State {
  struct Pair {
    std::uint64_t first = 0, second = 0;
  };

  static Pair weak(const char* at, std::uint64_t a, std::uint64_t b) {
    const std::uint64_t w = read64(at), z = read64(at + 24);
    a += w;
    b = std::rotr(b + a + z, 21);
    const std::uint64_t before = a;
    a += read64(at + 8) + read64(at + 16);
    return {a + z, b + std::rotr(a, 44) + before};
  }

  // Takes 64 bytes; the last round of FarmHash has factors of its own.
  void round(const char* at, std::uint64_t factor = k1, std::uint64_t times = 1) {
    x = std::rotr(x + y + v.first + read64(at + 8), 37) * factor;
    y = std::rotr(y + v.second + read64(at + 48), 42) * factor;
    x ^= w.second * times;
    y += v.first * times + read64(at + 40);
    z = std::rotr(z + w.first, 33) * factor;
    v = weak(at, v.second * factor, x + w.first);
    w = weak(at + 32, z + w.second, y + read64(at + 16));
    std::swap(z, x);
  }

  std::uint64_t x = 0, y = 0, z = 0;
  Pair v, w;
};

// Both hashes alike up to 32 bytes; f(bytes, size) for those up to 64, and for longer ones.
template <class F>
std::uint64_t by_length(std::string_view text, const F& upto64, const F& longer) {
  const char* at = text.data();
  const std::size_t size = text.size();
  if (size <= 16) return upto16(at, size);
  if (size <= 32) return upto32(at, size);
  return size <= 64 ? upto64(at, size) : longer(at, size);
}

}  // namespace pyrec::city
