#include "plan/rows.h"

#include <string>

#include "plan/tensor_tools.h"

namespace pyrec {

std::int64_t entries_per_row(const Tensor& tensor, int axis, std::int64_t rows) {
  if (axis >= tensor.rank()) throw OpError(ErrorKind::kShape, "a value lost its row axis");
  const std::int64_t size = tensor.shape[axis];
  if (size == rows) return 1;
  const std::int64_t multiple = rows == 0 ? 0 : size / rows;
  if (multiple * rows != size) {
    throw OpError(ErrorKind::kShape, "a value has " + std::to_string(size) + " entries along its " +
                                         "row axis, which is no multiple of " +
                                         std::to_string(rows) + " rows");
  }
  return multiple;
}

Tensor rows_of(const Tensor& tensor, int axis, std::int64_t begin, std::int64_t count,
               std::int64_t total) {
  const std::int64_t multiple = entries_per_row(tensor, axis, total);
  Shape shape = tensor.shape;
  shape[axis] = multiple * count;
  return view(tensor, shape, tensor.strides,
              shape.elements() == 0 ? 0 : begin * multiple * tensor.strides[axis]);
}

Tensor repeat_row(Context& context, const Tensor& tensor, int axis, std::int64_t rows) {
  if (axis >= tensor.rank()) throw OpError(ErrorKind::kShape, "a value lost its row axis");
  const std::int64_t multiple = tensor.shape[axis];
  Shape shape = tensor.shape;
  shape[axis] = multiple * rows;
  Shape strides = tensor.strides;
  // A row of several entries cannot be a stride-0 view of that axis.
  if (multiple == 1) {
    strides[axis] = 0;
    return view(tensor, shape, strides);
  }
  Tensor repeated = allocate(context, tensor.dtype, shape);
  for (std::int64_t row = 0; row < rows; ++row) {
    copy_elements(tensor, rows_of(repeated, axis, row, 1, rows));
  }
  return repeated;
}

Tensor borrowed(const Tensor& tensor) {
  // Not a copy that drops its owner: counting the reference is not this thread's right.
  return {tensor.data, tensor.dtype, tensor.shape, tensor.strides, BufferRef()};
}

Value borrowed(const Value& value) {
  Value copy;
  copy.is_sequence = value.is_sequence;
  if (value.is_sequence) {
    for (const Tensor& tensor : value.sequence) copy.sequence.push_back(borrowed(tensor));
  } else {
    copy.tensor = borrowed(value.tensor);
  }
  return copy;
}

}  // namespace pyrec
