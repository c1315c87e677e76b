#pragma once

// BLAKE2b (RFC 7693) with a digest of 8 bytes, and a key of up to 64, as a number whose hexadecimal
// digits are those of the digest.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "hashing/seed.h"
#include "strings/bytes.h"

namespace pyrec {

struct Blake2b {
  static constexpr const char* kName = "blake2b";

  static std::uint64_t hash(std::string_view text, const HashSeed& seed) {
    Blake2b state(seed.key.size());
    std::array<char, kBlock> block{};
    std::size_t left = text.size();
    if (!seed.key.empty()) {
      std::memcpy(block.data(), seed.key.data(), std::min(seed.key.size(), kLongestKey));
      state.take(block.data(), kBlock, left == 0);
      if (left == 0) return state.first();
      block.fill(0);
    }
    const char* at = text.data();
    // The last block, full or not, is another one.
    for (; left > kBlock; at += kBlock, left -= kBlock) state.take(at, kBlock, false);
    if (left > 0) std::memcpy(block.data(), at, left);
    state.take(block.data(), left, true);
    return state.first();
  }

 private:
  static constexpr std::size_t kBlock = 128, kLongestKey = 64, kDigest = 8;
  static constexpr std::array<std::uint64_t, 8> kStart = {
      0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
      0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
  static constexpr std::array<std::array<unsigned char, 16>, 10> kOrders = {
      {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
       {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
       {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
       {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
       {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
       {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
       {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
       {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
       {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
       {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}}};

  explicit Blake2b(std::size_t key) : h_(kStart) {
    h_[0] ^= 0x01010000 ^ std::min(key, kLongestKey) << 8 ^ kDigest;
  }

  std::uint64_t first() const { return __builtin_bswap64(h_[0]); }

  void take(const char* block, std::size_t size, bool last) {
    taken_ += size;
    std::array<std::uint64_t, 16> v;
    std::ranges::copy(h_, v.begin());
    std::ranges::copy(kStart, v.begin() + 8);
    v[12] ^= taken_;
    if (last) v[14] = ~v[14];
    const auto mix = [&](std::size_t a, std::size_t b, std::size_t c, std::size_t d,
                         std::uint64_t x, std::uint64_t y) {
      v[a] += v[b] + x;
      v[d] = std::rotr(v[d] ^ v[a], 32);
      v[c] += v[d];
      v[b] = std::rotr(v[b] ^ v[c], 24);
      v[a] += v[b] + y;
      v[d] = std::rotr(v[d] ^ v[a], 16);
      v[c] += v[d];
      v[b] = std::rotr(v[b] ^ v[c], 63);
    };
    for (std::size_t round = 0; round < 12; ++round) {
      const auto& order = kOrders[round % 10];
      for (std::size_t i = 0; i < 8; ++i) {
        // Columns first, then diagonals.
        const std::size_t turn = i / 4, a = i % 4;
        const auto place = [&](std::size_t row) { return 4 * row + (a + turn * row) % 4; };
        mix(a, place(1), place(2), place(3), read64(block + 8 * order[2 * i]),
            read64(block + 8 * order[2 * i + 1]));
      }
    }
    for (std::size_t i = 0; i < 8; ++i) h_[i] ^= v[i] ^ v[i + 8];
  }

  std::array<std::uint64_t, 8> h_;
  std::uint64_t taken_ = 0;
};

}  // namespace pyrec
