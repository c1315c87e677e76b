#include "selection/diversity.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <utility>

#include "core/watch.h"

namespace pyrec {

namespace {

// An item, and what it was worth beside the first so many that were chosen: since then it may be
// worth less, never more.
struct Waiting {
  double value;
  std::size_t item;
  std::size_t seen;
  double most_alike;

  bool operator<(const Waiting& other) const {
    return value < other.value || (value == other.value && item > other.item);
  }
};

// What each item adds beside those that were chosen, which gets less with each of them: worked out
// no further than it takes to know who adds most.
class Gains {
 public:
  Gains(const Determinant& determinant, const Alike& alike)
      : determinant_(determinant),
        alike_(alike),
        gains_(determinant.own.size()),
        parts_(determinant.own.size()),
        least_(determinant.own.size()) {
    for (std::size_t item = 0; item < gains_.size(); ++item) {
      gains_[item] = determinant.weights[item] * determinant.weights[item] * determinant.own[item];
      least_[item] = determinant.least * gains_[item];
    }
  }

  double of(std::size_t item) const { return gains_[item]; }
  bool is_any(std::size_t item) const { return gains_[item] > least_[item]; }
  std::size_t seen(std::size_t item) const { return parts_[item].size(); }

  // Beside all that were chosen, of which each had seen those before it.
  void see(std::size_t item, std::span<const std::int64_t> chosen) {
    std::vector<double>& own = parts_[item];
    while (own.size() < chosen.size() && is_any(item)) {
      const auto other = static_cast<std::size_t>(chosen[own.size()]);
      const std::vector<double>& its = parts_[other];
      double part = determinant_.weights[item] * alike_(item, other) * determinant_.weights[other];
      for (std::size_t i = 0; i < own.size(); ++i) part -= its[i] * own[i];
      own.push_back(part / std::sqrt(gains_[other]));
      gains_[item] -= own.back() * own.back();
    }
  }

 private:
  const Determinant& determinant_;
  const Alike& alike_;
  std::vector<double> gains_;
  std::vector<std::vector<double>> parts_;  // along what each of those chosen adds
  std::vector<double> least_;
};

// An item, and what it added when it was last looked at.
struct Candidate {
  double gain;
  std::size_t item;

  bool operator<(const Candidate& other) const {
    return gain < other.gain || (gain == other.gain && item > other.item);
  }
};

}  // namespace

Alike product_of(std::span<const double> vectors, std::size_t width) {
  return [vectors, width](std::size_t item, std::size_t other) {
    constexpr std::size_t kSums = 4;
    const double* const a = vectors.data() + item * width;
    const double* const b = vectors.data() + other * width;
    double sums[kSums] = {};
    std::size_t i = 0;
    for (; i + kSums <= width; i += kSums) {
      for (std::size_t s = 0; s < kSums; ++s) sums[s] += a[i + s] * b[i + s];
    }
    for (; i < width; ++i) sums[0] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  };
}

Alike share_of(std::span<const std::int64_t> values, std::span<const bool> there,
               std::size_t width) {
  return [values, there, width](std::size_t item, std::size_t other) {
    std::size_t equal = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const std::size_t at = item * width + i;
      equal += there[at] && values[at] == values[other * width + i] ? 1 : 0;
    }
    return static_cast<double>(equal) / static_cast<double>(width);
  };
}

std::vector<std::int64_t> most_relevant(std::span<const double> scores,
                                        std::span<const double> worth, double diversity,
                                        std::size_t k, const Alike& alike) {
  std::vector<std::int64_t> chosen;
  if (scores.empty() || k == 0) return chosen;
  const std::int64_t first = std::ranges::max_element(scores) - scores.begin();
  chosen.push_back(first);
  std::vector<Waiting> others;
  others.reserve(scores.size());
  for (std::size_t item = 0; item < scores.size(); ++item) {
    if (item != static_cast<std::size_t>(first)) others.push_back({worth[item], item, 0, 0});
  }
  std::priority_queue<Waiting> left({}, std::move(others));
  while (chosen.size() < k && !left.empty()) {
    Watch::check();
    Waiting best = left.top();
    left.pop();
    if (best.seen == chosen.size()) {
      chosen.push_back(static_cast<std::int64_t>(best.item));
      continue;
    }
    for (; best.seen < chosen.size(); ++best.seen) {
      const auto other = static_cast<std::size_t>(chosen[best.seen]);
      best.most_alike = std::max(best.most_alike, alike(best.item, other));
    }
    best.value = worth[best.item] - diversity * best.most_alike;
    left.push(best);
  }
  return chosen;
}

std::vector<std::int64_t> most_determinate(const Determinant& determinant, std::size_t k,
                                           const Alike& alike) {
  Gains gains(determinant, alike);
  std::vector<Candidate> some;
  for (std::size_t item = 0; item < determinant.own.size(); ++item) {
    if (gains.is_any(item)) some.push_back({gains.of(item), item});
  }
  std::priority_queue<Candidate> left({}, std::move(some));
  std::vector<std::int64_t> chosen;
  std::vector<bool> taken(determinant.own.size());
  while (chosen.size() < k && !left.empty()) {
    Watch::check();
    const std::size_t item = left.top().item;
    left.pop();
    if (gains.seen(item) == chosen.size()) {
      chosen.push_back(static_cast<std::int64_t>(item));
      taken[item] = true;
      continue;
    }
    gains.see(item, chosen);
    if (gains.is_any(item)) left.push({gains.of(item), item});
  }
  for (std::size_t item = 0; item < taken.size() && chosen.size() < k; ++item) {
    if (!taken[item]) chosen.push_back(static_cast<std::int64_t>(item));
  }
  return chosen;
}

}  // namespace pyrec
