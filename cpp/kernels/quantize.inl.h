#pragma once

// From float32 to the operands of gemm_u8s8 and to the right one of gemm_bf16. The same numbers on
// every ISA.

#include "dispatch/kernels.h"
#include "kernels/gemm_groups.inl.h"
#include "kernels/gemm_groups_sparse.inl.h"
#include "kernels/read_vectors.inl.h"
#include "kernels/round_bf16.inl.h"

namespace pyrec {
namespace {

constexpr std::uint32_t kMagnitude = 0x7fffffffu;

// How numbers of at most `largest` become integers of at most `levels`: x * inverse, rounded. A
// largest that is not finite gives NaN as scale, a tiny one, whose inverse would overflow, zero.
struct Quantization {
  float scale;
  float inverse;
};

inline Quantization quantization_of(std::uint32_t largest_bits, float levels) {
  if (largest_bits >= 0x7f800000u) return {__builtin_nanf(""), 0.0f};
  float largest;
  __builtin_memcpy(&largest, &largest_bits, sizeof largest);
  if (largest < 0x1p-100f) return {0.0f, 0.0f};
  return {largest / levels, levels / largest};
}

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

std::size_t packed_size_s8(std::size_t k, std::size_t n) {
  const std::size_t vectors = ceil_divide(n, kLanes);
  return groups_size(k, n, 4) + vectors * (kLanes * 2 + fold_list_size(k)) * sizeof(float);
}

// A group finds its partner among the latest that have none.
constexpr std::size_t kFoldWindow = 8;

// Whether dot_two_u8s8 takes two groups of a panel, each of `step` bytes.
inline bool fit_in_panel(const std::byte* b, const std::byte* d, std::size_t step) {
  for (std::size_t place = 0; place < step; place += kLanes * kGroupBytes) {
    if (!fit_together(load_groups(b + place), load_groups(d + place))) return false;
  }
  return true;
}

// Writes a panel's list of groups; see DotU8S8.
inline void list_panel(const std::byte* panel, std::size_t step, std::size_t groups,
                       std::uint32_t* list) {
  std::uint32_t pairs = 0;
  std::uint32_t* next = list + 1;
  std::uint32_t* end = next + groups;  // those without a partner, from here backwards
  std::uint32_t waiting[kFoldWindow];
  std::size_t count = 0;
  const auto take = [&](std::size_t place) {
    const std::uint32_t taken = waiting[place];
    for (--count; place < count; ++place) waiting[place] = waiting[place + 1];
    return taken;
  };
  for (std::uint32_t l = 0; l < groups; ++l) {
    std::size_t w = 0;
    while (w < count && !fit_in_panel(panel + waiting[w] * step, panel + l * step, step)) ++w;
    if (w < count) {
      *next++ = take(w);
      *next++ = l;
      ++pairs;
      continue;
    }
    if (count == kFoldWindow) *--end = take(0);
    waiting[count++] = l;
  }
  while (count > 0) *--end = take(0);
  *list = pairs;
}

// The same of all panels.
inline void list_folds(std::byte* packed, std::size_t k, std::size_t n, std::size_t widest) {
  const std::size_t size = fold_list_size(k);
  if (size == 0) return;
  const std::size_t groups = ceil_divide(k, 4);
  const std::size_t padded = ceil_divide(n, kLanes) * kLanes;
  auto* list =
      reinterpret_cast<std::uint32_t*>(packed + groups_size(k, n, 4) + padded * 2 * sizeof(float));
  const Panels panels = panels_of(n, widest);
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t step = panels.width(p) * kGroupBytes;
    list_panel(packed, step, groups, list);
    packed += groups * step;
    list += panels.width(p) / kLanes * size;
  }
}

// What the sums of each packed column start from; see DotU8S8.
inline void set_corrections(const std::byte* packed, std::size_t k, std::size_t n,
                            std::size_t widest, std::int32_t* corrections) {
  const std::size_t groups = ceil_divide(k, 4);
  const VecI ones = broadcast(std::int32_t{0x01010101});
  const Panels panels = panels_of(n, widest);
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t step = panels.width(p) * kGroupBytes;
    for (std::size_t place = 0; place < step; place += kLanes * kGroupBytes) {
      VecU sum{};
      for (std::size_t l = 0; l < groups; ++l) {
        sum = dot_u8s8(sum, ones, load_groups(packed + l * step + place));
      }
      store(corrections, VecU{} - sum * static_cast<std::uint32_t>(kZeroPoint));
      corrections += kLanes;
    }
    packed += groups * step;
  }
}

template <class Columns>
void pack_s8_from(const Columns& b, std::size_t k, std::size_t n, std::size_t widest,
                  std::byte* packed) {
  const std::size_t padded = ceil_divide(n, kLanes) * kLanes;
  float* scales = reinterpret_cast<float*>(packed + groups_size(k, n, 4));
  auto* corrections = reinterpret_cast<std::int32_t*>(scales + padded);
  for (std::size_t j = 0; j < padded; j += kLanes) {
    VecU largest[4] = {};
    std::size_t l = 0;
    for (; l + 4 <= k; l += 4) {
#pragma GCC unroll 4
      for (std::size_t e = 0; e < 4; ++e) {
        largest[e] = max(largest[e], bits(b(l + e, j)) & kMagnitude);
      }
    }
    for (; l < k; ++l) largest[0] = max(largest[0], bits(b(l, j)) & kMagnitude);
    const VecU whole = max(max(largest[0], largest[1]), max(largest[2], largest[3]));
    for (std::size_t i = 0; i < kLanes; ++i) {
      const Quantization column = quantization_of(whole[i], kColumnLevels);
      scales[j + i] = column.scale;
      // Kept here until the elements are packed.
      __builtin_memcpy(corrections + j + i, &column.inverse, sizeof column.inverse);
    }
  }
  pack_groups<4>(k, n, widest, packed, [=](std::size_t l, std::size_t j) {
    const VecF inverse = from_bits(reinterpret_cast<VecU>(load(corrections + j)));
    // Infinity times zero is not a number.
    const VecF scaled = select(equal(inverse, VecF{}), VecF{}, b(l, j) * inverse);
    return reinterpret_cast<VecU>(to_integer(scaled));
  });
  set_corrections(packed, k, n, widest, corrections);
}

inline void pack_panels_s8(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
                           std::size_t column_step, std::size_t widest, std::byte* packed) {
  if (n == 0) return;
  with_columns(b, n, row_step, column_step,
               [=](const auto& columns) { pack_s8_from(columns, k, n, widest, packed); });
  list_folds(packed, k, n, widest);
}

void pack_s8(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
             std::size_t column_step, std::byte* packed) {
  pack_panels_s8(b, k, n, row_step, column_step, kBlockVectors, packed);
}

void pack_sparse_s8(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
                    std::size_t column_step, std::byte* packed) {
  pack_panels_s8(b, k, n, row_step, column_step, widest_sparse_panel(ceil_divide(k, 4), n), packed);
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
