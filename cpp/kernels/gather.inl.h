#pragma once

// Rows of embedding tables. Rows are far apart in memory, so each is prefetched some rows ahead.

#include <cstddef>
#include <cstdint>

#include "kernels/prefetch.inl.h"

namespace pyrec {
namespace {

constexpr std::size_t kPrefetchRows = 16;
constexpr std::size_t kPrefetchBytes = 512;  // the hardware follows longer rows by itself

inline void prefetch_row(const float* row, std::size_t width) {
  const std::size_t bytes = width * sizeof(float);
  prefetch_bytes(row, bytes < kPrefetchBytes ? bytes : kPrefetchBytes);
}

inline const float* row_of(const float* table, std::size_t width, std::int64_t row) {
  return table + static_cast<std::size_t>(row) * width;
}

// Copies the rows; `width_of` gives the width, as a constant where that makes the copy a few moves.
template <class Width>
inline void gather_rows(const float* table, Width width_of, const std::int64_t* rows, std::size_t n,
                        float* out, std::size_t out_step) {
  const std::size_t width = width_of();
  for (std::size_t i = 0; i < n; ++i, out += out_step) {
    if (i + kPrefetchRows < n) prefetch_row(row_of(table, width, rows[i + kPrefetchRows]), width);
    const float* row = row_of(table, width, rows[i]);
    std::size_t j = 0;
    for (; j + kLanes <= width; j += kLanes) store(out + j, load(row + j));
    if (j < width) store_first(out + j, load_first(row + j, width - j), width - j);
  }
}

void gather_rows_f32(const float* table, std::size_t width, const std::int64_t* rows, std::size_t n,
                     float* out, std::size_t out_step) {
  switch (width) {
    case 1:
      for (std::size_t i = 0; i < n; ++i, out += out_step) {
        if (i + kPrefetchRows < n) prefetch_row(table + rows[i + kPrefetchRows], 1);
        *out = table[rows[i]];
      }
      break;
    case 8:
      gather_rows(table, [] { return std::size_t{8}; }, rows, n, out, out_step);
      break;
    case 16:
      gather_rows(table, [] { return std::size_t{16}; }, rows, n, out, out_step);
      break;
    case 32:
      gather_rows(table, [] { return std::size_t{32}; }, rows, n, out, out_step);
      break;
    default:
      gather_rows(table, [=] { return width; }, rows, n, out, out_step);
  }
}

// Sums kVectors vectors of each row, the last of them `last` lanes wide.
template <int kVectors>
inline void bag_sum_block(const float* table, std::size_t width, const std::int64_t* rows,
                          const float* weights, std::size_t n, float* out, std::size_t last) {
  constexpr std::size_t kFull = (kVectors - 1) * kLanes;
  const auto load_last = [=](const float* p) {
    return last == kLanes ? load(p + kFull) : load_first(p + kFull, last);
  };
  VecF sums[kVectors] = {};
  for (std::size_t i = 0; i < n; ++i) {
    if (i + kPrefetchRows < n) {
      prefetch_row(row_of(table, width, rows[i + kPrefetchRows]), kFull + last);
    }
    const float* row = row_of(table, width, rows[i]);
    const VecF weight = broadcast(weights == nullptr ? 1.0f : weights[i]);
#pragma GCC unroll 4
    for (int v = 0; v + 1 < kVectors; ++v) {
      sums[v] = multiply_add(weight, load(row + static_cast<std::size_t>(v) * kLanes), sums[v]);
    }
    sums[kVectors - 1] = multiply_add(weight, load_last(row), sums[kVectors - 1]);
  }
#pragma GCC unroll 4
  for (int v = 0; v + 1 < kVectors; ++v) store(out + static_cast<std::size_t>(v) * kLanes, sums[v]);
  if (last == kLanes) {
    store(out + kFull, sums[kVectors - 1]);
  } else {
    store_first(out + kFull, sums[kVectors - 1], last);
  }
}

void bag_sum_f32(const float* table, std::size_t width, const std::int64_t* rows,
                 const float* weights, std::size_t n, float* out) {
  // Columns in blocks of up to four vectors, held in registers over the whole bag.
  constexpr decltype(&bag_sum_block<1>) kBlocks[] = {bag_sum_block<1>, bag_sum_block<2>,
                                                     bag_sum_block<3>, bag_sum_block<4>};
  std::size_t j = 0;
  while (j < width) {
    const std::size_t left = width - j;
    const std::size_t vectors = left > 3 * kLanes ? 4 : (left + kLanes - 1) / kLanes;
    const std::size_t full = (vectors - 1) * kLanes;
    const std::size_t last = left - full < kLanes ? left - full : kLanes;
    kBlocks[vectors - 1](table + j, width, rows, weights, n, out + j, last);
    j += full + last;
  }
}

}  // namespace
}  // namespace pyrec
