#pragma once

// Products of rows that are mostly zeros, as ReLU leaves them: each row skips the weights that a
// zero would be multiplied with. The weights of a block of columns stay in the first-level cache
// while all rows pass by, and a row's sums stay in registers.

#include "dispatch/kernels.h"
#include "kernels/gemm.inl.h"
#include "kernels/panels.inl.h"

namespace pyrec {
namespace {

constexpr std::size_t kSparseVectors = 9;  // widest panel
constexpr std::size_t kSparseFewest = 6;   // fewer sums would wait for each other
constexpr std::size_t kSparseBlockK = 64;  // bits of a mask
constexpr std::size_t kSparseRows = 64;
constexpr std::size_t kSparseMaxBlocks = 32;

// Above this share of nonzeros in tenths, multiplying with everything is faster.
constexpr std::size_t kSparseTenths = 6;

// Whether there are enough columns, and masks for all of k.
inline bool can_skip_zeros(std::size_t k, std::size_t n) {
  if (k == 0 || n == 0 || k > kSparseMaxBlocks * kSparseBlockK) return false;
  const Panels panels = panels_of(n, kSparseVectors);
  return panels.width(panels.count - 1) >= kSparseFewest * kLanes;
}

// Where the second layout begins, so that its vectors are aligned.
inline std::size_t sparse_offset(std::size_t k, std::size_t n) {
  return ceil_divide(packed_size_f32(k, n), kLanes) * kLanes;
}

std::size_t packed_size_sparse_f32(std::size_t k, std::size_t n) {
  if (!can_skip_zeros(k, n)) return packed_size_f32(k, n);
  return sparse_offset(k, n) + k * ceil_divide(n, kLanes) * kLanes;
}

void pack_sparse_f32(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
                     std::size_t column_step, float* packed) {
  pack_f32(b, k, n, row_step, column_step, packed);
  if (!can_skip_zeros(k, n)) return;
  for (std::size_t i = packed_size_f32(k, n); i < sparse_offset(k, n); ++i) packed[i] = 0.0f;
  pack_panels(b, k, n, row_step, column_step, panels_of(n, kSparseVectors),
              packed + sparse_offset(k, n));
}

// Bit i is set if x[i] is not zero; n <= 64.
inline std::uint64_t nonzero_bits(const float* x, std::size_t n) {
  std::uint64_t found = 0;
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    found |= static_cast<std::uint64_t>(nonzero_lanes(load(x + i))) << i;
  }
  if (i < n) found |= static_cast<std::uint64_t>(nonzero_lanes(load_first(x + i, n - i))) << i;
  return found;
}

// Rows of one block of k times one panel.
struct SparseBlock {
  const float* a;
  std::size_t lda;
  const std::uint64_t* masks;  // of the rows, mask_step apart
  std::size_t mask_step;
  const float* b;
  const float* start;  // what the sums start from: bias or c; null: zero
  std::size_t start_step;
  float* c;
  std::size_t ldc;
  std::size_t rows;
  std::size_t last;  // lanes of the last vector
  bool relu;         // with the last block of k
  Upcoming* upcoming;
};

template <int kVectors>
void sparse_block(const SparseBlock& block) {
  constexpr std::size_t kStep = static_cast<std::size_t>(kVectors) * kLanes;
  const std::size_t last = block.last;
  const VecF low = broadcast(block.relu ? 0.0f : -kInfinity);
  for (std::size_t i = 0; i < block.rows; ++i) {
    VecF sums[kVectors];
    const float* start = block.start == nullptr ? nullptr : block.start + i * block.start_step;
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const std::size_t offset = static_cast<std::size_t>(v) * kLanes;
      if (start == nullptr) {
        sums[v] = VecF{};
      } else if (v + 1 < kVectors || last == kLanes) {
        sums[v] = load(start + offset);
      } else {
        sums[v] = load_first(start + offset, last);
      }
    }
    prefetch_some(block.upcoming, kVectors * kSparseBlockK / 2 / kWorkPerLine);
    const float* row = block.a + i * block.lda;
    std::uint64_t mask = block.masks[i * block.mask_step];
    const auto next = [&]() __attribute__((always_inline)) {
      const auto l = static_cast<std::size_t>(__builtin_ctzll(mask));
      mask &= mask - 1;
      return l;
    };
    const auto add = [&](std::size_t l) __attribute__((always_inline)) {
      const VecF left = broadcast(row[l]);
      const float* right = block.b + l * kStep;
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        sums[v] = multiply_add(left, load(right + static_cast<std::size_t>(v) * kLanes), sums[v]);
      }
    };
    for (std::size_t fours = count_bits(mask) / 4; fours > 0; --fours) {
      const std::size_t four[4] = {next(), next(), next(), next()};
#pragma GCC unroll 4
      for (const std::size_t l : four) add(l);
    }
    while (mask != 0) add(next());
    float* c = block.c + i * block.ldc;
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const VecF y = max(low, sums[v]);
      float* p = c + static_cast<std::size_t>(v) * kLanes;
      if (v + 1 < kVectors || last == kLanes) {
        store(p, y);
      } else {
        store_first(p, y, last);
      }
    }
  }
}

