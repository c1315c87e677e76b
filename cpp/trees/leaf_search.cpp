#include "trees/leaf_search.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <numeric>
#include <span>

#include "trees/planes.h"

namespace pyrec {

namespace {

constexpr std::size_t kMostRank = 255;
// A part of a scale, which windows of ranks divide.
constexpr std::size_t kMostThresholds = 256 * kMostRank;
constexpr std::size_t kMostAnswers = 8;
constexpr std::size_t kMostColumns = std::numeric_limits<std::uint16_t>::max();

using FeatureKey = std::pair<std::int32_t, bool>;

}  // namespace

class LeafSearch::Builder {
 public:
  Builder(const Forest& forest, LeafSearch& made) : forest_(forest), made_(made) {
    for (std::size_t i = 0; i < forest.comparisons.size(); ++i) {
      const Comparison how = forest.comparisons[i];
      if (is_ordered(how)) thresholds_[key_of(i)].push_back(forest.thresholds[i]);
    }
    for (auto& [key, values] : thresholds_) {
      std::sort(values.begin(), values.end());
      values.erase(std::unique(values.begin(), values.end()), values.end());
      scale_of_[key] = made_.scales_.size();
      const std::span<const double> all(values);
      for (std::size_t i = 0; i < all.size(); i += kMostThresholds) {
        const std::span part = all.subspan(i, std::min(kMostThresholds, all.size() - i));
        made_.scales_.push_back({key.first, Scale(part, key.second)});
      }
    }
    for (std::int32_t root : forest.roots) add(root);
    sort_columns();
  }

 private:
  // Strikes the leaves [begin, end) out of rows whose rank is not below the limit.
  struct Strike {
    std::uint16_t column;
    std::int8_t limit;
    bool yes_first;
    std::size_t begin, end;
    unsigned test = 0;  // of the tree's different ones
  };

  void add(std::int32_t root) {
    leaves_.clear();
    strikes_.clear();
    const std::size_t columns = made_.columns_.size();
    Tree tree{made_.tests_.size(), made_.counts_.size(), made_.leaves_.size()};
    steps_ = 0;
    if (lay_out(static_cast<std::size_t>(root), 0)) {
      tree.steps = steps_ / leaves_.size();
      tree.planes = (leaves_.size() + 7) / 8;
      tree.by_answers = tree.planes > 1 && number_tests();
      if (tree.by_answers) {
        add_answers(static_cast<std::size_t>(root));
      } else {
        for (std::size_t plane = tree.planes; plane-- > 0;) add_plane(plane);
      }
      made_.leaves_.insert(made_.leaves_.end(), leaves_.begin(), leaves_.end());
    } else {
      forget_columns(columns);
    }
    made_.trees_.push_back(tree);
  }

  // Brings those of a scale together, whose values are placed once.
  void sort_columns() {
    std::vector<std::uint16_t> order(made_.columns_.size()), moved(order.size());
    std::iota(order.begin(), order.end(), std::uint16_t{0});
    std::sort(order.begin(), order.end(), [this](std::uint16_t a, std::uint16_t b) {
      return made_.columns_[a] < made_.columns_[b];
    });
    std::vector<Column> sorted;
    for (std::uint16_t old : order) {
      moved[old] = static_cast<std::uint16_t>(sorted.size());
      sorted.push_back(made_.columns_[old]);
    }
    for (LeafTest& test : made_.tests_) test.column = moved[test.column];
    made_.columns_ = std::move(sorted);
  }

  // Tells the tree's different tests apart; false where they are more than a byte has bits, or have
  // many more sets of answers than the tree has leaves.
  bool number_tests() {
    different_.clear();
    for (Strike& strike : strikes_) {
      const LeafTest wanted{strike.column, strike.limit, 0};
      const auto same = [&](const LeafTest& test) { return is_same(test, wanted); };
      const auto found = std::find_if(different_.begin(), different_.end(), same);
      strike.test = static_cast<unsigned>(found - different_.begin());
      if (found != different_.end()) continue;
      if (different_.size() == kMostAnswers) return false;
      different_.push_back(
          {strike.column, strike.limit, static_cast<std::uint8_t>(1u << strike.test)});
    }
    return std::size_t{1} << different_.size() <= 2 * leaves_.size();
  }

