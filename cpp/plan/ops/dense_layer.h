#pragma once

// What dense layers act(x W + b) share, whatever their matrices are made of.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "plan/ops/dense.h"
#include "plan/tensor_tools.h"

namespace pyrec {

// A float32 input.
const Tensor& required_f32(std::span<const Value* const> in, std::size_t index, const char* op);

// An input that is a constant [k, n] matrix of weights. Throws OpError(kUnsupported).
const Tensor& constant_weights(const OpSpec& spec, std::size_t index, const char* op);

// Throws OpError(kShape) where there are fewer than two axes.
void require_matrix(const Tensor& tensor, const char* op);
const Tensor& required_matrix_f32(std::span<const Value* const> in, std::size_t index,
                                  const char* op);

// All axes but the last.
Shape outer_of(const Shape& shape);
Shape with_last(Shape shape, std::int64_t size);
Shape without(const Shape& shape, int gone);

// Whether rows of the last axis lie as kernels read them: one run of memory each, steps without a
// sign.
bool has_plain_rows(const Tensor& tensor);

// The tensor itself if it has plain rows, else a copy that has.
Tensor with_plain_rows(Context& context, const Tensor& tensor);

// A bias that broadcasts to `shape`, as a view of that shape with plain rows.
Tensor bias_rows(Context& context, Tensor bias, const Shape& shape);

// A bias as kernels add it to the rows of a matrix.
struct MatrixBias {
  const float* rows;  // null: none
  std::size_t step;   // from row to row; 0: all start from one row
};

// A float32 bias that a matrix [m, n] can start from as it lies in memory, else one without rows.
MatrixBias plain_bias(const Tensor& bias, std::int64_t m, std::int64_t n);

// Any bias that broadcasts to a matrix of this shape. Throws OpError(kDType) and OpError(kShape).
class ShapedBias : public MatrixBias {
 public:
  ShapedBias(Context& context, const char* op, const Tensor* bias, const Shape& shape);

 private:
  Tensor made_;  // where the bias does not lie in memory as kernels add it
};

// Whether rows of packed numbers [..., 1, size(k, columns)] hold matrices [k, columns].
bool holds_packed(const Tensor& packed, std::int64_t k, std::int64_t columns,
                  std::size_t (*size)(std::size_t, std::size_t));

// Rounds a row to bfloat16 numbers, with room for rounded_row_size(n) of them.
void round_to_bf16(const Kernels& kernels, float* row, std::size_t n, std::uint16_t* scratch);

// Rows that share a matrix; steps are floats from row to row.
struct DenseRun {
  const float* x;
  std::size_t lda;
  std::int64_t matrix;  // its place, in the unit of the matrices' strides
  const float* bias;    // null: none
  std::size_t bias_step;
  float* y;
  std::size_t ldc;
  std::size_t m;
};

// The result `out` of a layer: multiply(run) fills it for every run of rows. x has plain rows,
// `matrices` is the matrices' batch, strides_of(batch) their strides over the batch that it is
// broadcast to.
template <class StridesOf, class Multiply>
Tensor dense_rows(Context& context, const char* op, const Tensor& x, const Shape& matrices,
                  std::int64_t n, const Tensor* bias, const Value& out, StridesOf strides_of,
                  Multiply multiply) {
  if (x.rank() == 2 && matrices.rank() == 0 && (!bias || bias->dtype == DType::kFloat32)) {
    const std::int64_t m = x.shape[0];
    const MatrixBias rows = bias ? plain_bias(*bias, m, n) : MatrixBias{};
    if (!bias || rows.rows) {
      Tensor y = made_where_offered(context, out, DType::kFloat32, {m, n});
      if (y.elements() != 0) {
        multiply(DenseRun{x.as<float>(), unsigned_size(x.strides[0]), 0, rows.rows, rows.step,
                          y.as<float>(), unsigned_size(y.strides[0]), unsigned_size(m)});
      }
      return y;
    }
  }
  constexpr std::size_t kX = 0, kW = 1, kBias = 2, kY = 3;
  Shape shape = broadcast_shapes(batch_of(x), matrices);
  shape.push_back(x.shape[x.rank() - 2]);
  shape.push_back(n);
  if (bias) {
    if (bias->dtype != DType::kFloat32) refuse_dtype(op, bias->dtype);
    shape = broadcast_shapes(shape, bias->shape);
  }
  if (shape[shape.rank() - 1] != n) {
    throw OpError(ErrorKind::kShape, std::string(op) + ": a bias of shape " +
                                         describe(bias->shape) + " for " + std::to_string(n) +
                                         " columns");
  }
  const Tensor y = allocate(context, DType::kFloat32, shape);
  if (y.elements() == 0) return y;

  Shape rows = outer_of(shape);
  const Tensor added = bias ? bias_rows(context, *bias, shape) : Tensor();
  std::array<Shape, 4> strides{
      outer_of(broadcast_to(x, with_last(rows, x.shape[x.rank() - 1])).strides),
      with_last(strides_of(outer_of(rows)), 0), outer_of(added.strides), outer_of(y.strides)};
  if (!bias) strides[kBias] = strides[kY];
  coalesce(rows, strides);
  int axis = -1;  // of most rows that share a matrix
  for (int i = 0; i < rows.rank(); ++i) {
    if (strides[kW][i] == 0 && (axis < 0 || rows[i] > rows[axis])) axis = i;
  }
  const auto step = [&](std::size_t which) {
    return axis < 0 ? std::size_t{0} : unsigned_size(strides[which][axis]);
  };
  DenseRun run{};
  run.m = axis < 0 ? 1 : unsigned_size(rows[axis]);
  run.lda = step(kX);
  run.bias_step = step(kBias);
  run.ldc = step(kY);
  std::array<Shape, 4> rest;
  for (std::size_t i = 0; i < strides.size(); ++i) rest[i] = without(strides[i], axis);
  for_each_outer<4>(without(rows, axis), 0, rest,
                    [&](std::int64_t xo, std::int64_t wo, std::int64_t bo, std::int64_t yo) {
                      run.x = x.as<float>() + xo;
                      run.matrix = wo;
                      run.bias = bias ? added.as<float>() + bo : nullptr;
                      run.y = y.as<float>() + yo;
                      multiply(static_cast<const DenseRun&>(run));
                    });
  return y;
}

}  // namespace pyrec
