#include <algorithm>
#include <cmath>
#include <numbers>

#include "plan/op_list.h"
#include "plan/ops/elementwise.h"

namespace pyrec {
namespace {

// An operator here is a functor: `takes<T>` says for which element types it is defined, and it maps
// one element to one element of the same type or to bool. A float32 path is added by `kKernel`, one
// kernel, or by `block`, several kernels over at most kBlock elements, where y is not x. float16
// goes through float32.
constexpr std::size_t kBlock = 1024;

struct Floats {
  template <class T>
  static constexpr bool takes = std::is_floating_point_v<T>;
};

struct Numbers {
  template <class T>
  static constexpr bool takes = kIsNumeric<T>;
};

template <class F, class T>
Tensor map_elements(Context& context, const F& f, const Tensor& x) {
  using R = std::decay_t<decltype(f(T{}))>;
  const Tensor source = contiguous(context, x);
  Tensor result = allocate(context, DTypeOf<R>::value, x.shape);
  const auto n = static_cast<std::size_t>(source.elements());
  const T* from = source.as<T>();
  R* to = result.as<R>();
  if (n == 0) return result;
  if constexpr (std::is_same_v<T, float>) {
    if constexpr (requires { F::kKernel; }) {
      if (F::kKernel != nullptr) {
        in_parts(n, kWatchedElements, [&](std::size_t begin, std::size_t count) {
          (context.kernels.*F::kKernel)(from + begin, to + begin, count);
        });
        return result;
      }
    }
    if constexpr (requires { f.block(context.kernels, from, to, n); }) {
      in_parts(n, kBlock, [&](std::size_t begin, std::size_t count) {
        f.block(context.kernels, from + begin, to + begin, count);
      });
      return result;
    }
  }
  in_parts(n, kWatchedElements, [&](std::size_t begin, std::size_t count) {
    for (std::size_t i = begin; i < begin + count; ++i) to[i] = f(from[i]);
  });
  return result;
}

template <class F>
Tensor apply(Context& context, const F& f, const Tensor& x) {
  if (x.dtype == DType::kFloat16 && F::template takes<float>) {
    const Tensor result = apply(context, f, cast(context, x, DType::kFloat32));
    return result.dtype == DType::kFloat32 ? cast(context, result, DType::kFloat16) : result;
  }
  return dispatch(x.dtype, [&](auto tag) -> Tensor {
    using T = typename decltype(tag)::type;
    if constexpr (F::template takes<T>) {
      return map_elements<F, T>(context, f, x);
    } else {
      refuse_dtype(x.dtype);
    }
  });
}

template <class F>
class Unary {
 public:
  explicit Unary(const OpSpec& spec) : f_(make_functor<F>(spec.attributes)) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    out[0].tensor = apply(context, f_, required(in, 0));
  }

 private:
  F f_;
};

// A formula for float32 and float64, with the float32 kernel where there is one.
template <auto Formula, UnaryF32 Kernels::* Kernel = nullptr>
struct Math : Floats {
  static constexpr UnaryF32 Kernels::* kKernel = Kernel;
  template <class T>
  T operator()(T x) const {
    return Formula(x);
  }
};

template <class T>
T sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
}

template <class T>
T softplus(T x) {
  return std::log1p(std::exp(-std::fabs(x))) + (x < 0 ? 0 : x);
}

struct Abs : Numbers {
  static constexpr UnaryF32 Kernels::* kKernel = &Kernels::abs_f32;
  template <class T>
  T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>) {
      return std::fabs(x);
    } else if constexpr (std::is_signed_v<T>) {
      return x < 0 ? wrapping_negative(x) : x;
    } else {
      return x;
    }
  }
};

struct Negative {
  template <class T>
  static constexpr bool takes = kIsNumeric<T> && std::is_signed_v<T>;
  static constexpr UnaryF32 Kernels::* kKernel = &Kernels::negative_f32;
  template <class T>
  T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>) {
      return -x;
    } else {
      return wrapping_negative(x);
    }
  }
};

