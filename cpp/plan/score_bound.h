#pragma once

// How far sums that are made with layers in int8 can be from those of float32. The formulas, and
// what proves them, are in docs/screening.md; their factors come with a model.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "plan/ops/narrow_rows.h"

namespace pyrec {

// Of the row before the last layer behind gates.
struct GateMeasures {
  float reach;   // the length of the last layer's weights times the gates
  float others;  // the sum of the sizes of what is added
  float gates;   // lengths of what must not be large
};

// What was measured of some items.
struct ItemMeasures {
  std::span<const float> sums;
  std::vector<const RowMeasures*> layers;  // of the items, for each layer in int8
  const GateMeasures* gates = nullptr;     // of the items; null: no gates

  ItemMeasures from(std::size_t first, std::size_t count) const;
};

class ScoreBound {
 public:
  // Beyond it nothing is known, nor where gates are above the other.
  static constexpr double kLargest = 0x1p60;

  // What the error of a sum behind gates is made of, from a bound of the layer's error and one of
  // its row's length.
  struct Gates {
    double inexact;      // share that sums lose in float32
    double reach_lost;   // what is lost of what is measured
    double others_lost;  //
    double least;        // what can be lost where numbers are too small
    double share;        // by which all is larger, so that it is no less in float32
    double size_share;   // the same of a sum's size
    double largest;      // of gates
  };

  // Each of the three has the factors of 1, of a sum's size, and of the measures of each layer.
  // `error` is the bound of the error, of the layer's row behind which there are gates if any;
  // `norm` is that of this row's length; `largest` is more than any number that comes up.
  ScoreBound(std::vector<float> error, std::vector<float> norm, std::vector<float> largest,
             std::optional<Gates> gates);

  std::size_t layers() const { return layers_; }
  bool has_gates() const { return gates_.has_value(); }

  // The bound for each item, infinite where none is known. A sum and its bound, added up in
  // float32, are no less than what they stand for.
  void find_errors(const ItemMeasures& items, float* errors) const;
  // Appends the places of the items whose sums with their errors are not below `least`, or not
  // numbers.
  void list_reaching(const ItemMeasures& items, float least,
                     std::vector<std::int64_t>& places) const;

 private:
  static constexpr std::size_t kBlock = 256;

  void total(const std::vector<float>& factors, const ItemMeasures& items, float* totals) const;
  void find_some(const ItemMeasures& items, float* errors) const;

  std::size_t layers_;
  std::vector<float> error_, norm_, largest_;
  float surely_;  // where no measure is above it, nothing is too large
  std::optional<Gates> gates_;
};

// No smaller sum has as large a score in float32: its sigmoid, or itself.
double least_sum(double score, bool sigmoid);

}  // namespace pyrec
