#pragma once

// Walks down trees whose branches all compare in the same way, over ranks instead of features.
//
// A feature's rank is the number of its thresholds in the forest that it is beyond, so that a
// branch compares two whole numbers of 16 bits. NaN, which is beyond all of them, has the rank 0 in
// a column of its own for branches that answer it with yes.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "trees/forest.h"
#include "trees/places.h"

namespace pyrec {

template <class T>
class RankedForest {
 public:
  static constexpr int kGroup = 8;   // rows that go down a tree together
  static constexpr int kBlock = 64;  // rows whose ranks are made together

  // None where ranks, columns or nodes are more than their numbers can tell. `strict` says whether
  // every branch asks that a feature is less than its threshold, which it may equal else.
  static std::optional<RankedForest> make(const Forest& forest, bool strict) {
    RankedForest made;
    made.strict_ = strict;
    if (!made.number_thresholds(forest) || !made.place_nodes(forest)) return std::nullopt;
    return made;
  }

  std::size_t columns() const { return columns_.size(); }

  // Ranks [columns, kBlock] of `count` rows of that width.
  void rank(const T* rows, std::int64_t width, std::int64_t count, std::uint16_t* ranks) const {
    std::size_t step = 1;
    for (std::size_t c = 0; c < columns_.size(); c += step) {
      const Column& column = columns_[c];
      step = c + 1 < columns_.size() && columns_[c + 1].feature == column.feature ? 2 : 1;
      std::array<T, kBlock> values;
      std::array<std::uint32_t, kBlock> places;
      for (std::int64_t r = 0; r < count; ++r) {
        values[static_cast<std::size_t>(r)] = rows[r * width + column.feature];
      }
      const std::span<const T> given(values.data(), static_cast<std::size_t>(count));
      const std::span<const T> thresholds(thresholds_.data() + column.begin,
                                          column.end - column.begin);
      find_places<T>(thresholds, strict_, given, places.data());
      for (std::size_t own = c; own < c + step; ++own) {
        std::uint16_t* to = ranks + own * kBlock;
        for (std::size_t i = 0; i < given.size(); ++i) {
          const bool none = columns_[own].missing_yes && given[i] != given[i];
          to[i] = static_cast<std::uint16_t>(none ? 0 : places[i]);
        }
      }
    }
  }

  // The leaves, as nodes of the forest, at which kGroup rows of a block end.
  void walk(std::size_t tree, const std::uint16_t* ranks, std::int32_t* leaves) const {
    constexpr std::int32_t kLevels = 3;  // until it is seen whether all rows are at leaves
    const Slot* slots = slots_.data();
    std::uint32_t at[kGroup];
    std::fill_n(at, kGroup, roots_[tree]);
    std::int32_t left = depths_[tree];
    std::uint32_t moved = 1;
    for (; left >= kLevels && moved != 0; left -= kLevels) {
      for (std::int32_t level = 1; level < kLevels; ++level) {
        for (int r = 0; r < kGroup; ++r) at[r] = next(slots[at[r]], ranks + r);
      }
      moved = 0;
      for (int r = 0; r < kGroup; ++r) {
        const std::uint32_t to = next(slots[at[r]], ranks + r);
        moved |= to ^ at[r];
        at[r] = to;
      }
    }
    for (; left > 0 && moved != 0; --left) {
      for (int r = 0; r < kGroup; ++r) at[r] = next(slots[at[r]], ranks + r);
    }
    for (int r = 0; r < kGroup; ++r) leaves[r] = nodes_[at[r]];
  }

 private:
  static constexpr std::uint16_t kLast = std::numeric_limits<std::uint16_t>::max();

  // A node as the walk reads it: where a yes leads, with the no behind it. A leaf leads to itself.
  struct Slot {
    std::uint16_t rank;
    std::uint16_t column;
    std::uint32_t yes;
  };

  struct Column {
    std::int32_t feature;
    bool missing_yes;
    std::size_t begin, end;  // of thresholds_
  };

  static std::uint32_t next(const Slot& slot, const std::uint16_t* ranks) {
    return slot.yes + (ranks[std::size_t{slot.column} * kBlock] > slot.rank ? 1U : 0U);
  }

