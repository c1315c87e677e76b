#pragma once

// MD5 (RFC 1321): its first 8 bytes as a number whose hexadecimal digits are those of the digest.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "hashing/seed.h"
#include "strings/bytes.h"

namespace pyrec {

struct Md5 {
  static constexpr const char* kName = "md5";

  static std::uint64_t hash(std::string_view text, const HashSeed&) {
    Words state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    const char* at = text.data();
    std::size_t left = text.size();
    for (; left >= kBlock; at += kBlock, left -= kBlock) take(state, at);
    std::array<char, 2 * kBlock> tail{};
    if (left > 0) std::memcpy(tail.data(), at, left);
    tail[left] = '\x80';
    const std::size_t padded = left + 9 <= kBlock ? kBlock : 2 * kBlock;
    const std::uint64_t bits = 8 * std::uint64_t{text.size()};
    std::memcpy(tail.data() + padded - 8, &bits, 8);
    for (std::size_t i = 0; i < padded; i += kBlock) take(state, tail.data() + i);
    return __builtin_bswap64(state[0] | std::uint64_t{state[1]} << 32);
  }

 private:
  using Words = std::array<std::uint32_t, 4>;
  static constexpr std::size_t kBlock = 64;

  // floor(2^32 * abs(sin(i + 1))), as the RFC lists them.
  static constexpr std::array<std::uint32_t, 64> kSines = {
      0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613,
      0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193,
      0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d,
      0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
      0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122,
      0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
      0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244,
      0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
      0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb,
      0xeb86d391};
  static constexpr std::array<std::array<int, 4>, 4> kTurns = {
      {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}}};

  template <std::size_t Round, class Choose>
  static void round(Words& state, const char* block, std::size_t step, std::size_t first,
                    const Choose& choose) {
    auto& [a, b, c, d] = state;
    for (std::size_t i = 0; i < 16; ++i) {
      const std::uint32_t word = read32(block + 4 * ((step * i + first) % 16));
      const std::uint32_t sum = a + choose(b, c, d) + kSines[16 * Round + i] + word;
      a = d;
      d = c;
      c = b;
      b += std::rotl(sum, kTurns[Round][i % 4]);
    }
  }

  static void take(Words& state, const char* block) {
    const Words before = state;
    round<0>(state, block, 1, 0, [](auto b, auto c, auto d) { return (b & c) | (~b & d); });
    round<1>(state, block, 5, 1, [](auto b, auto c, auto d) { return (b & d) | (c & ~d); });
    round<2>(state, block, 3, 5, [](auto b, auto c, auto d) { return b ^ c ^ d; });
    round<3>(state, block, 7, 0, [](auto b, auto c, auto d) { return c ^ (b | ~d); });
    for (std::size_t i = 0; i < 4; ++i) state[i] += before[i];
  }
};

}  // namespace pyrec
