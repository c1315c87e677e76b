#include "selection/caps.h"

namespace pyrec {

namespace {

// How many items of each value of a cap were taken.
using Counts = std::unordered_map<std::int64_t, std::size_t>;

bool may_come(const Cap& cap, const Counts& counts, std::int64_t value) {
  if (value == cap.absent) return true;
  const auto found = counts.find(value);
  return (found == counts.end() ? 0 : found->second) < cap.most(value);
}

}  // namespace

std::vector<std::int64_t> walk(std::span<const Cap> caps, std::size_t taken, std::size_t count,
                               const bool* skip, std::size_t k) {
  std::vector<Counts> counts(caps.size());
  const auto take = [&](std::size_t item) {
    for (std::size_t cap = 0; cap < caps.size(); ++cap) {
      if (!may_come(caps[cap], counts[cap], caps[cap].values[item])) return false;
    }
    for (std::size_t cap = 0; cap < caps.size(); ++cap) ++counts[cap][caps[cap].values[item]];
    return true;
  };
  for (std::size_t item = 0; item < taken; ++item) take(item);
  std::vector<std::int64_t> kept;
  for (std::size_t i = 0; i < count && kept.size() < k; ++i) {
    if (skip != nullptr && skip[i]) continue;
    if (take(taken + i)) kept.push_back(static_cast<std::int64_t>(i));
  }
  return kept;
}

}  // namespace pyrec