using SparseFunction = void (*)(const SparseBlock&);
constexpr SparseFunction kSparseBlocks[] = {sparse_block<6>, sparse_block<7>, sparse_block<8>,
                                            sparse_block<9>};
static_assert(sizeof(kSparseBlocks) / sizeof(SparseFunction) == kSparseVectors - kSparseFewest + 1);

void gemm_sparse_rows(const float* a, std::size_t lda, const std::uint64_t* masks,
                      std::size_t blocks, const float* packed, const float* bias,
                      std::size_t bias_step, bool relu, float* c, std::size_t ldc, std::size_t m,
                      std::size_t n, std::size_t k, Upcoming* upcoming) {
  const Panels panels = panels_of(n, kSparseVectors);
  std::size_t column = 0;
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t width = panels.width(p);
    SparseBlock block;
    block.lda = lda;
    block.mask_step = blocks;
    block.c = c + column;
    block.ldc = ldc;
    block.rows = m;
    block.last = smaller(width, n - column) - (width - kLanes);
    block.upcoming = upcoming;
    for (std::size_t b = 0; b < blocks; ++b) {
      block.a = a + b * kSparseBlockK;
      block.masks = masks + b;
      block.b = packed + column * k + b * kSparseBlockK * width;
      block.start = b > 0 ? block.c : bias == nullptr ? nullptr : bias + column;
      block.start_step = b > 0 ? ldc : bias_step;
      block.relu = relu && b + 1 == blocks;
      kSparseBlocks[width / kLanes - kSparseFewest](block);
    }
    column += width;
  }
}

void gemm_sparse_f32(const float* a, std::size_t lda, const float* packed, const float* bias,
                     std::size_t bias_step, Activation activation, float* c, std::size_t ldc,
                     std::size_t m, std::size_t n, std::size_t k, Upcoming* upcoming) {
  if (!can_skip_zeros(k, n)) {
    gemm_f32(a, lda, packed, bias, bias_step, activation, c, ldc, m, n, k, upcoming);
    return;
  }
  const std::size_t blocks = ceil_divide(k, kSparseBlockK);
  std::uint64_t masks[kSparseRows * kSparseMaxBlocks];
  for (std::size_t top = 0; top < m; top += kSparseRows) {
    const std::size_t rows = smaller(kSparseRows, m - top);
    std::size_t nonzeros = 0;
    for (std::size_t i = 0; i < rows; ++i) {
      const float* row = a + (top + i) * lda;
      for (std::size_t b = 0; b < blocks; ++b) {
        const std::size_t first = b * kSparseBlockK;
        const std::uint64_t mask = nonzero_bits(row + first, smaller(kSparseBlockK, k - first));
        masks[i * blocks + b] = mask;
        nonzeros += count_bits(mask);
      }
    }
    const float* a_here = a + top * lda;
    const float* bias_here = bias == nullptr ? nullptr : bias + top * bias_step;
    float* c_here = c + top * ldc;
    if (nonzeros * 10 > rows * k * kSparseTenths) {
      gemm_f32(a_here, lda, packed, bias_here, bias_step, activation, c_here, ldc, rows, n, k,
               upcoming);
      continue;
    }
    gemm_sparse_rows(a_here, lda, masks, blocks, packed + sparse_offset(k, n), bias_here, bias_step,
                     activation == Activation::kRelu, c_here, ldc, rows, n, k, upcoming);
    if (activation > Activation::kRelu) activate(activation, c_here, ldc, rows, n);
  }
}

}  // namespace
}  // namespace pyrec
