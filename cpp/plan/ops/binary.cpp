#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/elementwise.h"
#include "plan/ops/take.h"
#include "plan/program.h"

namespace pyrec {
namespace {

// An operator here is a functor of two elements of one type: `takes<T>` says for which types it is
// defined, and the result is of the same type or bool. `kKernel` names the float32 kernel, if there
// is one. float16 goes through float32. `kSignless`: the bits of a signed result are those of the
// unsigned one, which alone is compiled.

struct Numbers {
  template <class T>
  static constexpr bool takes = kIsNumeric<T>;
};

struct Integers {
  template <class T>
  static constexpr bool takes = kIsInteger<T>;
};

struct Booleans {
  template <class T>
  static constexpr bool takes = std::is_same_v<T, bool>;
};

template <class F, class T>
consteval auto operand_of() {
  if constexpr (kIsInteger<T> && requires { F::kSignless; }) {
    return TypeTag<std::make_unsigned_t<T>>{};
  } else {
    return TypeTag<T>{};
  }
}

[[noreturn]] void refuse_zero_divisor() {
  throw OpError(ErrorKind::kModel, "integer division by zero");
}

template <class F>
Tensor apply(Context& context, const F& f, const Tensor& a, const Tensor& b) {
  expect_dtype(b, a.dtype);
  if (a.dtype == DType::kFloat16 && F::template takes<float>) {
    const Tensor result =
        apply(context, f, cast(context, a, DType::kFloat32), cast(context, b, DType::kFloat32));
    return result.dtype == DType::kFloat32 ? cast(context, result, DType::kFloat16) : result;
  }
  if constexpr (requires { F::kKernel; }) {
    if (a.dtype == DType::kFloat32) {
      Broadcast<2> walk(context, {a, b}, DType::kFloat32);
      const BinaryF32 kernel = context.kernels.*F::kKernel;
      const float* x = walk.template data<float>(0);
      const float* y = walk.template data<float>(1);
      float* result = walk.result.template as<float>();
      const auto x_step = static_cast<std::size_t>(walk.step(0));
      const auto y_step = static_cast<std::size_t>(walk.step(1));
      walk.for_each_run([&](std::int64_t i, std::int64_t j, std::int64_t k, std::int64_t n) {
        kernel(x + i, x_step, y + j, y_step, result + k, static_cast<std::size_t>(n));
      });
      return walk.result;
    }
  }
  return dispatch(a.dtype, [&](auto tag) -> Tensor {
    using T = typename decltype(operand_of<F, typename decltype(tag)::type>())::type;
    if constexpr (F::template takes<T>) {
      using R = std::decay_t<decltype(f(T{}, T{}))>;
      const DType made = std::is_same_v<R, bool> ? DType::kBool : a.dtype;
      return map_pairs<T, T, R>(context, f, a, b, made);
    } else {
      refuse_dtype(a.dtype);
    }
  });
}

template <class F>
class Binary {
 public:
  explicit Binary(const OpSpec& spec) : f_(make_functor<F>(spec.attributes)) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    out[0].tensor = apply(context, f_, required(in, 0), required(in, 1));
  }

 private:
  F f_;
};

// Of the second operand and the first.
template <class F>
struct Swapped {
  explicit Swapped(const OpSpec&) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor &a = required(in, 0), &b = required(in, 1);
    expect_dtype(b, a.dtype);
    out[0].tensor = apply(context, F{}, b, a);
  }
};

struct Add : Numbers {
  static constexpr BinaryF32 Kernels::* kKernel = &Kernels::add_f32;
  static constexpr bool kSignless = true;
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return a + b;
    } else {
      return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
    }
  }
};

struct Subtract : Numbers {
  static constexpr BinaryF32 Kernels::* kKernel = &Kernels::subtract_f32;
  static constexpr bool kSignless = true;
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return a - b;
    } else {
      return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
    }
  }
};

