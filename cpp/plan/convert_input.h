#pragma once

#include "plan/op.h"

namespace pyrec {

// Converts an input to the model's element type, refusing every change of value but the rounding of
// float64 to narrower floats. The row of an OpError counts along `row_axis`.
Tensor convert_input(Context& context, const Tensor& tensor, DType to, int row_axis);

}  // namespace pyrec
