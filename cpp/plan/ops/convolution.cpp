#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/linear_algebra.h"
#include "plan/ops/quantized.h"
#include "plan/ops/reduction.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

using Sizes = std::vector<std::int64_t>;

// Where a window lies at each output position, for every spatial axis.
struct Geometry {
  Sizes input, kernel, output, strides, dilations, pad_begin, pad_end;

  int axes() const { return static_cast<int>(input.size()); }
  std::int64_t kernel_elements() const { return product(kernel); }
  std::int64_t positions() const { return product(output); }
  // A window of one element at every position of the input.
  bool pointwise() const {
    const auto all = [](const Sizes& sizes, std::int64_t value) {
      return std::all_of(sizes.begin(), sizes.end(), [&](std::int64_t x) { return x == value; });
    };
    return all(kernel, 1) && all(strides, 1) && all(pad_begin, 0) && all(pad_end, 0);
  }

 private:
  static std::int64_t product(const Sizes& sizes) {
    std::int64_t total = 1;
    for (std::int64_t size : sizes) total *= size;
    return total;
  }
};

// The window attributes that Conv and the pools share.
class Window {
 public:
  explicit Window(const Attributes& attributes)
      : kernel(attributes.integers("kernel_shape")),
        strides_(attributes.integers("strides")),
        dilations_(attributes.integers("dilations")),
        pads_(attributes.integers("pads")),
        auto_pad_(attributes.text("auto_pad", "NOTSET")),
        ceil_(attributes.integer("ceil_mode", 0) != 0) {
    for (const Sizes* sizes : {&kernel, &strides_, &dilations_}) {
      for (std::int64_t size : *sizes) require_range(size, 1);
    }
    for (std::int64_t size : pads_) require_range(size, 0);
    if (auto_pad_ != "NOTSET" && auto_pad_ != "VALID" && auto_pad_ != "SAME_UPPER" &&
        auto_pad_ != "SAME_LOWER") {
      throw OpError(ErrorKind::kModel, "unknown auto_pad '" + auto_pad_ + "'");
    }
  }

  Geometry over(const Tensor& x, const Sizes& kernel_sizes) const {
    const std::size_t axes = unsigned_size(x.rank() - 2);
    Geometry geometry;
    geometry.kernel = kernel_sizes;
    geometry.strides = filled(strides_, axes, 1);
    geometry.dilations = filled(dilations_, axes, 1);
    const Sizes pads = filled(auto_pad_ == "NOTSET" ? pads_ : Sizes{}, 2 * axes, 0);
    if (kernel_sizes.size() != axes) fail_rank();
    for (std::size_t i = 0; i < axes; ++i) {
      const std::int64_t size = x.shape[static_cast<int>(i) + 2];
      const std::int64_t span = (kernel_sizes[i] - 1) * geometry.dilations[i] + 1;
      const std::int64_t stride = geometry.strides[i];
      std::int64_t begin = pads[i];
      std::int64_t end = pads[axes + i];
      if (auto_pad_ == "SAME_UPPER" || auto_pad_ == "SAME_LOWER") {
        const std::int64_t steps = (size + stride - 1) / stride;
        const std::int64_t total = std::max<std::int64_t>(0, (steps - 1) * stride + span - size);
        begin = auto_pad_ == "SAME_UPPER" ? total / 2 : total - total / 2;
        end = total - begin;
      }
      const std::int64_t room = size + begin + end - span;
      if (room < 0) {
        throw OpError(ErrorKind::kShape, "a window of " + std::to_string(span) +
                                             " does not fit an axis of " + std::to_string(size) +
                                             " with its padding");
      }
      std::int64_t steps = room / stride + 1;
      // A window that would start in the padding at the end is left out.
      if (ceil_ && room % stride != 0 && steps * stride < size + begin) ++steps;
      geometry.input.push_back(size);
      geometry.pad_begin.push_back(begin);
      geometry.pad_end.push_back(end);
      geometry.output.push_back(steps);
    }
    require_total(geometry.output);
    require_total(geometry.kernel);
    return geometry;
  }

  Sizes kernel;

 private:
  // Bounds that keep the arithmetic above far from overflow.
  static void require_range(std::int64_t value, std::int64_t lowest) {
    if (value < lowest || value > (std::int64_t{1} << 20)) {
      throw OpError(ErrorKind::kModel, "a window attribute is out of range");
    }
  }

