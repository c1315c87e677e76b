#pragma once

// XXH32 and XXH64 (Y. Collet, xxHash fast digest algorithm, specification 0.1.1).

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "hashing/seed.h"
#include "strings/bytes.h"

namespace pyrec {

struct Xxh32 {
  static constexpr const char* kName = "xxh32";

  static std::uint64_t hash(std::string_view text, const HashSeed& seed) {
    const auto start = static_cast<std::uint32_t>(seed.first);
    const char* at = text.data();
    const char* const end = at + text.size();
    std::uint32_t state = start + kPrime5;
    if (text.size() >= 16) {
      std::array<std::uint32_t, 4> lanes = {start + kPrime1 + kPrime2, start + kPrime2, start,
                                            start - kPrime1};
      for (; end - at >= 16; at += 16) {
        for (std::size_t i = 0; i < 4; ++i) {
          lanes[i] = std::rotl(lanes[i] + read32(at + 4 * i) * kPrime2, 13) * kPrime1;
        }
      }
      state = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) +
              std::rotl(lanes[3], 18);
    }
    state += static_cast<std::uint32_t>(text.size());
    for (; end - at >= 4; at += 4) state = std::rotl(state + read32(at) * kPrime3, 17) * kPrime4;
    for (; at != end; ++at) {
      const std::uint32_t byte = static_cast<unsigned char>(*at);
      state = std::rotl(state + byte * kPrime5, 11) * kPrime1;
    }
    state = (state ^ state >> 15) * kPrime2;
    state = (state ^ state >> 13) * kPrime3;
    return state ^ state >> 16;
  }

 private:
  static constexpr std::uint32_t kPrime1 = 0x9e3779b1, kPrime2 = 0x85ebca77, kPrime3 = 0xc2b2ae3d,
                                 kPrime4 = 0x27d4eb2f, kPrime5 = 0x165667b1;
};

struct Xxh64 {
  static constexpr const char* kName = "xxh64";

  static std::uint64_t hash(std::string_view text, const HashSeed& seed) {
    const char* at = text.data();
    const char* const end = at + text.size();
    std::uint64_t state = seed.first + kPrime5;
    if (text.size() >= 32) {
      std::array<std::uint64_t, 4> lanes = {seed.first + kPrime1 + kPrime2, seed.first + kPrime2,
                                            seed.first, seed.first - kPrime1};
      for (; end - at >= 32; at += 32) {
        for (std::size_t i = 0; i < 4; ++i) lanes[i] = take(lanes[i], read64(at + 8 * i));
      }
      state = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) +
              std::rotl(lanes[3], 18);
      for (const std::uint64_t lane : lanes) state = (state ^ take(0, lane)) * kPrime1 + kPrime4;
    }
    state += text.size();
    for (; end - at >= 8; at += 8) {
      state = std::rotl(state ^ take(0, read64(at)), 27) * kPrime1 + kPrime4;
    }
    if (end - at >= 4) {
      state = std::rotl(state ^ read32(at) * kPrime1, 23) * kPrime2 + kPrime3;
      at += 4;
    }
    for (; at != end; ++at) {
      const std::uint64_t byte = static_cast<unsigned char>(*at);
      state = std::rotl(state ^ byte * kPrime5, 11) * kPrime1;
    }
    state = (state ^ state >> 33) * kPrime2;
    state = (state ^ state >> 29) * kPrime3;
    return state ^ state >> 32;
  }

 private:
  static constexpr std::uint64_t kPrime1 = 0x9e3779b185ebca87, kPrime2 = 0xc2b2ae3d27d4eb4f,
                                 kPrime3 = 0x165667b19e3779f9, kPrime4 = 0x85ebca77c2b2ae63,
                                 kPrime5 = 0x27d4eb2f165667c5;

  static std::uint64_t take(std::uint64_t lane, std::uint64_t word) {
    return std::rotl(lane + word * kPrime2, 31) * kPrime1;
  }
};

}  // namespace pyrec
