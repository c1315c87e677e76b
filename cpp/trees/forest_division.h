#pragma once

// Trees some of whose features are known early, and what these leave of them; the IR's
// ForestDivision.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dispatch/kernels.h"

namespace pyrec {

class ForestDivision {
 public:
  // As the IR has it.
  struct Parts {
    std::vector<std::int32_t> tree_start, entry_columns, entry_next;
    std::vector<std::int8_t> entry_limits;
    std::vector<std::int32_t> column_scales, column_first, column_missing;
    std::vector<std::uint8_t> missing_first, reversed_ranks;
    std::int64_t early_columns = 0, early_scales = 0, late_scales = 0, state_words = 0;
  };

  // One tree of a pruned forest: the leaves that are left, by their numbers, and the tests between
  // them.
  struct Pruned {
    std::span<const std::uint16_t> leaves;
    const std::uint16_t* counts = nullptr;
    const LeafTest* tests = nullptr;
    std::size_t planes = 0;
  };

  // Throws std::invalid_argument where the parts would lead out of the arrays.
  explicit ForestDivision(const Parts& parts);

  std::int64_t scales(bool late) const { return late ? late_scales_ : early_scales_; }
  std::size_t columns(bool late) const { return late ? late_.size() : early_.size(); }
  std::int64_t state_words() const { return state_words_; }
  std::size_t trees() const { return starts_.size() - 1; }
  // The nodes of a tree's leaves, by their numbers.
  std::span<const std::int32_t> leaves(std::size_t tree) const {
    return {nodes_.data() + first_leaf_[tree], first_leaf_[tree + 1] - first_leaf_[tree]};
  }

  // Ranks [columns, rows] from places [scales, rows], of which only the first `count` rows count.
  void rank(const Kernels& kernels, bool late, const std::uint16_t* places, std::size_t rows,
            std::size_t count, std::int8_t* ranks) const;

  // The words of the forest that one row's early ranks leave.
  void prune(const std::int8_t* ranks, std::uint16_t* words) const;

  // The next tree of such words, which are moved on.
  static Pruned next(const std::uint16_t*& words);

 private:
  // A branch leads to the next entry or to one further behind; of a leaf that is its number.
  struct Entry {
    std::int32_t next;
    std::uint16_t column;
    std::int8_t limit;
    bool leaf;
  };
  struct Column {
    std::int32_t scale;
    PlaceWindow window;
  };
  class Pruner;

  std::vector<Entry> entries_;
  std::vector<std::size_t> starts_;      // of trees' entries
  std::vector<std::size_t> first_leaf_;  // of trees, in `nodes_`
  std::vector<std::int32_t> nodes_;
  std::vector<Column> early_, late_;
  std::int64_t early_scales_, late_scales_, state_words_;
};

}  // namespace pyrec
