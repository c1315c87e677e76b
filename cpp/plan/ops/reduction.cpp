#include "plan/ops/reduction.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/watch.h"
#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// A tensor's axes split into those that stay and those that go, neighbours merged.
struct Split {
  Shape kept, kept_strides;
  Shape reduced, reduced_strides;

  Split(const Tensor& tensor, AxisMask axes) {
    for (int axis = 0; axis < tensor.rank(); ++axis) {
      const bool goes = (axes & axis_bit(axis)) != 0;
      append(goes ? reduced : kept, goes ? reduced_strides : kept_strides, tensor.shape[axis],
             tensor.strides[axis]);
    }
    if (kept.rank() == 0) append_unit(kept, kept_strides);
    if (reduced.rank() == 0) append_unit(reduced, reduced_strides);
  }

  std::int64_t kept_inner() const { return kept[kept.rank() - 1]; }
  std::int64_t kept_step() const { return kept_strides[kept.rank() - 1]; }
  std::int64_t reduced_inner() const { return reduced[reduced.rank() - 1]; }
  std::int64_t reduced_step() const { return reduced_strides[reduced.rank() - 1]; }

 private:
  static void append_unit(Shape& shape, Shape& strides) {
    shape.push_back(1);
    strides.push_back(1);
  }

  static void append(Shape& shape, Shape& strides, std::int64_t size, std::int64_t stride) {
    if (size == 1) return;
    const int last = shape.rank() - 1;
    if (last >= 0 && strides[last] == stride * size) {
      shape[last] *= size;
      strides[last] = stride;
      return;
    }
    shape.push_back(size);
    strides.push_back(stride);
  }
};

Shape reduced_shape(const Shape& shape, AxisMask axes, bool keep_axes) {
  Shape result;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if ((axes & axis_bit(axis)) == 0) {
      result.push_back(shape[axis]);
    } else if (keep_axes) {
      result.push_back(1);
    }
  }
  return result;
}

template <class T>
T lowest() {
  if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
  return std::numeric_limits<T>::min();
}

template <class T>
T highest() {
  if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::infinity();
  return std::numeric_limits<T>::max();
}

template <class T>
T identity(Reduction kind) {
  switch (kind) {
    case Reduction::kMax:
      return lowest<T>();
    case Reduction::kMin:
      return highest<T>();
    case Reduction::kProd:
      return T{1};
    default:
      return T{0};
  }
}

template <class T>
T nan_or_larger(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a)) return a;
    if (std::isnan(b)) return b;
  }
  return a < b ? b : a;
}

template <class T>
T nan_or_smaller(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a)) return a;
    if (std::isnan(b)) return b;
  }
  return b < a ? b : a;
}

// Integer arithmetic wraps around. Products of 16-bit values would overflow in int, hence 64 bits.
template <class T>
using Wide = std::conditional_t<std::is_integral_v<T>, std::uint64_t, T>;

template <class T>
T wrapped_product(T a, T b) {
  return static_cast<T>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b));
}

template <class T>
T wrapped_sum(T a, T b) {
  return static_cast<T>(static_cast<Wide<T>>(a) + static_cast<Wide<T>>(b));
}

template <class T>
T magnitude(T x) {
  if constexpr (std::is_floating_point_v<T>) return std::fabs(x);
  return x < T{0} ? static_cast<T>(Wide<T>{0} - static_cast<Wide<T>>(x)) : x;
}

template <class T>
T accumulate(Reduction kind, T total, T x) {
  switch (kind) {
    case Reduction::kMax:
      return nan_or_larger(total, x);
    case Reduction::kMin:
      return nan_or_smaller(total, x);
    case Reduction::kProd:
      return wrapped_product(total, x);
    case Reduction::kL1:
      return wrapped_sum(total, magnitude(x));
    case Reduction::kL2:
    case Reduction::kSumSquare:
      return wrapped_sum(total, wrapped_product(x, x));
    default:
      return wrapped_sum(total, x);
  }
}

// The mean of nothing is 0, as onnxruntime has it and as PyTorch has it of an empty bag.
std::int64_t mean_divisor(std::int64_t count) { return std::max<std::int64_t>(count, 1); }

