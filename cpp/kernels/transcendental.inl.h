#pragma once

// Exponential, logarithm and their relatives: argument reduction and a minimax polynomial. Every
// input is handled, NaN gives NaN. Errors against the exact value, in units of the last place,
// are bounded by the tests' tolerance for each kernel.

#include "kernels/elementwise.inl.h"

namespace pyrec {
namespace {

template <std::size_t kCount>
inline VecF polynomial(VecF x, const float (&coefficients)[kCount]) {  // highest power first
  VecF y = broadcast(coefficients[0]);
#pragma GCC unroll 16
  for (std::size_t i = 1; i < kCount; ++i) y = multiply_add(y, x, broadcast(coefficients[i]));
  return y;
}

// ln 2 in two parts; products of the first with integers below 2^15 (and multiples of 1 / 32 below
// 2^10) are exact.
constexpr float kLn2High = 0.693359375f;
constexpr float kLn2Low = -2.12194440e-4f;

// exp for x of at most 89. Below -104 the result is zero, and is not computed: a result that
// underflows costs a hundred times the others.
inline VecF exp_of_negative(VecF x) {
  const Mask some = not_less(x, broadcast(-104.0f));
  // Adding this and taking it away rounds to a multiple of 1 / kPowers.
  constexpr float kShift = 0x1.8p23f / kPowers;
  const VecF shifted = multiply_add(x, broadcast(1.44269504f), broadcast(kShift));
  const VecF n = shifted - kShift;
  VecF r = multiply_add(n, broadcast(-kLn2High), x);
  r = multiply_add(n, broadcast(-kLn2Low), r);
  constexpr float kWide[] = {0.0013937847f, 0.008368968f, 0.041666433f, 0.16666518f, 0.5f};
  constexpr float kTight[] = {0.16666667f, 0.5f};  // for r of at most ln 2 / 64
  const VecF terms = kPowers < 32 ? polynomial(r, kWide) : polynomial(r, kTight);
  const VecF less_one = multiply_add(terms, r * r, r);
  const VecF power = power_of_fraction(bits(shifted));
  return scale_or_zero(multiply_add(power, less_one, power), n, some);
}

inline VecF exp(VecF x) { return exp_of_negative(min(broadcast(89.0f), x)); }

// log(1 + f) + exponent * log(2) for 1 + f between sqrt(1/2) and sqrt(2).
inline VecF log_of_reduced(VecF f, VecF exponent) {
  constexpr float kTerms[] = {0.067330286f, -0.11660669f, 0.118862025f, -0.12408196f, 0.14220233f,
                              -0.16667855f, 0.20002073f,  -0.25000012f, 0.33333313f};
  const VecF square = f * f;
  VecF y = multiply_add(exponent, broadcast(kLn2Low), polynomial(f, kTerms) * square * f);
  y = multiply_add(square, broadcast(-0.5f), y);
  return multiply_add(exponent, broadcast(kLn2High), f + y);
}

constexpr std::uint32_t kSqrtHalfBits = 0x3f3504f3u;
constexpr float kInfinity = __builtin_inff();

inline VecF log(VecF x) {
  const Mask subnormal = less(x, broadcast(0x1p-126f));
  const VecU scaled = bits(select(subnormal, x * 0x1p24f, x)) - kSqrtHalfBits;
  const VecF f = from_bits((scaled & 0x007fffffu) + kSqrtHalfBits) - 1.0f;
  const VecF exponent = to_float(reinterpret_cast<VecI>(scaled) >> 23);
  VecF y = log_of_reduced(f, select(subnormal, exponent - 24.0f, exponent));
  y = select(less(x, broadcast(kInfinity)), y, x);  // infinity and NaN are their own logarithm
  y = select(equal(x, VecF{}), broadcast(-kInfinity), y);
  return select(less(x, VecF{}), broadcast(__builtin_nanf("")), y);
}

// log(1 + x) for x of 0 to 1.
inline VecF log_of_one_plus(VecF x) {
  const Mask halve = less(broadcast(0.41421356f), x);
  return log_of_reduced(select(halve, multiply_add(x, broadcast(0.5f), broadcast(-0.5f)), x),
                        select(halve, broadcast(1.0f), VecF{}));
}

inline VecF sigmoid(VecF x) {
  // exp of minus the magnitude cannot overflow, and keeps small results exact.
  const VecF e = exp_of_negative(from_bits(bits(x) | kSignBit));
  return divide(select(less(x, VecF{}), e, broadcast(1.0f)), e + 1.0f);
}

inline VecF tanh(VecF x) {
  constexpr float kTerms[] = {-0.005700092f, 0.020634118f, -0.05373794f, 0.13331416f, -0.3333328f};
  const VecF magnitude = absolute(x);
  const VecF square = x * x;
  const VecF small = multiply_add(polynomial(square, kTerms) * square, x, x);
  const VecF e = exp_of_negative(-(magnitude + magnitude));
  const VecF large = 1.0f - divide(e + e, e + 1.0f);
  return select(less(magnitude, broadcast(0.625f)), small, with_sign_of(large, x));
}

inline VecF erf(VecF x) {
  constexpr float kSmall[] = {8.293013e-05f, -0.0008123187f, 0.005199148f, -0.026858533f,
                              0.11283676f,   -0.37612632f,   0.12837917f};
  constexpr float kLarge[] = {1.1230014e-05f, -0.00032279402f, 0.0036424296f, -0.02376202f,
                              0.106236845f,   0.6351513f,      0.12864849f};
  const VecF magnitude = absolute(x);
  const VecF small = multiply_add(polynomial(x * x, kSmall), x, x);
  const VecF t = min(broadcast(4.0f), magnitude);  // erf(4) rounds to 1
  const VecF large = 1.0f - exp(-multiply_add(polynomial(t, kLarge), t, t));
  return select(less(magnitude, broadcast(0.925f)), small, with_sign_of(large, x));
}

inline VecF softplus(VecF x) {
  return max(VecF{}, x) + log_of_one_plus(exp(from_bits(bits(x) | kSignBit)));
}

// Several vectors at a time: these functions are long chains of dependent instructions.
template <class Function>
inline void map_long(const float* x, float* y, std::size_t n, Function function) {
  constexpr std::size_t kAtOnce = 4;
  std::size_t i = 0;
  for (; i + kAtOnce * kLanes <= n; i += kAtOnce * kLanes) {
    VecF v[kAtOnce];
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kAtOnce; ++j) v[j] = load(x + i + j * kLanes);
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kAtOnce; ++j) v[j] = function(v[j]);
#pragma GCC unroll 4
    for (std::size_t j = 0; j < kAtOnce; ++j) store(y + i + j * kLanes, v[j]);
  }
  map(x + i, y + i, n - i, function);
}

#define PYREC_LONG_UNARY(name, expression)                         \
  void name(const float* input, float* output, std::size_t n) {    \
    map_long(input, output, n, [](VecF x) { return expression; }); \
  }
PYREC_LONG_UNARY(exp_f32, exp(x))
PYREC_LONG_UNARY(log_f32, log(x))
PYREC_LONG_UNARY(sigmoid_f32, sigmoid(x))
PYREC_LONG_UNARY(tanh_f32, tanh(x))
PYREC_LONG_UNARY(erf_f32, erf(x))
PYREC_LONG_UNARY(softplus_f32, softplus(x))
#undef PYREC_LONG_UNARY
#undef PYREC_UNARY

}  // namespace
}  // namespace pyrec
