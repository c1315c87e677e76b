#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/dense_layer.h"
#include "plan/ops/narrow_rows.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// Rows that are converted before they are multiplied: they stay in cache in between, and while one
// panel of weights after the other passes by. Wider panels are worth reading for more rows only.
std::size_t rows_at_once(const Kernels& kernels) { return 8 * kernels.lanes; }

// How a layer's rows and weights are laid out, and their product.
struct Int8 {
  static constexpr const char* kName = "pyrec.DenseInt8";
  // Whether groups are skipped after a ReLU whose numbers come in no special order.
  static bool often_zero(const Kernels&) { return false; }
  static PackedBytes packed_size(const Kernels& kernels) { return kernels.packed_size_s8; }
  static PackBytes pack(const Kernels& kernels, bool sparse) {
    return sparse ? kernels.pack_sparse_s8 : kernels.pack_s8;
  }
  static constexpr const NarrowRows& kRows = kInt8Rows;
  static void multiply(const Kernels& kernels, bool sparse, const std::byte* rows,
                       const std::byte* packed, const float* bias, std::size_t bias_step, bool relu,
                       float* y, std::size_t ldc, std::size_t m, std::size_t n, std::size_t k,
                       Upcoming* upcoming) {
    const GemmU8S8 gemm = sparse ? kernels.gemm_sparse_u8s8 : kernels.gemm_u8s8;
    gemm(rows, packed, bias, bias_step, relu, y, ldc, m, n, k, upcoming);
  }
};

struct Bf16 {
  static constexpr const char* kName = "pyrec.DenseBf16";
  static bool often_zero(const Kernels& kernels) { return kernels.skips_pairs; }
  static PackedBytes packed_size(const Kernels& kernels) { return kernels.packed_size_bf16; }
  static PackBytes pack(const Kernels& kernels, bool sparse) {
    return sparse ? kernels.pack_sparse_bf16 : kernels.pack_bf16;
  }
  static constexpr const NarrowRows& kRows = kBf16Rows;
  static void multiply(const Kernels& kernels, bool sparse, const std::byte* rows,
                       const std::byte* packed, const float* bias, std::size_t bias_step, bool relu,
                       float* y, std::size_t ldc, std::size_t m, std::size_t n, std::size_t k,
                       Upcoming* upcoming) {
    const GemmBf16 gemm = sparse ? kernels.gemm_sparse_bf16 : kernels.gemm_bf16;
    gemm(reinterpret_cast<const std::uint16_t*>(rows), packed, bias, bias_step, relu, y, ldc, m, n,
         k, upcoming);
  }
};

