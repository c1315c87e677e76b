#include <charconv>
#include <cmath>
#include <limits>
#include <type_traits>

#include "plan/op_list.h"
#include "plan/ops/elementwise.h"
#include "plan/texts.h"

namespace pyrec {
namespace {

// From 2^digits on a float may stand for a neighbouring integer, so it no longer proves an exact
// id.
template <class T>
bool exact_integer(T value) {
  if constexpr (std::is_same_v<T, Half>) {
    const auto x = static_cast<float>(value);
    return std::fabs(x) < 0x1p11f && exact_integer(x);
  } else {
    constexpr auto kLimit = static_cast<T>(std::int64_t{1} << std::numeric_limits<T>::digits);
    return std::fabs(value) < kLimit && static_cast<T>(static_cast<std::int64_t>(value)) == value;
  }
}

std::int64_t row_of_element(const Tensor& tensor, std::int64_t index) {
  return tensor.rank() == 0 ? index : index / tensor.shape.product(1, tensor.rank());
}

template <class T>
void require_integral(const Tensor& tensor) {
  const T* x = tensor.as<T>();
  std::int64_t index = 0;
  for_each_outer(tensor.shape, 0, std::array{tensor.strides}, [&](std::int64_t offset) {
    if (!exact_integer(x[offset])) {
      throw OpError(ErrorKind::kNotIntegral,
                    whole_numbers_rule(tensor.dtype, std::isnan(static_cast<float>(x[offset]))),
                    row_of_element(tensor, index));
    }
    ++index;
  });
}

// Refuses finite numbers that the type of `made`, which is contiguous, has made infinite.
void require_finite(Context& context, const Tensor& given, const Tensor& made) {
  if (made.dtype == DType::kFloat32) {
    bool endless = false;
    const auto* found = made.as<float>();
    for (std::int64_t i = 0; i < made.elements(); ++i) endless |= std::isinf(found[i]);
    if (!endless) return;
  }
  const Tensor from = cast(context, contiguous(context, given), DType::kFloat64);
  const Tensor to = cast(context, made, DType::kFloat64);
  const auto* x = from.as<double>();
  const auto* y = to.as<double>();
  for (std::int64_t i = 0; i < made.elements(); ++i) {
    if (!std::isinf(y[i]) || std::isinf(x[i])) continue;
    throw OpError(
        ErrorKind::kIdRange,
        std::string("expected numbers that ") + dtype_name(made.dtype) + " holds, got a larger one",
        row_of_element(made, i));
  }
}

// The decimal digits of whole numbers and booleans; floats are Python's.
Tensor as_texts(Context& context, const Tensor& tensor) {
  const Tensor x = contiguous(context, tensor);
  constexpr std::size_t kLongest = 20;  // -2^63
  const auto count = static_cast<std::size_t>(x.elements());
  TextWriter writer(context, x.shape, kLongest * count);
  dispatch(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_integral_v<T>) {
      using Number = std::conditional_t<std::is_same_v<T, bool>, int, T>;
      in_parts(count, kWatchedElements, [&](std::size_t begin, std::size_t some) {
        for (std::size_t i = begin; i < begin + some; ++i) {
          char* at = writer.begin();
          writer.end(std::to_chars(at, at + kLongest, static_cast<Number>(x.as<T>()[i])).ptr);
        }
      });
    } else {
      throw OpError(ErrorKind::kElsewhere, "floats as strings");
    }
  });
  return writer.tensor();
}

Tensor cast_any(Context& context, const Tensor& tensor, DType to) {
  if (tensor.dtype == to) return tensor;
  if (to == DType::kText) return as_texts(context, tensor);
  if (tensor.dtype == DType::kText) throw OpError(ErrorKind::kElsewhere, "strings as numbers");
  return cast(context, tensor, to);
}

class Cast {
 public:
  explicit Cast(const OpSpec& spec)
      : to_(dtype_from_name(spec.attributes.text("to", ""))),
        require_integral_(spec.attributes.integer("require_integral", 0) != 0),
        require_finite_(spec.attributes.integer("require_finite", 0) != 0) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    if (require_integral_) {
      switch (x.dtype) {
        case DType::kFloat16:
          require_integral<Half>(x);
          break;
        case DType::kFloat32:
          require_integral<float>(x);
          break;
        case DType::kFloat64:
          require_integral<double>(x);
          break;
        default:
          break;
      }
    }
    out[0].tensor = cast_any(context, x, to_);
    if (require_finite_) require_finite(context, x, out[0].tensor);
  }

 private:
  DType to_;
  bool require_integral_;
  bool require_finite_;
};

class CastLike {
 public:
  explicit CastLike(const OpSpec&) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    out[0].tensor = cast_any(context, required(in, 0), required(in, 1).dtype);
  }
};

constexpr OpEntry kOps[] = {
    {"Cast", make_op<Cast>},
    {"CastLike", make_op<CastLike>},
};

}  // namespace

std::span<const OpEntry> cast_ops() { return kOps; }

}  // namespace pyrec