struct Sign : Numbers {
  template <class T>
  T operator()(T x) const {
    if (x > 0) return 1;
    if constexpr (std::is_signed_v<T>) {
      if (x < 0) return -1;
    }
    return x == 0 ? T{0} : x;
  }
};

struct Relu : Numbers {
  static constexpr UnaryF32 Kernels::* kKernel = &Kernels::relu_f32;
  template <class T>
  T operator()(T x) const {
    return x < T{0} ? T{0} : x;
  }
};

struct Not {
  template <class T>
  static constexpr bool takes = std::is_same_v<T, bool>;
  bool operator()(bool x) const { return !x; }
};

struct BitwiseNot {
  template <class T>
  static constexpr bool takes = kIsInteger<T>;
  template <class T>
  T operator()(T x) const {
    return static_cast<T>(~x);
  }
};

struct IsNan : Floats {
  template <class T>
  bool operator()(T x) const {
    return x != x;
  }
};

struct IsInf : Floats {
  explicit IsInf(const Attributes& attributes)
      : negative(attributes.integer("detect_negative", 1) != 0),
        positive(attributes.integer("detect_positive", 1) != 0) {}
  template <class T>
  bool operator()(T x) const {
    return std::isinf(x) && (x < 0 ? negative : positive);
  }
  bool negative;
  bool positive;
};

struct LeakyRelu : Floats {
  explicit LeakyRelu(const Attributes& attributes) : alpha(attributes.real("alpha", 0.01f)) {}
  template <class T>
  T operator()(T x) const {
    return blend(x < 0, x * static_cast<T>(alpha), x);
  }
  double alpha;
};

struct ThresholdedRelu : Floats {
  explicit ThresholdedRelu(const Attributes& attributes) : alpha(attributes.real("alpha", 1)) {}
  template <class T>
  T operator()(T x) const {
    return x > static_cast<T>(alpha) ? x : T{0};
  }
  double alpha;
};

// x for positive x, else alpha * (exp(x / width) - 1), all times gamma. NaN passes through exp.
struct Exponential : Floats {
  Exponential(double alpha, double width, double gamma)
      : alpha(alpha), width(width), gamma(gamma) {}
  template <class T>
  T operator()(T x) const {
    const T part = x > 0 ? x : static_cast<T>(alpha) * std::expm1(x / static_cast<T>(width));
    return static_cast<T>(gamma) * part;
  }
  void block(const Kernels& kernels, const float* x, float* y, std::size_t n) const {
    const auto a = static_cast<float>(alpha);
    const auto w = static_cast<float>(width);
    const auto g = static_cast<float>(gamma);
    for (std::size_t i = 0; i < n; ++i) y[i] = blend(x[i] > 0, 0.0f, x[i] / w);
    kernels.exp_f32(y, y, n);
    for (std::size_t i = 0; i < n; ++i) {
      y[i] = g * blend(x[i] > 0, x[i], a * (y[i] - 1.0f));
    }
  }
  double alpha;
  double width;
  double gamma;
};

struct Elu : Exponential {
  explicit Elu(const Attributes& attributes) : Exponential(attributes.real("alpha", 1), 1, 1) {}
};

struct Celu : Exponential {
  explicit Celu(const Attributes& attributes)
      : Exponential(attributes.real("alpha", 1), attributes.real("alpha", 1), 1) {}
};

struct Selu : Exponential {
  explicit Selu(const Attributes& attributes)
      : Exponential(attributes.real("alpha", 1.67326319217681884765625), 1,
                    attributes.real("gamma", 1.05070102214813232421875)) {}
};

struct HardSigmoid : Floats {
  explicit HardSigmoid(const Attributes& attributes)
      : alpha(attributes.real("alpha", 0.2f)), beta(attributes.real("beta", 0.5f)) {}
  template <class T>
  T operator()(T x) const {
    const T line = static_cast<T>(alpha) * x + static_cast<T>(beta);
    const T low = line < 0 ? T{0} : line;
    return low > 1 ? T{1} : low;
  }
  double alpha;
  double beta;
};

