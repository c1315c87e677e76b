#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/linear_algebra.h"
#include "plan/ops/quantized.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// A scale or zero point as a view with the shape of x: one for all, one for each position of an
// axis, or one for each block of an axis.
Tensor spread_over(Context& context, const std::string& op, const Tensor& parameter,
                   const Tensor& x, std::int64_t given_axis, std::int64_t block) {
  Shape strides;
  if (parameter.rank() <= 1 && parameter.elements() == 1) {
    for (int axis = 0; axis < x.rank(); ++axis) strides.push_back(0);
    return view(parameter, x.shape, strides);
  }
  const int axis = normalize_axis(given_axis, x.rank());
  const auto fail = [&]() {
    throw OpError(ErrorKind::kShape, op + ": a parameter of shape " + describe(parameter.shape) +
                                         " does not fit an input of shape " + describe(x.shape));
  };
  if (block == 0) {
    if (parameter.rank() != 1 || parameter.shape[0] != x.shape[axis]) fail();
    for (int i = 0; i < x.rank(); ++i) strides.push_back(i == axis ? parameter.strides[0] : 0);
    return view(parameter, x.shape, strides);
  }
  if (parameter.rank() != x.rank()) fail();
  for (int i = 0; i < x.rank(); ++i) {
    const std::int64_t expected = i == axis ? (x.shape[i] + block - 1) / block : x.shape[i];
    if (parameter.shape[i] != expected) fail();
  }
  const Tensor result = allocate(context, parameter.dtype, x.shape);
  const std::int64_t inner = x.shape.product(axis + 1, x.rank());
  const std::int64_t size = x.shape[axis];
  const Tensor source = contiguous(context, parameter);
  const std::int64_t blocks = source.shape[axis];
  dispatch_size(parameter.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = result.as<T>();
    for (std::int64_t i = 0; i < result.elements(); ++i) {
      const std::int64_t outer = i / (inner * size);
      const std::int64_t at = i / inner % size;
      out[i] = source.as<T>()[(outer * blocks + at / block) * inner + i % inner];
    }
  });
  return result;
}

// The attributes of QuantizeLinear and DequantizeLinear.
struct Granularity {
  explicit Granularity(const OpSpec& spec)
      : axis(spec.attributes.integer("axis", 1)), block(spec.attributes.integer("block_size", 0)) {
    if (block < 0) throw OpError(ErrorKind::kModel, "a negative block_size");
  }
  std::int64_t axis;
  std::int64_t block;
};

// Rows of the last axis of x, a scale and a zero point: f(x, scale, scale step, zero, zero step,
// n).
template <class F>
void for_each_run(const Tensor& x, const Tensor& scale, const Tensor* zero, F&& f) {
  if (x.elements() == 0) return;
  const int last = x.rank() - 1;
  const Shape none = [&] {
    Shape strides;
    for (int axis = 0; axis < x.rank(); ++axis) strides.push_back(0);
    return strides;
  }();
  const Shape& zero_strides = zero ? zero->strides : none;
  if (last < 0) {
    f(0, 0, 0, 0, 0, 0, 1);
    return;
  }
  for_each_outer<3>(x.shape, 1, {x.strides, scale.strides, zero_strides},
                    [&](std::int64_t i, std::int64_t s, std::int64_t z) {
                      f(i, x.strides[last], s, scale.strides[last], z, zero_strides[last],
                        x.shape[last]);
                    });
}

