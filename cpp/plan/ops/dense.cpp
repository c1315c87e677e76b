#include "plan/ops/dense.h"

#include <string>
#include <vector>

#include "plan/tensor_tools.h"

namespace pyrec {

Shape batch_of(const Tensor& tensor) {
  Shape batch;
  for (int axis = 0; axis + 2 < tensor.rank(); ++axis) batch.push_back(tensor.shape[axis]);
  return batch;
}

Shape batch_strides(const Shape& batch, const Shape& own, const Shape& own_strides) {
  Shape strides;
  const int missing = batch.rank() - own.rank();
  for (int axis = 0; axis < batch.rank(); ++axis) {
    const bool repeats = axis < missing || own[axis - missing] == 1;
    strides.push_back(repeats ? 0 : own_strides[axis - missing]);
  }
  return strides;
}

Tensor permuted(const Tensor& tensor, const Shape& order) {
  Shape shape, strides;
  for (std::int64_t axis : order) {
    shape.push_back(tensor.shape[static_cast<int>(axis)]);
    strides.push_back(tensor.strides[static_cast<int>(axis)]);
  }
  return view(tensor, shape, strides);
}

std::optional<std::int64_t> merged_stride(const Tensor& tensor, int begin, int end) {
  std::optional<std::int64_t> stride;
  std::int64_t expected = 0;
  for (int axis = end; axis-- > begin;) {
    if (tensor.shape[axis] == 1) continue;
    if (stride && tensor.strides[axis] != expected) return std::nullopt;
    if (!stride) stride = tensor.strides[axis];
    expected = tensor.strides[axis] * tensor.shape[axis];
  }
  // A single element: the step after it is never taken, but kernels want one that is not too small.
  return stride ? stride : tensor.shape.product(end, tensor.rank());
}

Tensor merge_axes(Context& context, const Tensor& tensor, int begin, int end) {
  Tensor source = tensor;
  std::optional<std::int64_t> stride = merged_stride(source, begin, end);
  if (!stride) {
    source = contiguous(context, source);
    stride = merged_stride(source, begin, end);
  }
  Shape shape, strides;
  for (int axis = 0; axis < begin; ++axis) {
    shape.push_back(source.shape[axis]);
    strides.push_back(source.strides[axis]);
  }
  shape.push_back(source.shape.product(begin, end));
  strides.push_back(stride.value_or(1));
  for (int axis = end; axis < source.rank(); ++axis) {
    shape.push_back(source.shape[axis]);
    strides.push_back(source.strides[axis]);
  }
  return view(source, shape, strides);
}

Tensor reshaped(Context& context, const Tensor& tensor, const Shape& shape) {
  return view(contiguous(context, tensor), shape, contiguous_strides(shape));
}

const Tensor* constant_input(const OpSpec& spec, std::size_t index) {
  return index < spec.constants.size() ? spec.constants[index] : nullptr;
}

Activation activation_of(const std::string& op, const std::string& name) {
  if (name.empty()) return Activation::kNone;
  if (name == "Relu") return Activation::kRelu;
  if (name == "Sigmoid") return Activation::kSigmoid;
  if (name == "Tanh") return Activation::kTanh;
  throw OpError(ErrorKind::kUnsupported, op + ": activation '" + name + "'");
}

PackedF32::PackedF32(const Kernels& kernels, const Tensor& matrices, bool skip_zeros) {
  const PackF32 pack = skip_zeros ? kernels.pack_sparse_f32 : kernels.pack_f32;
  const int rank = matrices.rank();
  const std::int64_t k = matrices.shape[rank - 2];
  const std::int64_t n = matrices.shape[rank - 1];
  const Shape batch = batch_of(matrices);
  // A multiple of 64 bytes, so that every matrix is as well aligned as the first.
  const auto packed_size = skip_zeros ? kernels.packed_size_sparse_f32 : kernels.packed_size_f32;
  size_ = (packed_size(unsigned_size(k), unsigned_size(n)) + 15) / 16 * 16;
  data_ = AlignedArray<float>(size_ * unsigned_size(batch.elements()));
  Shape strides;
  for (int axis = 0; axis < batch.rank(); ++axis) strides.push_back(matrices.strides[axis]);
  const std::int64_t row = matrices.strides[rank - 2];
  const std::int64_t column = matrices.strides[rank - 1];
  std::vector<float> widened;
  float* out = data_.data();
  for_each_outer<1>(batch, 0, {strides}, [&](std::int64_t start) {
    if (matrices.dtype == DType::kFloat16) {
      widened.clear();
      for (std::int64_t i = 0; i < k; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          widened.push_back(static_cast<float>(matrices.as<Half>()[start + i * row + j * column]));
        }
      }
      pack(widened.data(), unsigned_size(k), unsigned_size(n), unsigned_size(n), 1, out);
    } else {
      pack(matrices.as<float>() + start, unsigned_size(k), unsigned_size(n), unsigned_size(row),
           unsigned_size(column), out);
    }
    out += size_;
  });
}

BufferRef pack(Context& context, const float* matrix, std::int64_t k, std::int64_t n,
               std::int64_t row_step, std::int64_t column_step) {
  const Kernels& kernels = context.kernels;
  const std::size_t size = kernels.packed_size_f32(unsigned_size(k), unsigned_size(n));
  BufferRef buffer = context.arena.allocate(size * sizeof(float));
  kernels.pack_f32(matrix, unsigned_size(k), unsigned_size(n), unsigned_size(row_step),
                   unsigned_size(column_step), reinterpret_cast<float*>(buffer.get()->data()));
  return buffer;
}

void refuse_dtype(const std::string& op, DType dtype) {
  throw OpError(ErrorKind::kDType,
                op + ": element type " + dtype_name(dtype) + " is not supported");
}

void require_same_dtype(const std::string& op, const Tensor& a, const Tensor& b) {
  if (a.dtype == b.dtype) return;
  throw OpError(ErrorKind::kDType,
                op + ": operands of " + dtype_name(a.dtype) + " and " + dtype_name(b.dtype));
}

}  // namespace pyrec