  // Makes of the leaves those of all answers.
  void add_answers(std::size_t root) {
    made_.tests_.insert(made_.tests_.end(), different_.begin(), different_.end());
    leaves_.assign(std::size_t{1} << different_.size(), 0);
    std::size_t strikes = strikes_.size();
    place_leaves(root, 0, 0, strikes);
  }

  // Puts the leaves below a node in the places of all answers with these bits and without those.
  // The strikes of what is below lie in front of its own, those of a no last.
  void place_leaves(std::size_t node, unsigned with, unsigned without, std::size_t& strikes) {
    if (forest_.comparisons[node] == Comparison::kLeaf) {
      for (unsigned answers = 0; answers < leaves_.size(); ++answers) {
        if ((answers & with) != with || (answers & without) != 0) continue;
        leaves_[answers] = static_cast<std::int32_t>(node);
      }
      return;
    }
    const Strike& strike = strikes_[--strikes];
    const unsigned bit = 1u << strike.test;
    const unsigned yes = strike.yes_first ? bit : 0, no = bit ^ yes;
    place_leaves(static_cast<std::size_t>(forest_.no[node]), with | no, without | yes, strikes);
    place_leaves(static_cast<std::size_t>(forest_.yes[node]), with | yes, without | no, strikes);
  }

  static bool is_same(const LeafTest& a, const LeafTest& b) {
    return a.column == b.column && a.limit == b.limit;
  }

  // The tests of one byte of the set of leaves, of the last first, so that the first that is left
  // is what stays.
  void add_plane(std::size_t plane) {
    std::uint16_t count = 0;
    for (const Strike& strike : strikes_) {
      const std::uint8_t kept = kept_of(plane, strike.begin, strike.end);
      if (kept == kAllKept) continue;
      const LeafTest test{strike.column, strike.limit, kept};
      const auto own = made_.tests_.end() - count;
      const auto same = [&](const LeafTest& other) { return is_same(other, test); };
      if (const auto found = std::find_if(own, made_.tests_.end(), same);
          found != made_.tests_.end()) {
        found->keep &= test.keep;
        continue;
      }
      made_.tests_.push_back(test);
      ++count;
    }
    made_.counts_.push_back(count);
  }

  // Adds the leaves below a node and what strikes them out; false where there are too many. Paths
  // that meet are told apart.
  bool lay_out(std::size_t node, std::size_t depth) {
    const Comparison how = forest_.comparisons[node];
    if (how == Comparison::kLeaf) {
      leaves_.push_back(static_cast<std::int32_t>(node));
      steps_ += depth;
      return leaves_.size() <= kMostLeaves;
    }
    if (depth >= kMostLeaves || !is_ordered(how)) return false;
    const std::size_t begin = leaves_.size(), strikes = strikes_.size();
    if (!lay_out(static_cast<std::size_t>(forest_.yes[node]), depth + 1)) return false;
    const std::size_t middle = leaves_.size(), inner = strikes_.size();
    if (!lay_out(static_cast<std::size_t>(forest_.no[node]), depth + 1)) return false;
    const std::size_t end = leaves_.size();
    bool yes_first = true;
    std::size_t first = middle - begin;
    if (end - middle < first) {
      yes_first = false;
      swap_sides(begin, middle, strikes, inner);
      first = end - middle;
    }
    return strike(node, yes_first, begin, begin + first);
  }

