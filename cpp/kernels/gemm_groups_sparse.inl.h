#pragma once

// Products over groups of rows with many zeros, as ReLU leaves them: a block of a few rows skips
// the groups that are zero in all of them, and is as wide as the registers allow, since what it
// reads of B serves few rows.

#include "kernels/gemm_groups.inl.h"

namespace pyrec {
namespace {

constexpr std::size_t kSkipGroups = 1 << 10;  // of a panel that stays in the second-level cache
constexpr std::size_t kGroupsAtOnce = 256;

// The vectors of the widest panel of a matrix that is packed for gemm_groups_sparse.
inline std::size_t widest_sparse_panel(std::size_t groups, std::size_t n) {
  const bool skips =
      kCanSkipGroups && ceil_divide(n, kLanes) >= kSkipFewest && groups <= kSkipGroups;
  return skips ? kSkipVectors : kBlockVectors;
}

// Writes the numbers of those of the first `size` groups that are not zero in all rows, and may
// write behind them; gives how many.
template <int kRows>
inline std::size_t list_groups(const std::byte* const (&rows)[kRows], std::size_t size,
                               std::uint16_t* list) {
  std::size_t count = 0;
  std::size_t l = 0;
  for (; l + kLanes <= size; l += kLanes) {
    auto any = load_groups(rows[0] + l * kGroupBytes);
#pragma GCC unroll 16
    for (int i = 1; i < kRows; ++i) any = any | load_groups(rows[i] + l * kGroupBytes);
    count += store_places(list + count, any, static_cast<std::uint16_t>(l));
  }
  for (; l < size; ++l) {
    std::int32_t any = 0;
    for (int i = 0; i < kRows; ++i) any |= load_group(rows[i] + l * kGroupBytes);
    list[count] = static_cast<std::uint16_t>(l);
    count += any != 0 ? 1 : 0;
  }
  return count;
}

template <class Dot, int kRows, int kVectors>
void sparse_groups_block(const GroupsProduct& given, const Dot& place, std::size_t last) {
  constexpr std::size_t kStep = static_cast<std::size_t>(kVectors) * kLanes * kGroupBytes;
  // Copies, which vector stores cannot change as far as the compiler knows.
  GroupsProduct block = given;
  const Dot dot = place;
  typename Dot::Sum sums[kRows][kVectors];
  start_block(dot, sums);
  const std::byte* rows[kRows];
  find_rows(block, rows);
  std::uint16_t list[kGroupsAtOnce + kLanes];
  for (std::size_t begin = 0; begin < block.groups; begin += kGroupsAtOnce) {
    const std::size_t size = smaller(kGroupsAtOnce, block.groups - begin);
    const std::size_t count = list_groups(rows, size, list);
    for (std::size_t t = 0; t < count; ++t) {
      const std::size_t l = list[t];
      VecI left[kRows];
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) left[i] = broadcast(load_group(rows[i] + l * kGroupBytes));
      const std::byte* b = block.b + l * kStep;
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v, b += kLanes * kGroupBytes) {
        VecI right = load_groups(b);
        hold(right);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) sums[i][v] = Dot::add(sums[i][v], left[i], right);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) rows[i] += size * kGroupBytes;
    block.b += size * kStep;
  }
  finish_block(block, dot, sums, last);
}

template <class Dot>
struct SparseGroupsBlockMaker {
  using Function = void (*)(const GroupsProduct&, const Dot&, std::size_t);
  template <int kRows, int kVectors>
  static constexpr Function function() {
    return sparse_groups_block<Dot, kRows, kVectors>;
  }
};

// The same product as gemm_groups, of a matrix in panels of at most widest_sparse_panel vectors.
template <class Dot>
void gemm_groups_sparse(const GroupsProduct& product, const Dot& dot, std::size_t m,
                        std::size_t n) {
  if constexpr (kCanSkipGroups) {
    static constexpr BlockTable<SparseGroupsBlockMaker<Dot>, kSkipRows, kSkipVectors> kBlocks;
    if (widest_sparse_panel(product.groups, n) == kSkipVectors) {
      gemm_blocks<Dot, kSkipRows, kSkipVectors>(product, dot, m, n, kBlocks);
      return;
    }
  }
  gemm_groups(product, dot, m, n);
}

}  // namespace
}  // namespace pyrec
