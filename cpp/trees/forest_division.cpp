#include "trees/forest_division.h"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>

#include "trees/planes.h"

namespace pyrec {

namespace {

constexpr std::uint8_t kMostRank = 255;
constexpr std::int32_t kMostPlace = std::numeric_limits<std::uint16_t>::max();
constexpr std::size_t kMostLeaves = 256;

static_assert(sizeof(LeafTest) == 2 * sizeof(std::uint16_t) &&
              alignof(LeafTest) == alignof(std::uint16_t));

void require(bool fits) {
  if (!fits) throw std::invalid_argument("the division of the forest does not fit together");
}

}  // namespace

// Of one tree.
class ForestDivision::Pruner {
 public:
  Pruner(const std::int8_t* ranks, std::size_t early, std::uint16_t* leaves)
      : ranks_(ranks), early_(early), leaves_(leaves) {}

  void keep(const Entry* entry) {
    while (!entry->leaf && entry->column < early_) {
      entry += ranks_[entry->column] < entry->limit ? 1 : entry->next;
    }
    if (entry->leaf) {
      leaves_[count_++] = static_cast<std::uint16_t>(entry->next);
      return;
    }
    const std::size_t begin = count_;
    keep(entry + 1);
    const std::size_t middle = count_;
    keep(entry + entry->next);
    const auto column = static_cast<std::uint16_t>(entry->column - early_);
    strikes_[struck_++] = {begin, middle, column, entry->limit};
  }

  // Writes counts and tests behind the leaves, and gives where they end.
  std::uint16_t* write_tests() const {
    const std::size_t planes = (count_ + 7) / 8;
    std::uint16_t* counts = leaves_ + count_;
    std::uint16_t* words = counts + planes;
    for (std::size_t plane = planes; plane-- > 0;) {
      std::uint16_t count = 0;
      for (std::size_t i = 0; i < struck_; ++i) {
        const Strike& strike = strikes_[i];
        const unsigned kept = kept_of(plane, strike.begin, strike.end);
        if (kept == kAllKept) continue;
        *words++ = strike.column;
        *words++ =
            static_cast<std::uint16_t>(static_cast<std::uint8_t>(strike.limit) | (kept << 8));
        ++count;
      }
      *counts++ = count;
    }
    return words;
  }

  std::size_t count() const { return count_; }

 private:
  // Strikes the leaves [begin, end) out of rows whose rank is not below the limit.
  struct Strike {
    std::size_t begin, end;
    std::uint16_t column;
    std::int8_t limit;
  };

  const std::int8_t* ranks_;
  std::size_t early_;
  std::uint16_t* leaves_;
  std::size_t count_ = 0, struck_ = 0;
  std::array<Strike, kMostLeaves> strikes_;
};

ForestDivision::ForestDivision(const Parts& parts)
    : early_scales_(parts.early_scales),
      late_scales_(parts.late_scales),
      state_words_(parts.state_words) {
  const std::size_t columns = parts.column_scales.size(), count = parts.entry_columns.size();
  require(columns <= std::numeric_limits<std::uint16_t>::max() &&
          parts.column_first.size() == columns && parts.column_missing.size() == columns &&
          parts.missing_first.size() == columns && parts.reversed_ranks.size() == columns &&
          parts.entry_limits.size() == count && parts.entry_next.size() == count &&
          parts.early_columns >= 0 && static_cast<std::size_t>(parts.early_columns) <= columns &&
          !parts.tree_start.empty() && parts.tree_start.front() == 0 &&
          static_cast<std::size_t>(parts.tree_start.back()) == count);
  for (std::size_t i = 0; i < columns; ++i) {
    const bool early = static_cast<std::int64_t>(i) < parts.early_columns;
    const std::int32_t first = parts.column_first[i], missing = parts.column_missing[i];
    require(parts.column_scales[i] >= 0 && first >= 0 && first <= kMostPlace && missing >= 0 &&
            missing <= kMostPlace &&
            parts.column_scales[i] < (early ? early_scales_ : late_scales_));
    const PlaceWindow window{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(missing),
                             parts.missing_first[i] != 0 ? std::uint8_t{0} : kMostRank,
                             parts.reversed_ranks[i] != 0};
    (early ? early_ : late_).push_back({parts.column_scales[i], window});
  }
  std::int64_t words = 0;
  for (std::size_t tree = 0; tree + 1 < parts.tree_start.size(); ++tree) {
    const auto begin = static_cast<std::int64_t>(parts.tree_start[tree]);
    const auto end = static_cast<std::int64_t>(parts.tree_start[tree + 1]);
    require(begin < end && end <= static_cast<std::int64_t>(count));
    starts_.push_back(static_cast<std::size_t>(begin));
    first_leaf_.push_back(nodes_.size());
    // Where the subtrees end that an entry is in, the innermost last: each entry is the root of
    // one.
    std::vector<std::int64_t> ends{end};
    for (std::int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::int32_t column = parts.entry_columns[at], next = parts.entry_next[at];
      require(!ends.empty() && column < static_cast<std::int32_t>(columns));
      if (column < 0) {
        require(ends.back() == i + 1 && next >= 0);
        ends.pop_back();
        const std::size_t number = nodes_.size() - first_leaf_.back();
        entries_.push_back({static_cast<std::int32_t>(number), 0, 0, true});
        nodes_.push_back(next);
        continue;
      }
      require(next > 1 && i + next < ends.back());
      ends.push_back(i + next);
      entries_.push_back({next, static_cast<std::uint16_t>(column), parts.entry_limits[at], false});
      if (column >= parts.early_columns) words += 2 * ((next / 2 + 6) / 8 + 1);
    }
    const std::size_t leaves = nodes_.size() - first_leaf_.back();
    require(ends.empty() && leaves <= kMostLeaves);
    words += static_cast<std::int64_t>(1 + leaves + (leaves + 7) / 8);
  }
  require(words == state_words_);
  starts_.push_back(count);
  first_leaf_.push_back(nodes_.size());
}

void ForestDivision::rank(const Kernels& kernels, bool late, const std::uint16_t* places,
                          std::size_t rows, std::size_t count, std::int8_t* ranks) const {
  for (const Column& column : late ? late_ : early_) {
    const std::uint16_t* own = places + static_cast<std::size_t>(column.scale) * rows;
    kernels.rank_places_i8(column.window, own, count, ranks);
    ranks += rows;
  }
}

void ForestDivision::prune(const std::int8_t* ranks, std::uint16_t* words) const {
  for (std::size_t tree = 0; tree < trees(); ++tree) {
    Pruner pruner(ranks, early_.size(), words + 1);
    pruner.keep(entries_.data() + starts_[tree]);
    *words = static_cast<std::uint16_t>(pruner.count());
    words = pruner.count() > 1 ? pruner.write_tests() : words + 2;
  }
}

ForestDivision::Pruned ForestDivision::next(const std::uint16_t*& words) {
  Pruned tree;
  const std::size_t leaves = *words++;
  tree.leaves = {words, leaves};
  words += leaves;
  if (leaves == 1) return tree;
  tree.planes = (leaves + 7) / 8;
  tree.counts = words;
  words += tree.planes;
  tree.tests = reinterpret_cast<const LeafTest*>(words);
  for (std::size_t plane = 0; plane < tree.planes; ++plane) words += 2 * tree.counts[plane];
  return tree;
}

}  // namespace pyrec