struct Multiply : Numbers {
  static constexpr BinaryF32 Kernels::* kKernel = &Kernels::multiply_f32;
  static constexpr bool kSignless = true;
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return a * b;
    } else {
      return wrapping_product(a, b);
    }
  }
};

struct Divide : Numbers {
  static constexpr BinaryF32 Kernels::* kKernel = &Kernels::divide_f32;
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return a / b;
    } else {
      if (b == 0) refuse_zero_divisor();
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return wrapping_negative(a);
      }
      return static_cast<T>(a / b);
    }
  }
};

// NaN if either operand is NaN.
struct Maximum : Numbers {
  static constexpr BinaryF32 Kernels::* kKernel = &Kernels::maximum_f32;
  template <class T>
  T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};

struct Minimum : Numbers {
  static constexpr BinaryF32 Kernels::* kKernel = &Kernels::minimum_f32;
  template <class T>
  T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};

class Modulo : public Numbers {
 public:
  explicit Modulo(const Attributes& attributes) : truncated_(attributes.integer("fmod", 0) != 0) {}
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      const T rest = std::fmod(a, b);
      if (truncated_ || b == 0) return rest;
      if (rest == 0) return std::copysign(T{0}, b);
      return (rest < 0) != (b < 0) ? rest + b : rest;
    } else {
      if (b == 0) refuse_zero_divisor();
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return 0;
        const T rest = static_cast<T>(a % b);
        const bool shift = !truncated_ && rest != 0 && (rest < 0) != (b < 0);
        return shift ? static_cast<T>(rest + b) : rest;
      } else {
        return static_cast<T>(a % b);
      }
    }
  }

 private:
  bool truncated_;
};

template <class Relation>
struct Compare {
  template <class T>
  static constexpr bool takes = !std::is_same_v<T, Half>;
  template <class T>
  bool operator()(T a, T b) const {
    return Relation{}(a, b);
  }
};

struct IsEqual : Compare<std::equal_to<>> {
  static constexpr bool kSignless = true;
};

template <class Operation>
struct Logical : Booleans {
  bool operator()(bool a, bool b) const { return Operation{}(a, b); }
};

template <class Operation>
struct Bitwise : Integers {
  static constexpr bool kSignless = true;
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(Operation{}(a, b));
  }
};

class BitShift : public Integers {
 public:
  explicit BitShift(const Attributes& attributes) {
    const std::string direction = attributes.text("direction", "");
    if (direction != "LEFT" && direction != "RIGHT") {
      throw OpError(ErrorKind::kModel, "direction is neither LEFT nor RIGHT");
    }
    left_ = direction == "LEFT";
  }
  template <class T>
  T operator()(T x, T amount) const {
    constexpr auto kBits = static_cast<T>(8 * sizeof(T));
    if (amount < T{0} || amount >= kBits) return x < T{0} && !left_ ? static_cast<T>(-1) : T{0};
    if (left_) return static_cast<T>(static_cast<Wrapping<T>>(x) << amount);
    return static_cast<T>(x >> amount);
  }

 private:
  bool left_;
};

struct PRelu : Numbers {
  template <class T>
  T operator()(T x, T slope) const {
    if constexpr (std::is_unsigned_v<T>) {
      return x;
    } else {
      return blend(x < 0, Multiply{}(x, slope), x);
    }
  }
};

class ParametricRelu {
 public:
  explicit ParametricRelu(const OpSpec&) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const Tensor slope = broadcast_to(required(in, 1), x.shape);
    out[0].tensor = apply(context, PRelu{}, x, slope);
  }
};