class QuantizeLinear {
 public:
  explicit QuantizeLinear(const OpSpec& spec) : granularity_(spec) {
    dtype_ = dtype_from_name(spec.attributes.text("output_dtype", "uint8"));
    if (item_size(dtype_) > 2 || dtype_ == DType::kBool || dtype_ == DType::kFloat16) {
      throw OpError(ErrorKind::kUnsupported, "QuantizeLinear: this output_dtype");
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    constexpr const char* kName = "QuantizeLinear";
    const Tensor x = cast(context, required(in, 0), DType::kFloat32);
    const Tensor scale =
        spread_over(context, kName, cast(context, required(in, 1), DType::kFloat32), x,
                    granularity_.axis, granularity_.block);
    const Tensor* given = optional(in, 2);
    const DType dtype = given ? given->dtype : dtype_;
    Tensor zero;
    if (given) {
      zero = spread_over(context, kName, *given, x, granularity_.axis, granularity_.block);
    }
    const Tensor result = allocate(context, dtype, x.shape);
    dispatch_quantized(kName, dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      T* y = result.as<T>();
      for_each_run(x, scale, given ? &zero : nullptr,
                   [&](std::int64_t i, std::int64_t i_step, std::int64_t s, std::int64_t s_step,
                       std::int64_t z, std::int64_t z_step, std::int64_t n) {
                     const T* zeros = given ? zero.as<T>() + z : nullptr;
                     Requantizer requantizer(dtype, given && n != 0 ? zeros[0] : 0);
                     for (std::int64_t j = 0; j < n; ++j) {
                       if (z_step != 0) requantizer = Requantizer(dtype, zeros[j * z_step]);
                       *y++ = static_cast<T>(requantizer.quantize(
                           x.as<float>()[i + j * i_step] / scale.as<float>()[s + j * s_step]));
                     }
                   });
    });
    out[0].tensor = result;
  }

 private:
  Granularity granularity_;
  DType dtype_ = DType::kUint8;
};

class DequantizeLinear {
 public:
  explicit DequantizeLinear(const OpSpec& spec) : granularity_(spec) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    constexpr const char* kName = "DequantizeLinear";
    const Tensor& x = required(in, 0);
    const Tensor& given_scale = required(in, 1);
    const DType dtype = given_scale.dtype;
    if (dtype != DType::kFloat32 && dtype != DType::kFloat16) refuse_dtype(kName, dtype);
    const Tensor scale = spread_over(context, kName, cast(context, given_scale, DType::kFloat32), x,
                                     granularity_.axis, granularity_.block);
    const Tensor* given = optional(in, 2);
    Tensor zero;
    if (given) {
      require_same_dtype(kName, x, *given);
      zero = spread_over(context, kName, *given, x, granularity_.axis, granularity_.block);
    }
    const Tensor result = allocate(context, DType::kFloat32, x.shape);
    const auto run_as = [&](auto tag) {
      using T = typename decltype(tag)::type;
      // int32 minus its zero point needs more bits; shorter types are exact in int32.
      using Wide = std::conditional_t<sizeof(T) == 4, std::int64_t, std::int32_t>;
      float* y = result.as<float>();
      for_each_run(x, scale, given ? &zero : nullptr,
                   [&](std::int64_t i, std::int64_t i_step, std::int64_t s, std::int64_t s_step,
                       std::int64_t z, std::int64_t z_step, std::int64_t n) {
                     for (std::int64_t j = 0; j < n; ++j) {
                       const Wide zero_point = given ? zero.as<T>()[z + j * z_step] : 0;
                       const Wide value = x.as<T>()[i + j * i_step];
                       *y++ = static_cast<float>(value - zero_point) *
                              scale.as<float>()[s + j * s_step];
                     }
                   });
    };
    if (x.dtype == DType::kInt32) {
      run_as(TypeTag<std::int32_t>{});
    } else {
      dispatch_quantized(kName, x.dtype, run_as);
    }
    out[0].tensor = cast(context, result, dtype);
  }

 private:
  Granularity granularity_;
};

class DynamicQuantizeLinear {
 public:
  explicit DynamicQuantizeLinear(const OpSpec&) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    if (given.dtype != DType::kFloat32) refuse_dtype("DynamicQuantizeLinear", given.dtype);
    if (out.size() != 3) {
      throw OpError(ErrorKind::kModel, "DynamicQuantizeLinear: expected 3 outputs");
    }
    const Tensor x = contiguous(context, given);
    const auto n = unsigned_size(x.elements());
    float lowest = 0.0f;
    float highest = 0.0f;
    if (n != 0) {
      lowest = std::min(0.0f, context.kernels.min_f32(x.as<float>(), n));
      highest = std::max(0.0f, context.kernels.max_f32(x.as<float>(), n));
    }
    const float scale = highest == lowest ? 1.0f : (highest - lowest) / 255.0f;
    const std::int32_t zero = Requantizer(DType::kUint8, 0).quantize(-lowest / scale);
    const Requantizer requantizer(DType::kUint8, zero);
    const Tensor y = allocate(context, DType::kUint8, x.shape);
    for (std::size_t i = 0; i < n; ++i) {
      y.as<std::uint8_t>()[i] =
          static_cast<std::uint8_t>(requantizer.quantize(x.as<float>()[i] / scale));
    }
    out[0].tensor = y;
    out[1].tensor = allocate(context, DType::kFloat32, {});
    *out[1].tensor.as<float>() = scale;
    out[2].tensor = allocate(context, DType::kUint8, {});
    *out[2].tensor.as<std::uint8_t>() = static_cast<std::uint8_t>(zero);
  }
};