  static void require_total(const Sizes& sizes) {
    std::int64_t total = 1;
    for (std::int64_t size : sizes) {
      total *= size;
      if (total > (std::int64_t{1} << 36)) {
        throw OpError(ErrorKind::kUnsupported, "a window or its output has too many elements");
      }
    }
  }

  [[noreturn]] static void fail_rank() {
    throw OpError(ErrorKind::kShape, "a window attribute does not have one entry for each axis");
  }

  static Sizes filled(const Sizes& given, std::size_t count, std::int64_t fallback) {
    if (given.empty()) return Sizes(count, fallback);
    if (given.size() != count) fail_rank();
    return given;
  }

  Sizes strides_, dilations_, pads_;
  std::string auto_pad_;
  bool ceil_;
};

void require_spatial(const char* op, const Tensor& x) {
  if (x.rank() < 3) {
    throw OpError(ErrorKind::kShape, std::string(op) + ": expected [N, C, spatial...], got shape " +
                                         describe(x.shape));
  }
}

bool advance(Sizes& index, const Sizes& sizes) {
  for (std::size_t axis = sizes.size(); axis-- > 0;) {
    if (++index[axis] < sizes[axis]) return true;
    index[axis] = 0;
  }
  return false;
}

// f(tap, offset) for each element of the window at an output position: its number in the window
// and its offset in the plane, -1 if it lies in the padding.
template <class F>
void for_each_tap(const Geometry& geometry, const Sizes& position, const Shape& strides, F&& f) {
  Sizes tap(geometry.kernel.size(), 0);
  std::int64_t number = 0;
  do {
    std::int64_t offset = 0;
    bool inside = true;
    for (std::size_t i = 0; i < tap.size(); ++i) {
      const std::int64_t at = position[i] * geometry.strides[i] + tap[i] * geometry.dilations[i] -
                              geometry.pad_begin[i];
      inside = inside && at >= 0 && at < geometry.input[i];
      offset += at * strides[static_cast<int>(i) + 2];
    }
    f(number++, inside, offset);
  } while (advance(tap, geometry.kernel));
}

// Row p of the result holds the window at output position p: [positions, channels * taps], with
// `zero` taken off each element.
template <class From, class To>
void lower_image(const From* image, const Shape& strides, std::int64_t channels,
                 const Geometry& geometry, To zero, To* out) {
  const std::int64_t taps = geometry.kernel_elements();
  Sizes position(geometry.output.size(), 0);
  if (geometry.positions() == 0) return;
  do {
    for_each_tap(
        geometry, position, strides, [&](std::int64_t tap, bool inside, std::int64_t offset) {
          for (std::int64_t c = 0; c < channels; ++c) {
            out[c * taps + tap] =
                inside ? static_cast<To>(static_cast<To>(image[offset + c * strides[1]]) - zero)
                       : To{0};
          }
        });
    out += channels * taps;
  } while (advance(position, geometry.output));
}

// A convolution as products of [images * positions, depth] by [depth, filters] for each group; the
// result is made as [N, positions, M] and seen as [N, M, spatial...].
struct Convolution {
  Geometry geometry;
  std::int64_t images, groups, channels, filters, depth;  // channels and filters of one group

  Convolution(const Window& window, std::int64_t group_count, const Tensor& x, const Tensor& w)
      : groups(group_count) {
    require_spatial("Conv", x);
    if (w.rank() != x.rank() || groups < 1 || w.shape[0] % groups != 0 ||
        w.shape[1] * groups != x.shape[1]) {
      throw OpError(ErrorKind::kShape, "Conv: weights of shape " + describe(w.shape) +
                                           " do not fit an input of shape " + describe(x.shape) +
                                           " in " + std::to_string(groups) + " groups");
    }
    Sizes kernel;
    for (int axis = 2; axis < w.rank(); ++axis) {
      if (w.shape[axis] < 1) throw OpError(ErrorKind::kShape, "Conv: an empty kernel");
      kernel.push_back(w.shape[axis]);
    }
    if (!window.kernel.empty() && window.kernel != kernel) {
      throw OpError(ErrorKind::kShape, "Conv: kernel_shape is not the weights' shape");
    }
    geometry = window.over(x, kernel);
    images = x.shape[0];
    channels = w.shape[1];
    filters = w.shape[0] / groups;
    depth = channels * geometry.kernel_elements();
  }

  std::int64_t positions() const { return geometry.positions(); }
  std::int64_t all_filters() const { return groups * filters; }

