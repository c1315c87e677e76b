#pragma once

// Matrix product with a packed right side. Each element of the result is one chain of
// multiply_add over k in order, whatever the block it falls in, so that a row's result does not
// depend on the other rows or on their number.

#include "kernels/panels.inl.h"
#include "kernels/prefetch.inl.h"
#include "kernels/transcendental.inl.h"

namespace pyrec {
namespace {

// With so few columns panels would be mostly padding: each column is packed by itself, padded with
// zeros to whole vectors, and multiplied as a dot product.
inline bool has_few_columns(std::size_t n) { return n * 4 <= kLanes; }

// The piece of A, B and C that stays in cache: kBlockK rows of a panel of B in L1,
// kBlockM rows of A in L2.
constexpr std::size_t kBlockK = 256;
constexpr std::size_t kBlockM = 240;

std::size_t packed_size_f32(std::size_t k, std::size_t n) {
  if (has_few_columns(n)) return ceil_divide(k, kLanes) * kLanes * n;
  return k * ceil_divide(n, kLanes) * kLanes;
}

void pack_f32(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
              std::size_t column_step, float* packed) {
  if (n == 0) return;
  if (has_few_columns(n)) {
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t i = 0; i < k; ++i) *packed++ = b[i * row_step + j * column_step];
      for (std::size_t i = k; i % kLanes != 0; ++i) *packed++ = 0.0f;
    }
    return;
  }
  pack_panels(b, k, n, row_step, column_step, panels_of(n), packed);
}

// One block of C: what it starts from, how it ends and how wide its last vector is.
struct GemmBlock {
  const float* a;
  std::size_t lda;
  const float* b;          // this k block of the panel
  std::size_t panel_step;  // floats from a panel to the next, where several are taken at once
  std::size_t k;
  float* c;
  std::size_t ldc;
  const float* bias;  // null: none
  std::size_t bias_step;
  std::size_t last;  // lanes of the last vector
  bool first_k;      // starts from the bias, not from C
  bool relu;         // with the last k block
};

// kRows rows times kPanels panels of kVectors vectors each.
template <int kRows, int kVectors, int kPanels>
void gemm_block(const GemmBlock& block) {
  constexpr int kAll = kVectors * kPanels;
  constexpr std::size_t kStep = static_cast<std::size_t>(kVectors) * kLanes;
  const std::size_t last = block.last;
  const auto read = [last](const float* p, int v) {
    p += static_cast<std::size_t>(v) * kLanes;
    return v + 1 < kAll || last == kLanes ? load(p) : load_first(p, last);
  };
  VecF sums[kRows][kAll];
#pragma GCC unroll 16
  for (int v = 0; v < kAll; ++v) {
    if (block.first_k && block.bias != nullptr && block.bias_step != 0) {
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        sums[i][v] = read(block.bias + static_cast<std::size_t>(i) * block.bias_step, v);
      }
    } else if (block.first_k) {
      const VecF start = block.bias == nullptr ? VecF{} : read(block.bias, v);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) sums[i][v] = start;
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        sums[i][v] = read(block.c + static_cast<std::size_t>(i) * block.ldc, v);
      }
    }
  }
  const float* rows[kRows];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) rows[i] = block.a + static_cast<std::size_t>(i) * block.lda;
  const float* b = block.b;
  for (std::size_t l = 0; l < block.k; ++l, b += kStep) {
    VecF right[kAll];
#pragma GCC unroll 16
    for (int v = 0; v < kAll; ++v) {
      right[v] = load(b + static_cast<std::size_t>(v / kVectors) * block.panel_step +
                      static_cast<std::size_t>(v % kVectors) * kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const VecF left = broadcast(rows[i][l]);
#pragma GCC unroll 16
      for (int v = 0; v < kAll; ++v) sums[i][v] = multiply_add(left, right[v], sums[i][v]);
    }
  }
  const VecF low = broadcast(block.relu ? 0.0f : -kInfinity);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    float* c = block.c + static_cast<std::size_t>(i) * block.ldc;
#pragma GCC unroll 16
    for (int v = 0; v < kAll; ++v) {
      const VecF y = max(low, sums[i][v]);
      float* p = c + static_cast<std::size_t>(v) * kLanes;
      if (v + 1 < kAll || last == kLanes) {
        store(p, y);
      } else {
        store_first(p, y, last);
      }
    }
  }
}

