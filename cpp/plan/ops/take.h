#pragma once

// Reading slices at positions given as data, for every family that needs it.

#include <cstdint>
#include <span>

#include "plan/tensor_tools.h"

namespace pyrec {

// A new tensor of the slices at `index` (each in [0, size)) along an axis, which becomes the axes
// of `index_shape`.
Tensor take(Context& context, const Tensor& tensor, int axis, std::span<const std::int64_t> index,
            const Shape& index_shape);

}  // namespace pyrec