  Tensor allocate_result(Context& context, DType dtype) const {
    return allocate(context, dtype, {images, positions(), all_filters()});
  }

  Tensor arranged(const Tensor& result) const {
    const Shape inner = spatial_shape();
    Shape shape{images, all_filters()};
    Shape strides{positions() * all_filters(), 1};
    const Shape inner_strides = contiguous_strides(inner);
    for (int axis = 0; axis < inner.rank(); ++axis) {
      shape.push_back(inner[axis]);
      strides.push_back(inner_strides[axis] * all_filters());
    }
    return view(result, shape, strides);
  }

  // multiply(rows, first, count, group) for blocks of lowered images that stay in cache.
  template <class From, class To, class F>
  void for_each_block(Context& context, const Tensor& x, To zero, F&& multiply) const {
    constexpr std::int64_t kBlock = std::int64_t{1} << 16;
    const std::int64_t each = positions() * depth;
    if (images == 0 || positions() == 0 || filters == 0) return;
    const std::int64_t block =
        std::clamp<std::int64_t>(kBlock / std::max<std::int64_t>(each, 1), 1, images);
    const BufferRef buffer = context.arena.allocate(unsigned_size(block * each) * sizeof(To));
    To* rows = reinterpret_cast<To*>(buffer.get()->data());
    for (std::int64_t first = 0; first < images; first += block) {
      const std::int64_t count = std::min(block, images - first);
      for (std::int64_t group = 0; group < groups; ++group) {
        for (std::int64_t i = 0; i < count; ++i) {
          const From* image =
              x.as<From>() + (first + i) * x.strides[0] + group * channels * x.strides[1];
          lower_image<From, To>(image, x.strides, channels, geometry, zero, rows + i * each);
        }
        multiply(static_cast<const To*>(rows), first * positions(), count * positions(), group);
      }
    }
  }

  // The weights [M, channels, taps...] as [groups, depth, filters].
  Tensor right_matrices(const Tensor& contiguous_weights) const {
    return view(contiguous_weights, {groups, depth, filters}, {filters * depth, 1, depth});
  }

 private:
  Shape spatial_shape() const {
    Shape shape;
    for (std::int64_t size : geometry.output) shape.push_back(size);
    return shape;
  }
};

class Conv {
 public:
  explicit Conv(const OpSpec& spec)
      : window_(spec.attributes), groups_(spec.attributes.integer("group", 1)) {
    const Tensor* w = spec.constants.size() > 1 ? spec.constants[1] : nullptr;
    if (!w || w->dtype != DType::kFloat32 || !w->contiguous() || w->rank() < 3 || groups_ < 1 ||
        w->shape[0] % groups_ != 0) {
      return;
    }
    const std::int64_t filters = w->shape[0] / groups_;
    const std::int64_t depth = w->shape.product(1, w->rank());
    packed_ = std::make_unique<PackedF32>(
        spec.kernels, view(*w, {groups_, depth, filters}, {filters * depth, 1, depth}));
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const Tensor& w = required(in, 1);
    const Tensor* bias = optional(in, 2);
    require_same_dtype("Conv", x, w);
    if (bias) require_same_dtype("Conv", x, *bias);
    const Convolution convolution(window_, groups_, x, w);
    if (bias && (bias->rank() != 1 || bias->shape[0] != convolution.all_filters())) {
      throw OpError(ErrorKind::kShape, "Conv: bias of shape " + describe(bias->shape));
    }
    switch (x.dtype) {
      case DType::kFloat32:
        out[0].tensor = run_f32(context, convolution, x, w, bias, packed_.get());
        return;
      case DType::kFloat16: {
        const Tensor wide = bias ? cast(context, *bias, DType::kFloat32) : Tensor{};
        const Tensor result =
            run_f32(context, convolution, cast(context, x, DType::kFloat32),
                    cast(context, w, DType::kFloat32), bias ? &wide : nullptr, nullptr);
        out[0].tensor = cast(context, result, DType::kFloat16);
        return;
      }
      case DType::kFloat64:
        out[0].tensor = run_f64(context, convolution, x, w, bias);
        return;
      default:
        refuse_dtype("Conv", x.dtype);
    }
  }