template <class T>
T finished(Reduction kind, T total, std::int64_t count) {
  if constexpr (std::is_floating_point_v<T>) {
    switch (kind) {
      case Reduction::kMean:
        return total / static_cast<T>(mean_divisor(count));
      case Reduction::kL2:
        return std::sqrt(total);
      case Reduction::kLogSum:
        return std::log(total);
      default:
        return total;
    }
  } else {
    if (kind != Reduction::kMean) return total;
    if constexpr (std::is_signed_v<T>) {
      return static_cast<T>(static_cast<std::int64_t>(total) / mean_divisor(count));
    } else {
      return static_cast<T>(static_cast<std::uint64_t>(total) /
                            static_cast<std::uint64_t>(mean_divisor(count)));
    }
  }
}

template <class T>
void reduce_loops(const Tensor& tensor, Reduction kind, AxisMask axes, T* out) {
  const Split split(tensor, axes);
  const std::int64_t count = split.reduced.elements();
  const T* data = tensor.as<T>();
  for_each_outer<1>(split.kept, 0, {split.kept_strides}, [&](std::int64_t start) {
    T total = identity<T>(kind);
    for_each_outer<1>(split.reduced, 1, {split.reduced_strides}, [&](std::int64_t offset) {
      // A value that is repeated takes no memory, however often it is.
      in_parts(static_cast<std::size_t>(split.reduced_inner()), kWatchedElements,
               [&](std::size_t begin, std::size_t part) {
                 const T* x = data + start + offset +
                              static_cast<std::int64_t>(begin) * split.reduced_step();
                 for (std::size_t i = 0; i < part; ++i, x += split.reduced_step()) {
                   total = accumulate(kind, total, *x);
                 }
               });
    });
    *out++ = finished(kind, total, count);
  });
}

template <class T>
void log_sum_exp_loops(const Tensor& rows, T* out) {
  const std::int64_t n = rows.shape[1];
  const T* x = rows.as<T>();
  for (std::int64_t r = 0; r < rows.shape[0]; ++r, x += n) {
    T largest = lowest<T>();
    for (std::int64_t i = 0; i < n; ++i) largest = nan_or_larger(largest, x[i]);
    const T shift = std::isfinite(largest) ? largest : T{0};
    T total{0};
    for (std::int64_t i = 0; i < n; ++i) total += std::exp(x[i] - shift);
    out[r] = std::log(total) + shift;
  }
}

void log_sum_exp_f32(Context& context, const Tensor& rows, float* out) {
  const Kernels& kernels = context.kernels;
  const auto n = static_cast<std::size_t>(rows.shape[1]);
  const BufferRef scratch = context.arena.allocate(n * sizeof(float));
  auto* shifted = reinterpret_cast<float*>(scratch.get()->data());
  const float* x = rows.as<float>();
  for (std::int64_t r = 0; r < rows.shape[0]; ++r, x += n) {
    const float largest = n == 0 ? lowest<float>() : kernels.max_f32(x, n);
    const float shift = std::isfinite(largest) ? largest : 0.0f;
    kernels.subtract_f32(x, 1, &shift, 0, shifted, n);
    kernels.exp_f32(shifted, shifted, n);
    out[r] = std::log(kernels.sum_f32(shifted, n)) + shift;
  }
}

// The tensor as a contiguous [kept, reduced] matrix.
Tensor kept_by_reduced(Context& context, const Tensor& tensor, AxisMask axes) {
  Shape order;
  std::int64_t kept = 1;
  std::int64_t reduced = 1;
  for (int axis = 0; axis < tensor.rank(); ++axis) {
    if ((axes & axis_bit(axis)) == 0) {
      order.push_back(axis);
      kept *= tensor.shape[axis];
    }
  }
  for (int axis = 0; axis < tensor.rank(); ++axis) {
    if ((axes & axis_bit(axis)) != 0) {
      order.push_back(axis);
      reduced *= tensor.shape[axis];
    }
  }
  return reshaped(context, permuted(tensor, order), {kept, reduced});
}

