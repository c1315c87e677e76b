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

constexpr std::size_t kRowsAtOnce = 16;

// What sees rows while they are rounded: nothing.
struct Unmeasured {
  struct Row {
    void add(VecF, VecI, std::size_t) {}
    template <std::int32_t kZero>
    void add_bytes(const std::byte*) {}
    void add_whole(VecI) {}
  };
  void keep(std::size_t, const Row&) {}
  void put(std::size_t, std::size_t, std::byte*) const {}
};

// Sums of squares of some rows: of their whole numbers, which are exact, and of what rounding takes
// from their numbers, in steps.
struct MeasuredRows {
  struct Row {
    VecU own = {};
    VecF left[4] = {};

    void add(VecF steps, VecI whole, std::size_t chain) {
      const VecF rest = steps - to_float(whole);
      left[chain] = multiply_add(rest, rest, left[chain]);
    }
    // The whole numbers of four vectors, as bytes with kZero added.
    template <std::int32_t kZero>
    void add_bytes(const std::byte* bytes) {
      const VecI given = load_groups(bytes);
      if constexpr (kZero == 0) {
        own = dot_u8s8(own, given, given);
      } else {
        static_assert(kZero == 0x40);
        const VecI zero = broadcast(0x40404040);
        const VecI whole = (given ^ zero) | ((~given & zero) << 1);
        own = dot_u8s8(own, given, whole) - dot_u8s8(VecU{}, zero, whole);
      }
    }
    void add_whole(VecI whole) { own += reinterpret_cast<VecU>(whole * whole); }
  };

  void keep(std::size_t i, const Row& row) {
    own[i] = row.own;
    left[i] = (row.left[0] + row.left[1]) + (row.left[2] + row.left[3]);
  }
  // Writes both lengths into the tails of `count` rows, which lie `step` bytes apart. Those of a
  // row whose scale is zero or NaN are that.
  void put(std::size_t count, std::size_t step, std::byte* tails) const {
    float lengths[2][kRowsAtOnce];
    for (std::size_t i = 0; i < count; i += kLanes) {
      VecU squares[kLanes];
      VecF rests[kLanes];
      for (std::size_t j = 0; j < kLanes; ++j) {
        squares[j] = own[i + j];
        rests[j] = left[i + j];
      }
      store(lengths[0] + i, sqrt(to_float(reinterpret_cast<VecI>(sum_each(squares)))));
      store(lengths[1] + i, sqrt(sum_each(rests)));
    }
    for (std::size_t i = 0; i < count; ++i, tails += step) {
      float scale;
      __builtin_memcpy(&scale, tails, sizeof scale);
      const float measured[2] = {scale * lengths[0][i], scale * lengths[1][i]};
      __builtin_memcpy(tails + kMeasuredInTail, measured, sizeof measured);
    }
  }

  VecU own[kRowsAtOnce] = {};
  VecF left[kRowsAtOnce] = {};
};

// Writes `size` bytes, a multiple of kLanes.
template <std::int32_t kZero, class Read, class Row>
void quantize_row(const float* x, std::size_t k, float scale, Read read, std::byte* row,
                  std::size_t size, Row& measured) {
  const VecF inverse = broadcast(scale);
  const auto quantized = [&](VecF y, std::size_t v) __attribute__((always_inline)) {
    const VecF steps = y * inverse;
    const VecI whole = to_integer(steps);
    measured.add(steps, whole, v);
    return whole;
  };
  const auto moved = [](VecI whole) { return kZero == 0 ? whole : whole + broadcast(kZero); };
  std::size_t l = 0;
  for (; l + 4 * kLanes <= k; l += 4 * kLanes) {
    VecI four[4];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < 4; ++v) four[v] = moved(quantized(read(x, l + v * kLanes), v));
    store_bytes(row + l, four);
    measured.template add_bytes<kZero>(row + l);
  }
  const auto rest = [&](VecF y, std::size_t v) {
    const VecI whole = quantized(y, v);
    measured.add_whole(whole);
    store_bytes(row + l, moved(whole));
  };
  for (; l + kLanes <= k; l += kLanes) rest(read(x, l), 0);
  if (l < k) {
    rest(load_first(x + l, k - l), 1);
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
  const std::size_t step = quantized_row_size(k);
  const std::size_t size = step - kRowRecordTail;
  // The scales of several rows first, and their lengths last: each comes out of a long chain of
  // instructions.
  for (std::size_t begin = 0; begin < m; begin += kRowsAtOnce) {
    const std::size_t count = smaller(kRowsAtOnce, m - begin);
    RowQuantization found[kRowsAtOnce];
    Measured measured;
    for (std::size_t i = 0; i < count; ++i) {
      found[i] = quantization_of_row(
          [=](std::uint32_t mask) { return largest_bits(x + i * ldx, k, mask); });
    }
    std::byte* tails = rows + size;
    for (std::size_t i = 0; i < count; ++i, x += ldx, rows += step) {
      const auto& [levels, below] = found[i];
      typename Measured::Row sums;
      store_tail(found[i], rows + size);
      if (levels.inverse == 0.0f) {
        __builtin_memset(rows, below ? kZeroPoint : 0, size);
      } else if (below) {
        quantize_row<kZeroPoint>(x, k, levels.inverse, read, rows, size, sums);
      } else {
        quantize_row<0>(x, k, levels.inverse, read, rows, size, sums);
      }
      measured.keep(i, sums);
    }
    measured.put(count, step, tails);
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
  quantize_in_order<MeasuredRows>(x, ldx, m, k, order, rows);
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