// Right operands [batch..., k, n] as int16 without their zero points, laid out for gemm_i16.
class PackedI16 {
 public:
  PackedI16(const Kernels& kernels, const Tensor& matrices, const ZeroPoints& zeros) {
    const int rank = matrices.rank();
    const std::int64_t k = matrices.shape[rank - 2];
    const std::int64_t n = matrices.shape[rank - 1];
    const Shape batch = batch_of(matrices);
    size_ = (kernels.packed_size_i16(unsigned_size(k), unsigned_size(n)) + 31) / 32 * 32;
    data_ = AlignedArray<std::int16_t>(size_ * unsigned_size(batch.elements()));
    std::vector<std::int16_t> wide(unsigned_size(k * n));
    std::int16_t* out = data_.data();
    for_each_outer<1>(batch, 0, {batch_strides(batch, batch, matrices.strides)},
                      [&](std::int64_t start) {
                        if (matrices.dtype == DType::kInt8) {
                          widen<std::int8_t>(matrices, start, zeros, wide);
                        } else {
                          widen<std::uint8_t>(matrices, start, zeros, wide);
                        }
                        kernels.pack_i16(wide.data(), unsigned_size(k), unsigned_size(n), out);
                        out += size_;
                      });
  }

  const std::int16_t* matrix(std::int64_t index) const {
    return data_.data() + unsigned_size(index) * size_;
  }

 private:
  template <class T>
  static void widen(const Tensor& matrices, std::int64_t start, const ZeroPoints& zeros,
                    std::vector<std::int16_t>& wide) {
    const int rank = matrices.rank();
    const std::int64_t n = matrices.shape[rank - 1];
    for (std::int64_t i = 0; i < matrices.shape[rank - 2]; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        const std::int64_t at =
            start + i * matrices.strides[rank - 2] + j * matrices.strides[rank - 1];
        wide[unsigned_size(i * n + j)] =
            static_cast<std::int16_t>(matrices.as<T>()[at] - zeros.at(j));
      }
    }
  }

  std::size_t size_;
  AlignedArray<std::int16_t> data_;
};

// The right operand's layout if it and its zero points are constants.
std::unique_ptr<PackedI16> pack_constant(const OpSpec& spec, std::size_t matrix,
                                         std::size_t zero_point, bool zero_given, bool transpose) {
  const auto constant = [&](std::size_t i) {
    return i < spec.constants.size() ? spec.constants[i] : nullptr;
  };
  const Tensor* b = constant(matrix);
  const Tensor* zero = constant(zero_point);
  if (!b || b->rank() < 2 || (zero_given && !zero) ||
      (b->dtype != DType::kInt8 && b->dtype != DType::kUint8)) {
    return nullptr;
  }
  const Tensor right = transpose && b->rank() == 2 ? permuted(*b, {1, 0}) : *b;
  return std::make_unique<PackedI16>(
      spec.kernels, right,
      ZeroPoints("MatMulInteger", zero, b->dtype, right.shape[right.rank() - 1]));
}

