#pragma once

#include <cstddef>
#include <cstdint>

namespace pyrec {

// How many bits are set. std::popcount calls a function with a table, where processors are not
// known to have an instruction for it.
inline std::size_t count_set(std::uint64_t bits) {
  constexpr std::uint64_t kPairs = 0x5555555555555555, kFours = 0x3333333333333333,
                          kBytes = 0x0f0f0f0f0f0f0f0f, kOnes = 0x0101010101010101;
  bits -= (bits >> 1) & kPairs;
  bits = (bits & kFours) + ((bits >> 2) & kFours);
  return static_cast<std::size_t>((((bits + (bits >> 4)) & kBytes) * kOnes) >> 56);
}

}  // namespace pyrec
