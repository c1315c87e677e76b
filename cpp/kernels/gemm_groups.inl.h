#pragma once

// Matrix products over groups: the four bytes that one lane of a vector holds, four int8 or two
// bfloat16 of successive k. A row of A is a sequence of groups; B is packed in panels in which each
// lane holds a group of its column. A product `Dot` names the type of its sums and has
//   Sum start(int row, int vector), what a sum starts from,
//   static Sum add(Sum, VecI a, VecI b), a sum with the products of the groups a and b,
//   VecF finish(Sum, int row, int vector), the number that a sum stands for;
// rows and vectors count from the place that `Dot at(std::size_t row, std::size_t column)` gives.

#include "kernels/panels.inl.h"
#include "kernels/prefetch.inl.h"

namespace pyrec {
namespace {

constexpr std::size_t kGroupBytes = 4;

inline std::int32_t load_group(const std::byte* p) {
  std::int32_t group;
  __builtin_memcpy(&group, p, kGroupBytes);
  return group;
}

// bias + a * b: where the operands lie and what becomes of the result.
struct GroupsProduct {
  const std::byte* a;
  std::size_t a_step;  // bytes from row to row
  const std::byte* b;
  std::size_t groups;
  const float* bias;      // null: none
  std::size_t bias_step;  // 0: one row for all
  float* c;
  std::size_t ldc;
  bool relu;
  Upcoming* upcoming;  // null: none
};

template <class Dot, int kRows, int kVectors>
inline void start_block(const Dot& dot, typename Dot::Sum (&sums)[kRows][kVectors]) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sums[i][v] = dot.start(i, v);
  }
}

template <int kRows>
inline void find_rows(const GroupsProduct& block, const std::byte* (&rows)[kRows]) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) rows[i] = block.a + static_cast<std::size_t>(i) * block.a_step;
}

// Turns the sums of a block into its part of the result.
template <class Dot, int kRows, int kVectors>
inline void finish_block(const GroupsProduct& block, const Dot& dot,
                         const typename Dot::Sum (&sums)[kRows][kVectors], std::size_t last) {
  const VecF low = broadcast(block.relu ? 0.0f : -__builtin_inff());
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    float* c = block.c + static_cast<std::size_t>(i) * block.ldc;
    const float* bias = block.bias == nullptr
                            ? nullptr
                            : block.bias + static_cast<std::size_t>(i) * block.bias_step;
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const std::size_t column = static_cast<std::size_t>(v) * kLanes;
      const bool whole = v + 1 < kVectors || last == kLanes;
      VecF y = dot.finish(sums[i][v], i, v);
      if (bias != nullptr) y = y + (whole ? load(bias + column) : load_first(bias + column, last));
      y = max(low, y);
      if (whole) {
        store(c + column, y);
      } else {
        store_first(c + column, y, last);
      }
    }
  }
}

template <class Dot, int kRows, int kVectors>
void groups_block(const GroupsProduct& given, const Dot& place, std::size_t last) {
  constexpr std::size_t kStep = static_cast<std::size_t>(kVectors) * kLanes * kGroupBytes;
  // Copies, which vector stores cannot change as far as the compiler knows.
  const GroupsProduct block = given;
  const Dot dot = place;
  typename Dot::Sum sums[kRows][kVectors];
  start_block(dot, sums);
  const std::byte* rows[kRows];
  find_rows(block, rows);
  const std::byte* b = block.b;
  for (std::size_t l = 0; l < block.groups; ++l, b += kStep) {
    VecI right[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      right[v] = load_groups(b + static_cast<std::size_t>(v) * kLanes * kGroupBytes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const VecI left = broadcast(load_group(rows[i] + l * kGroupBytes));
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[i][v] = Dot::add(sums[i][v], left, right[v]);
    }
  }
  finish_block(block, dot, sums, last);
}

template <class Dot>
struct GroupsBlockMaker {
  using Function = void (*)(const GroupsProduct&, const Dot&, std::size_t);
  template <int kRows, int kVectors>
  static constexpr Function function() {
    return groups_block<Dot, kRows, kVectors>;
  }
};

template <class Dot, int kRows, int kVectors, class Blocks>
void gemm_blocks(const GroupsProduct& product, const Dot& dot, std::size_t m, std::size_t n,
                 const Blocks& blocks) {
  if (m == 0 || n == 0) return;
  const Panels panels = panels_of(n, kVectors);
  const Parts row_blocks = parts_of(m, kRows);
  std::size_t column = 0;
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t vectors = panels.vectors - (p < panels.wide ? 0 : 1);
    const std::size_t width = vectors * kLanes;
    const std::size_t last = smaller(width, n - column) - (width - kLanes);
    GroupsProduct block = product;
    block.b = product.b + column * product.groups * kGroupBytes;
    for (std::size_t r = 0, row = 0; r < row_blocks.count; ++r) {
      const std::size_t count = row_blocks.size(r);
      block.a = product.a + row * product.a_step;
      block.c = product.c + row * product.ldc + column;
      if (product.bias != nullptr) block.bias = product.bias + row * product.bias_step + column;
      blocks.entries[count - 1][vectors - 1](block, dot.at(row, column), last);
      prefetch_some(product.upcoming, count * vectors * product.groups / kWorkPerLine);
      row += count;
    }
    column += width;
  }
}

