#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "core/entries.h"

namespace pyrec {

// The k best of one query so far, and some more. What comes may come in any order of its places.
class Best {
 public:
  explicit Best(std::size_t k) : k_(k), room_(2 * k + 4 * kScoreBlock) {}

  // No score below it is among the k best of all.
  float least() const { return least_; }
  void raise_to(float least) { least_ = std::max(least_, least); }

  void add(float score, std::uint32_t place) {
    if (!(score >= least_)) return;
    const Entry entry = entry_of(score, place);
    if (entry > last_) entries_.push_back(entry);
  }

  // After some: takes time in proportion to their number.
  void settle() {
    if (entries_.size() <= room_ && (entries_.size() < k_ || last_ != 0)) return;
    keep_first(entries_, k_);
    last_ = *std::min_element(entries_.begin(), entries_.end());
    raise_to(score_of(last_));
  }

  // A whole block, of which the first ones have a place.
  void collect(const float* scores, std::span<const std::uint32_t> places) {
    for_likely(scores, least_, [&](std::size_t from, std::size_t to) {
      for (std::size_t i = from; i < std::min(to, places.size()); ++i) add(scores[i], places[i]);
    });
    settle();
  }

  std::vector<Entry> take() { return std::move(entries_); }

 private:
  std::size_t k_;
  std::size_t room_;
  float least_ = -std::numeric_limits<float>::infinity();
  Entry last_ = 0;  // of the k best, once there are as many
  std::vector<Entry> entries_;
};

}  // namespace pyrec
