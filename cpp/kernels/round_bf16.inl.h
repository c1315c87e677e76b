#pragma once

// Rounding to bfloat16. The same numbers on every ISA.

#include "dispatch/kernels.h"
#include "kernels/read_vectors.inl.h"

namespace pyrec {
namespace {

// The nearest bfloat16, the even one of two, in the lower halves; NaN stays NaN. Subnormal numbers
// become zeros, as the instructions that round and multiply bfloat16 have it.
inline VecU to_bf16(VecF x) {
  const VecU from = bits(x);
  const VecU rounded = (from + 0x7fffu + ((from >> 16) & 1u)) >> 16;
  const VecF sign = from_bits((from & 0x80000000u) >> 16);
  const Mask subnormal = less(from_bits(from & 0x7fffffffu), broadcast(0x1p-126f));
  const VecF number = select(subnormal, sign, from_bits(rounded));
  return bits(select(is_nan(x), from_bits((from >> 16) | 0x40u), number));
}

#ifndef __AVX512BF16__
inline void store_bf16(std::uint16_t* p, VecF x) { store_low_halves(p, to_bf16(x)); }
inline void store_bf16(std::uint16_t* p, VecF x, VecF y) {
  store_bf16(p, x);
  store_bf16(p + kLanes, y);
}
#endif

template <class Read>
void round_rows(const float* x, std::size_t ldx, std::size_t m, std::size_t k, Read read,
                std::uint16_t* rows) {
  const std::size_t step = rounded_row_size(k);
  for (std::size_t i = 0; i < m; ++i, x += ldx, rows += step) {
    std::size_t l = 0;
    for (; l + 2 * kLanes <= k; l += 2 * kLanes) {
      store_bf16(rows + l, read(x, l), read(x, l + kLanes));
    }
    for (; l + kLanes <= k; l += kLanes) store_bf16(rows + l, read(x, l));
    if (l < k) {
      store_bf16(rows + l, load_first(x + l, k - l));
      l += kLanes;
    }
    for (; l < step; ++l) rows[l] = 0;
  }
}

void round_rows_bf16(const float* x, std::size_t ldx, std::size_t m, std::size_t k,
                     const std::int32_t* order, std::uint16_t* rows) {
  if (order == nullptr) {
    round_rows(x, ldx, m, k, AsGiven{}, rows);
  } else {
    round_rows(x, ldx, m, k, InOrder{order}, rows);
  }
}

}  // namespace
}  // namespace pyrec