template <class Dot>
void gemm_groups(const GroupsProduct& product, const Dot& dot, std::size_t m, std::size_t n) {
  static constexpr BlockTable<GroupsBlockMaker<Dot>> kBlocks;
  gemm_blocks<Dot, kBlockRows, kBlockVectors>(product, dot, m, n, kBlocks);
}

// The bytes of a packed [k, n] matrix of groups that hold `per_group` elements each.
inline std::size_t groups_size(std::size_t k, std::size_t n, std::size_t per_group) {
  return ceil_divide(k, per_group) * ceil_divide(n, kLanes) * kLanes * kGroupBytes;
}

// A matrix to be packed, read a vector at a time: columns [j, j + kLanes) of row l, zeros beyond
// the last column.
struct StridedColumns {
  const float* b;
  std::size_t row_step;
  std::size_t column_step;
  std::size_t n;

  VecF operator()(std::size_t l, std::size_t j) const {
    float columns[kLanes] = {};
    for (std::size_t i = 0; i < kLanes && j + i < n; ++i) {
      columns[i] = b[l * row_step + (j + i) * column_step];
    }
    return load(columns);
  }
};

// The same where a row is one run of whole vectors.
struct WholeColumns {
  const float* b;
  std::size_t row_step;

  VecF operator()(std::size_t l, std::size_t j) const { return load(b + l * row_step + j); }
};

// Calls pack with the fastest way to read a matrix.
template <class Pack>
void with_columns(const float* b, std::size_t n, std::size_t row_step, std::size_t column_step,
                  Pack pack) {
  if (column_step == 1 && n % kLanes == 0) {
    pack(WholeColumns{b, row_step});
  } else {
    pack(StridedColumns{b, row_step, column_step, n});
  }
}

// Packs the elements of a matrix, kEach to a group, in panels of at most `widest` vectors: the
// lower bits of elements(l, j), which holds row l's in columns [j, j + kLanes), zero beyond the
// last column.
template <std::size_t kEach, class Elements>
void pack_groups(std::size_t k, std::size_t n, std::size_t widest, std::byte* packed,
                 Elements elements) {
  constexpr std::size_t kBits = 8 * kGroupBytes / kEach;
  constexpr std::uint32_t kMask = (std::uint32_t{1} << kBits) - 1;
  const auto placed = [&](std::size_t l, std::size_t e, std::size_t j) {
    return (elements(l + e, j) & kMask) << static_cast<std::uint32_t>(e * kBits);
  };
  if (n == 0) return;
  const Panels panels = panels_of(n, widest);
  std::size_t column = 0;
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t end = column + panels.width(p);
    for (std::size_t l = 0; l < k; l += kEach) {
      for (std::size_t j = column; j < end; j += kLanes, packed += kLanes * kGroupBytes) {
        VecU groups{};
        if (l + kEach <= k) {
#pragma GCC unroll 4
          for (std::size_t e = 0; e < kEach; ++e) groups = groups | placed(l, e, j);
        } else {
          for (std::size_t e = 0; l + e < k; ++e) groups = groups | placed(l, e, j);
        }
        store(reinterpret_cast<std::int32_t*>(packed), groups);
      }
    }
    column = end;
  }
}

}  // namespace
}  // namespace pyrec
