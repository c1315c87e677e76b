#include "plan/ops/scores.h"

#include <string>

#include "plan/tensor_tools.h"

namespace pyrec {

Transform transform_of(const std::string& name) {
  constexpr const char* kNames[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  for (int i = 0; i < 5; ++i) {
    if (name == kNames[i]) return static_cast<Transform>(i);
  }
  throw OpError(ErrorKind::kModel, "unknown post_transform");
}

Tensor feature_matrix(Context& context, const Tensor& x, DType dtype) {
  if (x.rank() != 1 && x.rank() != 2) {
    throw OpError(ErrorKind::kShape, "expected rows of features, got shape " + describe(x.shape));
  }
  Tensor matrix = contiguous(context, cast(context, x, dtype));
  if (x.rank() == 2) return matrix;
  const Shape shape{1, x.shape[0]};
  return view(matrix, shape, contiguous_strides(shape));
}

}  // namespace pyrec