struct GemmBlockMaker {
  using Function = void (*)(const GemmBlock&);
  template <int kRows, int kVectors>
  static constexpr Function function() {
    return gemm_block<kRows, kVectors, 1>;
  }
};
constexpr BlockTable<GemmBlockMaker> kGemmBlocks;

// A single row has too few sums in one panel to hide the latency of multiply_add.
constexpr int kRowPanels = 4;

struct GemmRowMaker {
  using Function = void (*)(const GemmBlock&);
  template <int kRows, int kVectors>
  static constexpr Function function() {
    return gemm_block<kRows, kVectors, kRowPanels>;
  }
};
constexpr BlockTable<GemmRowMaker, 1> kGemmRows;

// Several rows at a time, as map_long takes several vectors.
template <class Function>
inline void map_rows(float* c, std::size_t ldc, std::size_t m, std::size_t n, Function function) {
  constexpr std::size_t kAtOnce = 4;
  std::size_t i = 0;
  for (; i + kAtOnce <= m; i += kAtOnce, c += kAtOnce * ldc) {
    for (std::size_t j = 0; j < n; j += kLanes) {
      const std::size_t count = smaller(kLanes, n - j);
      VecF v[kAtOnce];
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kAtOnce; ++r) {
        const float* p = c + r * ldc + j;
        v[r] = function(count == kLanes ? load(p) : load_first(p, count));
      }
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kAtOnce; ++r) {
        if (count == kLanes) {
          store(c + r * ldc + j, v[r]);
        } else {
          store_first(c + r * ldc + j, v[r], count);
        }
      }
    }
  }
  for (; i < m; ++i, c += ldc) map_long(c, c, n, function);
}

void activate(Activation activation, float* c, std::size_t ldc, std::size_t m, std::size_t n) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      return map_rows(c, ldc, m, n, [](VecF x) { return max(VecF{}, x); });
    case Activation::kSigmoid:
      return map_rows(c, ldc, m, n, [](VecF x) { return sigmoid(x); });
    case Activation::kTanh:
      return map_rows(c, ldc, m, n, [](VecF x) { return tanh(x); });
  }
}

// Products of kRows rows with one column, as vectors whose lanes are to be summed.
template <std::size_t kRows>
inline void dot_rows(const float* a, std::size_t lda, const float* column, std::size_t k,
                     VecF (&sums)[kRows]) {
  const std::size_t full = k / kLanes * kLanes;
#pragma GCC unroll 16
  for (std::size_t i = 0; i < kRows; ++i) sums[i] = VecF{};
  // Four pointers and multiples of lda make all addresses.
  const float* rows[(kRows + 3) / 4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < kRows; i += 4) rows[i / 4] = a + i * lda;
  for (std::size_t l = 0; l < full; l += kLanes) {
    const VecF right = load(column + l);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kRows; ++i) {
      sums[i] = multiply_add(load(rows[i / 4] + i % 4 * lda), right, sums[i]);
    }
#pragma GCC unroll 4
    for (std::size_t i = 0; i < kRows; i += 4) rows[i / 4] += kLanes;
  }
  if (full < k) {
    const VecF right = load(column + full);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kRows; ++i) {
      sums[i] = multiply_add(load_first(rows[i / 4] + i % 4 * lda, k - full), right, sums[i]);
    }
  }
}