// Exact int32 products of 8-bit matrices less their zero points (one each for a's rows, b's
// columns).
Tensor multiply_integers(Context& context, const Tensor& a, const ZeroPoints& a_zeros,
                         const Tensor& b, const ZeroPoints& b_zeros, const PackedI16* packed) {
  const Product product(a, b);
  Tensor result = allocate(context, DType::kInt32, product.result_shape());
  if (result.elements() == 0) return result;
  const Tensor left = contiguous(context, widened(context, a));
  const Tensor centred = allocate(context, DType::kInt16, left.shape);
  for (std::int64_t i = 0; i < left.elements(); ++i) {
    centred.as<std::int16_t>()[i] = static_cast<std::int16_t>(
        left.as<std::int16_t>()[i] - a_zeros.at(i / product.k % product.m));
  }
  std::unique_ptr<PackedI16> own;
  if (!packed) {
    own = std::make_unique<PackedI16>(context.kernels, b, b_zeros);
    packed = own.get();
  }
  const auto m = unsigned_size(product.m);
  const auto n = unsigned_size(product.n);
  const auto k = unsigned_size(product.k);
  auto* c = result.as<std::int32_t>();
  const Shape b_batch = batch_of(b);
  if (b_batch.elements() == 1) {
    in_parts(unsigned_size(product.batch.elements()) * m, watched_rows(k, n),
             [&](std::size_t row, std::size_t count) {
               context.kernels.gemm_i16(centred.as<std::int16_t>() + row * k, packed->matrix(0),
                                        c + row * n, count, n, k);
             });
    return result;
  }
  for_each_outer<2>(product.batch, 0,
                    {batch_strides(product.batch, batch_of(a), centred.strides),
                     batch_strides(product.batch, b_batch, contiguous_strides(b_batch))},
                    [&](std::int64_t i, std::int64_t j) {
                      context.kernels.gemm_i16(centred.as<std::int16_t>() + i, packed->matrix(j), c,
                                               m, n, k);
                      c += m * n;
                    });
  return result;
}

class MatMulInteger {
 public:
  explicit MatMulInteger(const OpSpec& spec)
      : packed_(pack_constant(spec, 1, 3, spec.constants.size() > 3, false)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    constexpr const char* kName = "MatMulInteger";
    const MatrixOperands operands(kName, required(in, 0), required(in, 1));
    const Tensor& a = operands.a;
    const Tensor& b = operands.b;
    require_8_bits(kName, a);
    require_8_bits(kName, b);
    const ZeroPoints a_zeros(kName, optional(in, 2), a.dtype, a.shape[a.rank() - 2]);
    const ZeroPoints b_zeros(kName, optional(in, 3), b.dtype, b.shape[b.rank() - 1]);
    out[0].tensor = operands.restore(multiply_integers(context, a, a_zeros, b, b_zeros,
                                                       operands.column ? nullptr : packed_.get()));
  }

 private:
  std::unique_ptr<PackedI16> packed_;
};

class QLinearMatMul {
 public:
  explicit QLinearMatMul(const OpSpec& spec) : packed_(pack_constant(spec, 3, 5, true, false)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    constexpr const char* kName = "QLinearMatMul";
    const MatrixOperands operands(kName, required(in, 0), required(in, 3));
    const Tensor& a = operands.a;
    const Tensor& b = operands.b;
    const Tensor& y_zero = required(in, 7);
    require_8_bits(kName, a);
    require_8_bits(kName, b);
    require_8_bits(kName, y_zero);
    const std::int64_t m = a.shape[a.rank() - 2];
    const std::int64_t n = b.shape[b.rank() - 1];
    const ZeroPoints a_zeros(kName, &required(in, 2), a.dtype, m);
    const ZeroPoints b_zeros(kName, &required(in, 5), b.dtype, n);
    const Scales a_scales(kName, required(in, 1), m);
    const Scales b_scales(kName, required(in, 4), n);
    const float y_scale = Scales(kName, required(in, 6), 1).at(0);
    const Requantizer requantizer(kName, y_zero);
    const Tensor sums = multiply_integers(context, a, a_zeros, b, b_zeros,
                                          operands.column ? nullptr : packed_.get());
    const Tensor y = allocate(context, y_zero.dtype, sums.shape);
    for (std::int64_t i = 0; i < sums.elements(); ++i) {
      const float factor = a_scales.at(i / n % m) * b_scales.at(i % n) / y_scale;
      requantizer.store(static_cast<float>(sums.as<std::int32_t>()[i]) * factor, y, i);
    }
    out[0].tensor = operands.restore(y);
  }

 private:
  std::unique_ptr<PackedI16> packed_;
};

