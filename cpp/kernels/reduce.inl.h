#pragma once

// Reductions of one row, and kernels that reduce each row and map it.

#include "kernels/transcendental.inl.h"

namespace pyrec {
namespace {

// Sum of function(x[i]) in four independent chains.
template <class Function>
inline float sum_of(const float* x, std::size_t n, Function function) {
  VecF sums[4] = {};
  std::size_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) sums[j] = sums[j] + function(load(x + i + j * kLanes));
  }
  for (; i + kLanes <= n; i += kLanes) sums[0] = sums[0] + function(load(x + i));
  float total = sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < n; ++i) total += first_lane(function(broadcast(x[i])));
  return total;
}

// Largest function(x[i]), NaN if any is NaN; n >= 1.
template <class Function>
inline float max_of(const float* x, std::size_t n, Function function) {
  VecF largest = function(broadcast(x[0]));
  VecF other = largest;
  // A lane that meets a NaN keeps it in `sum`, where max drops it.
  VecF poison = largest - largest;
  std::size_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const VecF a = function(load(x + i));
    const VecF b = function(load(x + i + kLanes));
    largest = max(a, largest);
    other = max(b, other);
    poison = select(is_nan(a), a, select(is_nan(b), b, poison));
  }
  for (; i < n; ++i) {
    const VecF a = function(broadcast(x[i]));
    largest = max(a, largest);
    poison = select(is_nan(a), a, poison);
  }
  if (any(is_nan(poison))) return __builtin_nanf("");
  return max_lanes(max(largest, other));
}

float sum_f32(const float* x, std::size_t n) {
  return sum_of(x, n, [](VecF v) { return v; });
}
float sum_squares_f32(const float* x, std::size_t n) {
  return sum_of(x, n, [](VecF v) { return v * v; });
}