// Wraps around; a negative exponent goes through float64, where every result is exact.
template <class T>
T integer_power(T base, std::int64_t exponent) {
  if (exponent < 0) {
    return convert_element<T>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  T result = 1;
  for (T square = base; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result = wrapping_product(result, square);
    square = wrapping_product(square, square);
  }
  return result;
}

class Power {
 public:
  explicit Power(const OpSpec&) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& base = required(in, 0);
    const Tensor& exponent = required(in, 1);
    if (base.dtype == DType::kFloat16) {
      out[0].tensor = cast(context, power(context, cast(context, base, DType::kFloat32), exponent),
                           DType::kFloat16);
    } else {
      out[0].tensor = power(context, base, exponent);
    }
  }

 private:
  static Tensor power(Context& context, const Tensor& base, const Tensor& exponent) {
    if (exponent.dtype == DType::kBool) refuse_dtype(exponent.dtype);
    switch (base.dtype) {
      case DType::kFloat32:
        return of_floats(context, base, exponent);
      case DType::kFloat64:
        return map_pairs<double, double, double>(
            context, [](double a, double b) { return std::pow(a, b); }, base,
            cast(context, exponent, DType::kFloat64));
      case DType::kInt32:
        return of_integers<std::int32_t>(context, base, exponent);
      case DType::kInt64:
        return of_integers<std::int64_t>(context, base, exponent);
      default:
        refuse_dtype(base.dtype);
    }
  }

  template <class T>
  static Tensor of_integers(Context& context, const Tensor& base, const Tensor& exponent) {
    if (exponent.dtype == DType::kFloat16 || exponent.dtype == DType::kFloat32 ||
        exponent.dtype == DType::kFloat64) {
      return map_pairs<T, double, T>(
          context,
          [](T a, double b) { return convert_element<T>(std::pow(static_cast<double>(a), b)); },
          base, cast(context, exponent, DType::kFloat64));
    }
    return map_pairs<T, std::int64_t, T>(context, integer_power<T>, base,
                                         cast(context, exponent, DType::kInt64));
  }

  static Tensor of_floats(Context& context, const Tensor& base, const Tensor& exponent) {
    if (exponent.elements() == 1) {
      const double fixed = read_scalar(exponent);
      if (fixed == 2 || fixed == 3) {
        // Also brings the result to the broadcast rank.
        const Tensor x = broadcast_to(base, broadcast_shapes(base.shape, exponent.shape));
        const Tensor square = apply(context, Multiply{}, x, x);
        return fixed == 2 ? square : apply(context, Multiply{}, square, x);
      }
    }
    if (exponent.dtype == DType::kFloat32 || exponent.dtype == DType::kFloat16) {
      return map_pairs<float, float, float>(
          context, [](float a, float b) { return std::pow(a, b); }, base,
          cast(context, exponent, DType::kFloat32));
    }
    return map_pairs<float, double, float>(
        context,
        [](float a, double b) { return static_cast<float>(std::pow(static_cast<double>(a), b)); },
        base, cast(context, exponent, DType::kFloat64));
  }
};

// Ids of several fields plus the first rows of these fields in the one table that they share.
class OffsetIds {
 public:
  explicit OffsetIds(const OpSpec& spec) : add_(spec), labels_(spec.attributes.texts("labels")) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    const bool half = given.dtype == DType::kFloat16;
    const Tensor ids = contiguous(context, half ? cast(context, given, DType::kFloat32) : given);
    dispatch(ids.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (std::is_signed_v<T>) check(ids, ids.as<T>());
    });
    add_.run(context, in, out);
  }

 private:
  template <class T>
  void check(const Tensor& ids, const T* x) const {
    const T* end = x + ids.elements();
    const T* below = std::find_if(x, end, [](T id) { return id < T{0}; });
    if (below == end) return;
    const std::int64_t place = below - x;
    const std::int64_t per_row = count_per_row(ids);
    const char* rule = "id in front of its field's rows (expected id >= 0)";
    const auto columns = static_cast<std::int64_t>(labels_.size());
    if (columns > 0 && ids.rank() > 0 && ids.shape[ids.rank() - 1] == columns) {
      throw StepError(OpError(ErrorKind::kIdRange, rule, place / per_row),
                      labels_[static_cast<std::size_t>(place % columns)]);
    }
    refuse_id(rule, place, per_row);
  }

  Binary<Add> add_;
  std::vector<std::string> labels_;
};