template <class Precision>
class NarrowLayer {
 public:
  explicit NarrowLayer(const OpSpec& spec)
      : activation_(activation_of(Precision::kName, spec.attributes.text("activation", ""))),
        given_(spec.attributes.has("columns")),
        sparse_(spec.attributes.integer("skip_zeros", 0) != 0 &&
                (given_ || Precision::often_zero(spec.kernels))),
        narrow_(spec.attributes.has("features")),
        form_(narrow_rows(spec.kernels, spec.attributes.text("rows", ""))),
        ordered_(spec.attributes.integer("ordered", 0) != 0),
        measured_(spec.outputs > 1) {
    if (measured_ && &Precision::kRows != &kInt8Rows) {
      throw OpError(ErrorKind::kUnsupported, "measures of rows that are not int8");
    }
    k_ = unsigned_size(std::max<std::int64_t>(spec.attributes.integer("features", 0), 0));
    if (given_) {
      n_ = unsigned_size(std::max<std::int64_t>(spec.attributes.integer("columns", 0), 0));
      return;
    }
    const Tensor& weights = constant_weights(spec, 1, Precision::kName);
    if (narrow_ && k_ != unsigned_size(weights.shape[0])) refuse(weights);
    k_ = unsigned_size(weights.shape[0]);
    n_ = unsigned_size(weights.shape[1]);
    packed_ = AlignedArray<std::byte>(Precision::packed_size(spec.kernels)(k_, n_));
    Precision::pack(spec.kernels, sparse_)(weights.as<float>(), k_, n_,
                                           unsigned_size(weights.strides[0]),
                                           unsigned_size(weights.strides[1]), packed_.data());
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor x = narrow_
                         ? narrow_input(in)
                         : with_plain_rows(context, required_matrix_f32(in, 0, Precision::kName));
    const std::size_t k = narrow_ ? k_ : unsigned_size(x.shape[x.rank() - 1]);
    const Tensor* positions = given_ ? optional(in, 3) : nullptr;
    const std::size_t n = n_ * (positions ? unsigned_size(positions->elements()) : 1);
    const Tensor* matrices = given_ ? &packed_matrices(context.kernels, in, k, n) : nullptr;
    if (!given_ && k != k_) refuse(x);
    const std::byte* packed = given_ ? matrices->data : packed_.data();
    if (narrow_ || form_ || measured_) {
      if (x.rank() != 2 || (matrices && matrices->rank() != 2)) refuse(x);
      if (measured_) out[1].tensor = allocate(context, DType::kFloat32, {x.shape[0], 3});
      out[0].tensor = hand_over(context, x, k, n, packed, optional(in, 2),
                                measured_ ? out[1].tensor.as<RowMeasures>() : nullptr);
      return;
    }
    const Shape own = given_ ? batch_of(*matrices) : Shape();
    const auto strides_of = [&](const Shape& batch) {
      return batch_strides(batch, own, given_ ? matrices->strides : Shape());
    };
    const BufferRef rows =
        context.arena.allocate(Precision::kRows.size(k) * rows_at_once(context.kernels));
    out[0].tensor =
        dense_rows(context, Precision::kName, x, own, static_cast<std::int64_t>(n), optional(in, 2),
                   out[0], strides_of, [&](const DenseRun& run) {
                     multiply(context, run, k, n, packed + run.matrix, rows.get()->data());
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
                                std::size_t k, std::size_t n) const {
    const Tensor& packed = required(in, 1);
    if (packed.dtype != DType::kUint8) refuse_dtype(Precision::kName, packed.dtype);
    require_matrix(packed, Precision::kName);
    for (std::int64_t stride : packed.strides) {
      if (stride < 0) refuse(packed);
    }
    if (!holds_packed(packed, static_cast<std::int64_t>(k), static_cast<std::int64_t>(n),
                      Precision::packed_size(kernels))) {
      refuse(required(in, 0));
    }
    return packed;
  }

  Tensor narrow_input(std::span<const Value* const> in) const {
    const Tensor& x = required(in, 0);
    const bool fits = x.dtype == DType::kUint8 && x.rank() == 2 &&
                      unsigned_size(x.shape[1]) == Precision::kRows.size(k_) &&
                      (x.shape[0] <= 1 || x.strides[0] == x.shape[1]) && x.strides[1] == 1;
    if (!fits) refuse(x);
    return x;
  }

  // A matrix's rows taken over or handed over in narrow form; `measures` is null or gets what was
  // measured of each row that comes in.
  Tensor hand_over(Context& context, const Tensor& x, std::size_t k, std::size_t n,
                   const std::byte* packed, const Tensor* bias, RowMeasures* measures) const {
    const NarrowRows& own = measured_ ? kMeasuredInt8Rows : Precision::kRows;
    const std::size_t m = unsigned_size(x.shape[0]);
    const Shape shape{x.shape[0], static_cast<std::int64_t>(n)};
    const ShapedBias start(context, Precision::kName, bias, shape);
    const RowOrder order(context, ordered_ ? start.rows : nullptr, n);
    const std::size_t size = form_ ? form_->size(n) : 0;
    const Tensor y =
        form_ ? allocate(context, DType::kUint8, {shape[0], static_cast<std::int64_t>(size)})
              : allocate(context, DType::kFloat32, shape);
    if (m == 0) return y;
    const BufferRef rows = context.arena.allocate(
        narrow_ ? 0 : Precision::kRows.size(k) * rows_at_once(context.kernels));
    const BufferRef sums =
        context.arena.allocate(form_ ? n * sizeof(float) * rows_at_once(context.kernels) : 0);
    in_parts(m, rows_at_once(context.kernels), [&](std::size_t begin, std::size_t count) {
      float* to = form_ ? reinterpret_cast<float*>(sums.get()->data()) : y.as<float>() + begin * n;
      const std::byte* from = x.data + begin * Precision::kRows.size(k);
      if (!narrow_) {
        const std::size_t step = unsigned_size(x.strides[0]);
        own.convert(context.kernels, x.as<float>() + begin * step, step, count, k, nullptr,
                    rows.get()->data());
        from = rows.get()->data();
      }
      if (measures != nullptr) list_measures(from, count, k, measures + begin);
      multiply_rows(context, from, packed, start.rows ? start.rows + begin * start.step : nullptr,
                    start.step, to, n, count, n, k);
      if (form_) {
        form_->convert(context.kernels, to, n, count, n, order.data(), y.data + begin * size);
      }
    });
    return y;
  }

  void multiply(Context& context, const DenseRun& run, std::size_t k, std::size_t n,
                const std::byte* packed, std::byte* rows) const {
    in_parts(run.m, rows_at_once(context.kernels), [&](std::size_t begin, std::size_t m) {
      Precision::kRows.convert(context.kernels, run.x + begin * run.lda, run.lda, m, k, nullptr,
                               rows);
      multiply_rows(context, rows, packed, run.bias ? run.bias + begin * run.bias_step : nullptr,
                    run.bias_step, run.y + begin * run.ldc, run.ldc, m, n, k);
    });
  }

  void multiply_rows(Context& context, const std::byte* rows, const std::byte* packed,
                     const float* bias, std::size_t bias_step, float* y, std::size_t ldc,
                     std::size_t m, std::size_t n, std::size_t k) const {
    const Kernels& kernels = context.kernels;
    Precision::multiply(kernels, sparse_, rows, packed, bias, bias_step,
                        activation_ == Activation::kRelu, y, ldc, m, n, k, &context.upcoming);
    if (activation_ != Activation::kSigmoid && activation_ != Activation::kTanh) return;
    const UnaryF32 function =
        activation_ == Activation::kSigmoid ? kernels.sigmoid_f32 : kernels.tanh_f32;
    const bool dense = ldc == n;
    for (std::size_t i = 0; i < (dense ? 1 : m); ++i) {
      function(y + i * ldc, y + i * ldc, dense ? m * n : n);
    }
  }

  Activation activation_;
  bool given_;              // the weights come out of pyrec.Pack
  bool sparse_;             // the input has many zeros
  bool narrow_;             // the input has narrow rows
  const NarrowRows* form_;  // of the result; null: float32 numbers
  bool ordered_;            // the result is handed over in the order of the bias
  bool measured_;           // RowMeasures of each row are a second result
  std::size_t k_ = 0, n_ = 0;
  AlignedArray<std::byte> packed_;
};

// A plain layer with weights rounded to bfloat16.
class RoundedLayer final : public Op {
 public:
  explicit RoundedLayer(const OpSpec& spec) {
    const Tensor& weights = constant_weights(spec, 1, Bf16::kName);
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
  if (spec.kernels.multiplies_bf16) return make_op<NarrowLayer<Bf16>>(spec);
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
