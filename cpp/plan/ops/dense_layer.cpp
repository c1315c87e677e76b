#include "plan/ops/dense_layer.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/tensor_tools.h"

namespace pyrec {

const Tensor& required_f32(std::span<const Value* const> in, std::size_t index, const char* op) {
  const Tensor& tensor = required(in, index);
  if (tensor.dtype != DType::kFloat32) refuse_dtype(op, tensor.dtype);
  return tensor;
}

void require_matrix(const Tensor& tensor, const char* op) {
  if (tensor.rank() < 2) {
    throw OpError(ErrorKind::kShape, std::string(op) + ": expected two or more axes, got shape " +
                                         describe(tensor.shape));
  }
}

const Tensor& required_matrix_f32(std::span<const Value* const> in, std::size_t index,
                                  const char* op) {
  const Tensor& tensor = required_f32(in, index, op);
  require_matrix(tensor, op);
  return tensor;
}

Shape outer_of(const Shape& shape) {
  Shape outer;
  for (int axis = 0; axis + 1 < shape.rank(); ++axis) outer.push_back(shape[axis]);
  return outer;
}

Shape with_last(Shape shape, std::int64_t size) {
  shape.push_back(size);
  return shape;
}

Tensor with_plain_rows(Context& context, const Tensor& tensor) {
  const int last = tensor.rank() - 1;
  bool plain = tensor.shape[last] <= 1 || tensor.strides[last] == 1;
  for (std::int64_t stride : tensor.strides) plain = plain && stride >= 0;
  return plain ? tensor : contiguous(context, tensor);
}

Tensor bias_rows(Context& context, Tensor bias, const Shape& shape) {
  const std::int64_t width = shape[shape.rank() - 1];
  if (bias.rank() == 0) bias = view(bias, {1}, {1});
  bias = broadcast_to(bias, with_last(outer_of(bias.shape), width));
  return broadcast_to(with_plain_rows(context, bias), shape);
}

Shape without(const Shape& shape, int gone) {
  Shape rest;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (axis != gone) rest.push_back(shape[axis]);
  }
  return rest;
}

namespace {

// The right matrices of a layer: where each one is and how it is laid out.
class RightMatrices {
 public:
  RightMatrices(Context& context, const Tensor& weights, const PackedF32* constant, bool packed,
                std::int64_t k, std::int64_t n)
      : context_(context), constant_(constant), packed_(packed), k_(k), n_(n) {
    if (constant || packed) {
      weights_ = weights;
    } else {
      const auto negative = [](std::int64_t stride) { return stride < 0; };
      const bool any = std::any_of(weights.strides.begin(), weights.strides.end(), negative);
      weights_ = any ? contiguous(context, weights) : weights;
    }
  }

  // Over a broadcast batch, in the unit that `at` takes.
  Shape strides(const Shape& batch) const {
    const Shape own = batch_of(weights_);
    return batch_strides(batch, own, constant_ ? contiguous_strides(own) : weights_.strides);
  }

  const float* at(std::int64_t offset) {
    if (constant_) return constant_->matrix(offset);
    const float* matrix = weights_.as<float>() + offset;
    if (packed_) return matrix;
    if (laid_out_ != offset) {
      const int rank = weights_.rank();
      buffer_ =
          pack(context_, matrix, k_, n_, weights_.strides[rank - 2], weights_.strides[rank - 1]);
      laid_out_ = offset;
    }
    return reinterpret_cast<const float*>(buffer_.get()->data());
  }

