#include "trees/ranked_forest.h"

#include <array>
#include <map>
#include <span>
#include <utility>

namespace pyrec {

class RankedForest::Builder {
 public:
  Builder(const Forest& forest, RankedForest& made) : forest_(forest), made_(made) {}

  bool build() {
    if (!number_thresholds() || !place_nodes()) return false;
    measure_depths();
    return true;
  }

 private:
  using Key = std::pair<std::int32_t, bool>;  // feature, and whether it is less than what it equals

  Key key_of(std::size_t node) const {
    return {forest_.features[node], is_strict(forest_.comparisons[node])};
  }
  // Whether what is missing goes the way of the least numbers.
  bool missing_first(std::size_t node) const {
    return is_below(forest_.comparisons[node]) == (forest_.missing_yes[node] != 0);
  }

  bool number_thresholds() {
    for (std::size_t i = 0; i < forest_.comparisons.size(); ++i) {
      if (forest_.is_leaf(i)) continue;
      if (!is_ordered(forest_.comparisons[i])) return false;
      thresholds_[key_of(i)].push_back(forest_.thresholds[i]);
      columns_[{key_of(i), missing_first(i)}] = 0;
    }
    std::map<Key, std::size_t> scales;
    for (auto& [key, values] : thresholds_) {
      std::sort(values.begin(), values.end());
      values.erase(std::unique(values.begin(), values.end()), values.end());
      // A leaf's rank is above all others.
      if (values.size() >= kLast) return false;
      scales[key] = made_.scales_.size();
      made_.scales_.emplace_back(values, key.second);
    }
    if (columns_.size() > kLast) return false;
    for (auto& [key, column] : columns_) {
      column = static_cast<std::uint16_t>(made_.columns_.size());
      made_.columns_.push_back({key.first.first, key.second, scales[key.first]});
    }
    return true;
  }

  // The children of each branch side by side. Where paths meet, a node has a slot for each branch
  // that leads to it, all of which lead on to the same place.
  bool place_nodes() {
    constexpr std::uint32_t kNowhere = std::numeric_limits<std::uint32_t>::max();
    if (forest_.comparisons.size() > kNowhere / 4) return false;
    std::vector<std::uint32_t> pairs(forest_.comparisons.size(), kNowhere);
    std::vector<std::int32_t>& nodes = made_.nodes_;
    for (const std::int32_t root : forest_.roots) {
      made_.roots_.push_back(static_cast<std::uint32_t>(nodes.size()));
      nodes.push_back(root);
      // Level by level, so that the slots of a tree lie together and its top first.
      for (std::size_t at = made_.roots_.back(); at < nodes.size(); ++at) {
        const auto node = static_cast<std::size_t>(nodes[at]);
        if (forest_.is_leaf(node) || pairs[node] != kNowhere) continue;
        pairs[node] = static_cast<std::uint32_t>(nodes.size());
        const bool below = is_below(forest_.comparisons[node]);
        nodes.push_back(below ? forest_.yes[node] : forest_.no[node]);
        nodes.push_back(below ? forest_.no[node] : forest_.yes[node]);
      }
    }
    for (std::size_t at = 0; at < nodes.size(); ++at) {
      const auto node = static_cast<std::size_t>(nodes[at]);
      if (forest_.is_leaf(node)) {
        made_.slots_.push_back({kLast, 0, static_cast<std::uint32_t>(at)});
        continue;
      }
      const std::uint16_t number = columns_[{key_of(node), missing_first(node)}];
      const std::vector<double>& values = thresholds_[key_of(node)];
      const auto found = std::lower_bound(values.begin(), values.end(), forest_.thresholds[node]);
      const auto rank = static_cast<std::uint16_t>(found - values.begin());
      made_.slots_.push_back({rank, number, pairs[node]});
    }
    return true;
  }

  // The most branches on a way from each root to a leaf; no path comes back to a node.
  void measure_depths() {
    std::vector<std::int32_t> depths(forest_.comparisons.size(), -1);
    std::vector<std::int32_t> pending;
    const auto depth = [&](std::int32_t node) -> std::int32_t& {
      return depths[static_cast<std::size_t>(node)];
    };
    for (const std::int32_t root : forest_.roots) {
      pending.push_back(root);
      while (!pending.empty()) {
        const std::int32_t node = pending.back();
        const bool leaf = forest_.is_leaf(static_cast<std::size_t>(node));
        const std::int32_t yes = leaf ? node : forest_.yes[static_cast<std::size_t>(node)];
        const std::int32_t no = leaf ? node : forest_.no[static_cast<std::size_t>(node)];
        if (leaf || (depth(yes) >= 0 && depth(no) >= 0)) {
          depth(node) = leaf ? 0 : 1 + std::max(depth(yes), depth(no));
          pending.pop_back();
          continue;
        }
        if (depth(yes) < 0) pending.push_back(yes);
        if (depth(no) < 0) pending.push_back(no);
      }
      made_.depths_.push_back(depth(root));
    }
  }

  const Forest& forest_;
  RankedForest& made_;
  std::map<Key, std::vector<double>> thresholds_;
  std::map<std::pair<Key, bool>, std::uint16_t> columns_;
};

std::optional<RankedForest> RankedForest::make(const Forest& forest) {
  RankedForest made;
  if (!Builder(forest, made).build()) return std::nullopt;
  return made;
}

template <class T>
void RankedForest::rank(const Kernels& kernels, const T* rows, std::int64_t width,
                        std::int64_t count, std::uint16_t* ranks, std::int64_t column_step,
                        std::int64_t row_step) const {
  std::array<std::uint16_t, kBlock> places;
  std::size_t placed = scales_.size();
  for (const Column& column : columns_) {
    const Scale& scale = scales_[column.scale];
    const auto missing = static_cast<std::uint16_t>(scale.size() + 1);
    if (column.scale != placed) {
      placed = column.scale;
      scale.find(kernels, rows + column.feature, static_cast<std::size_t>(width),
                 static_cast<std::size_t>(count), missing, places.data());
    }
    std::uint16_t* to = ranks + (&column - columns_.data()) * column_step;
    for (std::int64_t r = 0; r < count; ++r, to += row_step) {
      const std::uint16_t place = places[static_cast<std::size_t>(r)];
      *to = column.missing_first && place == missing ? std::uint16_t{0} : place;
    }
  }
}

template void RankedForest::rank(const Kernels&, const float*, std::int64_t, std::int64_t,
                                 std::uint16_t*, std::int64_t, std::int64_t) const;
template void RankedForest::rank(const Kernels&, const double*, std::int64_t, std::int64_t,
                                 std::uint16_t*, std::int64_t, std::int64_t) const;

}  // namespace pyrec
