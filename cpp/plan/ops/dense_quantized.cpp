#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/dense_layer.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// Rows that are converted before they are multiplied: they stay in cache in between.
constexpr std::size_t kRowsAtOnce = 128;

// The constant [k, n] matrix that a layer of lower precision is made from.
const Tensor& constant_weights(const OpSpec& spec, const char* op) {
  const Tensor* weights = constant_input(spec, 1);
  if (!weights || weights->rank() != 2 || weights->dtype != DType::kFloat32) {
    throw OpError(ErrorKind::kUnsupported,
                  std::string(op) + ": expected a constant float32 matrix of weights");
  }
  return *weights;
}

// How a layer's rows and weights are laid out, and their product.
struct Int8 {
  static constexpr const char* kName = "pyrec.DenseInt8";
  static PackedBytes packed_size(const Kernels& kernels) { return kernels.packed_size_s8; }
  static PackBytes pack(const Kernels& kernels) { return kernels.pack_s8; }
  static std::size_t row_size(std::size_t k) { return quantized_row_size(k); }
  static void convert(const Kernels& kernels, const float* x, std::size_t ldx, std::size_t m,
                      std::size_t k, std::byte* rows) {
    kernels.quantize_rows_u8(x, ldx, m, k, rows);
  }
  static void multiply(const Kernels& kernels, const std::byte* rows, const std::byte* packed,
                       const float* bias, std::size_t bias_step, bool relu, float* y,
                       std::size_t ldc, std::size_t m, std::size_t n, std::size_t k,
                       Upcoming* upcoming) {
    kernels.gemm_u8s8(rows, packed, bias, bias_step, relu, y, ldc, m, n, k, upcoming);
  }
};

struct Bf16 {
  static constexpr const char* kName = "pyrec.DenseBf16";
  static PackedBytes packed_size(const Kernels& kernels) { return kernels.packed_size_bf16; }
  static PackBytes pack(const Kernels& kernels) { return kernels.pack_bf16; }
  static std::size_t row_size(std::size_t k) { return rounded_row_size(k) * sizeof(std::uint16_t); }
  static void convert(const Kernels& kernels, const float* x, std::size_t ldx, std::size_t m,
                      std::size_t k, std::byte* rows) {
    kernels.round_rows_bf16(x, ldx, m, k, reinterpret_cast<std::uint16_t*>(rows));
  }
  static void multiply(const Kernels& kernels, const std::byte* rows, const std::byte* packed,
                       const float* bias, std::size_t bias_step, bool relu, float* y,
                       std::size_t ldc, std::size_t m, std::size_t n, std::size_t k,
                       Upcoming* upcoming) {
    kernels.gemm_bf16(reinterpret_cast<const std::uint16_t*>(rows), packed, bias, bias_step, relu,
                      y, ldc, m, n, k, upcoming);
  }
};

template <class Precision>
class NarrowLayer {
 public:
  explicit NarrowLayer(const OpSpec& spec)
      : activation_(activation_of(Precision::kName, spec.attributes.text("activation", ""))),
        given_(spec.attributes.has("columns")) {
    if (given_) {
      n_ = unsigned_size(std::max<std::int64_t>(spec.attributes.integer("columns", 0), 0));
      return;
    }
    const Tensor& weights = constant_weights(spec, Precision::kName);
    k_ = unsigned_size(weights.shape[0]);
    n_ = unsigned_size(weights.shape[1]);
    packed_ = AlignedArray<std::byte>(Precision::packed_size(spec.kernels)(k_, n_));
    Precision::pack(spec.kernels)(weights.as<float>(), k_, n_, unsigned_size(weights.strides[0]),
                                  unsigned_size(weights.strides[1]), packed_.data());
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor x = with_plain_rows(context, required_matrix_f32(in, 0, Precision::kName));
    const std::size_t k = unsigned_size(x.shape[x.rank() - 1]);
    const Tensor* matrices = given_ ? &packed_matrices(context.kernels, in, x) : nullptr;
    if (!given_ && k != k_) refuse(x);
    const Shape own = given_ ? batch_of(*matrices) : Shape();
    const auto strides_of = [&](const Shape& batch) {
      return batch_strides(batch, own, given_ ? matrices->strides : Shape());
    };
    const std::byte* packed = given_ ? matrices->data : packed_.data();
    const BufferRef rows = context.arena.allocate(Precision::row_size(k) * kRowsAtOnce);
    out[0].tensor = dense_rows(context, Precision::kName, x, own, static_cast<std::int64_t>(n_),
                               optional(in, 2), strides_of, [&](const DenseRun& run) {
                                 multiply(context, run, k, packed + run.matrix, rows.get()->data());
                               });
  }

