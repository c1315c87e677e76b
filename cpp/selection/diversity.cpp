#include "selection/diversity.h"

#include <algorithm>
#include <memory>

#include "core/watch.h"

namespace pyrec {

AlikeTo cosines_of(std::span<const double> units, std::size_t width) {
  const std::size_t count = width == 0 ? 0 : units.size() / width;
  // Number by number, so that sums of neighbouring items are made together.
  auto turned = std::make_shared<std::vector<double>>(units.size());
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < width; ++j) (*turned)[j * count + i] = units[i * width + j];
  }
  return [turned, count, width](std::size_t item, std::span<double> alike) {
    std::ranges::fill(alike, 0.0);
    for (std::size_t j = 0; j < width; ++j) {
      const double* const own = turned->data() + j * count;
      const double number = own[item];
      for (std::size_t i = 0; i < count; ++i) alike[i] += own[i] * number;
    }
  };
}

AlikeTo shares_of(std::span<const std::int64_t> values, std::span<const bool> there,
                  std::size_t width) {
  return [values, there, width](std::size_t item, std::span<double> alike) {
    for (std::size_t i = 0; i < alike.size(); ++i) {
      std::size_t equal = 0;
      for (std::size_t j = 0; j < width; ++j) {
        const std::size_t at = i * width + j;
        equal += there[at] && values[at] == values[item * width + j] ? 1 : 0;
      }
      alike[i] = static_cast<double>(equal) / static_cast<double>(width);
    }
  };
}

std::vector<std::int64_t> most_relevant(std::span<const double> scores,
                                        std::span<const double> worth, double diversity,
                                        std::size_t k, const AlikeTo& alike_to) {
  std::vector<double> most_alike(scores.size()), alike(scores.size());
  std::vector<std::size_t> left(scores.size());
  for (std::size_t i = 0; i < left.size(); ++i) left[i] = i;
  std::vector<std::int64_t> chosen;
  while (chosen.size() < k && !left.empty()) {
    Watch::check();
    const auto value = [&](std::size_t item) {
      return chosen.empty() ? scores[item] : worth[item] - diversity * most_alike[item];
    };
    auto best = left.begin();
    for (auto at = left.begin(); at != left.end(); ++at) {
      if (value(*at) > value(*best)) best = at;
    }
    const std::size_t item = *best;
    left.erase(best);
    chosen.push_back(static_cast<std::int64_t>(item));
    alike_to(item, alike);
    for (const std::size_t other : left) {
      most_alike[other] = std::max(most_alike[other], alike[other]);
    }
  }
  return chosen;
}

}  // namespace pyrec
