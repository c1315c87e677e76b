#include "plan/ops/dense_layer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
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

const Tensor& constant_weights(const OpSpec& spec, std::size_t index, const char* op) {
  const Tensor* weights = constant_input(spec, index);
  if (!weights || weights->rank() != 2 || weights->dtype != DType::kFloat32) {
    throw OpError(ErrorKind::kUnsupported,
                  std::string(op) + ": expected a constant float32 matrix of weights");
  }
  return *weights;
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

bool has_plain_rows(const Tensor& tensor) {
  const int last = tensor.rank() - 1;
  bool plain = tensor.shape[last] <= 1 || tensor.strides[last] == 1;
  for (std::int64_t stride : tensor.strides) plain = plain && stride >= 0;
  return plain;
}

Tensor with_plain_rows(Context& context, const Tensor& tensor) {
  return has_plain_rows(tensor) ? tensor : contiguous(context, tensor);
}

Tensor bias_rows(Context& context, Tensor bias, const Shape& shape) {
  const std::int64_t width = shape[shape.rank() - 1];
  if (bias.rank() == 0) bias = view(bias, {1}, {1});
  bias = broadcast_to(bias, with_last(outer_of(bias.shape), width));
  return broadcast_to(with_plain_rows(context, bias), shape);
}

MatrixBias plain_bias(const Tensor& bias, std::int64_t m, std::int64_t n) {
  const int last = bias.rank() - 1;
  if (last < 0 || last > 1 || bias.shape[last] != n || (n > 1 && bias.strides[last] != 1)) {
    return {};
  }
  if (last == 0 || bias.shape[0] == 1) return {bias.as<float>(), 0};
  if (bias.shape[0] != m || bias.strides[0] < 0) return {};
  return {bias.as<float>(), unsigned_size(bias.strides[0])};
}

ShapedBias::ShapedBias(Context& context, const char* op, const Tensor* bias, const Shape& shape)
    : MatrixBias{} {
  if (!bias) return;
  if (bias->dtype != DType::kFloat32) refuse_dtype(op, bias->dtype);
  static_cast<MatrixBias&>(*this) = plain_bias(*bias, shape[0], shape[1]);
  if (rows) return;
  if (broadcast_shapes(bias->shape, shape) != shape) {
    throw OpError(ErrorKind::kShape, std::string(op) + ": a bias of shape " +
                                         describe(bias->shape) + " does not broadcast to " +
                                         describe(shape));
  }
  made_ = contiguous(context, broadcast_to(*bias, shape));
  static_cast<MatrixBias&>(*this) = {made_.as<float>(), unsigned_size(shape[1])};
}

bool holds_packed(const Tensor& packed, std::int64_t k, std::int64_t columns,
                  std::size_t (*size)(std::size_t, std::size_t)) {
  const std::int64_t last = packed.shape[packed.rank() - 1];
  const bool counted = columns >= 0 && (k == 0 || columns <= last / k);
  return counted && packed.shape[packed.rank() - 2] == 1 &&
         unsigned_size(last) == size(unsigned_size(k), unsigned_size(columns)) &&
         (last <= 1 || packed.strides[packed.rank() - 1] == 1);
}

void round_to_bf16(const Kernels& kernels, float* row, std::size_t n, std::uint16_t* scratch) {
  kernels.round_rows_bf16(row, n, 1, n, nullptr, scratch);
  for (std::size_t j = 0; j < n; ++j) {
    const std::uint32_t bits = static_cast<std::uint32_t>(scratch[j]) << 16;
    std::memcpy(row + j, &bits, sizeof bits);
  }
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
      : context_(context), constant_(constant), packed_(packed), k_(k), n_(n), given_(weights) {
    if (constant || packed) return;
    const auto negative = [](std::int64_t stride) { return stride < 0; };
    if (std::any_of(weights.strides.begin(), weights.strides.end(), negative)) {
      copy_ = contiguous(context, weights);
    }
  }

  // Over a broadcast batch, in the unit that `at` takes.
  Shape strides(const Shape& batch) const {
    const Shape own = batch_of(given_);
    return batch_strides(batch, own, constant_ ? contiguous_strides(own) : weights().strides);
  }

  const float* at(std::int64_t offset) {
    if (constant_) return constant_->matrix(offset);
    const float* matrix = weights().as<float>() + offset;
    if (packed_) return matrix;
    if (laid_out_ != offset) {
      const Shape& steps = weights().strides;
      buffer_ = pack(context_, matrix, k_, n_, steps[steps.rank() - 2], steps[steps.rank() - 1]);
      laid_out_ = offset;
    }
    return reinterpret_cast<const float*>(buffer_.get()->data());
  }

 private:
  const Tensor& weights() const { return copy_.data ? copy_ : given_; }

  Context& context_;
  const PackedF32* constant_;
  bool packed_;
  std::int64_t k_, n_;
  const Tensor& given_;
  Tensor copy_;  // of weights that kernels cannot step through
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
  static constexpr int kStartsFrom = 2;

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
    const Tensor& given = required_matrix_f32(in, 0, kName);
    Tensor copy;
    if (!has_plain_rows(given)) copy = contiguous(context, given);
    const Tensor& x = copy.data ? copy : given;
    require_matrix(weights, kName);
    const std::int64_t k = x.shape[x.rank() - 1];
    const Tensor* positions = optional(in, 3);
    const std::int64_t n =
        columns_of(context.kernels, weights, k, columns_ * (positions ? positions->elements() : 1));

    RightMatrices right(context, weights, constant_.get(), packed_, k, n);
    const GemmF32 gemm = skip_zeros_ ? context.kernels.gemm_sparse_f32 : context.kernels.gemm_f32;
    out[0].tensor = dense_rows(
        context, kName, x, batch_of(weights), n, optional(in, 2), out[0],
        [&](const Shape& batch) { return right.strides(batch); },
        [&](const DenseRun& run) {
          const std::size_t features = unsigned_size(k), columns = unsigned_size(n);
          in_parts(run.m, watched_rows(features, columns), [&](std::size_t row, std::size_t m) {
            gemm(run.x + row * run.lda, run.lda, right.at(run.matrix),
                 run.bias ? run.bias + row * run.bias_step : nullptr, run.bias_step, activation_,
                 run.y + row * run.ldc, run.ldc, m, columns, features, &context.upcoming);
          });
        });
  }

 private:
  static constexpr const char* kName = "pyrec.Dense";

  std::int64_t columns_of(const Kernels& kernels, const Tensor& weights, std::int64_t k,
                          std::int64_t columns) const {
    const std::int64_t last = weights.shape[weights.rank() - 1];
    const std::int64_t rows = weights.shape[weights.rank() - 2];
    const bool fits =
        packed_ ? holds_packed(weights, k, columns, kernels.packed_size_f32) : rows == k;
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

// Matrices [..., k, n] become rows [..., 1, floats] or, for a lower precision, [..., 1, bytes], so
// that an axis of rows stays where it was.
class Pack {
 public:
  explicit Pack(const OpSpec& spec) {
    const std::string precision = spec.attributes.text("precision", "fp32");
    if (precision == "int8") {
      bytes_ = {spec.kernels.packed_size_s8, spec.kernels.pack_s8};
    } else if (precision == "bf16") {
      if (spec.kernels.multiplies_bf16)
        bytes_ = {spec.kernels.packed_size_bf16, spec.kernels.pack_bf16};
      rounded_ = !spec.kernels.multiplies_bf16;
    } else if (precision != "fp32") {
      throw OpError(ErrorKind::kUnsupported, std::string(kName) + ": precision " + precision);
    }
  }

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
    const Tensor source = rounded_   ? rounded(context, given)
                          : negative ? contiguous(context, given)
                                     : given;
    if (negative) batch = batch_of(given);
    const std::size_t k = unsigned_size(given.shape[rank - 2]);
    const std::size_t n = unsigned_size(given.shape[rank - 1]);
    const auto size = static_cast<std::int64_t>(
        (bytes_.size ? bytes_.size : context.kernels.packed_size_f32)(k, n));
    const Tensor packed = allocate(context, bytes_.size ? DType::kUint8 : DType::kFloat32,
                                   with_last(with_last(batch, 1), size));
    const std::size_t row_step = unsigned_size(source.strides[rank - 2]);
    const std::size_t column_step = unsigned_size(source.strides[rank - 1]);
    for_each_outer<2>(batch, 0, {batch_of_strides(source), batch_of_strides(packed)},
                      [&](std::int64_t from, std::int64_t to) {
                        const float* matrix = source.as<float>() + from;
                        if (bytes_.size) {
                          bytes_.pack(matrix, k, n, row_step, column_step, packed.data + to);
                        } else {
                          context.kernels.pack_f32(matrix, k, n, row_step, column_step,
                                                   packed.as<float>() + to);
                        }
                      });
    out[0].tensor = broadcast_to(packed, with_last(with_last(batch_of(given), 1), size));
  }

 private:
  static constexpr const char* kName = "pyrec.Pack";

  // Of a product that reads no floats.
  struct Bytes {
    PackedBytes size = nullptr;
    PackBytes pack = nullptr;
  };

  static Shape batch_of_strides(const Tensor& tensor) { return outer_of(outer_of(tensor.strides)); }

  static Tensor rounded(Context& context, const Tensor& given) {
    const Tensor made = allocate(context, DType::kFloat32, given.shape);
    copy_elements(given, made);
    const std::size_t n = unsigned_size(given.shape[given.rank() - 1]);
    const BufferRef scratch = context.arena.allocate(rounded_row_size(n) * sizeof(std::uint16_t));
    for (std::int64_t row = 0; row < outer_of(given.shape).elements(); ++row) {
      round_to_bf16(context.kernels, made.as<float>() + row * static_cast<std::int64_t>(n), n,
                    reinterpret_cast<std::uint16_t*>(scratch.get()->data()));
    }
    return made;
  }

  Bytes bytes_;
  bool rounded_ = false;  // numbers of bfloat16, laid out for float32 products
};

constexpr OpEntry kOps[] = {
    {"pyrec.Dense", make_op<DenseLayer>},
    {"pyrec.Pack", make_op<Pack>},
};

}  // namespace

std::span<const OpEntry> dense_layer_ops() { return kOps; }

}  // namespace pyrec