 private:
  [[noreturn]] static void refuse(const Tensor& tensor) {
    throw OpError(ErrorKind::kShape, std::string(Precision::kName) +
                                         ": features and weights that do not fit, got shape " +
                                         describe(tensor.shape));
  }

  // The weights that pyrec.Pack has laid out, one byte for each element.
  const Tensor& packed_matrices(const Kernels& kernels, std::span<const Value* const> in,
                                const Tensor& x) const {
    const Tensor& packed = required(in, 1);
    if (packed.dtype != DType::kUint8) refuse_dtype(Precision::kName, packed.dtype);
    require_matrix(packed, Precision::kName);
    for (std::int64_t stride : packed.strides) {
      if (stride < 0) refuse(packed);
    }
    if (!holds_packed(packed, x.shape[x.rank() - 1], static_cast<std::int64_t>(n_),
                      Precision::packed_size(kernels))) {
      refuse(x);
    }
    return packed;
  }

  void multiply(Context& context, const DenseRun& run, std::size_t k, const std::byte* packed,
                std::byte* rows) const {
    const Kernels& kernels = context.kernels;
    for (std::size_t begin = 0; begin < run.m; begin += kRowsAtOnce) {
      const std::size_t m = std::min(kRowsAtOnce, run.m - begin);
      float* y = run.y + begin * run.ldc;
      Precision::convert(kernels, run.x + begin * run.lda, run.lda, m, k, rows);
      Precision::multiply(
          kernels, rows, packed, run.bias ? run.bias + begin * run.bias_step : nullptr,
          run.bias_step, activation_ == Activation::kRelu, y, run.ldc, m, n_, k, &context.upcoming);
      if (activation_ == Activation::kSigmoid || activation_ == Activation::kTanh) {
        const UnaryF32 function =
            activation_ == Activation::kSigmoid ? kernels.sigmoid_f32 : kernels.tanh_f32;
        const bool dense = run.ldc == n_;
        for (std::size_t i = 0; i < (dense ? 1 : m); ++i) {
          function(y + i * run.ldc, y + i * run.ldc, dense ? m * n_ : n_);
        }
      }
    }
  }

  Activation activation_;
  bool given_;  // the weights come out of pyrec.Pack
  std::size_t k_ = 0, n_ = 0;
  AlignedArray<std::byte> packed_;
};

// A plain layer with weights rounded to bfloat16.
class RoundedLayer final : public Op {
 public:
  explicit RoundedLayer(const OpSpec& spec) {
    const Tensor& weights = constant_weights(spec, Bf16::kName);
    const std::size_t k = unsigned_size(weights.shape[0]), n = unsigned_size(weights.shape[1]);
    rounded_ = AlignedArray<float>(k * n);
    std::vector<std::uint16_t> scratch(rounded_row_size(n));
    for (std::size_t i = 0; i < k; ++i) {
      const float* from = weights.as<float>() + static_cast<std::int64_t>(i) * weights.strides[0];
      float* row = rounded_.data() + i * n;
      for (std::size_t j = 0; j < n; ++j) {
        row[j] = from[static_cast<std::int64_t>(j) * weights.strides[1]];
      }
      round_to_bf16(spec.kernels, row, n, scratch.data());
    }
    weights_.tensor.data = reinterpret_cast<std::byte*>(rounded_.data());
    weights_.tensor.shape = weights.shape;
    weights_.tensor.strides = contiguous_strides(weights.shape);
    std::vector<const Tensor*> constants(spec.constants.begin(), spec.constants.end());
    constants[1] = &weights_.tensor;
    layer_ = find_op("pyrec.Dense")(
        {spec.attributes, constants, spec.outputs, spec.bodies, spec.kernels});
  }

  void run(Context& context, std::span<const Value* const> in,
           std::span<Value> out) const override {
    const std::array<const Value*, 3> given = {in[0], &weights_, in.size() > 2 ? in[2] : nullptr};
    layer_->run(context, given, out);
  }

 private:
  AlignedArray<float> rounded_;
  Value weights_;
  std::unique_ptr<Op> layer_;
};

std::unique_ptr<Op> make_bf16(const OpSpec& spec) {
  if (spec.kernels.fast_bf16) return make_op<NarrowLayer<Bf16>>(spec);
  // pyrec.Pack has rounded them.
  if (spec.attributes.has("columns")) return find_op("pyrec.Dense")(spec);
  return std::make_unique<RoundedLayer>(spec);
}

constexpr OpEntry kOps[] = {
    {Int8::kName, make_op<NarrowLayer<Int8>>},
    {Bf16::kName, make_bf16},
};

}  // namespace

std::span<const OpEntry> dense_quantized_ops() { return kOps; }

}  // namespace pyrec
