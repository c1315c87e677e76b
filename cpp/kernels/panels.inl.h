#pragma once

// How the columns of a packed matrix are split into panels, shared by the matrix kernels.

#include <cstddef>

namespace pyrec {
namespace {

inline std::size_t ceil_divide(std::size_t a, std::size_t b) { return (a + b - 1) / b; }
inline std::size_t smaller(std::size_t a, std::size_t b) { return a < b ? a : b; }

// So many things in as few parts of at most so many as there can be, as even as can be: `wide`
// parts of `most`, then parts of one less.
struct Parts {
  std::size_t count;
  std::size_t most;
  std::size_t wide;

  std::size_t size(std::size_t part) const { return most - (part < wide ? 0 : 1); }
};

// Parts of `total` things; total > 0.
inline Parts parts_of(std::size_t total, std::size_t most) {
  const std::size_t count = ceil_divide(total, most);
  const std::size_t each = ceil_divide(total, count);
  return {count, each, count - (count * each - total)};
}

// Panels as even as can be: `wide` panels of `vectors` vectors, then panels of one vector less.
struct Panels {
  std::size_t count;
  std::size_t vectors;
  std::size_t wide;

  std::size_t width(std::size_t panel) const {  // in floats
    return (vectors - (panel < wide ? 0 : 1)) * kLanes;
  }
};

// Panels of at most `widest` vectors; n > 0.
inline Panels panels_of(std::size_t n, std::size_t widest = kBlockVectors) {
  const Parts parts = parts_of(ceil_divide(n, kLanes), widest);
  return {parts.count, parts.most, parts.wide};
}

// Columns that lie as rows do, side by side: one vector of them, k a multiple of kLanes.
inline void pack_transposed(const float* columns, std::size_t k, std::size_t step,
                            std::size_t width, float* packed) {
  for (std::size_t i = 0; i < k; i += kLanes) {
    VecF x[kLanes];
#pragma GCC unroll 16
    for (std::size_t lane = 0; lane < kLanes; ++lane) x[lane] = load(columns + lane * step + i);
    transpose(x);
#pragma GCC unroll 16
    for (std::size_t lane = 0; lane < kLanes; ++lane) store(packed + (i + lane) * width, x[lane]);
  }
}

// Lays b[i * row_step + j * column_step] out panel by panel, each k rows of whole vectors.
inline void pack_panels(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
                        std::size_t column_step, const Panels& panels, float* packed) {
  std::size_t column = 0;
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t width = panels.width(p);
    const std::size_t filled = smaller(width, n - column);
    std::size_t i = 0;
    if (row_step == 1 && filled == width) {
      i = k / kLanes * kLanes;
      for (std::size_t j = 0; j < width; j += kLanes) {
        pack_transposed(b + (column + j) * column_step, i, column_step, width, packed + j);
      }
      packed += i * width;
    }
    for (; i < k; ++i, packed += width) {
      const float* row = b + i * row_step + column * column_step;
      std::size_t j = 0;
      if (column_step == 1) {
        for (; j + kLanes <= filled; j += kLanes) store(packed + j, load(row + j));
      }
      for (; j < filled; ++j) packed[j] = row[j * column_step];
      for (; j < width; ++j) packed[j] = 0.0f;
    }
    column += width;
  }
}

// The block functions Maker::function<rows, vectors>(), as entries[rows - 1][vectors - 1].
template <class Maker, int kMaxRows = kBlockRows, int kMaxVectors = kBlockVectors>
struct BlockTable {
  typename Maker::Function entries[kMaxRows][kMaxVectors];
  constexpr BlockTable() : entries() { fill<kMaxRows, kMaxVectors>(); }

 private:
  template <int kRows, int kVectors>
  constexpr void fill() {
    entries[kRows - 1][kVectors - 1] = Maker::template function<kRows, kVectors>();
    if constexpr (kVectors > 1) {
      fill<kRows, kVectors - 1>();
    } else if constexpr (kRows > 1) {
      fill<kRows - 1, kMaxVectors>();
    }
  }
};

}  // namespace
}  // namespace pyrec
