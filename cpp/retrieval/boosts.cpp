#include "retrieval/boosts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "dispatch/kernels.h"

namespace pyrec {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMost = std::numeric_limits<float>::max();

// What is not above any number that becomes `rounded` or more when it is rounded to float32.
double before(double rounded) { return rounded - std::abs(rounded) * 0x1p-23 - 0x1p-148; }

// Of a double precision result of numbers of some size together, with its rounding.
double lower(double result, double size) { return result - size * 0x1p-50; }

// In float32 what is not above a number, from which all products are on the same side.
float downward(double x) {
  constexpr float kBeyond = std::numeric_limits<float>::infinity();
  if (std::abs(x) < kMost / 2) return static_cast<float>(before(x));
  return x > 0 ? kBeyond : -kBeyond;
}

// Numbers at some places, side by side.
class Chosen {
 public:
  Chosen(const float* numbers, std::span<const std::uint32_t> places) {
    // They need not rise.
    std::uint32_t apart = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
      apart |= places[i] - places.front() - static_cast<std::uint32_t>(i);
    }
    if (apart == 0) {
      begin_ = numbers + places.front();
      return;
    }
    for (std::size_t i = 0; i < places.size(); ++i) copies_[i] = numbers[places[i]];
    begin_ = copies_.data();
  }
  Chosen(const Chosen&) = delete;
  Chosen& operator=(const Chosen&) = delete;

  const float* get() const { return begin_; }

 private:
  std::array<float, kScreenItems> copies_;
  const float* begin_;
};

}  // namespace

Boosts Boosts::from(std::size_t first) const {
  const auto rest = [first](const Numbers& numbers) {
    return numbers.values == nullptr ? numbers : Numbers{numbers.of(first), numbers.stride};
  };
  return {rest(times), rest(plus), squares == nullptr ? nullptr : squares + first};
}

void Boosts::apply(std::size_t query, std::span<const std::uint32_t> places,
                   float* products) const {
  if (squares != nullptr) {
    for (std::size_t i = 0; i < places.size(); ++i) {
      products[i] = std::min(2 * products[i] - squares[query], 0.0f);
    }
  }
  if (times.values != nullptr) {
    const Chosen own(times.of(query), places);
    for (std::size_t i = 0; i < places.size(); ++i) products[i] *= own.get()[i];
  }
  if (plus.values != nullptr) {
    const Chosen own(plus.of(query), places);
    for (std::size_t i = 0; i < places.size(); ++i) products[i] += own.get()[i];
  }
}

BlockBoosts::BlockBoosts(const Boosts& boosts, std::size_t queries) : boosts_(boosts) {
  const auto lists = [queries](const Boosts::Numbers& numbers) {
    return numbers.values != nullptr && numbers.stride != 0 ? queries : 1;
  };
  times_.resize(lists(boosts.times), {1, 1});
  plus_.resize(lists(boosts.plus), {0, 0});
}

void BlockBoosts::read(const Boosts::Numbers& numbers, std::span<const std::uint32_t> places,
                       std::vector<Range>& ranges) const {
  if (numbers.values == nullptr) return;
  for (std::size_t list = 0; list < ranges.size(); ++list) {
    const Chosen chosen(numbers.of(list), places);
    const std::span own(chosen.get(), places.size());
    // Of every eighth number, which a processor looks at together.
    std::array<float, 8> least, most;
    least.fill(own.front());
    most.fill(own.front());
    for (std::size_t i = 0; i + 8 <= own.size(); i += 8) {
      for (std::size_t j = 0; j < 8; ++j) {
        least[j] = own[i + j] < least[j] ? own[i + j] : least[j];
        most[j] = own[i + j] > most[j] ? own[i + j] : most[j];
      }
    }
    for (const float number : own.last(own.size() % 8)) {
      least[0] = std::min(least[0], number);
      most[0] = std::max(most[0], number);
    }
    ranges[list] = {std::ranges::min(least), std::ranges::max(most)};
  }
}

void BlockBoosts::look_at(std::span<const std::uint32_t> places) {
  read(boosts_.times, places, times_);
  read(boosts_.plus, places, plus_);
}

void BlockBoosts::need(std::span<const float> least, std::span<float> needed) const {
  for (std::size_t query = 0; query < least.size(); ++query) {
    const Range times = times_[times_.size() == 1 ? 0 : query];
    const double plus{plus_[plus_.size() == 1 ? 0 : query].most};
    // Numbers beyond those of float32 are rounded to infinity.
    const double boosted = std::min(double{least[query]}, kMost);
    double product = -kInfinity;
    if (plus == -kInfinity && boosted > -kInfinity) {
      product = kInfinity;
    } else if (boosted > -kInfinity && plus < kInfinity && times.least >= 0) {
      const double sum = lower(before(boosted) - plus, std::abs(boosted) + std::abs(plus));
      const double part = before(std::min(sum, kMost));
      const double by{part > 0 ? times.most : times.least};
      const double score = by > 0 ? part / by : part > 0 ? kInfinity : -kInfinity;
      product = lower(score, std::abs(score));
    }
    if (boosts_.squares != nullptr && product > -kInfinity) {
      const double square{boosts_.squares[query]};
      product =
          product > 0 ? kInfinity : lower(before(product) + square, std::abs(product) + square) / 2;
    }
    needed[query] = downward(product);
  }
}

}  // namespace pyrec