  bool number_thresholds(const Forest& forest) {
    std::map<std::pair<std::int32_t, bool>, std::size_t> found;
    std::map<std::int32_t, std::vector<T>> own;
    for (std::size_t i = 0; i < forest.comparisons.size(); ++i) {
      if (forest.is_leaf(i)) continue;
      own[forest.features[i]].push_back(static_cast<T>(forest.thresholds[i]));
      found[{forest.features[i], forest.missing_yes[i] != 0}] = 0;
    }
    std::map<std::int32_t, std::pair<std::size_t, std::size_t>> placed;
    for (auto& [feature, values] : own) {
      std::sort(values.begin(), values.end());
      values.erase(std::unique(values.begin(), values.end()), values.end());
      // A leaf's rank is above all others.
      if (values.size() >= kLast) return false;
      placed[feature] = {thresholds_.size(), thresholds_.size() + values.size()};
      thresholds_.insert(thresholds_.end(), values.begin(), values.end());
    }
    if (found.size() > kLast) return false;
    for (auto& [key, column] : found) {
      column = columns_.size();
      const auto [begin, end] = placed[key.first];
      columns_.push_back({key.first, key.second, begin, end});
    }
    column_of_.reserve(forest.comparisons.size());
    for (std::size_t i = 0; i < forest.comparisons.size(); ++i) {
      const bool leaf = forest.is_leaf(i);
      column_of_.push_back(leaf ? 0
                                : static_cast<std::uint16_t>(
                                      found[{forest.features[i], forest.missing_yes[i] != 0}]));
    }
    return true;
  }

  // The children of each branch side by side. Where paths meet, a node has a slot for each branch
  // that leads to it, all of which lead on to the same place.
  bool place_nodes(const Forest& forest) {
    constexpr std::uint32_t kNowhere = std::numeric_limits<std::uint32_t>::max();
    if (forest.comparisons.size() > kNowhere / 4) return false;
    std::vector<std::uint32_t> pairs(forest.comparisons.size(), kNowhere);
    for (const std::int32_t root : forest.roots) {
      roots_.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back(root);
      // Level by level, so that the slots of a tree lie together and its top first.
      for (std::size_t at = roots_.back(); at < nodes_.size(); ++at) {
        const auto node = static_cast<std::size_t>(nodes_[at]);
        if (forest.is_leaf(node) || pairs[node] != kNowhere) continue;
        pairs[node] = static_cast<std::uint32_t>(nodes_.size());
        nodes_.push_back(forest.yes[node]);
        nodes_.push_back(forest.no[node]);
      }
    }
    for (std::size_t at = 0; at < nodes_.size(); ++at) {
      const auto node = static_cast<std::size_t>(nodes_[at]);
      if (forest.is_leaf(node)) {
        slots_.push_back({kLast, 0, static_cast<std::uint32_t>(at)});
        continue;
      }
      const Column& column = columns_[column_of_[node]];
      const auto begin = thresholds_.begin() + static_cast<std::ptrdiff_t>(column.begin);
      const auto end = thresholds_.begin() + static_cast<std::ptrdiff_t>(column.end);
      const auto found = std::lower_bound(begin, end, static_cast<T>(forest.thresholds[node]));
      slots_.push_back({static_cast<std::uint16_t>(found - begin), column_of_[node], pairs[node]});
    }
    column_of_.clear();
    measure_depths(forest);
    return true;
  }

  // The most branches on a way from each root to a leaf; no path comes back to a node.
  void measure_depths(const Forest& forest) {
    std::vector<std::int32_t> depths(forest.comparisons.size(), -1);
    std::vector<std::int32_t> pending;
    const auto depth = [&](std::int32_t node) -> std::int32_t& {
      return depths[static_cast<std::size_t>(node)];
    };
    for (const std::int32_t root : forest.roots) {
      pending.push_back(root);
      while (!pending.empty()) {
        const std::int32_t node = pending.back();
        const bool leaf = forest.is_leaf(static_cast<std::size_t>(node));
        const std::int32_t yes = leaf ? node : forest.yes[static_cast<std::size_t>(node)];
        const std::int32_t no = leaf ? node : forest.no[static_cast<std::size_t>(node)];
        if (leaf || (depth(yes) >= 0 && depth(no) >= 0)) {
          depth(node) = leaf ? 0 : 1 + std::max(depth(yes), depth(no));
          pending.pop_back();
          continue;
        }
        if (depth(yes) < 0) pending.push_back(yes);
        if (depth(no) < 0) pending.push_back(no);
      }
      depths_.push_back(depth(root));
    }
  }

  bool strict_ = false;
  std::vector<T> thresholds_;  // of each feature, growing
  std::vector<Column> columns_;
  std::vector<std::uint16_t> column_of_;
  std::vector<Slot> slots_;
  std::vector<std::int32_t> nodes_;  // of the forest, by slot
  std::vector<std::uint32_t> roots_;
  std::vector<std::int32_t> depths_;  // of trees
};

}  // namespace pyrec
