#include "plan/top_k.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "core/entries.h"

namespace pyrec {
namespace {

// Collects entries of scores that are not less than a bound. The bound rises with the k best so far
// whenever there are too many, so that any order of the scores takes time in proportion to their
// number.
class Collector {
 public:
  Collector(std::size_t k, float least, std::size_t room) : k_(k), least_(least), room_(room) {
    entries_.reserve(room + kScoreBlock);
  }

  void collect(std::span<const float> scores) {
    const float* x = scores.data();
    std::size_t begin = 0;
    for (; begin + kScoreBlock <= scores.size(); begin += kScoreBlock) {
      for_likely(x + begin, least_,
                 [&](std::size_t from, std::size_t to) { add(x, begin + from, begin + to); });
      if (entries_.size() > room_) raise(x);
    }
    add(x, begin, scores.size());
  }

  std::vector<Entry> take() { return std::move(entries_); }

 private:
  void add(const float* x, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      if (x[i] >= least_) entries_.push_back(entry_of(x[i], i));
    }
  }

  // What comes later and is as good as the last of the k is not better.
  void raise(const float* x) {
    keep_first(entries_, k_);
    const Entry last = *std::min_element(entries_.begin(), entries_.end());
    least_ = std::nextafter(x[row_of(last)], std::numeric_limits<float>::infinity());
  }

  std::size_t k_;
  float least_;
  std::size_t room_;
  std::vector<Entry> entries_;
};

// At least k entries among which are the k first: those above what a sample says, or all.
std::vector<Entry> likely_first(std::span<const float> scores, std::size_t k) {
  constexpr std::size_t kSample = 4096, kFew = 1024;
  const std::size_t n = scores.size();
  if (n >= kFew && k <= n / 8) {
    std::vector<Entry> sample(std::min(kSample, n / 16));
    const std::size_t step = n / sample.size();
    for (std::size_t i = 0; i < sample.size(); ++i) {
      sample[i] = entry_of(scores[i * step], i * step);
    }
    const auto share = static_cast<double>(sample.size()) / static_cast<double>(n);
    const double expected = static_cast<double>(k) * share;
    // More than chance lets the sample be wrong by.
    const auto rank = static_cast<std::size_t>(expected + 3 * std::sqrt(expected) + 3);
    if (rank < sample.size()) {
      keep_first(sample, rank);
      const float least = scores[row_of(*std::min_element(sample.begin(), sample.end()))];
      const auto likely = static_cast<std::size_t>(static_cast<double>(rank) / share);
      Collector collector(k, least, std::max(4 * likely, k + kFew));
      collector.collect(scores);
      std::vector<Entry> found = collector.take();
      if (found.size() >= k) return found;
    }
  }
  std::vector<Entry> all(n);
  for (std::size_t i = 0; i < n; ++i) all[i] = entry_of(scores[i], i);
  return all;
}

std::vector<Entry> first_entries(std::span<const float> scores, std::size_t k) {
  std::vector<Entry> entries = likely_first(scores, k);
  keep_first(entries, k);
  std::sort(entries.begin(), entries.end(), std::greater<>{});
  return entries;
}

}  // namespace

std::vector<std::int64_t> top_k(std::span<const float> scores, std::int64_t k) {
  const std::size_t wanted =
      std::min(static_cast<std::size_t>(std::max<std::int64_t>(k, 0)), scores.size());
  std::vector<std::int64_t> rows;
  if (wanted == 0) return rows;
  for (std::size_t begin = 0; begin < scores.size(); begin += kMostScores) {
    const auto part = scores.subspan(begin, std::min(kMostScores, scores.size() - begin));
    for (const Entry entry : first_entries(part, std::min(wanted, part.size()))) {
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