template <class F, bool kDivideByCount = false>
class Variadic {
 public:
  explicit Variadic(const OpSpec&) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const DType dtype = required(in, 0).dtype;
    const bool half = dtype == DType::kFloat16;
    const DType working = half ? DType::kFloat32 : dtype;
    if (dtype == DType::kBool) refuse_dtype(dtype);
    Tensor total = cast(context, required(in, 0), working);
    for (std::size_t i = 1; i < in.size(); ++i) {
      expect_dtype(required(in, i), dtype);
      total = apply(context, F{}, total, cast(context, required(in, i), working));
    }
    if (kDivideByCount && in.size() > 1) {
      Tensor count = allocate(context, DType::kInt64, Shape{});
      *count.as<std::int64_t>() = static_cast<std::int64_t>(in.size());
      total = apply(context, Divide{}, total, cast(context, count, working));
    }
    out[0].tensor = cast(context, total, dtype);
  }
};

// a * b + c of float32.
struct MultiplyAdd {
  explicit MultiplyAdd(const OpSpec&) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    std::array<Tensor, 3> operands;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      operands[i] = required(in, i);
      expect_dtype(operands[i], DType::kFloat32);
    }
    Broadcast<3> walk(context, operands, DType::kFloat32);
    const auto step = [&](std::size_t i) { return static_cast<std::size_t>(walk.step(i)); };
    walk.for_each_run([&](std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t y,
                          std::int64_t n) {
      context.kernels.multiply_add_f32(walk.data<float>(0) + a, step(0), walk.data<float>(1) + b,
                                       step(1), walk.data<float>(2) + c, step(2),
                                       walk.result.as<float>() + y, static_cast<std::size_t>(n));
    });
    out[0].tensor = walk.result;
  }
};

template <class F>
constexpr OpFactory kBinary = make_op<Binary<F>>;

struct Equal {
  explicit Equal(const OpSpec&) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor &a = required(in, 0), &b = required(in, 1);
    const bool text = a.dtype == DType::kText && b.dtype == DType::kText;
    out[0].tensor = text ? map_pairs<Text, Text, bool>(context, std::equal_to<>(), a, b)
                         : apply(context, IsEqual(), a, b);
  }
};

constexpr OpEntry kOps[] = {
    {"Add", kBinary<Add>},
    {"And", kBinary<Logical<std::logical_and<>>>},
    {"BitShift", kBinary<BitShift>},
    {"BitwiseAnd", kBinary<Bitwise<std::bit_and<>>>},
    {"BitwiseOr", kBinary<Bitwise<std::bit_or<>>>},
    {"BitwiseXor", kBinary<Bitwise<std::bit_xor<>>>},
    {"Div", kBinary<Divide>},
    {"Equal", make_op<Equal>},
    {"Greater", make_op<Swapped<Compare<std::less<>>>>},
    {"GreaterOrEqual", make_op<Swapped<Compare<std::less_equal<>>>>},
    {"Less", kBinary<Compare<std::less<>>>},
    {"LessOrEqual", kBinary<Compare<std::less_equal<>>>},
    {"Max", make_op<Variadic<Maximum>>},
    {"Mean", make_op<Variadic<Add, true>>},
    {"Min", make_op<Variadic<Minimum>>},
    {"Mod", kBinary<Modulo>},
    {"Mul", kBinary<Multiply>},
    {"Or", kBinary<Logical<std::logical_or<>>>},
    {"PRelu", make_op<ParametricRelu>},
    {"Pow", make_op<Power>},
    {"Sub", kBinary<Subtract>},
    {"Sum", make_op<Variadic<Add>>},
    {"Xor", kBinary<Logical<std::not_equal_to<>>>},
    {"pyrec.MultiplyAdd", make_op<MultiplyAdd>},
    {"pyrec.OffsetIds", make_op<OffsetIds>},
};

}  // namespace

std::span<const OpEntry> binary_ops() { return kOps; }

}  // namespace pyrec
