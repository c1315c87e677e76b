#include "plan/convert_input.h"

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

template <class T>
constexpr bool kIsFloat = std::is_floating_point_v<T> || std::is_same_v<T, Half>;

// Below this magnitude a float type holds every integer; here and above, it may stand for a
// neighbour.
template <class T>
constexpr double exact_limit() {
  if constexpr (std::is_same_v<T, Half>) return 2048.0;
  if constexpr (std::is_same_v<T, float>) return 16777216.0;
  return 9007199254740992.0;
}

template <class T>
double widen(T value) {
  if constexpr (std::is_same_v<T, Half>) {
    return static_cast<double>(static_cast<float>(value));
  } else {
    return static_cast<double>(value);
  }
}

// Whether a float is an integer that both its own type and the target hold exactly.
template <class From, class To>
bool integral(From value) {
  const double wide = widen(value);
  return std::abs(wide) < exact_limit<From>() && std::trunc(wide) == wide &&
         wide >= static_cast<double>(std::numeric_limits<To>::min()) &&
         wide <= static_cast<double>(std::numeric_limits<To>::max());
}

template <class From, class To>
bool fits(From value) {
  if constexpr (kIsFloat<From>) {
    return integral<From, To>(value);
  } else if constexpr (kIsFloat<To>) {
    return std::abs(widen(value)) < exact_limit<To>();
  } else {
    return std::in_range<To>(value);
  }
}

template <class From, class To>
To convert(From value) {
  if constexpr (std::is_same_v<From, Half>) {
    return convert<float, To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, Half>) {
    return Half(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

template <class From>
[[noreturn]] void refuse_value(From value, DType from, DType to, std::int64_t row) {
  const std::string reason = std::string(", as the model takes ") + dtype_name(to);
  if constexpr (kIsFloat<From>) {
    const bool missing = std::isnan(widen(value));
    throw OpError(ErrorKind::kNotIntegral, whole_numbers_rule(from, missing, reason), row);
  } else {
    throw OpError(ErrorKind::kIdRange,
                  std::string("expected values that ") + dtype_name(to) + " holds exactly" +
                      reason + ", got " + dtype_name(from) + " data with one that is not",
                  row);
  }
}

template <class From, class To>
void convert_elements(const Tensor& from, const Tensor& to, int row_axis) {
  const From* source = from.as<From>();
  To* target = to.as<To>();
  std::int64_t position = 0;
  for_each_outer(from.shape, 0, std::array<Shape, 1>{from.strides}, [&](std::int64_t offset) {
    const From value = source[offset];
    if constexpr (!(kIsFloat<From> && kIsFloat<To>)) {
      if (!fits<From, To>(value)) {
        std::int64_t row = -1;
        if (row_axis >= 0) {
          row = position / from.shape.product(row_axis + 1, from.rank()) % from.shape[row_axis];
        }
        refuse_value(value, from.dtype, to.dtype, row);
      }
    }
    target[position++] = convert<From, To>(value);
  });
}

}  // namespace

Tensor convert_input(Context& context, const Tensor& tensor, DType to, int row_axis) {
  if (tensor.dtype == to) return tensor;
  const Tensor converted = allocate(context, to, tensor.shape);
  const auto refuse = [&] {
    throw OpError(ErrorKind::kDType,
                  std::string("expected ") + dtype_name(to) + ", got " + dtype_name(tensor.dtype));
  };
  dispatch(tensor.dtype, [&](auto from_tag) {
    using From = typename decltype(from_tag)::type;
    dispatch(to, [&](auto to_tag) {
      using To = typename decltype(to_tag)::type;
      if constexpr (std::is_same_v<From, bool> || std::is_same_v<To, bool>) {
        refuse();
      } else {
        convert_elements<From, To>(tensor, converted, row_axis);
      }
    });
  });
  return converted;
}

}  // namespace pyrec