// Runs of reduced elements that are adjacent in memory: one kernel call a run.
void reduce_runs_f32(Context& context, const float* data, const Split& split, Reduction kind,
                     float* out) {
  const Kernels& kernels = context.kernels;
  const auto n = static_cast<std::size_t>(split.reduced_inner());
  BufferRef scratch;
  float* magnitudes = nullptr;
  if (kind == Reduction::kL1) {
    scratch = context.arena.allocate(n * sizeof(float));
    magnitudes = reinterpret_cast<float*>(scratch.get()->data());
  }
  const auto run = [&](const float* x) {
    switch (kind) {
      case Reduction::kMax:
        return kernels.max_f32(x, n);
      case Reduction::kMin:
        return kernels.min_f32(x, n);
      case Reduction::kL1:
        kernels.abs_f32(x, magnitudes, n);
        return kernels.sum_f32(magnitudes, n);
      case Reduction::kL2:
      case Reduction::kSumSquare:
        return kernels.sum_squares_f32(x, n);
      case Reduction::kProd: {
        float total = 1.0f;
        for (std::size_t i = 0; i < n; ++i) total *= x[i];
        return total;
      }
      default:
        return kernels.sum_f32(x, n);
    }
  };
  const auto join = [&](float a, float b) {
    switch (kind) {
      case Reduction::kMax:
        return nan_or_larger(a, b);
      case Reduction::kMin:
        return nan_or_smaller(a, b);
      case Reduction::kProd:
        return a * b;
      default:
        return a + b;
    }
  };
  if (split.reduced.rank() == 1) {
    for_each_outer<1>(split.kept, 0, {split.kept_strides},
                      [&](std::int64_t start) { *out++ = run(data + start); });
    return;
  }
  for_each_outer<1>(split.kept, 0, {split.kept_strides}, [&](std::int64_t start) {
    float total = identity<float>(kind);
    for_each_outer<1>(split.reduced, 1, {split.reduced_strides}, [&](std::int64_t offset) {
      total = join(total, run(data + start + offset));
    });
    *out++ = total;
  });
}

// Rows of kept elements that are adjacent in memory: added up row by row.
void reduce_rows_f32(Context& context, const float* data, const Split& split, Reduction kind,
                     float* out) {
  const Kernels& kernels = context.kernels;
  const auto n = static_cast<std::size_t>(split.kept_inner());
  const bool squares = kind == Reduction::kL2 || kind == Reduction::kSumSquare;
  const bool mapped = squares || kind == Reduction::kL1;
  BufferRef scratch;
  float* row = nullptr;
  if (mapped) {
    scratch = context.arena.allocate(n * sizeof(float));
    row = reinterpret_cast<float*>(scratch.get()->data());
  }
  const auto map = [&](const float* x, float* y) {
    if (squares) {
      kernels.multiply_f32(x, 1, x, 1, y, n);
    } else if (kind == Reduction::kL1) {
      kernels.abs_f32(x, y, n);
    } else {
      std::memcpy(y, x, n * sizeof(float));
    }
  };
  const BinaryF32 join = kind == Reduction::kMax    ? kernels.maximum_f32
                         : kind == Reduction::kMin  ? kernels.minimum_f32
                         : kind == Reduction::kProd ? kernels.multiply_f32
                                                    : kernels.add_f32;
  for_each_outer<1>(split.kept, 1, {split.kept_strides}, [&](std::int64_t start) {
    bool first = true;
    for_each_outer<1>(split.reduced, 0, {split.reduced_strides}, [&](std::int64_t offset) {
      const float* x = data + start + offset;
      if (first) {
        map(x, out);
        first = false;
      } else if (mapped) {
        map(x, row);
        join(out, 1, row, 1, out, n);
      } else {
        join(out, 1, x, 1, out, n);
      }
    });
    out += n;
  });
}

void finish_f32(const Kernels& kernels, Reduction kind, std::int64_t count, float* out,
                std::size_t n) {
  if (kind == Reduction::kMean) {
    const auto divisor = static_cast<float>(mean_divisor(count));
    kernels.divide_f32(out, 1, &divisor, 0, out, n);
  } else if (kind == Reduction::kL2) {
    kernels.sqrt_f32(out, out, n);
  } else if (kind == Reduction::kLogSum) {
    kernels.log_f32(out, out, n);
  }
}

void reduce_f32(Context& context, const Tensor& tensor, Reduction kind, AxisMask axes, float* out,
                std::size_t n) {
  if (kind == Reduction::kLogSumExp) {
    log_sum_exp_f32(context, kept_by_reduced(context, tensor, axes), out);
    return;
  }
  Tensor source = tensor;
  Split split(source, axes);
  const std::int64_t count = split.reduced.elements();
  if (count == 0) {
    std::fill_n(out, n, identity<float>(kind));
    finish_f32(context.kernels, kind, count, out, n);
    return;
  }
  if (split.reduced_step() != 1 && split.kept_step() != 1) {
    source = contiguous(context, tensor);
    split = Split(source, axes);
  }
  if (split.reduced_step() == 1 && (split.reduced_inner() > 1 || split.kept_step() != 1)) {
    reduce_runs_f32(context, source.as<float>(), split, kind, out);
  } else {
    reduce_rows_f32(context, source.as<float>(), split, kind, out);
  }
  finish_f32(context.kernels, kind, count, out, n);
}

