#include "selection/request_best.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "core/error.h"

namespace pyrec {

namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

}  // namespace

RequestBest::RequestBest(const Kernels& kernels, std::size_t k, std::size_t threads,
                         Adjustment adjustment)
    : kernels_(kernels), k_(k), adjustment_(adjustment), best_(threads, Best(k)), least_(kNone) {}

void RequestBest::collect(std::size_t worker, std::span<const float> scores, std::size_t first) {
  if (k_ == 0) return;
  if (first + scores.size() >= kMostScores) {
    throw OpError(ErrorKind::kUnsupported, "too many candidates to select from");
  }
  Best& best = best_[worker];
  best.raise_to(least_.load(std::memory_order_relaxed));
  float adjusted[kScoreBlock];
  for (std::size_t begin = 0; begin < scores.size(); begin += kScoreBlock) {
    auto part = scores.subspan(begin, std::min(kScoreBlock, scores.size() - begin));
    const std::size_t row = first + begin;
    if (adjustment_.times != nullptr || adjustment_.plus != nullptr) {
      for (std::size_t i = 0; i < part.size(); ++i) {
        float score = part[i];
        if (adjustment_.times != nullptr) score *= adjustment_.times[row + i];
        if (adjustment_.plus != nullptr) score += adjustment_.plus[row + i];
        adjusted[i] = score;
      }
      part = {adjusted, part.size()};
    }
    best.collect(kernels_, part, static_cast<std::uint32_t>(row),
                 adjustment_.taken == nullptr ? nullptr : adjustment_.taken + row);
  }
  // What other threads have not seen yet costs them time alone.
  float now = least_.load(std::memory_order_relaxed);
  while (now < best.least() &&
         !least_.compare_exchange_weak(now, best.least(), std::memory_order_relaxed)) {
  }
}

void RequestBest::reset() {
  std::ranges::fill(best_, Best(k_));
  least_.store(kNone, std::memory_order_relaxed);
}

std::vector<Winner> RequestBest::finish() {
  std::vector<Entry> entries;
  std::vector<Best::Unusual> unusual;
  for (Best& best : best_) {
    unusual.insert(unusual.end(), best.unusual().begin(), best.unusual().end());
    const std::vector<Entry> own = best.take();
    entries.insert(entries.end(), own.begin(), own.end());
  }
  keep_first(entries, k_);
  std::sort(entries.begin(), entries.end(), std::greater<>{});
  std::ranges::sort(unusual, std::greater<>{}, &Best::Unusual::entry);
  std::vector<Winner> winners;
  winners.reserve(entries.size());
  auto next = unusual.begin();
  for (const Entry entry : entries) {
    while (next != unusual.end() && next->entry > entry) ++next;
    const bool known = next != unusual.end() && next->entry == entry;
    winners.push_back({static_cast<std::int64_t>(row_of(entry)),
                       known ? std::bit_cast<float>(next->bits) : score_of(entry)});
  }
  return winners;
}

}  // namespace pyrec
