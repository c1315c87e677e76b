#pragma once

// MurmurHash3 (A. Appleby, 2011) of 32 bits, the first half of the 128 bits for 64-bit machines,
// and the variant of Spark's SQL functions, which mixes each byte behind the last word as a number
// of its own, with its sign.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "hashing/seed.h"
#include "strings/bytes.h"

namespace pyrec {

namespace murmur3 {

inline std::uint32_t scramble(std::uint32_t word) {
  return std::rotl(word * 0xcc9e2d51, 15) * 0x1b873593;
}

inline std::uint32_t mix(std::uint32_t state, std::uint32_t word) {
  return std::rotl(state ^ scramble(word), 13) * 5 + 0xe6546b64;
}

inline std::uint32_t finish(std::uint32_t state, std::size_t size) {
  state ^= static_cast<std::uint32_t>(size);
  state = (state ^ state >> 16) * 0x85ebca6b;
  state = (state ^ state >> 13) * 0xc2b2ae35;
  return state ^ state >> 16;
}

inline std::uint32_t words(std::string_view text, std::uint32_t state) {
  const std::size_t whole = text.size() / 4 * 4;
  for (std::size_t i = 0; i < whole; i += 4) state = mix(state, read32(text.data() + i));
  return state;
}

// What stands behind the last word, as a number.
inline std::uint32_t tail(std::string_view text) {
  const std::size_t rest = text.size() % 4;
  if (text.size() >= 4) {
    return static_cast<std::uint32_t>(std::uint64_t{read32(text.data() + text.size() - 4)} >>
                                      (32 - 8 * rest));
  }
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < rest; ++i) {
    number |= std::uint32_t{static_cast<unsigned char>(text[i])} << 8 * i;
  }
  return number;
}

inline std::uint32_t hash32(std::string_view text, std::uint32_t seed) {
  std::uint32_t state = words(text, seed);
  return finish(state ^ scramble(tail(text)), text.size());
}

}  // namespace murmur3

struct Murmur32 {
  static constexpr const char* kName = "mmh3_32";

  static std::uint64_t hash(std::string_view text, const HashSeed& seed) {
    return murmur3::hash32(text, static_cast<std::uint32_t>(seed.first));
  }
};

struct SparkMurmur {
  static constexpr const char* kName = "spark_hash";

  static std::uint64_t hash(std::string_view text, const HashSeed& seed) {
    std::uint32_t state = murmur3::words(text, static_cast<std::uint32_t>(seed.first));
    for (std::size_t i = text.size() / 4 * 4; i < text.size(); ++i) {
      const auto byte = static_cast<signed char>(text[i]);
      state = murmur3::mix(state, static_cast<std::uint32_t>(std::int32_t{byte}));
    }
    return murmur3::finish(state, text.size());
  }
};

struct Murmur64 {
  static constexpr const char* kName = "mmh3_64";

  static std::uint64_t hash(std::string_view text, const HashSeed& seed) {
    const char* at = text.data();
    const std::size_t size = text.size(), rest = size % 16;
    std::uint64_t a = seed.first, b = seed.first;
    for (const char* const end = at + (size - rest); at != end; at += 16) {
      a = std::rotl(a ^ first(read64(at)), 27);
      a = (a + b) * 5 + 0x52dce729;
      b = std::rotl(b ^ second(read64(at + 8)), 31);
      b = (b + a) * 5 + 0x38495ab5;
    }
    std::uint64_t tails[2] = {0, 0};
    std::memcpy(tails, at, rest);
    b ^= second(tails[1]) ^ size;
    a ^= first(tails[0]) ^ size;
    a += b;
    b += a;
    return finish(a) + finish(b);
  }

 private:
  static constexpr std::uint64_t kFirst = 0x87c37b91114253d5, kSecond = 0x4cf5ad432745937f;

  static std::uint64_t first(std::uint64_t word) { return std::rotl(word * kFirst, 31) * kSecond; }
  static std::uint64_t second(std::uint64_t word) { return std::rotl(word * kSecond, 33) * kFirst; }
  static std::uint64_t finish(std::uint64_t state) {
    state = (state ^ state >> 33) * 0xff51afd7ed558ccd;
    state = (state ^ state >> 33) * 0xc4ceb9fe1a85ec53;
    return state ^ state >> 33;
  }
};

}  // namespace pyrec
