#include "plan/top_k.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pyrec {

std::vector<std::int64_t> top_k(std::span<const float> scores, std::int64_t k) {
  const auto count = static_cast<std::int64_t>(scores.size());
  std::vector<std::int64_t> rows(scores.size());
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  const auto before = [scores](std::int64_t a, std::int64_t b) {
    const float x = scores[static_cast<std::size_t>(a)];
    const float y = scores[static_cast<std::size_t>(b)];
    if (std::isnan(x) || std::isnan(y)) {
      if (std::isnan(x) != std::isnan(y)) return std::isnan(y);
    } else if (x != y) {
      return x > y;
    }
    return a < b;
  };
  k = std::clamp<std::int64_t>(k, 0, count);
  if (k < count) std::nth_element(rows.begin(), rows.begin() + k, rows.end(), before);
  rows.resize(static_cast<std::size_t>(k));
  std::sort(rows.begin(), rows.end(), before);
  return rows;
}

}  // namespace pyrec