 private:
  static Tensor run_f32(Context& context, const Convolution& convolution, const Tensor& x,
                        const Tensor& w, const Tensor* bias, const PackedF32* packed) {
    const Tensor addend = bias ? contiguous(context, *bias) : Tensor{};
    const float* shift = bias ? addend.as<float>() : nullptr;
    const Tensor weights = packed ? w : convolution.right_matrices(contiguous(context, w));
    if (convolution.groups == 1 && convolution.geometry.pointwise()) {
      Shape order{0};
      for (int axis = 2; axis < x.rank(); ++axis) order.push_back(axis);
      order.push_back(1);
      const Tensor right =
          view(weights, {convolution.depth, convolution.filters}, {1, convolution.depth});
      const Tensor result = matmul(context, permuted(x, order), right, packed, shift);
      return convolution.arranged(result);
    }
    const Tensor result = convolution.allocate_result(context, DType::kFloat32);
    const auto ldc = unsigned_size(convolution.all_filters());
    const auto n = unsigned_size(convolution.filters);
    const auto k = unsigned_size(convolution.depth);
    BufferRef buffer;
    std::int64_t laid_out = -1;
    convolution.for_each_block<float, float>(
        context, x, 0.0f,
        [&](const float* rows, std::int64_t first, std::int64_t count, std::int64_t group) {
          const float* right = packed ? packed->matrix(group) : nullptr;
          if (!packed) {
            if (laid_out != group) {
              buffer = pack(context, weights.as<float>() + group * weights.strides[0],
                            convolution.depth, convolution.filters, 1, convolution.depth);
              laid_out = group;
            }
            right = reinterpret_cast<const float*>(buffer.get()->data());
          }
          const std::int64_t column = group * convolution.filters;
          context.kernels.gemm_f32(rows, k, right, shift ? shift + column : nullptr, 0,
                                   Activation::kNone,
                                   result.as<float>() + first * convolution.all_filters() + column,
                                   ldc, unsigned_size(count), n, k, nullptr);
        });
    return convolution.arranged(result);
  }

  static Tensor run_f64(Context& context, const Convolution& convolution, const Tensor& x,
                        const Tensor& w, const Tensor* bias) {
    const Tensor result = convolution.allocate_result(context, DType::kFloat64);
    const Tensor weights = convolution.right_matrices(contiguous(context, w));
    const std::int64_t width = convolution.all_filters();
    convolution.for_each_block<double, double>(
        context, x, 0.0,
        [&](const double* rows, std::int64_t first, std::int64_t count, std::int64_t group) {
          const std::int64_t column = group * convolution.filters;
          double* y = result.as<double>() + first * width + column;
          gemm_loops<double>(
              rows, convolution.depth, 1, weights.as<double>() + group * weights.strides[0], 1,
              convolution.depth, y, width, count, convolution.filters, convolution.depth);
          if (!bias) return;
          for (std::int64_t i = 0; i < count; ++i) {
            for (std::int64_t j = 0; j < convolution.filters; ++j) {
              y[i * width + j] += bias->as<double>()[(column + j) * bias->strides[0]];
            }
          }
        });
    return convolution.arranged(result);
  }

  Window window_;
  std::int64_t groups_;
  std::unique_ptr<PackedF32> packed_;
};