struct HardSwish : Floats {
  template <class T>
  T operator()(T x) const {
    const T line = x * static_cast<T>(1.0 / 6) + static_cast<T>(0.5);
    const T low = line < 0 ? T{0} : line;
    return x * (low > 1 ? T{1} : low);
  }
};

struct Softsign : Floats {
  template <class T>
  T operator()(T x) const {
    return x / (1 + std::fabs(x));
  }
};

struct Mish : Floats {
  template <class T>
  T operator()(T x) const {
    return x * std::tanh(softplus(x));
  }
  void block(const Kernels& kernels, const float* x, float* y, std::size_t n) const {
    kernels.softplus_f32(x, y, n);
    kernels.tanh_f32(y, y, n);
    kernels.multiply_f32(x, 1, y, 1, y, n);
  }
};

struct Swish : Floats {
  explicit Swish(const Attributes& attributes) : alpha(attributes.real("alpha", 1)) {}
  template <class T>
  T operator()(T x) const {
    return x * sigmoid(static_cast<T>(alpha) * x);
  }
  void block(const Kernels& kernels, const float* x, float* y, std::size_t n) const {
    const auto a = static_cast<float>(alpha);
    kernels.multiply_f32(x, 1, &a, 0, y, n);
    kernels.sigmoid_f32(y, y, n);
    kernels.multiply_f32(x, 1, y, 1, y, n);
  }
  double alpha;
};

struct Gelu : Floats {
  explicit Gelu(const Attributes& attributes) {
    const std::string approximate = attributes.text("approximate", "none");
    if (approximate != "none" && approximate != "tanh") {
      throw OpError(ErrorKind::kModel, "approximate is neither none nor tanh");
    }
    tanh = approximate == "tanh";
  }
  template <class T>
  static T inner(T x) {
    const T scale = static_cast<T>(std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
    return scale * (x + static_cast<T>(0.044715) * x * x * x);
  }
  template <class T>
  T operator()(T x) const {
    const T part =
        tanh ? std::tanh(inner(x)) : std::erf(x * static_cast<T>(std::numbers::sqrt2 / 2));
    return static_cast<T>(0.5) * x * (1 + part);
  }
  void block(const Kernels& kernels, const float* x, float* y, std::size_t n) const {
    if (tanh) {
      for (std::size_t i = 0; i < n; ++i) y[i] = inner(x[i]);
      kernels.tanh_f32(y, y, n);
    } else {
      for (std::size_t i = 0; i < n; ++i) y[i] = x[i] * static_cast<float>(std::numbers::sqrt2 / 2);
      kernels.erf_f32(y, y, n);
    }
    for (std::size_t i = 0; i < n; ++i) y[i] = 0.5f * x[i] * (1.0f + y[i]);
  }
  bool tanh;
};

struct Shrink : Numbers {
  explicit Shrink(const Attributes& attributes)
      : bias(attributes.real("bias", 0)), lambd(attributes.real("lambd", 0.5)) {}
  template <class T>
  T operator()(T x) const {
    using Wide = std::conditional_t<std::is_same_v<T, float>, float, double>;
    const auto value = static_cast<Wide>(x);
    if (value < -static_cast<Wide>(lambd))
      return convert_element<T>(value + static_cast<Wide>(bias));
    if (value > static_cast<Wide>(lambd))
      return convert_element<T>(value - static_cast<Wide>(bias));
    return 0;
  }
  double bias;
  double lambd;
};

struct Identity {
  explicit Identity(const OpSpec&) {}
  void run(Context&, std::span<const Value* const> in, std::span<Value> out) const {
    if (in.empty() || !in[0]) throw OpError(ErrorKind::kModel, "input 0 is missing");
    out[0] = *in[0];
  }
};

struct Dropout {
  explicit Dropout(const OpSpec&) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor* training = optional(in, 2);
    if (training && read_integer(*training) != 0) {
      throw OpError(ErrorKind::kUnsupported, "Dropout in training mode is not deterministic");
    }
    const Tensor& data = required(in, 0);
    out[0].tensor = data;
    if (out.size() > 1) {
      out[1].tensor = allocate(context, DType::kBool, data.shape);
      std::fill_n(out[1].tensor.as<bool>(), data.elements(), true);
    }
  }
};

