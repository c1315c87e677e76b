#pragma once

// SipHash-2-4 (J.-P. Aumasson and D. J. Bernstein, 2012) with the key as two numbers.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "hashing/seed.h"
#include "strings/bytes.h"

namespace pyrec {

struct SipHash24 {
  static constexpr const char* kName = "siphash24";

  static std::uint64_t hash(std::string_view text, const HashSeed& seed) {
    SipHash24 state(seed.first, seed.second);
    const char* at = text.data();
    std::size_t left = text.size();
    for (; left >= 8; at += 8, left -= 8) state.take(read64(at));
    std::uint64_t last = std::uint64_t{text.size()} << 56;
    for (std::size_t i = 0; i < left; ++i) {
      last |= std::uint64_t{static_cast<unsigned char>(at[i])} << 8 * i;
    }
    state.take(last);
    state.v2 ^= 0xff;
    for (int i = 0; i < 4; ++i) state.round();
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
  }

 private:
  SipHash24(std::uint64_t first, std::uint64_t second)
      : v0(first ^ 0x736f6d6570736575),
        v1(second ^ 0x646f72616e646f6d),
        v2(first ^ 0x6c7967656e657261),
        v3(second ^ 0x7465646279746573) {}

  void round() {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  }

  void take(std::uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }

  std::uint64_t v0, v1, v2, v3;
};

}  // namespace pyrec
