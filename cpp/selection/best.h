#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "dispatch/kernels.h"
#include "selection/entries.h"
#include "selection/place_set.h"

namespace pyrec {

// Scores that are looked at before what they leave behind is put in order.
inline constexpr std::size_t kScoreBlock = 1024;

// The k best scores so far, and some more. What comes may come in any order of its places; in
// rising order it takes less time.
class Best {
 public:
  // What is left out is borrowed.
  explicit Best(std::size_t k, const PlaceSet* excluded = nullptr)
      : Best(k, excluded, 2 * k + kScoreBlock / 2) {}
  // With room for some more than k, so that the bound rises sooner: where it saves more than that
  // costs.
  static Best eager(std::size_t k, const PlaceSet* excluded) {
    return Best(k, excluded, k + k / 4 + kScoreBlock / 32);
  }

  // A normal number that is less, whatever the processor makes of others.
  static float below(float least) {
    constexpr float kNormal = std::numeric_limits<float>::min();
    if (std::abs(least) <= kNormal) return -2 * kNormal;
    if (least == -std::numeric_limits<float>::infinity()) return least;
    // The next of the numbers, which their bits count.
    return std::bit_cast<float>(std::bit_cast<std::int32_t>(least) + (least > 0 ? -1 : 1));
  }

  // Of several that divide the scores among them, each is told how many they are: when each has
  // its share of k scores, they have k together.
  void share_among(std::size_t many) { share_ = many > 1 ? (k_ + many - 1) / many : 0; }
  // What a share of the scores so far reaches; minus infinity where that is not known yet.
  float shared() const { return shared_; }

  // No score below it is among the k best of all.
  float least() const { return least_; }
  void raise_to(float least) { least_ = std::max(least_, least); }

  bool is_excluded(std::uint32_t place) const {
    return excluded_ != nullptr && excluded_->has(place);
  }

  void add(float score, std::uint32_t place) {
    const Entry entry = entry_of(score, place);
    if (entry <= last_ || score < least_) return;
    if (is_excluded(place)) return;
    entries_.push_back(entry);
    // An entry does not tell NaN from NaN, nor zeros apart.
    const auto bits = std::bit_cast<std::uint32_t>(score);
    if (std::isnan(score) || bits == kMinusZero) unusual_.push_back({entry, bits});
  }

  // After some: takes time in proportion to their number.
  void settle() {
    const bool first = last_ == 0 && entries_.size() >= k_;
    if (entries_.size() <= room_ && !first) {
      if (!counted_ && entries_.size() >= share_) count_share();
      return;
    }
    keep_first(entries_, k_);
    count_share();
    last_ = *std::min_element(entries_.begin(), entries_.end());
    if (is_number(last_)) raise_to(score_of(last_));
    std::erase_if(unusual_, [this](const Unusual& item) { return item.entry < last_; });
  }

  // Scores of successive places, at most kScoreBlock; where `taken` is given, of those that it
  // marks.
  void collect(const Kernels& kernels, std::span<const float> scores, std::uint32_t first,
               const std::uint8_t* taken) {
    look(kernels, scores, first > row_of(last_), [&](std::size_t i) {
      if (taken == nullptr || taken[i] != 0) add(scores[i], first + static_cast<std::uint32_t>(i));
    });
  }

  // Scores of any places, at most kScoreBlock; where `taken` is given, of those whose bit it has.
  void collect(const Kernels& kernels, const float* scores, std::span<const std::uint32_t> places,
               const std::uint64_t* taken = nullptr) {
    look(kernels, {scores, places.size()}, false, [&](std::size_t i) {
      if (taken == nullptr || (taken[i / 64] >> i % 64 & 1) != 0) add(scores[i], places[i]);
    });
  }

  std::size_t size() const { return entries_.size(); }
  std::vector<Entry> take() { return std::move(entries_); }

  // The bits of scores that entries do not tell.
  struct Unusual {
    Entry entry;
    std::uint32_t bits;
  };
  std::span<const Unusual> unusual() const { return unusual_; }

 private:
  static constexpr std::uint32_t kMinusZero = 0x80000000;

  Best(std::size_t k, const PlaceSet* excluded, std::size_t room)
      : k_(k), room_(room), excluded_(excluded) {}

  void count_share() {
    counted_ = true;
    if (share_ == 0) return;
    const auto last = entries_.begin() + static_cast<std::ptrdiff_t>(share_) - 1;
    std::nth_element(entries_.begin(), last, entries_.end(), std::greater<>{});
    if (is_number(*last)) shared_ = std::max(shared_, score_of(*last));
  }

  // see(i) for scores among which are all that may be among the best.
  template <class See>
  void look(const Kernels& kernels, std::span<const float> scores, bool later, See&& see) {
    // Of scores as good as the last of the best, none that comes later is among them.
    const bool beyond = later && is_number(last_) && score_of(last_) == least_;
    if (beyond || least_ > -std::numeric_limits<float>::infinity()) {
      std::uint32_t found[kScoreBlock];
      const std::size_t count = kernels.find_above_f32(scores.data(), scores.size(),
                                                       beyond ? least_ : below(least_), found);
      for (std::size_t i = 0; i < count; ++i) see(found[i]);
    } else {
      for (std::size_t i = 0; i < scores.size(); ++i) see(i);
    }
    settle();
  }

  std::size_t k_;
  std::size_t room_;
  const PlaceSet* excluded_;
  std::size_t share_ = 0;  // of k; 0: nobody asks
  bool counted_ = false;   // whether there were as many once
  float shared_ = -std::numeric_limits<float>::infinity();
  float least_ = -std::numeric_limits<float>::infinity();
  Entry last_ = 0;  // of the k best, once there are as many
  std::vector<Entry> entries_;
  std::vector<Unusual> unusual_;
};

}  // namespace pyrec