// com.microsoft.QGemm: A, its scale and zero point, B's three, an int32 C, and y's scale and zero
// point if the result is quantised.
class QGemm {
 public:
  explicit QGemm(const OpSpec& spec)
      : transpose_a_(spec.attributes.integer("transA", 0) != 0),
        transpose_b_(spec.attributes.integer("transB", 0) != 0),
        alpha_(static_cast<float>(spec.attributes.real("alpha", 1.0))),
        packed_(pack_constant(spec, 3, 5, true, transpose_b_)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    constexpr const char* kName = "QGemm";
    Tensor a = required(in, 0);
    Tensor b = required(in, 3);
    require_8_bits(kName, a);
    require_8_bits(kName, b);
    if (a.rank() != 2 || b.rank() != 2) {
      throw OpError(ErrorKind::kShape, "QGemm: expected two matrices, got shapes " +
                                           describe(a.shape) + " and " + describe(b.shape));
    }
    if (transpose_a_) a = permuted(a, {1, 0});
    if (transpose_b_) b = permuted(b, {1, 0});
    const std::int64_t n = b.shape[1];
    const ZeroPoints a_zero(kName, &required(in, 2), a.dtype, 1);
    const ZeroPoints b_zeros(kName, &required(in, 5), b.dtype, n);
    const float a_scale = Scales(kName, required(in, 1), 1).at(0);
    const Scales b_scales(kName, required(in, 4), n);
    const Tensor sums = multiply_integers(context, a, a_zero, b, b_zeros, packed_.get());
    if (const Tensor* c = optional(in, 6)) add(*c, sums);
    const Tensor* y_scale = optional(in, 7);
    const Tensor* y_zero = optional(in, 8);
    const auto value = [&](std::int64_t i, float divisor) {
      return static_cast<float>(sums.as<std::int32_t>()[i]) *
             (alpha_ * a_scale * b_scales.at(i % n) / divisor);
    };
    if (!y_scale) {
      const Tensor y = allocate(context, DType::kFloat32, sums.shape);
      for (std::int64_t i = 0; i < y.elements(); ++i) y.as<float>()[i] = value(i, 1.0f);
      out[0].tensor = y;
      return;
    }
    const DType dtype = y_zero ? y_zero->dtype : a.dtype;
    const float divisor = Scales(kName, *y_scale, 1).at(0);
    const Requantizer requantizer = y_zero ? Requantizer(kName, *y_zero) : Requantizer(dtype, 0);
    const Tensor y = allocate(context, dtype, sums.shape);
    for (std::int64_t i = 0; i < y.elements(); ++i) requantizer.store(value(i, divisor), y, i);
    out[0].tensor = y;
  }

 private:
  static void add(const Tensor& c, const Tensor& sums) {
    if (c.dtype != DType::kInt32) refuse_dtype("QGemm's C", c.dtype);
    if (!(broadcast_shapes(c.shape, sums.shape) == sums.shape)) {
      throw OpError(ErrorKind::kShape, "QGemm: C of shape " + describe(c.shape) +
                                           " does not broadcast to " + describe(sums.shape));
    }
    const Tensor addend = broadcast_to(c, sums.shape);
    auto* sum = sums.as<std::int32_t>();
    for_each_outer<1>(sums.shape, 0, {addend.strides}, [&](std::int64_t offset) {
      *sum = wrapped_sum(*sum, addend.as<std::int32_t>()[offset]);
      ++sum;
    });
  }

  bool transpose_a_, transpose_b_;
  float alpha_;
  std::unique_ptr<PackedI16> packed_;
};

constexpr OpEntry kOps[] = {
    {"QuantizeLinear", make_op<QuantizeLinear>},
    {"DequantizeLinear", make_op<DequantizeLinear>},
    {"DynamicQuantizeLinear", make_op<DynamicQuantizeLinear>},
    {"MatMulInteger", make_op<MatMulInteger>},
    {"QLinearMatMul", make_op<QLinearMatMul>},
    {"com.microsoft.QGemm", make_op<QGemm>},
};

}  // namespace

std::span<const OpEntry> quantization_ops() { return kOps; }

}  // namespace pyrec
