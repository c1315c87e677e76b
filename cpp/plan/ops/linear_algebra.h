#pragma once

// Matrix products over strided tensors.

#include <cstdint>
#include <string>

#include "plan/op.h"
#include "plan/ops/dense.h"

namespace pyrec {

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

}  // namespace pyrec
