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
    const std::int32_t leaf = add_alike(leaves) ? leaves[0] : -1;
    trees_.push_back({weights_.size() - kForestLeaves, leaves.size(), leaf});
    const std::span<const std::int32_t> targets = targets_of(leaf);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      std::size_t at = weights_.size() - kForestLeaves;
      weights_.resize(weights_.size() + leaves.size());
      narrow_weights_.resize(weights_.size());
      for (const std::int32_t leaf : leaves) {
        const std::int32_t vote = forest_.vote_start[static_cast<std::size_t>(leaf)];
        weights_[at] = forest_.vote_weight[static_cast<std::size_t>(vote) + i];
        narrow_weights_[at] = static_cast<float>(weights_[at]);
        ++at;
      }
      if (std::find(certain_.begin(), certain_.end(), targets[i]) == certain_.end()) {
        certain_.push_back(targets[i]);
      }
    }
  }

  // A leaf's first vote, or 0.
  double first_vote(std::int32_t leaf) const {
    const auto node = static_cast<std::size_t>(leaf);
    const auto vote = static_cast<std::size_t>(forest_.vote_start[node]);
    return forest_.vote_start[node + 1] > forest_.vote_start[node] ? forest_.vote_weight[vote] : 0;
  }

  const Forest& forest() const { return forest_; }
  std::size_t trees() const { return trees_.size(); }
  // What each leaf of a tree adds a vote to, one after the other; none where leaves differ in that,
  // or have many.
  std::span<const std::int32_t> targets(std::size_t tree) const {
    return targets_of(trees_[tree].leaf);
  }
  // The votes for one of these targets, by the leaves' numbers; kForestLeaves can be read.
  template <class T>
  const T* weights(std::size_t tree, std::size_t target) const {
    const std::size_t first = trees_[tree].first + target * trees_[tree].leaves;
    if constexpr (std::is_same_v<T, float>)
      return narrow_weights_.data() + first;
    else
      return weights_.data() + first;
  }

  // Adds those for rows of leaves with these numbers.
  template <class T>
  void add(const Kernels& kernels, const T* weights, std::size_t leaves, const std::uint8_t* found,
           std::int32_t target, const Block<T>& block) const {
    const auto rows = static_cast<std::size_t>(block.rows);
    T* scores = block.scores + target * kRows;
    if constexpr (std::is_same_v<T, float>)
      kernels.add_votes_f32(weights, leaves, found, rows, scores);
    else
      kernels.add_votes_f64(weights, leaves, found, rows, scores);
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
      if (forest_.aggregate == Aggregate::kAverage) scores[j] /= static_cast<T>(trees_.size());
      voted[j] = block.voted[j * kRows + r];
    }
  }

 private:
  static constexpr std::size_t kMostTargets = 16;

  struct Tree {
    std::size_t first, leaves;  // of the weights
    std::int32_t leaf;          // that has the targets of all, or -1
  };

  std::span<const std::int32_t> targets_of(std::int32_t leaf) const {
    if (leaf < 0) return {};
    const auto node = static_cast<std::size_t>(leaf);
    const auto begin = static_cast<std::size_t>(forest_.vote_start[node]);
    const auto end = static_cast<std::size_t>(forest_.vote_start[node + 1]);
    return std::span(forest_.vote_target).subspan(begin, end - begin);
  }

  // Whether all leaves add to the same few targets.
  bool add_alike(std::span<const std::int32_t> leaves) const {
    const bool adds =
        forest_.aggregate == Aggregate::kSum || forest_.aggregate == Aggregate::kAverage;
    if (!adds || leaves.empty()) return false;
    const std::span<const std::int32_t> targets = targets_of(leaves[0]);
    return targets.size() <= kMostTargets && std::ranges::all_of(leaves, [&](std::int32_t leaf) {
             return std::ranges::equal(targets_of(leaf), targets);
           });
  }

  Forest forest_;
  std::vector<Tree> trees_;
  std::vector<std::int32_t> certain_;  // targets that get votes of every row
  // With room for reading behind the last.
  std::vector<double> weights_ = std::vector<double>(kForestLeaves);
  std::vector<float> narrow_weights_ = std::vector<float>(kForestLeaves);
};

}  // namespace pyrec
