#pragma once

// Reductions over axes of strided tensors.

#include <cstdint>

#include "plan/op.h"

namespace pyrec {

enum class Reduction {
  kSum,
  kMean,
  kMax,
  kMin,
  kProd,
  kL1,
  kL2,
  kSumSquare,
  kLogSum,
  kLogSumExp,
};

// One bit an axis.
using AxisMask = std::uint32_t;

constexpr AxisMask axis_bit(int axis) { return AxisMask{1} << static_cast<unsigned>(axis); }

// Reduces the axes of the mask; they stay with size 1 or are dropped.
Tensor reduce(Context& context, const Tensor& tensor, Reduction kind, AxisMask axes,
              bool keep_axes);

}  // namespace pyrec
