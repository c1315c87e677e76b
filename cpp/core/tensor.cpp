#include "core/tensor.h"

namespace pyrec {

bool Tensor::contiguous() const {
  std::int64_t expected = 1;
  for (int axis = rank() - 1; axis >= 0; --axis) {
    if (shape[axis] != 1 && strides[axis] != expected) return elements() == 0;
    expected *= shape[axis];
  }
  return true;
}

}  // namespace pyrec
