#include "selection/reached.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <numeric>

namespace pyrec {
namespace {

// Looks for a bound between two scores.
constexpr int kRounds = 40;

constexpr float kNone = -std::numeric_limits<float>::infinity();

std::size_t count_from(std::span<const float> scores, float least) {
  std::uint32_t count = 0;
  for (const float score : scores) count += score >= least ? 1 : 0;
  return count;
}

// Of the scores above minus infinity: how many there are, the least and the largest.
struct Range {
  std::size_t count = 0;
  float least = -kNone, most = kNone;
};

Range range_of(std::span<const float> scores) {
  constexpr std::size_t kLanes = 16;  // that do not wait for each other
  std::array<std::uint32_t, kLanes> counts{};
  std::array<float, kLanes> least, most;
  least.fill(-kNone);
  most.fill(kNone);
  const auto look = [&](float score, std::size_t lane) __attribute__((always_inline)) {
    const float number = score > kNone ? score : -kNone;
    counts[lane] += score > kNone ? 1 : 0;
    least[lane] = number < least[lane] ? number : least[lane];
    most[lane] = score > most[lane] ? score : most[lane];
  };
  std::size_t i = 0;
  for (; i + kLanes <= scores.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) look(scores[i + lane], lane);
  }
  for (; i < scores.size(); ++i) look(scores[i], 0);
  return {std::accumulate(counts.begin(), counts.end(), std::size_t{0}),
          *std::ranges::min_element(least), *std::ranges::max_element(most)};
}

}  // namespace

float reached_by(std::span<const float> scores, std::size_t wanted) {
  auto [above, least, most] = range_of(scores);
  if (above < wanted) return kNone;
  for (int round = 0; round < kRounds; ++round) {
    const float middle = least + (most - least) / 2;
    if (!(middle > least && middle < most)) break;
    const std::size_t count = count_from(scores, middle);
    if (count < wanted) {
      most = middle;
      continue;
    }
    least = middle;
    if (count <= wanted + wanted / 8) break;
  }
  return least;
}

}  // namespace pyrec