bool through_double(Reduction kind) {
  return kind == Reduction::kL2 || kind == Reduction::kLogSum || kind == Reduction::kLogSumExp;
}

template <class T>
void reduce_other(Context& context, const Tensor& tensor, Reduction kind, AxisMask axes, T* out) {
  if constexpr (std::is_floating_point_v<T>) {
    if (kind == Reduction::kLogSumExp) {
      log_sum_exp_loops<T>(kept_by_reduced(context, tensor, axes), out);
      return;
    }
  }
  reduce_loops<T>(tensor, kind, axes, out);
}

Tensor reduce_bool(Context& context, const Tensor& tensor, Reduction kind, AxisMask axes,
                   bool keep_axes) {
  if (kind != Reduction::kMax && kind != Reduction::kMin) refuse_dtype("Reduce", DType::kBool);
  Tensor bytes = tensor;
  bytes.dtype = DType::kUint8;
  Tensor result = allocate(context, DType::kUint8, reduced_shape(tensor.shape, axes, keep_axes));
  auto* out = result.as<std::uint8_t>();
  reduce_loops<std::uint8_t>(bytes, kind, axes, out);
  // The identity of min is 255.
  for (std::int64_t i = 0; i < result.elements(); ++i) out[i] = out[i] != 0;
  result.dtype = DType::kBool;
  return result;
}

template <Reduction kKind>
class Reduce {
 public:
  explicit Reduce(const OpSpec& spec)
      : keep_axes_(spec.attributes.integer("keepdims", 1) != 0),
        noop_without_axes_(spec.attributes.integer("noop_with_empty_axes", 0) != 0) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& tensor = required(in, 0);
    AxisMask mask = 0;
    std::vector<std::int64_t> axes;
    if (const Tensor* given = optional(in, 1)) axes = read_integers(*given);
    for (std::int64_t axis : axes) {
      const AxisMask bit = axis_bit(normalize_axis(axis, tensor.rank()));
      if ((mask & bit) != 0) throw OpError(ErrorKind::kShape, "an axis is reduced twice");
      mask |= bit;
    }
    if (axes.empty() && !noop_without_axes_) mask = axis_bit(tensor.rank()) - 1;
    out[0].tensor = reduce(context, tensor, kKind, mask, keep_axes_);
  }

 private:
  bool keep_axes_;
  bool noop_without_axes_;
};

constexpr OpEntry kOps[] = {
    {"ReduceSum", make_op<Reduce<Reduction::kSum>>},
    {"ReduceMean", make_op<Reduce<Reduction::kMean>>},
    {"ReduceMax", make_op<Reduce<Reduction::kMax>>},
    {"ReduceMin", make_op<Reduce<Reduction::kMin>>},
    {"ReduceProd", make_op<Reduce<Reduction::kProd>>},
    {"ReduceL1", make_op<Reduce<Reduction::kL1>>},
    {"ReduceL2", make_op<Reduce<Reduction::kL2>>},
    {"ReduceSumSquare", make_op<Reduce<Reduction::kSumSquare>>},
    {"ReduceLogSum", make_op<Reduce<Reduction::kLogSum>>},
    {"ReduceLogSumExp", make_op<Reduce<Reduction::kLogSumExp>>},
};

}  // namespace

Tensor reduce(Context& context, const Tensor& tensor, Reduction kind, AxisMask axes,
              bool keep_axes) {
  const DType dtype = tensor.dtype;
  if (dtype == DType::kBool) return reduce_bool(context, tensor, kind, axes, keep_axes);
  const bool floating = dtype == DType::kFloat32 || dtype == DType::kFloat64;
  if (dtype == DType::kFloat16 || (!floating && through_double(kind))) {
    const DType wide = dtype == DType::kFloat16 ? DType::kFloat32 : DType::kFloat64;
    return cast(context, reduce(context, cast(context, tensor, wide), kind, axes, keep_axes),
                dtype);
  }
  Tensor result = allocate(context, dtype, reduced_shape(tensor.shape, axes, keep_axes));
  if (result.elements() == 0) return result;
  dispatch(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_same_v<T, float>) {
      reduce_f32(context, tensor, kind, axes, result.as<float>(),
                 static_cast<std::size_t>(result.elements()));
    } else if constexpr (!std::is_same_v<T, bool> && !std::is_same_v<T, Half>) {
      reduce_other<T>(context, tensor, kind, axes, result.as<T>());
    }
  });
  return result;
}

std::span<const OpEntry> reduction_ops() { return kOps; }

}  // namespace pyrec
