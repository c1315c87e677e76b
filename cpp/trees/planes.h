#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace pyrec {

// Leaves are struck out eight at a time, a bit for each.
inline constexpr std::size_t kPlaneLeaves = 8;
inline constexpr std::uint8_t kAllKept = 0xff;

// Which leaves of a plane stay where the leaves [begin, end) of the tree are struck out.
inline std::uint8_t kept_of(std::size_t plane, std::size_t begin, std::size_t end) {
  const std::size_t base = kPlaneLeaves * plane;
  const std::size_t from = std::max(begin, base), to = std::min(end, base + kPlaneLeaves);
  if (from >= to) return kAllKept;
  return static_cast<std::uint8_t>(~(((1U << (to - from)) - 1U) << (from - base)));
}

}  // namespace pyrec
