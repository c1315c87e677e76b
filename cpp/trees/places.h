#pragma once

// Where a feature's numbers lie among its thresholds.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dispatch/kernels.h"

namespace pyrec {

// The search tree of numbers that rise.
class PlaceLevels {
 public:
  explicit PlaceLevels(std::vector<float> keys);

  PlaceTree tree() const;

 private:
  std::size_t keys_;
  std::vector<std::vector<float>> levels_;  // the last first
};

// Thresholds, which rise, and which numbers are behind them: those above or, if they are strict,
// those that equal them too.
class Scale {
 public:
  Scale(std::span<const double> thresholds, bool strict);

  std::size_t size() const { return size_; }

  // How many thresholds each of up to kForestRows numbers, `step` apart, is behind; of NaN it is
  // `missing`, which is not below size().
  template <class T>
  void find(const Kernels& kernels, const T* x, std::size_t step, std::size_t count,
            std::uint16_t missing, std::uint16_t* places) const;

 private:
  using Row = std::array<double, kForestRows>;

  // Moves numbers on that lie between two of float32 from the place of the lower of them.
  void settle(const Row& values, std::size_t count, std::uint16_t* places) const;

  std::size_t size_;
  bool strict_;
  std::uint16_t first_ = 0;  // thresholds that every number is behind
  std::vector<double> thresholds_;
  PlaceLevels levels_;
};

}  // namespace pyrec