// Exact int32 sums of a convolution of 8-bit operands; y is [N, positions, M].
Tensor convolve_integers(Context& context, const Convolution& convolution, const Tensor& x,
                         std::int32_t x_zero, const Tensor& w, const ZeroPoints& w_zeros) {
  const Kernels& kernels = context.kernels;
  const Tensor result = convolution.allocate_result(context, DType::kInt32);
  const auto k = unsigned_size(convolution.depth);
  const auto n = unsigned_size(convolution.filters);
  const Tensor weights = widened(context, contiguous(context, w));
  const Tensor right = allocate(context, DType::kInt16, {convolution.depth, convolution.filters});
  const BufferRef packed =
      context.arena.allocate(kernels.packed_size_i16(k, n) * sizeof(std::int16_t));
  auto* layout = reinterpret_cast<std::int16_t*>(packed.get()->data());
  const auto lay_out = [&](std::int64_t group) {
    for (std::int64_t j = 0; j < convolution.filters; ++j) {
      const std::int64_t filter = group * convolution.filters + j;
      const std::int16_t* row = weights.as<std::int16_t>() + filter * convolution.depth;
      const std::int32_t zero = w_zeros.at(filter);
      for (std::int64_t l = 0; l < convolution.depth; ++l) {
        right.as<std::int16_t>()[l * convolution.filters + j] =
            static_cast<std::int16_t>(row[l] - zero);
      }
    }
    kernels.pack_i16(right.as<std::int16_t>(), k, n, layout);
  };
  BufferRef sums;
  std::int64_t laid_out = -1;
  const auto multiply = [&](const std::int16_t* rows, std::int64_t first, std::int64_t count,
                            std::int64_t group) {
    if (laid_out != group) lay_out(group);
    laid_out = group;
    sums = context.arena.allocate(unsigned_size(count) * n * sizeof(std::int32_t));
    const auto* c = reinterpret_cast<std::int32_t*>(sums.get()->data());
    kernels.gemm_i16(rows, layout, reinterpret_cast<std::int32_t*>(sums.get()->data()),
                     unsigned_size(count), n, k);
    for (std::int64_t i = 0; i < count; ++i, c += n) {
      std::copy_n(c, n,
                  result.as<std::int32_t>() + (first + i) * convolution.all_filters() +
                      group * convolution.filters);
    }
  };
  const auto zero = static_cast<std::int16_t>(x_zero);
  if (x.dtype == DType::kInt8) {
    convolution.for_each_block<std::int8_t, std::int16_t>(context, x, zero, multiply);
  } else {
    convolution.for_each_block<std::uint8_t, std::int16_t>(context, x, zero, multiply);
  }
  return result;
}

class ConvInteger {
 public:
  explicit ConvInteger(const OpSpec& spec)
      : window_(spec.attributes), groups_(spec.attributes.integer("group", 1)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const Tensor& w = required(in, 1);
    require_8_bits("ConvInteger", x);
    require_8_bits("ConvInteger", w);
    const Convolution convolution(window_, groups_, x, w);
    const ZeroPoints x_zero("ConvInteger", optional(in, 2), x.dtype, 1);
    const ZeroPoints w_zeros("ConvInteger", optional(in, 3), w.dtype, w.shape[0]);
    out[0].tensor =
        convolution.arranged(convolve_integers(context, convolution, x, x_zero.at(0), w, w_zeros));
  }

 private:
  Window window_;
  std::int64_t groups_;
};

class QLinearConv {
 public:
  explicit QLinearConv(const OpSpec& spec)
      : window_(spec.attributes), groups_(spec.attributes.integer("group", 1)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    constexpr const char* kName = "QLinearConv";
    const Tensor& x = required(in, 0);
    const Tensor& w = required(in, 3);
    const Tensor& y_zero = required(in, 7);
    require_8_bits(kName, x);
    require_8_bits(kName, w);
    require_8_bits(kName, y_zero);
    const Convolution convolution(window_, groups_, x, w);
    const std::int64_t filters = convolution.all_filters();
    const ZeroPoints x_zero(kName, &required(in, 2), x.dtype, 1);
    const ZeroPoints w_zeros(kName, &required(in, 5), w.dtype, filters);
    const Scales x_scale(kName, required(in, 1), 1);
    const Scales w_scales(kName, required(in, 4), filters);
    const Scales y_scale(kName, required(in, 6), 1);
    const Tensor* bias = optional(in, 8);
    if (bias && (bias->dtype != DType::kInt32 || bias->rank() != 1 || bias->shape[0] != filters)) {
      throw OpError(ErrorKind::kShape, "QLinearConv: expected an int32 bias for each filter");
    }
    const Tensor sums = convolve_integers(context, convolution, x, x_zero.at(0), w, w_zeros);
    auto* sum = sums.as<std::int32_t>();
    if (bias) {
      for (std::int64_t i = 0; i < sums.elements(); ++i) {
        sum[i] = wrapped_sum(sum[i], bias->as<std::int32_t>()[i % filters * bias->strides[0]]);
      }
    }
    const Requantizer requantizer(kName, y_zero);
    const Tensor result = allocate(context, y_zero.dtype, sums.shape);
    for (std::int64_t i = 0; i < sums.elements(); ++i) {
      const float factor = x_scale.at(0) * w_scales.at(i % filters) / y_scale.at(0);
      requantizer.store(static_cast<float>(sum[i]) * factor, result, i);
    }
    out[0].tensor = convolution.arranged(result);
  }

 private:
  Window window_;
  std::int64_t groups_;
};

