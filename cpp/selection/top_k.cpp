#include "selection/top_k.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "core/watch.h"
#include "selection/best.h"
#include "selection/entries.h"
#include "selection/reached.h"
#include "selection/sort_entries.h"

namespace pyrec {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr std::size_t kRun = 16;  // a line of a cache
constexpr std::size_t kFew = 2048;

// A score that about as many as are wanted reach, by what runs of scores from everywhere say, or
// minus infinity. It may be wrong.
float likely_least(std::span<const float> scores, std::size_t k) {
  constexpr std::size_t kRuns = 256;
  const std::size_t n = scores.size();
  const std::size_t runs = std::min(kRuns, n / (32 * kRun));
  std::vector<Entry> sample;
  sample.reserve(runs * kRun);
  for (std::size_t run = 0; run < runs; ++run) {
    const std::size_t begin = n * (2 * run + 1) / (2 * runs) - kRun / 2;
    for (std::size_t i = begin; i < begin + kRun; ++i) sample.push_back(entry_of(scores[i], i));
  }
  const auto share = static_cast<double>(sample.size()) / static_cast<double>(n);
  const double expected = static_cast<double>(k) * share;
  // More than chance lets the sample be wrong by.
  const auto rank = static_cast<std::size_t>(expected + 3 * std::sqrt(expected) + 3);
  if (rank >= sample.size()) return kNone;
  keep_first(sample, rank);
  const Entry least = *std::min_element(sample.begin(), sample.end());
  return is_number(least) ? score_of(least) : kNone;
}

std::vector<Entry> all_entries(std::span<const float> scores) {
  std::vector<Entry> entries(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) entries[i] = entry_of(scores[i], i);
  return entries;
}

// What at least k scores reach: the largest of many groups each. Minus infinity where groups would
// be small; of scores that stay in cache, as they are read twice.
float reached_by_groups(const Kernels& kernels, std::span<const float> scores, std::size_t k) {
  constexpr std::size_t kLargest = 128, kMost = std::size_t{1} << 15, kSpare = 4;
  const std::size_t n = scores.size();
  const std::size_t size = std::min(kLargest, n / (kSpare * k) / kRun * kRun);
  if (size == 0 || n > kMost) return kNone;
  std::array<float, kMost / kRun> largest;
  std::size_t groups = 0;
  for (std::size_t begin = 0; begin + size <= n; begin += size) {
    const float most = kernels.max_f32(scores.data() + begin, size);
    if (!std::isnan(most)) largest[groups++] = most;
  }
  if (groups < k) return kNone;
  const auto last = largest.begin() + static_cast<std::ptrdiff_t>(k) - 1;
  std::nth_element(largest.begin(), last, largest.begin() + static_cast<std::ptrdiff_t>(groups),
                   std::greater<>{});
  return *last;
}

// Few scores of which many are wanted: the k first and as a rule few more, by rising rows.
std::vector<Entry> first_of_few(const Kernels& kernels, std::span<const float> scores,
                                std::size_t k) {
  const float least = reached_by(scores, k);
  if (least == kNone) return all_entries(scores);
  std::array<std::uint32_t, kFew> found;
  const std::size_t count =
      kernels.find_above_f32(scores.data(), scores.size(), Best::below(least), found.data());
  std::vector<Entry> entries;
  entries.reserve(count);
  std::size_t equal = 0;
  for (const std::uint32_t row : std::span(found).first(count)) {
    // Of those that are as good, later ones are not among the first.
    if (scores[row] == least && equal++ >= k) continue;
    entries.push_back(entry_of(scores[row], row));
  }
  return entries;
}

// The largest of 2^16 bounds that at least k scores reach, or minus infinity.
float reached_least(std::span<const float> scores, std::size_t k) {
  constexpr unsigned kShift = 48;  // the upper half of a score's part of an entry
  std::vector<std::uint32_t> counts(std::size_t{1} << 16);
  in_parts(scores.size(), kWatchedElements, [&](std::size_t begin, std::size_t count) {
    for (const float score : scores.subspan(begin, count)) ++counts[entry_of(score, 0) >> kShift];
  });
  std::size_t key = counts.size() - 1, found = counts[key];
  while (found < k && key > 0) found += counts[--key];
  const Entry least = Entry{key} << kShift;
  return key > 0 && !std::isnan(score_of(least)) ? score_of(least) : kNone;
}

std::vector<Entry> best_above(const Kernels& kernels, std::span<const float> scores, std::size_t k,
                              float least) {
  Best best(k);
  best.raise_to(least);
  // Few scores first: they give a bound where there is none, and end ties at the one that there is.
  std::size_t count = std::min(kScoreBlock, std::max(2 * k, kRun));
  for (std::size_t begin = 0; begin < scores.size();) {
    const auto part = scores.subspan(begin, std::min(count, scores.size() - begin));
    best.collect(kernels, part, static_cast<std::uint32_t>(begin), nullptr);
    begin += part.size();
    count = kScoreBlock;
    if (begin / kScoreBlock % kScoreBlock == 0) Watch::check();
  }
  return best.take();
}

// At least k entries among which are the k first.
std::vector<Entry> likely_first(const Kernels& kernels, std::span<const float> scores,
                                std::size_t k) {
  const std::size_t n = scores.size();
  if (const float least = reached_by_groups(kernels, scores, k); least > kNone) {
    return best_above(kernels, scores, k, least);
  }
  if (n <= kFew) return first_of_few(kernels, scores, k);
  if (k > n / 8) return all_entries(scores);
  if (const float least = likely_least(scores, k); least > kNone) {
    std::vector<Entry> found = best_above(kernels, scores, k, least);
    if (found.size() >= k) return found;
  }
  return best_above(kernels, scores, k, reached_least(scores, k));
}

std::vector<Entry> first_entries(const Kernels& kernels, std::span<const float> scores,
                                 std::size_t k) {
  std::vector<Entry> entries = likely_first(kernels, scores, k);
  sort_first(entries, k);
  return entries;
}

}  // namespace

std::vector<std::int64_t> top_k(const Kernels& kernels, std::span<const float> scores,
                                std::int64_t k) {
  const std::size_t wanted =
      std::min(static_cast<std::size_t>(std::max<std::int64_t>(k, 0)), scores.size());
  std::vector<std::int64_t> rows;
  if (wanted == 0) return rows;
  rows.reserve(wanted);
  for (std::size_t begin = 0; begin < scores.size(); begin += kMostScores) {
    const auto part = scores.subspan(begin, std::min(kMostScores, scores.size() - begin));
    for (const Entry entry : first_entries(kernels, part, std::min(wanted, part.size()))) {
      rows.push_back(static_cast<std::int64_t>(begin + row_of(entry)));
    }
  }
  if (scores.size() > kMostScores) {
    // Rows of an earlier part stand before those of a later one.
    std::ranges::stable_sort(rows, std::greater<>{}, [scores](std::int64_t row) {
      return entry_of(scores[static_cast<std::size_t>(row)], 0);
    });
  }
  rows.resize(wanted);
  return rows;
}

}  // namespace pyrec
