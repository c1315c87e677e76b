#pragma once

// int16 matrix product with int32 sums modulo 2^32. B is packed in panels in which each lane holds
// two successive k, so that one instruction multiplies and adds pairs.

#include "kernels/panels.inl.h"

namespace pyrec {
namespace {

std::size_t packed_size_i16(std::size_t k, std::size_t n) {
  return ceil_divide(k, 2) * 2 * ceil_divide(n, kLanes) * kLanes;
}

void pack_i16(const std::int16_t* b, std::size_t k, std::size_t n, std::int16_t* packed) {
  if (n == 0) return;
  const Panels panels = panels_of(n);
  std::size_t column = 0;
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t width = panels.width(p);
    for (std::size_t l = 0; l < k; l += 2) {
      for (std::size_t j = column; j < column + width; ++j) {
        *packed++ = j < n ? b[l * n + j] : std::int16_t{0};
        *packed++ = j < n && l + 1 < k ? b[(l + 1) * n + j] : std::int16_t{0};
      }
    }
    column += width;
  }
}

struct GemmI16Block {
  const std::int16_t* a;
  const std::int16_t* b;
  std::int32_t* c;
  std::size_t n;
  std::size_t k;
  std::size_t columns;
};

template <int kRows, int kVectors>
inline void add_pairs(const std::int32_t (&pairs)[kRows], const std::int16_t* b,
                      VecU (&sums)[kRows][kVectors]) {
  VecI right[kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    right[v] = load_pairs(b + static_cast<std::size_t>(v) * 2 * kLanes);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const VecI left = broadcast(pairs[i]);
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sums[i][v] = sums[i][v] + multiply_pairs(left, right[v]);
  }
}

template <int kRows, int kVectors>
void gemm_i16_block(const GemmI16Block& block) {
  const std::size_t k = block.k;
  const std::int16_t* b = block.b;
  VecU sums[kRows][kVectors] = {};
  std::int32_t pairs[kRows];
  std::size_t l = 0;
  for (; l + 2 <= k; l += 2, b += static_cast<std::size_t>(kVectors) * 2 * kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      __builtin_memcpy(&pairs[i], block.a + static_cast<std::size_t>(i) * k + l, sizeof pairs[i]);
    }
    add_pairs(pairs, b, sums);
  }
  if (l < k) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const std::int16_t pair[2] = {block.a[static_cast<std::size_t>(i) * k + l], 0};
      __builtin_memcpy(&pairs[i], pair, sizeof pairs[i]);
    }
    add_pairs(pairs, b, sums);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    std::int32_t* c = block.c + static_cast<std::size_t>(i) * block.n;
    std::int32_t row[static_cast<std::size_t>(kVectors) * kLanes];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      store(row + static_cast<std::size_t>(v) * kLanes, sums[i][v]);
    }
    for (std::size_t j = 0; j < block.columns; ++j) c[j] = row[j];
  }
}

struct GemmI16BlockMaker {
  using Function = void (*)(const GemmI16Block&);
  template <int kRows, int kVectors>
  static constexpr Function function() {
    return gemm_i16_block<kRows, kVectors>;
  }
};
constexpr BlockTable<GemmI16BlockMaker> kGemmI16Blocks;

void gemm_i16(const std::int16_t* a, const std::int16_t* b_packed, std::int32_t* c, std::size_t m,
              std::size_t n, std::size_t k) {
  if (m == 0 || n == 0) return;
  const Panels panels = panels_of(n);
  const Parts row_blocks = parts_of(m, kBlockRows);
  std::size_t column = 0;
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t vectors = panels.vectors - (p < panels.wide ? 0 : 1);
    const std::size_t width = vectors * kLanes;
    GemmI16Block block;
    block.b = b_packed + column * ceil_divide(k, 2) * 2;
    block.n = n;
    block.k = k;
    block.columns = smaller(width, n - column);
    for (std::size_t r = 0, row = 0; r < row_blocks.count; ++r) {
      const std::size_t count = row_blocks.size(r);
      block.a = a + row * k;
      block.c = c + row * n + column;
      kGemmI16Blocks.entries[count - 1][vectors - 1](block);
      row += count;
    }
    column += width;
  }
}

}  // namespace
}  // namespace pyrec