void gemm_few_columns(const float* a, std::size_t lda, const float* packed, const float* bias,
                      std::size_t bias_step, float* c, std::size_t ldc, std::size_t m,
                      std::size_t n, std::size_t k) {
  const std::size_t padded = ceil_divide(k, kLanes) * kLanes;
  const auto put = [&](std::size_t i, std::size_t j, float sum) {
    c[i * ldc + j] = bias == nullptr ? sum : sum + bias[i * bias_step + j];
  };
  std::size_t i = 0;
  for (; i + kLanes <= m; i += kLanes) {
    for (std::size_t j = 0; j < n; ++j) {
      VecF sums[kLanes];
      dot_rows(a + i * lda, lda, packed + j * padded, k, sums);
      const VecF total = sum_each(sums);
      if (ldc == 1 && bias_step == 0) {
        store(c + i, bias == nullptr ? total : total + broadcast(*bias));
        continue;
      }
      float each[kLanes];
      store(each, total);
      for (std::size_t r = 0; r < kLanes; ++r) put(i + r, j, each[r]);
    }
  }
  for (; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      VecF sum[1];
      dot_rows(a + i * lda, lda, packed + j * padded, k, sum);
      put(i, j, sum_lanes(sum[0]));
    }
  }
}

void gemm_f32(const float* a, std::size_t lda, const float* packed, const float* bias,
              std::size_t bias_step, Activation activation, float* c, std::size_t ldc,
              std::size_t m, std::size_t n, std::size_t k, Upcoming* upcoming) {
  if (m == 0 || n == 0) return;
  if (has_few_columns(n)) {
    gemm_few_columns(a, lda, packed, bias, bias_step, c, ldc, m, n, k);
    if (activation == Activation::kNone) return;
    if (ldc == n) {
      activate(activation, c, 0, 1, m * n);
    } else {
      activate(activation, c, ldc, m, n);
    }
    return;
  }
  const Panels panels = panels_of(n);
  const std::size_t k_blocks = k == 0 ? 1 : ceil_divide(k, kBlockK);
  const std::size_t k_each = ceil_divide(k, k_blocks);
  for (std::size_t top = 0; top < m; top += kBlockM) {
    const std::size_t m_here = smaller(kBlockM, m - top);
    const Parts row_blocks = parts_of(m_here, kBlockRows);
    for (std::size_t k_block = 0; k_block < k_blocks; ++k_block) {
      const std::size_t k_begin = k_block * k_each;
      const bool last_k = k_block + 1 == k_blocks;
      std::size_t column = 0;
      std::size_t p = 0;
      while (p < panels.count) {
        const std::size_t vectors = panels.vectors - (p < panels.wide ? 0 : 1);
        const std::size_t alike = (p < panels.wide ? panels.wide : panels.count) - p;
        const std::size_t taken = m_here == 1 && alike >= kRowPanels ? kRowPanels : 1;
        const std::size_t width = vectors * kLanes;
        const std::size_t columns = smaller(width * taken, n - column);
        GemmBlock block;
        block.lda = lda;
        block.b = packed + column * k + k_begin * width;
        block.panel_step = k * width;
        block.k = last_k ? k - k_begin : k_each;
        block.ldc = ldc;
        block.bias_step = bias_step;
        block.last = columns - (width * taken - kLanes);
        block.first_k = k_block == 0;
        block.relu = last_k && activation == Activation::kRelu;
        for (std::size_t r = 0, row = top; r < row_blocks.count; ++r) {
          const std::size_t count = row_blocks.size(r);
          block.a = a + row * lda + k_begin;
          block.bias = bias == nullptr ? nullptr : bias + row * bias_step + column;
          block.c = c + row * ldc + column;
          (taken == 1 ? kGemmBlocks.entries[count - 1] : kGemmRows.entries[0])[vectors - 1](block);
          prefetch_some(upcoming, count * vectors * block.k / kWorkPerLine);
          if (last_k && activation > Activation::kRelu) {
            activate(activation, block.c, ldc, count, columns);
          }
          row += count;
        }
        column += width * taken;
        p += taken;
      }
    }
  }
}

}  // namespace
}  // namespace pyrec