template <auto Formula, UnaryF32 Kernels::* Kernel = nullptr>
constexpr OpFactory kMath = make_op<Unary<Math<Formula, Kernel>>>;

constexpr OpEntry kOps[] = {
    {"Abs", make_op<Unary<Abs>>},
    {"Acos", kMath<[](auto x) { return std::acos(x); }>},
    {"Acosh", kMath<[](auto x) { return std::acosh(x); }>},
    {"Asin", kMath<[](auto x) { return std::asin(x); }>},
    {"Asinh", kMath<[](auto x) { return std::asinh(x); }>},
    {"Atan", kMath<[](auto x) { return std::atan(x); }>},
    {"Atanh", kMath<[](auto x) { return std::atanh(x); }>},
    {"BitwiseNot", make_op<Unary<BitwiseNot>>},
    {"Ceil", kMath<[](auto x) { return std::ceil(x); }, &Kernels::ceil_f32>},
    {"Celu", make_op<Unary<Celu>>},
    {"Cos", kMath<[](auto x) { return std::cos(x); }>},
    {"Cosh", kMath<[](auto x) { return std::cosh(x); }>},
    {"Dropout", make_op<Dropout>},
    {"Elu", make_op<Unary<Elu>>},
    {"Erf", kMath<[](auto x) { return std::erf(x); }, &Kernels::erf_f32>},
    {"Exp", kMath<[](auto x) { return std::exp(x); }, &Kernels::exp_f32>},
    {"Floor", kMath<[](auto x) { return std::floor(x); }, &Kernels::floor_f32>},
    {"Gelu", make_op<Unary<Gelu>>},
    {"HardSigmoid", make_op<Unary<HardSigmoid>>},
    {"HardSwish", make_op<Unary<HardSwish>>},
    {"Identity", make_op<Identity>},
    {"IsInf", make_op<Unary<IsInf>>},
    {"IsNaN", make_op<Unary<IsNan>>},
    {"LeakyRelu", make_op<Unary<LeakyRelu>>},
    {"Log", kMath<[](auto x) { return std::log(x); }, &Kernels::log_f32>},
    {"Mish", make_op<Unary<Mish>>},
    {"Neg", make_op<Unary<Negative>>},
    {"Not", make_op<Unary<Not>>},
    {"Reciprocal", kMath<[](auto x) { return 1 / x; }, &Kernels::reciprocal_f32>},
    {"Relu", make_op<Unary<Relu>>},
    {"Round", kMath<[](auto x) { return std::nearbyint(x); }, &Kernels::round_f32>},
    {"Selu", make_op<Unary<Selu>>},
    {"Shrink", make_op<Unary<Shrink>>},
    {"Sigmoid", kMath<[](auto x) { return sigmoid(x); }, &Kernels::sigmoid_f32>},
    {"Sign", make_op<Unary<Sign>>},
    {"Sin", kMath<[](auto x) { return std::sin(x); }>},
    {"Sinh", kMath<[](auto x) { return std::sinh(x); }>},
    {"Softplus", kMath<[](auto x) { return softplus(x); }, &Kernels::softplus_f32>},
    {"Softsign", make_op<Unary<Softsign>>},
    {"Sqrt", kMath<[](auto x) { return std::sqrt(x); }, &Kernels::sqrt_f32>},
    {"Swish", make_op<Unary<Swish>>},
    {"Tan", kMath<[](auto x) { return std::tan(x); }>},
    {"Tanh", kMath<[](auto x) { return std::tanh(x); }, &Kernels::tanh_f32>},
    {"ThresholdedRelu", make_op<Unary<ThresholdedRelu>>},
};

}  // namespace

std::span<const OpEntry> unary_ops() { return kOps; }

}  // namespace pyrec
