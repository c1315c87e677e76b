#include "trees/places.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace pyrec {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The largest float32 up to a number; NaN stays NaN.
float round_down(double x) {
  const auto near = static_cast<float>(x);
  if (!(static_cast<double>(near) > x)) return near;
  // Here it is not infinity below, nor zero above.
  const auto bits = std::bit_cast<std::uint32_t>(near);
  return std::bit_cast<float>(bits >> 31 ? bits + 1 : bits - 1);
}

// The largest float32 below a number, which is above minus infinity.
float before(double x) {
  const float near = round_down(x);
  return static_cast<double>(near) < x ? near : std::nextafter(near, -kInfinity);
}

// What float32 is to be above in order to be behind each threshold.
std::vector<float> narrowed(std::span<const double> thresholds, bool strict) {
  std::vector<float> keys;
  for (const double threshold : thresholds) {
    keys.push_back(strict ? before(threshold) : round_down(threshold));
  }
  return keys;
}

// Whether every number is behind a threshold.
bool is_first(double threshold, bool strict) {
  return strict && threshold == -std::numeric_limits<double>::infinity();
}

}  // namespace

PlaceLevels::PlaceLevels(std::vector<float> level) : keys_(level.size()) {
  for (;;) {
    const std::size_t blocks =
        std::max<std::size_t>((level.size() + kPlaceKeys - 1) / kPlaceKeys, 1);
    level.resize(blocks * kPlaceKeys, kInfinity);
    levels_.push_back(level);
    if (blocks == 1) break;
    std::vector<float> above;
    for (std::size_t i = 1; i < blocks; ++i) above.push_back(level[i * kPlaceKeys - 1]);
    above.push_back(kInfinity);
    level = std::move(above);
  }
  if (levels_.size() > kPlaceLevels) {
    throw std::invalid_argument("there are too many thresholds of a feature");
  }
}

PlaceTree PlaceLevels::tree() const {
  PlaceTree tree{{}, levels_.size(), keys_};
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    tree.levels[i] = levels_[levels_.size() - 1 - i].data();
  }
  return tree;
}

Scale::Scale(std::span<const double> thresholds, bool strict)
    : size_(thresholds.size()),
      strict_(strict),
      first_(!thresholds.empty() && is_first(thresholds[0], strict) ? 1 : 0),
      thresholds_(thresholds.begin(), thresholds.end()),
      levels_(narrowed(thresholds.subspan(first_), strict)) {
  // A place more is that of what is missing.
  if (size_ >= std::numeric_limits<std::uint16_t>::max()) {
    throw std::invalid_argument("there are too many thresholds of a feature");
  }
  // No number is behind them, and they end `settle`.
  thresholds_.insert(thresholds_.end(), 2, std::numeric_limits<double>::quiet_NaN());
}

template <class T>
void Scale::find(const Kernels& kernels, const T* x, std::size_t step, std::size_t count,
                 std::uint16_t missing, std::uint16_t* places) const {
  const PlaceTree tree = levels_.tree();
  std::array<float, kForestRows> narrow{};
  if constexpr (sizeof(T) == sizeof(float)) {
    for (std::size_t r = 0; r < count; ++r) narrow[r] = x[r * step];
    kernels.find_places_f32(tree, narrow.data(), count, first_, missing, places);
  } else {
    Row values;
    bool between = false;
    for (std::size_t r = 0; r < count; ++r) {
      values[r] = x[r * step];
      narrow[r] = round_down(values[r]);
      between |= static_cast<double>(narrow[r]) < values[r];
    }
    kernels.find_places_f32(tree, narrow.data(), count, first_, missing, places);
    if (between) settle(values, count, places);
  }
}

void Scale::settle(const Row& values, std::size_t count, std::uint16_t* places) const {
  for (unsigned moved = 1; moved != 0;) {
    moved = 0;
    for (std::size_t r = 0; r < count; ++r) {
      const double threshold = thresholds_[std::min<std::size_t>(places[r], size_)];
      const unsigned behind = strict_ ? values[r] >= threshold : values[r] > threshold;
      places[r] = static_cast<std::uint16_t>(places[r] + behind);
      moved |= behind;
    }
  }
}

template void Scale::find(const Kernels&, const float*, std::size_t, std::size_t, std::uint16_t,
                          std::uint16_t*) const;
template void Scale::find(const Kernels&, const double*, std::size_t, std::size_t, std::uint16_t,
                          std::uint16_t*) const;

}  // namespace pyrec