  // Puts the leaves from `middle` on in front of those from `begin` on.
  void swap_sides(std::size_t begin, std::size_t middle, std::size_t strikes, std::size_t inner) {
    const std::size_t second = leaves_.size() - middle, first = middle - begin;
    const auto at = [&](std::size_t place) {
      return leaves_.begin() + static_cast<std::ptrdiff_t>(place);
    };
    std::rotate(at(begin), at(middle), leaves_.end());
    for (std::size_t i = strikes; i < strikes_.size(); ++i) {
      Strike& moved = strikes_[i];
      moved.begin = i < inner ? moved.begin + second : moved.begin - first;
      moved.end = i < inner ? moved.end + second : moved.end - first;
    }
  }

  // What strikes the first side of a branch out where the answer chooses the other.
  bool strike(std::size_t node, bool yes_first, std::size_t begin, std::size_t end) {
    const Comparison how = forest_.comparisons[node];
    const FeatureKey key = key_of(node);
    const std::vector<double>& values = thresholds_[key];
    const auto found = std::lower_bound(values.begin(), values.end(), forest_.thresholds[node]);
    const auto place = static_cast<std::size_t>(found - values.begin());
    const bool missing_first = is_below(how) == (forest_.missing_yes[node] != 0);
    const bool reversed = is_below(how) != yes_first;
    const std::size_t within = place % kMostRank, of_part = place % kMostThresholds;
    const Column column{scale_of_[key] + place / kMostThresholds, of_part - within, missing_first,
                        reversed};
    const std::size_t number = column_of(column);
    if (number >= kMostColumns) return false;
    const int below = static_cast<int>(within) - 127;
    const int limit = reversed ? -below : below;
    strikes_.push_back({static_cast<std::uint16_t>(number), static_cast<std::int8_t>(limit),
                        yes_first, begin, end});
    return true;
  }

  FeatureKey key_of(std::size_t node) const {
    return {forest_.features[node], is_strict(forest_.comparisons[node])};
  }

  std::size_t column_of(const Column& column) {
    const auto [at, is_new] = numbers_.try_emplace(column, made_.columns_.size());
    if (is_new) made_.columns_.push_back(column);
    return at->second;
  }

  // Those of a tree that is walked after all.
  void forget_columns(std::size_t kept) {
    std::erase_if(numbers_, [&](const auto& entry) { return entry.second >= kept; });
    made_.columns_.resize(kept);
  }

  const Forest& forest_;
  LeafSearch& made_;
  std::map<FeatureKey, std::vector<double>> thresholds_;
  std::map<FeatureKey, std::size_t> scale_of_;
  std::map<Column, std::size_t> numbers_;
  std::vector<std::int32_t> leaves_;
  std::vector<Strike> strikes_;
  std::vector<LeafTest> different_;
  std::size_t steps_ = 0;  // to all leaves
};

LeafSearch::LeafSearch(const Forest& forest) { Builder(forest, *this); }

template <class T>
void LeafSearch::rank(const Kernels& kernels, const T* rows, std::int64_t count, std::int64_t width,
                      std::int8_t* ranks) const {
  std::array<std::uint16_t, kForestRows> places;
  std::size_t placed = scales_.size();
  const auto given = static_cast<std::size_t>(count), step = static_cast<std::size_t>(width);
  for (const Column& column : columns_) {
    const auto& [feature, scale] = scales_[column.scale];
    const auto missing = static_cast<std::uint16_t>(scale.size() + 1);
    if (column.scale != placed) {
      placed = column.scale;
      scale.find(kernels, rows + feature, step, given, missing, places.data());
    }
    const std::uint8_t absent = column.missing_first ? 0 : kMostRank;
    const PlaceWindow window{static_cast<std::uint16_t>(column.first), missing, absent,
                             column.reversed};
    kernels.rank_places_i8(window, places.data(), given, ranks);
    ranks += kForestRows;
  }
}

template void LeafSearch::rank(const Kernels&, const float*, std::int64_t, std::int64_t,
                               std::int8_t*) const;
template void LeafSearch::rank(const Kernels&, const double*, std::int64_t, std::int64_t,
                               std::int8_t*) const;

}  // namespace pyrec
