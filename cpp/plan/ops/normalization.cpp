#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/watch.h"
#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/reduction.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// Runs f on the tensor in a type it knows (float32 or float64); float16 goes through float32.
template <class F>
Tensor in_wide_float(Context& context, const char* op, const Tensor& tensor, F&& f) {
  switch (tensor.dtype) {
    case DType::kFloat32:
    case DType::kFloat64:
      return f(tensor);
    case DType::kFloat16:
      return cast(context, f(cast(context, tensor, DType::kFloat32)), DType::kFloat16);
    default:
      refuse_dtype(op, tensor.dtype);
  }
}

Shape order_with_last(int rank, int axis) {
  Shape order;
  for (int i = 0; i < rank; ++i) {
    if (i != axis) order.push_back(i);
  }
  order.push_back(axis);
  return order;
}

Shape order_from_last(int rank, int axis) {
  Shape order;
  for (int i = 0; i < rank; ++i) {
    order.push_back(i < axis ? i : i == axis ? rank - 1 : i - 1);
  }
  return order;
}

// f(x, y) on contiguous tensors whose last axis is the one of interest; the result is a view.
template <class F>
Tensor along_axis(Context& context, const Tensor& tensor, std::int64_t given_axis, F&& f) {
  const int axis = normalize_axis(given_axis, tensor.rank());
  const bool moves = axis != tensor.rank() - 1;
  const Tensor source =
      contiguous(context, moves ? permuted(tensor, order_with_last(tensor.rank(), axis)) : tensor);
  const Tensor result = allocate(context, source.dtype, source.shape);
  if (result.elements() != 0) f(source, result);
  return moves ? permuted(result, order_from_last(tensor.rank(), axis)) : result;
}

template <class F>
void for_each_row(const Tensor& source, F&& f) {
  const std::int64_t n = source.shape[source.rank() - 1];
  const std::int64_t rows = n == 0 ? 0 : source.elements() / n;
  for (std::int64_t r = 0; r < rows; ++r) f(r * n, n);
}