template <bool kMax>
class Pool {
 public:
  explicit Pool(const OpSpec& spec)
      : window_(spec.attributes),
        count_padding_(spec.attributes.integer("count_include_pad", 0) != 0) {
    if (spec.outputs > 1) throw OpError(ErrorKind::kUnsupported, "MaxPool: the indices output");
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    constexpr const char* kName = kMax ? "MaxPool" : "AveragePool";
    const Tensor& x = required(in, 0);
    require_spatial(kName, x);
    const Geometry geometry = window_.over(x, window_.kernel);
    switch (x.dtype) {
      case DType::kFloat32:
        out[0].tensor = pool<float>(context, x, geometry);
        return;
      case DType::kFloat64:
        out[0].tensor = pool<double>(context, x, geometry);
        return;
      case DType::kFloat16:
        out[0].tensor = cast(
            context, pool<float>(context, cast(context, x, DType::kFloat32), geometry), x.dtype);
        return;
      default:
        if constexpr (kMax) {
          if (x.dtype == DType::kInt8) {
            out[0].tensor = pool<std::int8_t>(context, x, geometry);
            return;
          }
          if (x.dtype == DType::kUint8) {
            out[0].tensor = pool<std::uint8_t>(context, x, geometry);
            return;
          }
        }
        refuse_dtype(kName, x.dtype);
    }
  }

 private:
  template <class T>
  Tensor pool(Context& context, const Tensor& x, const Geometry& geometry) const {
    Shape shape{x.shape[0], x.shape[1]};
    for (std::int64_t size : geometry.output) shape.push_back(size);
    const Tensor result = allocate(context, x.dtype, shape);
    if (result.elements() == 0) return result;
    T* y = result.as<T>();
    for (std::int64_t image = 0; image < x.shape[0]; ++image) {
      for (std::int64_t c = 0; c < x.shape[1]; ++c) {
        const T* plane = x.as<T>() + image * x.strides[0] + c * x.strides[1];
        Sizes position(geometry.output.size(), 0);
        do {
          *y++ = kMax ? largest(plane, x.strides, geometry, position)
                      : average(plane, x.strides, geometry, position);
        } while (advance(position, geometry.output));
      }
    }
    return result;
  }

  template <class T>
  static T largest(const T* plane, const Shape& strides, const Geometry& geometry,
                   const Sizes& position) {
    T best = std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity()
                                         : std::numeric_limits<T>::min();
    for_each_tap(geometry, position, strides, [&](std::int64_t, bool inside, std::int64_t offset) {
      if (!inside) return;
      const T value = plane[offset];
      if (value > best || value != value) best = value;
    });
    return best;
  }

  template <class T>
  T average(const T* plane, const Shape& strides, const Geometry& geometry,
            const Sizes& position) const {
    T total{0};
    std::int64_t count = 0;
    for_each_tap(geometry, position, strides, [&](std::int64_t, bool inside, std::int64_t offset) {
      if (!inside) return;
      total = static_cast<T>(total + plane[offset]);
      ++count;
    });
    if (count_padding_) {
      // What lies beyond the padding (a last window of ceil_mode) never counts.
      count = 1;
      for (std::size_t i = 0; i < position.size(); ++i) {
        const std::int64_t start = position[i] * geometry.strides[i] - geometry.pad_begin[i];
        const std::int64_t room = geometry.input[i] + geometry.pad_end[i] - start;
        count *= std::min(geometry.kernel[i],
                          (room + geometry.dilations[i] - 1) / geometry.dilations[i]);
      }
    }
    return static_cast<T>(total / static_cast<T>(count));
  }

  Window window_;
  bool count_padding_;
};

template <Reduction kKind>
class GlobalPool {
 public:
  explicit GlobalPool(const OpSpec&) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    require_spatial("GlobalPool", x);
    const AxisMask spatial = (axis_bit(x.rank()) - 1) & ~AxisMask{3};
    out[0].tensor = reduce(context, x, kKind, spatial, true);
  }
};

constexpr OpEntry kOps[] = {
    {"Conv", make_op<Conv>},
    {"ConvInteger", make_op<ConvInteger>},
    {"QLinearConv", make_op<QLinearConv>},
    {"MaxPool", make_op<Pool<true>>},
    {"AveragePool", make_op<Pool<false>>},
    {"GlobalAveragePool", make_op<GlobalPool<Reduction::kMean>>},
    {"GlobalMaxPool", make_op<GlobalPool<Reduction::kMax>>},
};

}  // namespace

std::span<const OpEntry> convolution_ops() { return kOps; }

}  // namespace pyrec
