#pragma once

// Rows that go down trees of any comparisons, one after another.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "trees/forest.h"

namespace pyrec {

// Over features of T.
template <class T>
class Walker {
 public:
  static constexpr std::int64_t kGroup = 8;  // rows that go down a tree together

  explicit Walker(const Forest& forest) : roots_(forest.roots) {
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

  // The nodes at which rows end.
  void run(std::size_t tree, const T* rows, std::int64_t count, std::int64_t width,
           std::int32_t* ends) const {
    // Leaves read feature 0 too.
    static constexpr T kNothing = 0;
    for (std::int64_t group = 0; group < count; group += kGroup) {
      const std::int64_t together = std::min(kGroup, count - group);
      const T* pointers[kGroup];
      for (std::int64_t r = 0; r < together; ++r) {
        pointers[r] = width == 0 ? &kNothing : rows + (group + r) * width;
      }
      descend(roots_[tree], pointers, together, ends + group);
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

  // Moves up to kGroup rows together, so that their cache misses overlap.
  void descend(std::int32_t root, const T* const* rows, std::int64_t count,
               std::int32_t* at) const {
    std::fill_n(at, count, root);
    std::int32_t moved = 1;
    while (moved != 0) {
      moved = 0;
      for (std::int64_t r = 0; r < count; ++r) {
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
  std::vector<Node> nodes_;
  std::vector<Comparison> comparisons_;
  std::vector<std::uint8_t> missing_;
};

}  // namespace pyrec
