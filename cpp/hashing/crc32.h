#pragma once

// The CRC-32 of IEEE 802.3 and zlib (RFC 1952, section 8), 8 bytes at a time.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "hashing/seed.h"
#include "strings/bytes.h"

namespace pyrec {

struct Crc32 {
  static constexpr const char* kName = "crc32";
  static constexpr bool kGoesOn = true;  // the hash of a text is the seed of what follows it

  static std::uint64_t hash(std::string_view text, const HashSeed& seed) {
    std::uint32_t state = ~static_cast<std::uint32_t>(seed.first);
    const char* at = text.data();
    std::size_t left = text.size();
    for (; left >= 8; at += 8, left -= 8) {
      const std::uint64_t word = read64(at) ^ state;
      state = 0;
      for (std::size_t i = 0; i < 8; ++i) state ^= kTables[7 - i][word >> 8 * i & 0xff];
    }
    for (; left > 0; ++at, --left) {
      state = kTables[0][(state ^ static_cast<unsigned char>(*at)) & 0xff] ^ state >> 8;
    }
    return static_cast<std::uint32_t>(~state);
  }

 private:
  using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

  // What a byte leaves behind when 0 to 7 others have followed it.
  static constexpr Tables kTables = [] {
    Tables tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      std::uint32_t state = byte;
      for (int bit = 0; bit < 8; ++bit) state = state >> 1 ^ (state & 1 ? 0xedb88320 : 0);
      tables[0][byte] = state;
    }
    for (std::size_t more = 1; more < 8; ++more) {
      for (std::size_t byte = 0; byte < 256; ++byte) {
        const std::uint32_t state = tables[more - 1][byte];
        tables[more][byte] = tables[0][state & 0xff] ^ state >> 8;
      }
    }
    return tables;
  }();
};

}  // namespace pyrec
