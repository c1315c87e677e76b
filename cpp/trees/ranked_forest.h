#pragma once

// Walks down trees whose branches all compare by order, over ranks instead of features.
//
// A feature's rank is the number of its thresholds in the forest that it is behind, so that a
// branch compares two whole numbers of 16 bits. NaN, which is behind all of them, has the rank 0 in
// a column of its own for branches that take it for less than all.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "trees/forest.h"
#include "trees/places.h"

namespace pyrec {

class RankedForest {
 public:
  static constexpr int kGroup = 8;            // walks that go on together
  static constexpr std::int64_t kBlock = 64;  // most rows whose ranks are made together

  // None where a branch does not compare by order, or where ranks, columns or nodes are more than
  // their numbers can tell.
  static std::optional<RankedForest> make(const Forest& forest);

  std::int64_t columns() const { return static_cast<std::int64_t>(columns_.size()); }

  // Ranks of `count` rows of that width, for walks of rows [columns, kBlock] and of trees
  // [count, columns].
  template <class T>
  void rank_columns(const Kernels& kernels, const T* rows, std::int64_t width, std::int64_t count,
                    std::uint16_t* ranks) const {
    rank(kernels, rows, width, count, ranks, kBlock, 1);
  }
  template <class T>
  void rank_rows(const Kernels& kernels, const T* rows, std::int64_t width, std::int64_t count,
                 std::uint16_t* ranks) const {
    rank(kernels, rows, width, count, ranks, 1, columns());
  }

  // The leaves, as nodes of the forest, at which kGroup rows of a block end.
  void walk_rows(std::size_t tree, const std::uint16_t* ranks, std::int32_t* leaves) const {
    std::uint32_t at[kGroup];
    std::fill_n(at, kGroup, roots_[tree]);
    descend<kBlock>(at, depths_[tree], [ranks](int i) { return ranks + i; });
    for (int i = 0; i < kGroup; ++i) leaves[i] = nodes_[at[i]];
  }

  // The slots, which have nodes, at which one row ends in kGroup trees from that on; behind the
  // last tree come those of any.
  std::int32_t node(std::uint32_t slot) const { return nodes_[slot]; }
  std::size_t slots() const { return slots_.size(); }
  void walk_trees(std::size_t tree, const std::uint16_t* ranks, std::uint32_t (&at)[kGroup]) const {
    std::int32_t depth = 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
      const std::size_t own = std::min(tree + i, roots_.size() - 1);
      at[i] = roots_[own];
      depth = std::max(depth, depths_[own]);
    }
    descend<1>(at, depth, [ranks](int) { return ranks; });
  }

 private:
  static constexpr std::uint16_t kLast = std::numeric_limits<std::uint16_t>::max();

  class Builder;

  // A node as the walk reads it: where ranks up to its own lead, with the others behind it. A leaf
  // leads to itself.
  struct Slot {
    std::uint16_t rank;
    std::uint16_t column;
    std::uint32_t next;
  };

  struct Column {
    std::int32_t feature;
    bool missing_first;
    std::size_t scale;
  };

  template <class T>
  void rank(const Kernels& kernels, const T* rows, std::int64_t width, std::int64_t count,
            std::uint16_t* ranks, std::int64_t column_step, std::int64_t row_step) const;

  static std::uint32_t next(const Slot& slot, const std::uint16_t* ranks, std::size_t step) {
    return slot.next + (ranks[slot.column * step] > slot.rank ? 1U : 0U);
  }

  // Walks on to leaves, which are at most so many branches away.
  template <std::size_t kStep, class Ranks>
  void descend(std::uint32_t (&at)[kGroup], std::int32_t depth, Ranks ranks) const {
    constexpr std::int32_t kLevels = 3;  // until it is seen whether all are at leaves
    const Slot* slots = slots_.data();
    std::uint32_t moved = 1;
    for (; depth >= kLevels && moved != 0; depth -= kLevels) {
      for (std::int32_t level = 1; level < kLevels; ++level) {
        for (int i = 0; i < kGroup; ++i) at[i] = next(slots[at[i]], ranks(i), kStep);
      }
      moved = 0;
      for (int i = 0; i < kGroup; ++i) {
        const std::uint32_t to = next(slots[at[i]], ranks(i), kStep);
        moved |= to ^ at[i];
        at[i] = to;
      }
    }
    for (; depth > 0 && moved != 0; --depth) {
      for (int i = 0; i < kGroup; ++i) at[i] = next(slots[at[i]], ranks(i), kStep);
    }
  }

  std::vector<Scale> scales_;    // of features' thresholds
  std::vector<Column> columns_;  // those of a scale together
  std::vector<Slot> slots_;
  std::vector<std::int32_t> nodes_;  // of the forest, by slot
  std::vector<std::uint32_t> roots_;
  std::vector<std::int32_t> depths_;  // of trees
};

}  // namespace pyrec
