#pragma once

// Conversion of single elements between element types, defined for every value.

#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/dtype.h"

namespace pyrec {

template <class T>
inline constexpr bool kIsFloating = std::is_floating_point_v<T> || std::is_same_v<T, Half>;

// Truncates toward zero; NaN and values outside T give its smallest value, as cvttss2si does.
template <class T, class F>
T truncate_signed(F value) {
  constexpr F kLimit = -static_cast<F>(std::numeric_limits<T>::min());
  // Between -kLimit - 1 and -kLimit the result is the smallest value in either branch.
  if (value >= -kLimit && value < kLimit) return static_cast<T>(value);
  return std::numeric_limits<T>::min();
}

// ONNX Cast of one element: float to integer truncates and does out of range what x86-64 compilers
// do (8 and 16 bits are the low bits of the int32 result), integers wrap, bool is `!= 0`, and
// float16 goes through float32.
template <class To, class From>
To convert_element(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<From, Half>) {
    return convert_element<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, Half>) {
    return Half(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if constexpr (sizeof(To) < 4) {
      return static_cast<To>(truncate_signed<std::int32_t>(value));
    } else {
      using Signed = std::make_signed_t<To>;
      if constexpr (std::is_unsigned_v<To>) {
        constexpr From kHalfRange = -static_cast<From>(std::numeric_limits<Signed>::min());
        if (value >= kHalfRange) {
          return static_cast<To>(truncate_signed<Signed>(value - kHalfRange)) ^
                 static_cast<To>(std::numeric_limits<Signed>::min());
        }
      }
      return static_cast<To>(truncate_signed<Signed>(value));
    }
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace pyrec
