#include "plan/score_bound.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.h"

namespace pyrec {

namespace {

constexpr std::size_t kOfLayer = 3;
constexpr std::size_t kFirst = 2;  // factors before those of the layers

}  // namespace

ItemMeasures ItemMeasures::from(std::size_t first, std::size_t count) const {
  ItemMeasures some{sums.subspan(first, count), layers, gates == nullptr ? nullptr : gates + first};
  for (const RowMeasures*& layer : some.layers) layer += first;
  return some;
}

ScoreBound::ScoreBound(std::vector<float> error, std::vector<float> norm,
                       std::vector<float> largest, std::optional<Gates> gates)
    : error_(std::move(error)),
      norm_(std::move(norm)),
      largest_(std::move(largest)),
      gates_(gates) {
  const std::size_t count = error_.size();
  if (count < kFirst || (count - kFirst) % kOfLayer != 0 || norm_.size() != count ||
      largest_.size() != count) {
    throw OpError(ErrorKind::kShape, "factors of a bound that do not belong together");
  }
  layers_ = (count - kFirst) / kOfLayer;
  double sum = 1;
  for (std::size_t i = 1; i < count; ++i) sum += static_cast<double>(largest_[i]);
  const double known = (kLargest / 4 - static_cast<double>(largest_[0])) / sum;
  surely_ = known > 0 ? static_cast<float>(known) / 2 : 0.0f;
}

void ScoreBound::total(const std::vector<float>& factors, const ItemMeasures& items,
                       float* totals) const {
  const float one = factors[0], size = factors[1];
  const std::size_t count = items.sums.size();
  for (std::size_t i = 0; i < count; ++i) totals[i] = std::abs(items.sums[i]) * size + one;
  for (std::size_t layer = 0; layer < layers_; ++layer) {
    const float* own = factors.data() + kFirst + kOfLayer * layer;
    const float scale = own[0], length = own[1], rounding = own[2];
    const RowMeasures* rows = items.layers[layer];
    for (std::size_t i = 0; i < count; ++i) {
      const RowMeasures& row = rows[i];
      totals[i] += (row.scale * scale + row.length * length) + row.rounding * rounding;
    }
  }
}

void ScoreBound::find_some(const ItemMeasures& items, float* errors) const {
  const std::size_t count = items.sums.size();
  std::array<float, kBlock> others;
  total(error_, items, errors);
  if (gates_) {
    const Gates& gates = *gates_;
    total(norm_, items, others.data());
    for (std::size_t i = 0; i < count; ++i) {
      const GateMeasures& own = items.gates[i];
      const double error = errors[i], norm = others[i], size = std::abs(items.sums[i]);
      const double reach = own.reach * (1 + gates.inexact) + gates.reach_lost;
      const double added = own.others * (1 + gates.inexact) + gates.others_lost;
      const double magnitude = reach * (2 * norm + error) + 2 * added;
      const double made = reach * error + gates.inexact * 3 * (size + magnitude) + gates.least;
      const bool known = own.gates < gates.largest && magnitude < kLargest && made < kLargest;
      errors[i] = known ? static_cast<float>(made * gates.share + gates.size_share * size)
                        : std::numeric_limits<float>::infinity();
    }
  }
  // Sums of numbers that are not negative are no less than each of them; NaN is not less either.
  bool sure = true;
  for (std::size_t i = 0; i < count; ++i) others[i] = std::abs(items.sums[i]);
  for (const RowMeasures* rows : items.layers) {
    for (std::size_t i = 0; i < count; ++i) {
      others[i] += rows[i].scale + rows[i].length + rows[i].rounding;
    }
  }
  for (std::size_t i = 0; i < count; ++i) sure = sure && others[i] <= surely_;
  if (sure) return;
  total(largest_, items, others.data());
  for (std::size_t i = 0; i < count; ++i) {
    if (!(others[i] < static_cast<float>(kLargest))) {
      errors[i] = std::numeric_limits<float>::infinity();
    }
  }
}

void ScoreBound::find_errors(const ItemMeasures& items, float* errors) const {
  const std::size_t count = items.sums.size();
  for (std::size_t first = 0; first < count; first += kBlock) {
    find_some(items.from(first, std::min(kBlock, count - first)), errors + first);
  }
}

void ScoreBound::list_reaching(const ItemMeasures& items, float least,
                               std::vector<std::int64_t>& places) const {
  std::array<float, kBlock> errors;
  const std::size_t count = items.sums.size();
  for (std::size_t first = 0; first < count; first += kBlock) {
    const ItemMeasures some = items.from(first, std::min(kBlock, count - first));
    find_some(some, errors.data());
    for (std::size_t i = 0; i < some.sums.size(); ++i) {
      // Nothing is known of NaN.
      if (!(some.sums[i] + errors[i] < least)) {
        places.push_back(static_cast<std::int64_t>(first + i));
      }
    }
  }
}

double least_sum(double score, bool sigmoid) {
  // The share by which kernels may miss a sigmoid, and more than they do; sigmoids below the other
  // number may be zero.
  constexpr double kError = 0x1p-18, kTiny = 0x1p-100;
  if (!sigmoid) return score;
  const double share = score * (1 - kError) - kTiny;
  if (!(share > 0 && share < 1)) return -std::numeric_limits<double>::infinity();
  const double found = std::log(share) - std::log1p(-share);
  return found - 1e-9 * (1 + std::abs(found));
}

}  // namespace pyrec
