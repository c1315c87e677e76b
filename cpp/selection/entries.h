#pragma once

// Scores in an order: what selections of the best keep.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace pyrec {

// Scores whose rows fit beside them in an entry.
inline constexpr std::size_t kMostScores = std::numeric_limits<std::uint32_t>::max();

// A score and its row in one number that is larger for what comes first: the larger score, NaN
// after all others, zeros of both signs alike, then the lower row.
using Entry = std::uint64_t;

inline Entry entry_of(float score, std::size_t row) {
  // Integers that rise with the numbers; the least is below that of minus infinity.
  const auto bits = std::bit_cast<std::int32_t>(score + 0.0f);
  const std::int32_t rising = std::isnan(score) ? std::numeric_limits<std::int32_t>::min()
                                                : bits ^ ((bits >> 31) & 0x7fffffff);
  const std::uint32_t key = static_cast<std::uint32_t>(rising) ^ 0x80000000u;
  return Entry{key} << 32 | (kMostScores - row);
}

inline std::size_t row_of(Entry entry) { return kMostScores - (entry & kMostScores); }

inline bool is_number(Entry entry) { return entry >> 32 != 0; }

// Of a number; a zero is positive.
inline float score_of(Entry entry) {
  const auto rising =
      static_cast<std::int32_t>(static_cast<std::uint32_t>(entry >> 32) ^ 0x80000000u);
  return std::bit_cast<float>(rising ^ ((rising >> 31) & 0x7fffffff));
}

// Leaves the k first entries, in any order.
inline void keep_first(std::vector<Entry>& entries, std::size_t k) {
  if (entries.size() <= k) return;
  std::nth_element(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(k) - 1,
                   entries.end(), std::greater<>{});
  entries.resize(k);
}

}  // namespace pyrec
