#pragma once

// What the dense operator families share: views of strided tensors, and weights laid out for
// products.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "plan/op.h"

namespace pyrec {

// Kernels take sizes without a sign.
inline std::size_t unsigned_size(std::int64_t size) { return static_cast<std::size_t>(size); }

// The axes in another order, as a view: axis i of the result is axis order[i].
Tensor permuted(const Tensor& tensor, const Shape& order);

// The stride of axes [begin, end) seen as one axis, if they are evenly spaced.
std::optional<std::int64_t> merged_stride(const Tensor& tensor, int begin, int end);

// Axes [begin, end) as one axis; a copy only where a view cannot do it.
Tensor merge_axes(Context& context, const Tensor& tensor, int begin, int end);

// A contiguous tensor with another shape of as many elements.
Tensor reshaped(Context& context, const Tensor& tensor, const Shape& shape);

// Fixed, 64-byte-aligned memory for weights that are laid out once.
template <class T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(std::size_t size)
      : data_(static_cast<T*>(::operator new(size * sizeof(T) + 64, std::align_val_t(64)))) {}
  T* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* data) const { ::operator delete(data, std::align_val_t(64)); }
  };
  std::unique_ptr<T, Free> data_;
};

// The right operand of float32 products, of shape [batch..., k, n], laid out for gemm_f32 or for
// gemm_sparse_f32.
class PackedF32 {
 public:
  PackedF32(const Kernels& kernels, const Tensor& matrices, bool skip_zeros = false);
  const float* matrix(std::int64_t index) const {
    return data_.data() + static_cast<std::size_t>(index) * size_;
  }

 private:
  std::size_t size_;
  AlignedArray<float> data_;
};

// Lays one [k, n] matrix of non-negative strides out in memory of the arena.
BufferRef pack(Context& context, const float* matrix, std::int64_t k, std::int64_t n,
               std::int64_t row_step, std::int64_t column_step);

// The value of an input that is known at load, else null.
const Tensor* constant_input(const OpSpec& spec, std::size_t index);

// The activation of an attribute; throws OpError(kUnsupported).
Activation activation_of(const std::string& op, const std::string& name);

// All axes of a matrix operand but the last two.
Shape batch_of(const Tensor& tensor);

// Strides over a broadcast batch of something whose own batch has the given shape and strides.
Shape batch_strides(const Shape& batch, const Shape& own, const Shape& own_strides);

// Both throw OpError(kDType).
[[noreturn]] void refuse_dtype(const std::string& op, DType dtype);
void require_same_dtype(const std::string& op, const Tensor& a, const Tensor& b);

}  // namespace pyrec