template <bool kLog>
void softmax_row(const double* x, double* y, std::int64_t n) {
  double largest = x[0];
  for (std::int64_t i = 1; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  double total = 0.0;
  for (std::int64_t i = 0; i < n; ++i) total += y[i] = std::exp(x[i] - largest);
  const double shift = largest + std::log(total);
  for (std::int64_t i = 0; i < n; ++i) y[i] = kLog ? x[i] - shift : y[i] / total;
}

template <bool kLog>
class Softmax {
 public:
  explicit Softmax(const OpSpec& spec) : axis_(spec.attributes.integer("axis", -1)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const auto wide = [&](const Tensor& tensor) {
      return along_axis(context, tensor, axis_, [&](const Tensor& x, const Tensor& y) {
        const std::int64_t n = x.shape[x.rank() - 1];
        if (x.dtype == DType::kFloat32) {
          const RowsF32 kernel =
              kLog ? context.kernels.log_softmax_f32 : context.kernels.softmax_f32;
          const std::size_t width = unsigned_size(n);
          const std::size_t rows = std::max<std::size_t>(1, kWatchedElements / 4 / width);
          in_parts(
              unsigned_size(x.elements() / n), rows, [&](std::size_t begin, std::size_t count) {
                kernel(x.as<float>() + begin * width, y.as<float>() + begin * width, count, width);
              });
        } else {
          for_each_row(x, [&](std::int64_t start, std::int64_t size) {
            softmax_row<kLog>(x.as<double>() + start, y.as<double>() + start, size);
          });
        }
      });
    };
    out[0].tensor = in_wide_float(context, kLog ? "LogSoftmax" : "Softmax", required(in, 0), wide);
  }

 private:
  std::int64_t axis_;
};

class Hardmax {
 public:
  explicit Hardmax(const OpSpec& spec) : axis_(spec.attributes.integer("axis", -1)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const auto wide = [&](const Tensor& tensor) {
      return along_axis(context, tensor, axis_, [&](const Tensor& x, const Tensor& y) {
        if (x.dtype == DType::kFloat32) {
          mark<float>(x, y);
        } else {
          mark<double>(x, y);
        }
      });
    };
    out[0].tensor = in_wide_float(context, "Hardmax", required(in, 0), wide);
  }

 private:
  template <class T>
  static void mark(const Tensor& x, const Tensor& y) {
    for_each_row(x, [&](std::int64_t start, std::int64_t n) {
      const T* row = x.as<T>() + start;
      std::int64_t best = 0;
      for (std::int64_t i = 1; i < n; ++i) {
        if (row[i] > row[best]) best = i;
      }
      for (std::int64_t i = 0; i < n; ++i) y.as<T>()[start + i] = i == best ? T{1} : T{0};
    });
  }

  std::int64_t axis_;
};

class LpNormalization {
 public:
  explicit LpNormalization(const OpSpec& spec)
      : axis_(spec.attributes.integer("axis", -1)), order_(spec.attributes.integer("p", 2)) {
    if (order_ != 1 && order_ != 2) {
      throw OpError(ErrorKind::kModel, "LpNormalization: p is neither 1 nor 2");
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const auto wide = [&](const Tensor& tensor) {
      return along_axis(context, tensor, axis_, [&](const Tensor& x, const Tensor& y) {
        const Tensor norms = reduce(context, x, order_ == 1 ? Reduction::kL1 : Reduction::kL2,
                                    axis_bit(x.rank() - 1), false);
        if (x.dtype == DType::kFloat32) {
          const float* norm = norms.as<float>();
          for_each_row(x, [&](std::int64_t start, std::int64_t n) {
            const float divisor = *norm == 0.0f ? 1.0f : *norm;
            context.kernels.divide_f32(x.as<float>() + start, 1, &divisor, 0, y.as<float>() + start,
                                       unsigned_size(n));
            ++norm;
          });
        } else {
          const double* norm = norms.as<double>();
          for_each_row(x, [&](std::int64_t start, std::int64_t n) {
            const double divisor = *norm == 0.0 ? 1.0 : *norm;
            for (std::int64_t i = start; i < start + n; ++i) {
              y.as<double>()[i] = x.as<double>()[i] / divisor;
            }
            ++norm;
          });
        }
      });
    };
    out[0].tensor = in_wide_float(context, "LpNormalization", required(in, 0), wide);
  }

 private:
  std::int64_t axis_;
  std::int64_t order_;
};

// The tensor as contiguous values of one type, with one value for each position of `shape`.
Tensor spread(Context& context, const Tensor& tensor, DType dtype, const Shape& shape) {
  return contiguous(context, broadcast_to(cast(context, tensor, dtype), shape));
}

Shape tail(const Shape& shape, int first) {
  Shape result;
  for (int axis = first; axis < shape.rank(); ++axis) result.push_back(shape[axis]);
  return result;
}

// Mean and 1 / sqrt(variance + epsilon) of each row.
template <class T>
void statistics(const T* x, std::int64_t rows, std::int64_t n, double epsilon, T* mean,
                T* inverse) {
  for (std::int64_t r = 0; r < rows; ++r, x += n) {
    double total = 0.0;
    for (std::int64_t i = 0; i < n; ++i) total += x[i];
    const double center = total / static_cast<double>(n);
    double squares = 0.0;
    for (std::int64_t i = 0; i < n; ++i) squares += (x[i] - center) * (x[i] - center);
    mean[r] = static_cast<T>(center);
    inverse[r] = static_cast<T>(1.0 / std::sqrt(squares / static_cast<double>(n) + epsilon));
  }
}

// Rows of [rows, n] to mean 0 and variance 1; gamma and beta are [n] or null.
void normalize_rows(Context& context, const Tensor& x, const Tensor* gamma, const Tensor* beta,
                    double epsilon, std::int64_t rows, std::int64_t n, const Tensor& y) {
  if (rows == 0 || n == 0) return;
  if (x.dtype == DType::kFloat32) {
    context.kernels.layer_normalization_f32(
        x.as<float>(), gamma ? gamma->as<float>() : nullptr, beta ? beta->as<float>() : nullptr,
        static_cast<float>(epsilon), y.as<float>(), unsigned_size(rows), unsigned_size(n));
    return;
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    const double* row = x.as<double>() + r * n;
    double mean = 0.0;
    double inverse = 0.0;
    statistics(row, 1, n, epsilon, &mean, &inverse);
    for (std::int64_t i = 0; i < n; ++i) {
      double value = (row[i] - mean) * inverse;
      if (gamma) value *= gamma->as<double>()[i];
      if (beta) value += beta->as<double>()[i];
      y.as<double>()[r * n + i] = value;
    }
  }
}

class LayerNormalization {
 public:
  explicit LayerNormalization(const OpSpec& spec)
      : axis_(spec.attributes.integer("axis", -1)),
        epsilon_(spec.attributes.real("epsilon", 1e-5)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& scale = required(in, 1);
    const Tensor* bias = optional(in, 2);
    const int axis = normalize_axis(axis_, required(in, 0).rank());
    const auto wide = [&](const Tensor& tensor) {
      const Tensor x = contiguous(context, tensor);
      const Shape inner = tail(x.shape, axis);
      const std::int64_t n = inner.elements();
      const std::int64_t rows = x.shape.product(0, axis);
      const Tensor gamma = spread(context, scale, x.dtype, inner);
      const Tensor beta = bias ? spread(context, *bias, x.dtype, inner) : Tensor{};
      const Tensor y = allocate(context, x.dtype, x.shape);
      normalize_rows(context, x, &gamma, bias ? &beta : nullptr, epsilon_, rows, n, y);
      if (out.size() > 1) {
        Shape shape = x.shape;
        for (int i = axis; i < x.rank(); ++i) shape[i] = 1;
        const Tensor mean = allocate(context, x.dtype, shape);
        const Tensor inverse = allocate(context, x.dtype, shape);
        if (x.dtype == DType::kFloat32) {
          statistics(x.as<float>(), rows, n, epsilon_, mean.as<float>(), inverse.as<float>());
        } else {
          statistics(x.as<double>(), rows, n, epsilon_, mean.as<double>(), inverse.as<double>());
        }
        out[1].tensor = mean;
        if (out.size() > 2) out[2].tensor = inverse;
      }
      return y;
    };
    out[0].tensor = in_wide_float(context, "LayerNormalization", required(in, 0), wide);
  }

 private:
  std::int64_t axis_;
  double epsilon_;
};

class RmsNormalization {
 public:
  explicit RmsNormalization(const OpSpec& spec)
      : axis_(spec.attributes.integer("axis", -1)),
        epsilon_(spec.attributes.real("epsilon", 1e-5)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& scale = required(in, 1);
    const int axis = normalize_axis(axis_, required(in, 0).rank());
    const auto wide = [&](const Tensor& tensor) {
      const Tensor x = contiguous(context, tensor);
      const Shape inner = tail(x.shape, axis);
      const std::int64_t n = inner.elements();
      const std::int64_t rows = n == 0 ? 0 : x.elements() / n;
      const Tensor gamma = spread(context, scale, x.dtype, inner);
      const Tensor y = allocate(context, x.dtype, x.shape);
      for (std::int64_t r = 0; r < rows; ++r) {
        if (x.dtype == DType::kFloat32) {
          const float* row = x.as<float>() + r * n;
          float* out_row = y.as<float>() + r * n;
          const auto size = unsigned_size(n);
          const float divisor =
              std::sqrt(context.kernels.sum_squares_f32(row, size) / static_cast<float>(n) +
                        static_cast<float>(epsilon_));
          context.kernels.divide_f32(row, 1, &divisor, 0, out_row, size);
          context.kernels.multiply_f32(out_row, 1, gamma.as<float>(), 1, out_row, size);
        } else {
          const double* row = x.as<double>() + r * n;
          double squares = 0.0;
          for (std::int64_t i = 0; i < n; ++i) squares += row[i] * row[i];
          const double divisor = std::sqrt(squares / static_cast<double>(n) + epsilon_);
          for (std::int64_t i = 0; i < n; ++i) {
            y.as<double>()[r * n + i] = row[i] / divisor * gamma.as<double>()[i];
          }
        }
      }
      return y;
    };
    out[0].tensor = in_wide_float(context, "RMSNormalization", required(in, 0), wide);
  }

 private:
  std::int64_t axis_;
  double epsilon_;
};

// y = x * scale + shift of a contiguous [outer, channels, inner] tensor; y may be x.
void affine(Context& context, const Tensor& x, const Tensor& scale, const Tensor& shift,
            std::int64_t channels, std::int64_t inner, const Tensor& y) {
  if (x.elements() == 0) return;
  const std::int64_t outer = x.elements() / (channels * inner);
  if (x.dtype == DType::kFloat64) {
    for (std::int64_t i = 0; i < x.elements(); ++i) {
      const std::int64_t c = i / inner % channels;
      y.as<double>()[i] = x.as<double>()[i] * scale.as<double>()[c] + shift.as<double>()[c];
    }
    return;
  }
  const Kernels& kernels = context.kernels;
  const bool rows = inner == 1;
  const std::size_t step = rows ? 1 : 0;
  const std::size_t run = unsigned_size(rows ? channels : inner);
  const std::int64_t runs = rows ? outer : outer * channels;
  for (std::int64_t r = 0; r < runs; ++r) {
    const float* from = x.as<float>() + r * static_cast<std::int64_t>(run);
    float* to = y.as<float>() + r * static_cast<std::int64_t>(run);
    const std::int64_t c = rows ? 0 : r % channels;
    kernels.multiply_f32(from, 1, scale.as<float>() + c, step, to, run);
    kernels.add_f32(to, 1, shift.as<float>() + c, step, to, run);
  }
}

void require_channels(const char* op, const Tensor& tensor, std::int64_t channels) {
  if (tensor.rank() != 1 || tensor.shape[0] != channels) {
    throw OpError(ErrorKind::kShape, std::string(op) + ": expected a parameter of shape [" +
                                         std::to_string(channels) + "], got " +
                                         describe(tensor.shape));
  }
}

std::int64_t channels_of(const char* op, const Tensor& tensor) {
  if (tensor.rank() < 2) {
    throw OpError(ErrorKind::kShape,
                  std::string(op) + ": expected 2 or more axes, got " + describe(tensor.shape));
  }
  return tensor.shape[1];
}

class BatchNormalization {
 public:
  explicit BatchNormalization(const OpSpec& spec)
      : epsilon_(spec.attributes.real("epsilon", 1e-5)) {
    if (spec.attributes.integer("training_mode", 0) != 0) {
      throw OpError(ErrorKind::kUnsupported, "BatchNormalization: training mode");
    }
    if (spec.constants.size() < 5) return;
    for (std::size_t i = 1; i < 5; ++i) {
      const Tensor* parameter = spec.constants[i];
      if (!parameter || parameter->dtype != DType::kFloat32 || parameter->rank() != 1 ||
          parameter->shape[0] != spec.constants[1]->shape[0]) {
        return;
      }
    }
    channels_ = spec.constants[1]->shape[0];
    scale_ = AlignedArray<float>(unsigned_size(channels_));
    shift_ = AlignedArray<float>(unsigned_size(channels_));
    const auto at = [&](std::size_t input, std::int64_t c) {
      const Tensor& tensor = *spec.constants[input];
      return tensor.as<float>()[c * tensor.strides[0]];
    };
    for (std::int64_t c = 0; c < channels_; ++c) {
      fold<float>(at(1, c), at(2, c), at(3, c), at(4, c), scale_.data()[c], shift_.data()[c]);
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    if (out.size() > 1) {
      throw OpError(ErrorKind::kUnsupported, "BatchNormalization: training outputs");
    }
    const auto wide = [&](const Tensor& tensor) {
      const Tensor x = contiguous(context, tensor);
      const std::int64_t channels = channels_of("BatchNormalization", x);
      Tensor scale, shift;
      if (channels_ >= 0) {
        scale.shape = {channels_};
        require_channels("BatchNormalization", scale, channels);
        scale.data = reinterpret_cast<std::byte*>(scale_.data());
        shift.data = reinterpret_cast<std::byte*>(shift_.data());
      }
      if (channels_ < 0 || x.dtype != DType::kFloat32) {
        combine(context, in, x.dtype, channels, scale, shift);
      }
      const Tensor y = allocate(context, x.dtype, x.shape);
      affine(context, x, scale, shift, channels, x.shape.product(2, x.rank()), y);
      return y;
    };
    out[0].tensor = in_wide_float(context, "BatchNormalization", required(in, 0), wide);
  }

 private:
  template <class T>
  void fold(T gamma, T beta, T mean, T variance, T& scale, T& shift) const {
    scale = gamma / std::sqrt(variance + static_cast<T>(epsilon_));
    shift = beta - mean * scale;
  }

  void combine(Context& context, std::span<const Value* const> in, DType dtype,
               std::int64_t channels, Tensor& scale, Tensor& shift) const {
    std::array<Tensor, 4> parameters;
    for (std::size_t i = 0; i < 4; ++i) {
      require_channels("BatchNormalization", required(in, i + 1), channels);
      parameters[i] = spread(context, required(in, i + 1), dtype, {channels});
    }
    scale = allocate(context, dtype, {channels});
    shift = allocate(context, dtype, {channels});
    const auto all = [&]<class T>(TypeTag<T>) {
      for (std::int64_t c = 0; c < channels; ++c) {
        fold<T>(parameters[0].as<T>()[c], parameters[1].as<T>()[c], parameters[2].as<T>()[c],
                parameters[3].as<T>()[c], scale.as<T>()[c], shift.as<T>()[c]);
      }
    };
    if (dtype == DType::kFloat32) {
      all(TypeTag<float>{});
    } else {
      all(TypeTag<double>{});
    }
  }

  double epsilon_;
  std::int64_t channels_ = -1;  // of the folded parameters; -1 if they are not constant
  AlignedArray<float> scale_, shift_;
};

// Normalises groups of channels of each row, then scales and shifts each channel.
template <bool kGroups>
class GroupedNormalization {
 public:
  explicit GroupedNormalization(const OpSpec& spec)
      : epsilon_(spec.attributes.real("epsilon", 1e-5)),
        groups_(spec.attributes.integer("num_groups", 0)) {
    if (kGroups && groups_ < 1) {
      throw OpError(ErrorKind::kModel, "GroupNormalization: num_groups is below 1");
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    constexpr const char* kName = kGroups ? "GroupNormalization" : "InstanceNormalization";
    const auto wide = [&](const Tensor& tensor) {
      const Tensor x = contiguous(context, tensor);
      const std::int64_t channels = channels_of(kName, x);
      const std::int64_t groups = kGroups ? groups_ : channels;
      if (groups != 0 && channels % groups != 0) {
        throw OpError(ErrorKind::kShape,
                      "GroupNormalization: num_groups does not divide the channels");
      }
      require_channels(kName, required(in, 1), channels);
      require_channels(kName, required(in, 2), channels);
      const Tensor scale = spread(context, required(in, 1), x.dtype, {channels});
      const Tensor shift = spread(context, required(in, 2), x.dtype, {channels});
      const Tensor y = allocate(context, x.dtype, x.shape);
      if (x.elements() == 0) return y;
      const std::int64_t rows = x.shape[0] * groups;
      normalize_rows(context, x, nullptr, nullptr, epsilon_, rows, x.elements() / rows, y);
      affine(context, y, scale, shift, channels, x.shape.product(2, x.rank()), y);
      return y;
    };
    out[0].tensor = in_wide_float(context, kName, required(in, 0), wide);
  }

 private:
  double epsilon_;
  std::int64_t groups_;
};

constexpr OpEntry kOps[] = {
    {"Softmax", make_op<Softmax<false>>},
    {"LogSoftmax", make_op<Softmax<true>>},
    {"Hardmax", make_op<Hardmax>},
    {"LpNormalization", make_op<LpNormalization>},
    {"LayerNormalization", make_op<LayerNormalization>},
    {"RMSNormalization", make_op<RmsNormalization>},
    {"BatchNormalization", make_op<BatchNormalization>},
    {"InstanceNormalization", make_op<GroupedNormalization<false>>},
    {"GroupNormalization", make_op<GroupedNormalization<true>>},
};

}  // namespace

std::span<const OpEntry> normalization_ops() { return kOps; }

}  // namespace pyrec
