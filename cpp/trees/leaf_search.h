#pragma once

// The leaves at which rows end, found without walking: of each tree the leaves that a row cannot
// reach are struck out, for many rows at once. A leaf on the side of a branch that its answer does
// not choose is struck out; with the sides of each branch in a fixed order, the first leaf that is
// left is the row's (Lucchese et al., "QuickScorer: A Fast Algorithm to Rank Documents with
// Additive Ensembles of Regression Trees", SIGIR 2015, section 3). The side with fewer leaves comes
// first, and answers compare bytes: places among the thresholds of a feature.
//
// A tree of few different tests, as those whose branches of one depth test the same, has a leaf for
// each set of answers instead.

#include <compare>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "dispatch/kernels.h"
#include "trees/forest.h"
#include "trees/places.h"

namespace pyrec {

class LeafSearch {
 public:
  explicit LeafSearch(const Forest& forest);

  // Bytes that `rank` writes.
  std::size_t rank_bytes() const { return columns_.size() * kForestRows; }
  // Whether `find` takes a tree: it has up to kMostLeaves leaves, and its branches compare by
  // order.
  bool takes(std::size_t tree) const { return trees_[tree].planes > 0; }
  // The nodes that the leaves of a tree stand for, maybe one for several; none of a tree that is
  // not taken.
  std::span<const std::int32_t> leaves(std::size_t tree) const {
    const std::size_t end = tree + 1 < trees_.size() ? trees_[tree + 1].leaves : leaves_.size();
    return {leaves_.data() + trees_[tree].leaves, end - trees_[tree].leaves};
  }

  // The work of a search in a tree, and of a walk of one row down it.
  std::size_t tests(std::size_t tree) const {
    return (tree + 1 < trees_.size() ? trees_[tree + 1].tests : tests_.size()) - trees_[tree].tests;
  }
  std::size_t steps(std::size_t tree) const { return trees_[tree].steps; }

  // Where the values of up to kForestRows rows of T, one after another, lie among the thresholds.
  // Ranks of further rows stay what they are.
  template <class T>
  void rank(const Kernels& kernels, const T* rows, std::int64_t count, std::int64_t width,
            std::int8_t* ranks) const;

  // The leaves of up to kForestRows rows from their ranks, counted from the tree's first; `leaves`
  // has room for kForestRows.
  void find(const Kernels& kernels, std::size_t tree, const std::int8_t* ranks, std::size_t rows,
            std::uint8_t* leaves) const {
    const Tree& found = trees_[tree];
    if (found.by_answers) {
      kernels.find_answers_u8(tests_.data() + found.tests, tests(tree), ranks, rows, leaves);
      return;
    }
    kernels.find_leaves_u8(tests_.data() + found.tests, counts_.data() + found.counts, found.planes,
                           ranks, rows, leaves);
  }

  static constexpr std::size_t kMostLeaves = 256;

 private:
  struct Tree {
    std::size_t tests = 0, counts = 0, leaves = 0, planes = 0;
    std::size_t steps = 0;  // to a leaf, on average
    bool by_answers = false;
  };
  // Thresholds that the numbers of a feature are placed among, or a part of them.
  struct Part {
    std::int32_t feature;
    Scale scale;
  };
  // The places on a scale, counted from a threshold on, up to kMostRank. What is missing is in
  // front of all thresholds or behind them; reversed, a column holds the complement of each.
  struct Column {
    std::size_t scale = 0;
    std::size_t first = 0;
    bool missing_first = false;
    bool reversed = false;
    auto operator<=>(const Column&) const = default;
  };
  class Builder;

  std::vector<Part> scales_;
  std::vector<Column> columns_;
  std::vector<Tree> trees_;
  std::vector<LeafTest> tests_;
  std::vector<std::uint16_t> counts_;
  std::vector<std::int32_t> leaves_;
};

}  // namespace pyrec
