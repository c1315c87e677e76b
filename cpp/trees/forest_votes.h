#pragma once

// What rows' leaves give to their scores: votes, added up in the order of the trees.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "dispatch/kernels.h"
#include "trees/forest.h"

namespace pyrec {

class ForestVotes {
 public:
  static constexpr auto kRows = static_cast<std::int64_t>(kForestRows);

  // The votes of up to kRows rows, those for a target one after another, and who got any.
  template <class T>
  struct Block {
    std::int64_t rows;
    T* scores;
    std::uint8_t* voted;
  };

  explicit ForestVotes(const Forest& forest) : forest_(forest) {}

  // Adds the next tree; its leaves in the order in which their numbers count them, none where only
  // nodes are told.
  void add_tree(std::span<const std::int32_t> leaves) {
    targets_.push_back(target_of(leaves));
    first_.push_back(weights_.size());
    for (const std::int32_t leaf : leaves) {
      weights_.push_back(first_vote(leaf));
      narrow_weights_.push_back(static_cast<float>(weights_.back()));
    }
    const std::int32_t target = targets_.back();
    if (target < 0 || std::find(certain_.begin(), certain_.end(), target) != certain_.end()) return;
    certain_.push_back(target);
  }

  // A leaf's first vote, or 0.
  double first_vote(std::int32_t leaf) const {
    const auto node = static_cast<std::size_t>(leaf);
    const auto vote = static_cast<std::size_t>(forest_.vote_start[node]);
    return forest_.vote_start[node + 1] > forest_.vote_start[node] ? forest_.vote_weight[vote] : 0;
  }

  const Forest& forest() const { return forest_; }
  std::size_t trees() const { return targets_.size(); }
  // What each leaf of a tree adds one vote to, or -1.
  std::int32_t target(std::size_t tree) const { return targets_[tree]; }
  // These votes, by the leaves' numbers.
  template <class T>
  const T* weights(std::size_t tree) const {
    if constexpr (std::is_same_v<T, float>)
      return narrow_weights_.data() + first_[tree];
    else
      return weights_.data() + first_[tree];
  }

  template <class T>
  void begin(const Block<T>& block) const {
    for (std::int64_t target = 0; target < forest_.targets; ++target) {
      std::fill_n(block.scores + target * kRows, block.rows, T(0));
      std::fill_n(block.voted + target * kRows, block.rows, std::uint8_t(0));
    }
    for (const std::int32_t target : certain_) {
      std::fill_n(block.voted + target * kRows, block.rows, std::uint8_t(1));
    }
  }

  // Votes of the leaf at which row `r` ends.
  template <class T>
  void vote(std::int32_t leaf, const Block<T>& block, std::int64_t r) const {
    const auto node = static_cast<std::size_t>(leaf);
    for (std::int32_t i = forest_.vote_start[node]; i < forest_.vote_start[node + 1]; ++i) {
      const std::int64_t at = forest_.vote_target[static_cast<std::size_t>(i)] * kRows + r;
      const T weight = static_cast<T>(forest_.vote_weight[static_cast<std::size_t>(i)]);
      T& score = block.scores[at];
      if (forest_.aggregate == Aggregate::kMin || forest_.aggregate == Aggregate::kMax) {
        const bool better = forest_.aggregate == Aggregate::kMin ? weight < score : weight > score;
        if (!block.voted[at] || better) score = weight;
      } else {
        score += weight;
      }
      block.voted[at] = 1;
    }
  }

  // The votes of row `r` in the order of the targets.
  template <class T>
  void end(const Block<T>& block, std::int64_t r, T* scores, std::uint8_t* voted) const {
    for (std::int64_t j = 0; j < forest_.targets; ++j) {
      scores[j] = block.scores[j * kRows + r];
      if (forest_.aggregate == Aggregate::kAverage) scores[j] /= static_cast<T>(targets_.size());
      voted[j] = block.voted[j * kRows + r];
    }
  }

 private:
  std::int32_t target_of(std::span<const std::int32_t> leaves) const {
    const bool adds =
        forest_.aggregate == Aggregate::kSum || forest_.aggregate == Aggregate::kAverage;
    if (!adds) return -1;
    std::int32_t found = -1;
    for (const std::int32_t leaf : leaves) {
      const auto node = static_cast<std::size_t>(leaf);
      const std::int32_t vote = forest_.vote_start[node];
      if (forest_.vote_start[node + 1] != vote + 1) return -1;
      const std::int32_t target = forest_.vote_target[static_cast<std::size_t>(vote)];
      if (found >= 0 && found != target) return -1;
      found = target;
    }
    return found;
  }

  Forest forest_;
  std::vector<std::int32_t> targets_;  // of each tree
  std::vector<std::int32_t> certain_;  // targets that get votes of every row
  std::vector<std::size_t> first_;     // of each tree's weights
  std::vector<double> weights_;
  std::vector<float> narrow_weights_;
};

}  // namespace pyrec
