#include "selection/diversity.h"

#include <algorithm>
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

}  // namespace pyrec
