#pragma once

// Forests of decision trees.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pyrec {

// As the IR numbers them; a test of categories comes as a chain of equalities.
enum class Comparison : std::uint8_t {
  kLessEqual,
  kLess,
  kGreaterEqual,
  kGreater,
  kEqual,
  kNotEqual,
  kMember,
  kLeaf,
};

inline bool is_ordered(Comparison how) { return how <= Comparison::kGreater; }
// Whether a number that equals the threshold is taken for larger.
inline bool is_strict(Comparison how) {
  return how == Comparison::kLess || how == Comparison::kGreaterEqual;
}
// Whether numbers below the threshold are answered with yes.
inline bool is_below(Comparison how) {
  return how == Comparison::kLess || how == Comparison::kLessEqual;
}

enum class Aggregate { kAverage, kSum, kMin, kMax };

// The IR's forest. That no path comes back to a node is proved there; here it is made sure that
// nothing is read outside of the arrays.
struct Forest {
  std::vector<Comparison> comparisons;
  std::vector<std::uint8_t> missing_yes;
  std::vector<double> thresholds;
  std::vector<std::int32_t> features;
  std::vector<std::int32_t> yes;
  std::vector<std::int32_t> no;
  std::vector<std::int32_t> roots;
  std::vector<std::int32_t> vote_start;  // votes of node i: vote_start[i] up to vote_start[i + 1]
  std::vector<std::int32_t> vote_target;
  std::vector<double> vote_weight;
  std::vector<double> base;
  std::int64_t targets = 1;
  std::int64_t width = 0;  // least number of features
  bool wide = false;       // thresholds are float64
  Aggregate aggregate = Aggregate::kSum;

  bool is_leaf(std::size_t node) const { return comparisons[node] == Comparison::kLeaf; }
};

}  // namespace pyrec
