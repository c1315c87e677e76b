#pragma once

// Dot products of pairs of vectors.

#include <cstddef>
#include <cstdint>

#include "kernels/panels.inl.h"

namespace pyrec {
namespace {

// Products of two vectors lane by lane, summed over whole vectors.
inline VecF dot_lanes(const float* a, const float* b, std::size_t d) {
  if (d < kLanes) return load_first(a, d) * load_first(b, d);
  VecF sum = load(a) * load(b);
  std::size_t j = kLanes;
  for (; j + kLanes <= d; j += kLanes) sum = multiply_add(load(a + j), load(b + j), sum);
  if (j < d) sum = multiply_add(load_first(a + j, d - j), load_first(b + j, d - j), sum);
  return sum;
}

template <class Size>
inline void pair_dots(const float* a, std::size_t a_step, const float* b, std::size_t b_step,
                      const std::int64_t* left, const std::int64_t* right, std::size_t pairs,
                      Size d_of, std::size_t n, float* out) {
  const std::size_t d = d_of();
  for (std::size_t i = 0; i < n; ++i, a += a_step, b += b_step, out += pairs) {
    for (std::size_t p = 0; p < pairs; p += kLanes) {
      const std::size_t count = smaller(kLanes, pairs - p);
      if (count == kLanes) {
        VecF sums[kLanes];
#pragma GCC unroll 16
        for (std::size_t q = 0; q < kLanes; ++q) {
          sums[q] = dot_lanes(a + left[p + q], b + right[p + q], d);
        }
        store(out + p, sum_each(sums));
      } else {
        VecF sums[kLanes] = {};
        for (std::size_t q = 0; q < count; ++q) {
          sums[q] = dot_lanes(a + left[p + q], b + right[p + q], d);
        }
        store_first(out + p, sum_each(sums), count);
      }
    }
  }
}

void pair_dots_f32(const float* a, std::size_t a_step, const float* b, std::size_t b_step,
                   const std::int64_t* left, const std::int64_t* right, std::size_t pairs,
                   std::size_t d, std::size_t n, float* out) {
  switch (d) {
    case 16:
      pair_dots(a, a_step, b, b_step, left, right, pairs, [] { return std::size_t{16}; }, n, out);
      break;
    case 32:
      pair_dots(a, a_step, b, b_step, left, right, pairs, [] { return std::size_t{32}; }, n, out);
      break;
    default:
      pair_dots(a, a_step, b, b_step, left, right, pairs, [=] { return d; }, n, out);
  }
}

}  // namespace
}  // namespace pyrec
