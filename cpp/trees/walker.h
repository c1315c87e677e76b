#pragma once

// Rows that go down trees, one comparison after another.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "trees/forest.h"
#include "trees/ranked_forest.h"

namespace pyrec {

// Over features of T. Where every branch compares in the same way, ranks are compared.
template <class T>
class Walker {
 public:
  static constexpr std::int64_t kGroup = RankedForest<T>::kGroup;
  static constexpr std::int64_t kBlock = RankedForest<T>::kBlock;

  explicit Walker(const Forest& forest) : roots_(forest.roots) {
    bool less = true;
    bool less_equal = true;
    for (const Comparison how : forest.comparisons) {
      less = less && (how == Comparison::kLess || how == Comparison::kLeaf);
      less_equal = less_equal && (how == Comparison::kLessEqual || how == Comparison::kLeaf);
    }
    if (less || less_equal) {
      ranked_ = RankedForest<T>::make(forest, !less_equal);
      if (ranked_) return;
    }
    for (std::size_t i = 0; i < forest.comparisons.size(); ++i) {
      const auto self = static_cast<std::int32_t>(i);
      const bool leaf = forest.is_leaf(i);
      nodes_.push_back({static_cast<T>(forest.thresholds[i]),
                        leaf ? 0 : forest.features[i],
                        {leaf ? self : forest.no[i], leaf ? self : forest.yes[i]}});
      comparisons_.push_back(leaf ? Comparison::kLessEqual : forest.comparisons[i]);
      missing_.push_back(!leaf && forest.missing_yes[i] != 0);
    }
  }

  // Of the ranks that `prepare` writes for up to kBlock rows.
  std::int64_t columns() const {
    return ranked_ ? static_cast<std::int64_t>(ranked_->columns()) : 0;
  }
  void prepare(const T* rows, std::int64_t count, std::int64_t width, std::uint16_t* ranks) const {
    if (ranked_) ranked_->rank(rows, width, count, ranks);
  }

  // The nodes at which up to kBlock rows end; `ends` has room for kBlock.
  void run(std::size_t tree, const T* rows, std::int64_t count, std::int64_t width,
           const std::uint16_t* ranks, std::int32_t* ends) const {
    // Leaves read feature 0 too.
    static constexpr T kNothing = 0;
    for (std::int64_t group = 0; group < count; group += kGroup) {
      if (ranked_) {
        ranked_->walk(tree, ranks + group, ends + group);
        continue;
      }
      const T* pointers[kGroup];
      for (std::int64_t r = 0; r < kGroup; ++r) {
        pointers[r] = width == 0 ? &kNothing : rows + std::min(group + r, count - 1) * width;
      }
      descend(roots_[tree], pointers, ends + group);
    }
  }

 private:
  // A leaf leads to itself.
  struct Node {
    T threshold;
    std::int32_t feature;
    std::int32_t child[2];  // no, yes
  };

  static bool answer(Comparison how, T value, T threshold) {
    switch (how) {
      case Comparison::kLessEqual:
        return value <= threshold;
      case Comparison::kLess:
        return value < threshold;
      case Comparison::kGreaterEqual:
        return value >= threshold;
      case Comparison::kGreater:
        return value > threshold;
      case Comparison::kEqual:
        return value == threshold;
      default:
        return value != threshold;
    }
  }

  // Moves kGroup rows together, so that their cache misses overlap.
  void descend(std::int32_t root, const T* const* rows, std::int32_t* at) const {
    std::fill_n(at, kGroup, root);
    std::int32_t moved = 1;
    while (moved != 0) {
      moved = 0;
      for (std::int64_t r = 0; r < kGroup; ++r) {
        const auto index = static_cast<std::size_t>(at[r]);
        const Node& node = nodes_[index];
        const T value = rows[r][node.feature];
        const bool yes = answer(comparisons_[index], value, node.threshold) ||
                         (value != value && missing_[index] != 0);
        moved |= node.child[yes] ^ at[r];
        at[r] = node.child[yes];
      }
    }
  }

  std::vector<std::int32_t> roots_;
  std::optional<RankedForest<T>> ranked_;
  std::vector<Node> nodes_;
  std::vector<Comparison> comparisons_;
  std::vector<std::uint8_t> missing_;
};

}  // namespace pyrec
