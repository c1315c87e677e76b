#pragma once

// What the dense operator families share: reductions and matrix products over strided tensors.

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

// c[m, n] = a[m, k] * b[k, n] for element types without a kernel; c is contiguous, ldc from row to
// row. Unsigned types wrap around.
template <class T>
void gemm_loops(const T* a, std::int64_t a_row, std::int64_t a_column, const T* b,
                std::int64_t b_row, std::int64_t b_column, T* c, std::int64_t ldc, std::int64_t m,
                std::int64_t n, std::int64_t k) {
  constexpr std::int64_t kBlock = 64;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) c[i * ldc + j] = T{0};
  }
  for (std::int64_t first = 0; first < k; first += kBlock) {
    const std::int64_t last = first + kBlock < k ? first + kBlock : k;
    for (std::int64_t i = 0; i < m; ++i) {
      T* out = c + i * ldc;
      for (std::int64_t l = first; l < last; ++l) {
        const T factor = a[i * a_row + l * a_column];
        const T* row = b + l * b_row;
        if (b_column == 1) {
          for (std::int64_t j = 0; j < n; ++j) out[j] = static_cast<T>(out[j] + factor * row[j]);
        } else {
          for (std::int64_t j = 0; j < n; ++j) {
            out[j] = static_cast<T>(out[j] + factor * row[j * b_column]);
          }
        }
      }
    }
  }
}

// NumPy's matmul of operands of rank 2 or more. `packed` holds b where b is a float32 constant;
// `bias` is [n] or null, and for float32 only.
Tensor matmul(Context& context, const Tensor& a, const Tensor& b, const PackedF32* packed = nullptr,
              const float* bias = nullptr);

// The operands of NumPy's matmul with vectors seen as matrices, and the way back.
class MatrixOperands {
 public:
  MatrixOperands(const std::string& op, const Tensor& left, const Tensor& right);
  // The product without the axes that were put in for vectors.
  Tensor restore(const Tensor& product) const;

  Tensor a, b;
  bool row, column;  // whether the left, the right operand is a vector
};

// Sizes of a product of operands of rank 2 or more.
struct Product {
  Product(const Tensor& a, const Tensor& b);
  Shape result_shape() const;

  Shape batch;
  std::int64_t m, n, k;
};

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