 private:
  Context& context_;
  const PackedF32* constant_;
  bool packed_;
  std::int64_t k_, n_;
  Tensor weights_;
  BufferRef buffer_;
  std::int64_t laid_out_ = -1;
};

bool all_finite(const Tensor& tensor) {
  bool finite = true;
  for_each_outer<1>(tensor.shape, 0, {tensor.strides}, [&](std::int64_t at) {
    finite = finite && std::isfinite(tensor.as<float>()[at]);
  });
  return finite;
}

class DenseLayer {
 public:
  explicit DenseLayer(const OpSpec& spec)
      : activation_(activation_of(kName, spec.attributes.text("activation", ""))),
        packed_(spec.attributes.has("columns")),
        columns_(spec.attributes.integer("columns", 0)) {
    const Tensor* weights = constant_input(spec, 1);
    if (weights && !packed_ && weights->rank() >= 2 && weights->dtype == DType::kFloat32) {
      // Zero times infinity is NaN, which a skipped product would not give.
      skip_zeros_ = spec.attributes.integer("skip_zeros", 0) != 0 && all_finite(*weights);
      constant_ = std::make_unique<PackedF32>(spec.kernels, *weights, skip_zeros_);
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& weights = required_f32(in, 1, kName);
    const Tensor x = with_plain_rows(context, required_matrix_f32(in, 0, kName));
    require_matrix(weights, kName);
    const std::int64_t k = x.shape[x.rank() - 1];
    const Tensor* positions = optional(in, 3);
    const std::int64_t n =
        columns_of(context.kernels, weights, k, columns_ * (positions ? positions->elements() : 1));

    RightMatrices right(context, weights, constant_.get(), packed_, k, n);
    const GemmF32 gemm = skip_zeros_ ? context.kernels.gemm_sparse_f32 : context.kernels.gemm_f32;
    out[0].tensor = dense_rows(
        context, kName, x, batch_of(weights), n, optional(in, 2),
        [&](const Shape& batch) { return right.strides(batch); },
        [&](const DenseRun& run) {
          gemm(run.x, run.lda, right.at(run.matrix), run.bias, run.bias_step, activation_, run.y,
               run.ldc, run.m, unsigned_size(n), unsigned_size(k));
        });
  }

 private:
  static constexpr const char* kName = "pyrec.Dense";

  std::int64_t columns_of(const Kernels& kernels, const Tensor& weights, std::int64_t k,
                          std::int64_t columns) const {
    const std::int64_t last = weights.shape[weights.rank() - 1];
    const std::int64_t rows = weights.shape[weights.rank() - 2];
    bool fits = rows == k;
    if (packed_) {
      fits = rows == 1 && columns >= 0 && (k == 0 || columns <= last / k) &&
             unsigned_size(last) ==
                 kernels.packed_size_f32(unsigned_size(k), unsigned_size(columns)) &&
             (last <= 1 || weights.strides[weights.rank() - 1] == 1);
    }
    if (!fits) {
      throw OpError(ErrorKind::kShape, std::string(kName) + ": weights of shape " +
                                           describe(weights.shape) + " for " + std::to_string(k) +
                                           " features");
    }
    return packed_ ? columns : last;
  }

  Activation activation_;
  bool packed_;  // the weights come out of pyrec.Pack
  bool skip_zeros_ = false;
  std::int64_t columns_;
  std::unique_ptr<PackedF32> constant_;
};

// Matrices [..., k, n] become rows [..., 1, floats], so that an axis of rows stays where it was.
class Pack {
 public:
  explicit Pack(const OpSpec&) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& given = required_f32(in, 0, kName);
    require_matrix(given, kName);
    const int rank = given.rank();
    Shape batch;  // each repeated matrix is laid out once
    for (int axis = 0; axis + 2 < rank; ++axis) {
      batch.push_back(given.strides[axis] == 0 && given.shape[axis] > 0 ? 1 : given.shape[axis]);
    }
    const bool negative = std::any_of(given.strides.begin(), given.strides.end(),
                                      [](std::int64_t stride) { return stride < 0; });
    const Tensor source = negative ? contiguous(context, given) : given;
    const std::int64_t k = given.shape[rank - 2], n = given.shape[rank - 1];
    const auto size = static_cast<std::int64_t>(
        context.kernels.packed_size_f32(unsigned_size(k), unsigned_size(n)));
    if (negative) batch = batch_of(given);
    const Tensor packed = allocate(context, DType::kFloat32, with_last(with_last(batch, 1), size));
    for_each_outer<2>(batch, 0, {batch_of_strides(source), batch_of_strides(packed)},
                      [&](std::int64_t from, std::int64_t to) {
                        context.kernels.pack_f32(
                            source.as<float>() + from, unsigned_size(k), unsigned_size(n),
                            unsigned_size(source.strides[rank - 2]),
                            unsigned_size(source.strides[rank - 1]), packed.as<float>() + to);
                      });
    out[0].tensor = broadcast_to(packed, with_last(with_last(batch_of(given), 1), size));
  }

 private:
  static constexpr const char* kName = "pyrec.Pack";

  static Shape batch_of_strides(const Tensor& tensor) { return outer_of(outer_of(tensor.strides)); }
};

constexpr OpEntry kOps[] = {
    {"pyrec.Dense", make_op<DenseLayer>},
    {"pyrec.Pack", make_op<Pack>},
};

}  // namespace

std::span<const OpEntry> dense_layer_ops() { return kOps; }

}  // namespace pyrec
