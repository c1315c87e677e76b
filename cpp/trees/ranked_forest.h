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

namespace pyrec {

template <class T>
class RankedForest {
 public:
  static constexpr int kGroup = 8;   // rows that go down a tree together
  static constexpr int kBlock = 64;  // rows whose ranks are made together

  struct Nodes {
    std::span<const std::uint8_t> leaf;
    std::span<const std::uint8_t> missing_yes;
    std::span<const double> thresholds;
    std::span<const std::int32_t> features;
    std::span<const std::int32_t> yes;
    std::span<const std::int32_t> no;
    std::span<const std::int32_t> roots;
    bool strict;  // whether a feature has to be less than a threshold, which it may equal else
  };

  // None where ranks, columns or nodes are more than their numbers can tell.
  static std::optional<RankedForest> make(const Nodes& nodes) {
    RankedForest made;
    made.strict_ = nodes.strict;
    if (!made.number_thresholds(nodes) || !made.place_nodes(nodes)) return std::nullopt;
    return made;
  }

  std::size_t columns() const { return columns_.size(); }

  // Ranks [columns, kBlock] of `count` rows of that width.
  void rank(const T* rows, std::int64_t width, std::int64_t count, std::uint16_t* ranks) const {
    std::size_t step = 1;
    for (std::size_t c = 0; c < columns_.size(); c += step) {
      const Column& column = columns_[c];
      step = c + 1 < columns_.size() && columns_[c + 1].feature == column.feature ? 2 : 1;
      for (std::int64_t r = 0; r < count; r += kGroup) {
        Values values;
        for (int i = 0; i < kGroup; ++i) {
          values[static_cast<std::size_t>(i)] =
              rows[std::min(r + i, count - 1) * width + column.feature];
        }
        const Places found = strict_ ? search<true>(column, values) : search<false>(column, values);
        for (std::size_t own = c; own < c + step; ++own) {
          std::uint16_t* to = ranks + own * kBlock + r;
          for (std::size_t i = 0; i < kGroup; ++i) {
            const bool none = columns_[own].missing_yes && values[i] != values[i];
            to[i] = static_cast<std::uint16_t>(none ? 0 : found[i]);
          }
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

  using Values = std::array<T, kGroup>;
  using Places = std::array<std::uint32_t, kGroup>;

  // How many thresholds each value is beyond; without branches, which nothing could predict.
  template <bool kStrict>
  Places search(const Column& column, const Values& values) const {
    const T* thresholds = thresholds_.data() + column.begin;
    Places at{};
    const auto beyond = [&](std::size_t i, std::uint32_t place) {
      const T threshold = thresholds[place];
      return std::uint32_t{kStrict ? !(values[i] < threshold) : !(values[i] <= threshold)};
    };
    auto left = static_cast<std::uint32_t>(column.end - column.begin);
    for (; left > 1; left -= left / 2) {
      const std::uint32_t half = left / 2;
      for (std::size_t i = 0; i < kGroup; ++i) at[i] += half & (0U - beyond(i, at[i] + half - 1));
    }
    for (std::size_t i = 0; i < kGroup; ++i) at[i] += beyond(i, at[i]);
    return at;
  }

  bool number_thresholds(const Nodes& nodes) {
    std::map<std::pair<std::int32_t, bool>, std::size_t> found;
    std::map<std::int32_t, std::vector<T>> own;
    for (std::size_t i = 0; i < nodes.leaf.size(); ++i) {
      if (nodes.leaf[i] != 0) continue;
      own[nodes.features[i]].push_back(static_cast<T>(nodes.thresholds[i]));
      found[{nodes.features[i], nodes.missing_yes[i] != 0}] = 0;
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
    column_of_.reserve(nodes.leaf.size());
    for (std::size_t i = 0; i < nodes.leaf.size(); ++i) {
      const bool leaf = nodes.leaf[i] != 0;
      column_of_.push_back(
          leaf ? 0
               : static_cast<std::uint16_t>(found[{nodes.features[i], nodes.missing_yes[i] != 0}]));
    }
    return true;
  }

  // The children of each branch side by side. Where paths meet, a node has a slot for each branch
  // that leads to it, all of which lead on to the same place.
  bool place_nodes(const Nodes& nodes) {
    constexpr std::uint32_t kNowhere = std::numeric_limits<std::uint32_t>::max();
    if (nodes.leaf.size() > kNowhere / 4) return false;
    std::vector<std::uint32_t> pairs(nodes.leaf.size(), kNowhere);
    for (const std::int32_t root : nodes.roots) {
      roots_.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back(root);
      // Level by level, so that the slots of a tree lie together and its top first.
      for (std::size_t at = roots_.back(); at < nodes_.size(); ++at) {
        const auto node = static_cast<std::size_t>(nodes_[at]);
        if (nodes.leaf[node] != 0 || pairs[node] != kNowhere) continue;
        pairs[node] = static_cast<std::uint32_t>(nodes_.size());
        nodes_.push_back(nodes.yes[node]);
        nodes_.push_back(nodes.no[node]);
      }
    }
    for (std::size_t at = 0; at < nodes_.size(); ++at) {
      const auto node = static_cast<std::size_t>(nodes_[at]);
      if (nodes.leaf[node] != 0) {
        slots_.push_back({kLast, 0, static_cast<std::uint32_t>(at)});
        continue;
      }
      const Column& column = columns_[column_of_[node]];
      const auto begin = thresholds_.begin() + static_cast<std::ptrdiff_t>(column.begin);
      const auto end = thresholds_.begin() + static_cast<std::ptrdiff_t>(column.end);
      const auto found = std::lower_bound(begin, end, static_cast<T>(nodes.thresholds[node]));
      slots_.push_back({static_cast<std::uint16_t>(found - begin), column_of_[node], pairs[node]});
    }
    column_of_.clear();
    measure_depths(nodes);
    return true;
  }

  // The most branches on a way from each root to a leaf; no path comes back to a node.
  void measure_depths(const Nodes& nodes) {
    std::vector<std::int32_t> depths(nodes.leaf.size(), -1);
    std::vector<std::int32_t> pending;
    const auto depth = [&](std::int32_t node) -> std::int32_t& {
      return depths[static_cast<std::size_t>(node)];
    };
    for (const std::int32_t root : nodes.roots) {
      pending.push_back(root);
      while (!pending.empty()) {
        const std::int32_t node = pending.back();
        const bool leaf = nodes.leaf[static_cast<std::size_t>(node)] != 0;
        const std::int32_t yes = leaf ? node : nodes.yes[static_cast<std::size_t>(node)];
        const std::int32_t no = leaf ? node : nodes.no[static_cast<std::size_t>(node)];
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
