#pragma once

// From float32 to the left operand of gemm_u8s8 and to the right one of gemm_bf16. The same numbers
// on every ISA.

#include "dispatch/kernels.h"
#include "kernels/gemm_groups.inl.h"
#include "kernels/gemm_groups_sparse.inl.h"
#include "kernels/quantization.inl.h"
#include "kernels/read_vectors.inl.h"
#include "kernels/round_bf16.inl.h"

namespace pyrec {
namespace {

// The largest of the numbers' bits, those of `mask` only, as unsigned integers.
inline std::uint32_t largest_bits(const float* x, std::size_t k, std::uint32_t mask) {
  VecU largest[2] = {};
  std::size_t l = 0;
  for (; l + 2 * kLanes <= k; l += 2 * kLanes) {
    largest[0] = max(largest[0], bits(load(x + l)) & mask);
    largest[1] = max(largest[1], bits(load(x + l + kLanes)) & mask);
  }
  if (l + kLanes <= k) {
    largest[0] = max(largest[0], bits(load(x + l)) & mask);
    l += kLanes;
  }
  if (l < k) largest[1] = max(largest[1], bits(load_first(x + l, k - l)) & mask);
  return max_lanes(max(largest[0], largest[1]));
}

// What sees a row's numbers while they are rounded: nothing.
struct Unmeasured {
  void add(VecF, VecF, VecI, std::size_t) {}
  void put(float, std::byte*) const {}
};

// Sums of the squares of numbers and of what rounding takes from them, in steps.
struct RowSums {
  VecF own[2] = {}, left[2] = {};

  void add(VecF x, VecF steps, VecI whole, std::size_t chain) {
    const VecF rest = steps - to_float(whole);
    own[chain] = multiply_add(x, x, own[chain]);
    left[chain] = multiply_add(rest, rest, left[chain]);
  }
  // Writes both lengths into the tail of a row of this scale; of one that is zero or NaN, the
  // scale.
  void put(float scale, std::byte* tail) const {
    float measured[2] = {scale, scale};
    if (scale > 0.0f) {
      measured[0] = __builtin_sqrtf(sum_lanes(own[0] + own[1]));
      measured[1] = scale * __builtin_sqrtf(sum_lanes(left[0] + left[1]));
    }
    __builtin_memcpy(tail + kMeasuredInTail, measured, sizeof measured);
  }
};

// Writes `size` bytes, a multiple of kLanes.
template <std::int32_t kZero, class Read, class Measured>
void quantize_row(const float* x, std::size_t k, float scale, Read read, std::byte* row,
                  std::size_t size, Measured& measured) {
  const VecF inverse = broadcast(scale);
  const auto quantized = [&](VecF y, std::size_t v) __attribute__((always_inline)) {
    const VecF steps = y * inverse;
    const VecI whole = to_integer(steps);
    measured.add(y, steps, whole, v % 2);
    return kZero == 0 ? whole : whole + broadcast(kZero);
  };
  std::size_t l = 0;
  for (; l + 4 * kLanes <= k; l += 4 * kLanes) {
    VecI four[4];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < 4; ++v) four[v] = quantized(read(x, l + v * kLanes), v);
    store_bytes(row + l, four);
  }
  for (; l + kLanes <= k; l += kLanes) store_bytes(row + l, quantized(read(x, l), 0));
  if (l < k) {
    store_bytes(row + l, quantized(load_first(x + l, k - l), 1));
    l += kLanes;
  }
  for (; l < size; l += kLanes) store_bytes(row + l, broadcast(kZero));
}

// How one row is quantised.
struct RowQuantization {
  Quantization levels;
  bool below;  // a number has a minus sign
};

// largest_of(mask) gives the largest of the row's bits, those of the mask only.
template <class Largest>
inline RowQuantization quantization_of_row(Largest largest_of) {
  // As unsigned integers, the bits of numbers below zero come after those of all others.
  std::uint32_t largest = largest_of(~0u);
  const bool below = largest > kMagnitude;
  if (below) largest = largest_of(kMagnitude);
  return {quantization_of(largest, below ? kSignedRowLevels : kRowLevels), below};
}

inline void store_tail(const RowQuantization& row, std::byte* p) {
  const std::int32_t tail[kRowRecordTail / sizeof(std::int32_t)] = {0, row.below ? kZeroPoint : 0};
  __builtin_memcpy(p, tail, kRowRecordTail);
  __builtin_memcpy(p, &row.levels.scale, sizeof row.levels.scale);
}

template <class Measured, class Read>
void quantize_rows(const float* x, std::size_t ldx, std::size_t m, std::size_t k, Read read,
                   std::byte* rows) {
  // The scales of several rows first: each comes out of a long chain of instructions.
  constexpr std::size_t kRowsAtOnce = 16;
  const std::size_t step = quantized_row_size(k);
  const std::size_t size = step - kRowRecordTail;
  for (std::size_t begin = 0; begin < m; begin += kRowsAtOnce) {
    const std::size_t count = smaller(kRowsAtOnce, m - begin);
    RowQuantization found[kRowsAtOnce];
    for (std::size_t i = 0; i < count; ++i) {
      found[i] = quantization_of_row(
          [=](std::uint32_t mask) { return largest_bits(x + i * ldx, k, mask); });
    }
    for (std::size_t i = 0; i < count; ++i, x += ldx, rows += step) {
      const auto& [levels, below] = found[i];
      Measured measured;
      store_tail(found[i], rows + size);
      if (levels.inverse == 0.0f) {
        __builtin_memset(rows, below ? kZeroPoint : 0, size);
      } else if (below) {
        quantize_row<kZeroPoint>(x, k, levels.inverse, read, rows, size, measured);
      } else {
        quantize_row<0>(x, k, levels.inverse, read, rows, size, measured);
      }
      measured.put(levels.scale, rows + size);
    }
  }
}

template <class Measured>
void quantize_in_order(const float* x, std::size_t ldx, std::size_t m, std::size_t k,
                       const std::int32_t* order, std::byte* rows) {
  if (order == nullptr) {
    quantize_rows<Measured>(x, ldx, m, k, AsGiven{}, rows);
  } else {
    quantize_rows<Measured>(x, ldx, m, k, InOrder{order}, rows);
  }
}

void quantize_rows_u8(const float* x, std::size_t ldx, std::size_t m, std::size_t k,
                      const std::int32_t* order, std::byte* rows) {
  quantize_in_order<Unmeasured>(x, ldx, m, k, order, rows);
}

void measure_rows_u8(const float* x, std::size_t ldx, std::size_t m, std::size_t k,
                     const std::int32_t* order, std::byte* rows) {
  quantize_in_order<RowSums>(x, ldx, m, k, order, rows);
}

std::size_t packed_size_bf16(std::size_t k, std::size_t n) { return groups_size(k, n, 2); }

inline void pack_panels_bf16(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
                             std::size_t column_step, std::size_t widest, std::byte* packed) {
  with_columns(b, n, row_step, column_step, [=](const auto& columns) {
    pack_groups<2>(k, n, widest, packed,
                   [&](std::size_t l, std::size_t j) { return to_bf16(columns(l, j)); });
  });
}

void pack_bf16(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
               std::size_t column_step, std::byte* packed) {
  pack_panels_bf16(b, k, n, row_step, column_step, kBlockVectors, packed);
}

void pack_sparse_bf16(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
                      std::size_t column_step, std::byte* packed) {
  pack_panels_bf16(b, k, n, row_step, column_step, widest_sparse_panel(ceil_divide(k, 2), n),
                   packed);
}

}  // namespace
}  // namespace pyrec
