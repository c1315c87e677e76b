#pragma once

// Looking for the few numbers of many that are above a bound.

#include "dispatch/kernels.h"

namespace pyrec {
namespace {

// Writes where the lanes are that a mask has, and says how many.
inline std::size_t list_lanes(std::uint32_t lanes, std::size_t first, std::uint32_t* places) {
  std::size_t count = 0;
  for (; lanes != 0; lanes &= lanes - 1) {
    places[count++] =
        static_cast<std::uint32_t>(first) + static_cast<std::uint32_t>(__builtin_ctz(lanes));
  }
  return count;
}

std::size_t find_above_f32(const float* x, std::size_t n, float below, std::uint32_t* places) {
  constexpr std::size_t kVectors = 8, kStep = kVectors * kLanes;
  const VecF bound = broadcast(below);
  std::size_t count = 0, i = 0;
  for (; i + kStep <= n; i += kStep) {
    VecF even = bound, odd = bound;  // the larger numbers; NaN is passed over
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kVectors; v += 2) {
      even = max(load(x + i + v * kLanes), even);
      odd = max(load(x + i + (v + 1) * kLanes), odd);
    }
    if (!any(less(bound, max(even, odd)))) continue;
    for (std::size_t at = i; at < i + kStep; at += kLanes) {
      count += list_lanes(set_lanes(less(bound, load(x + at))), at, places + count);
    }
  }
  for (; i < n; i += kLanes) {
    const std::size_t left = n - i;
    const VecF part = left < kLanes ? load_first(x + i, left) : load(x + i);
    std::uint32_t lanes = set_lanes(less(bound, part));
    if (left < kLanes) lanes &= (std::uint32_t{1} << left) - 1;
    count += list_lanes(lanes, i, places + count);
  }
  return count;
}

}  // namespace
}  // namespace pyrec
