#pragma once

// The vector vocabulary without intrinsics: compiler vector types of four lanes, which every target
// has or gets as scalar code. The operators + - * / & | ^ << >> and comparisons work lane by lane,
// and a scalar operand is repeated.

#include <cstddef>
#include <cstdint>

namespace pyrec {
namespace {

constexpr std::size_t kLanes = 4;

using VecF = float __attribute__((vector_size(16)));
using VecI = std::int32_t __attribute__((vector_size(16)));
using VecU = std::uint32_t __attribute__((vector_size(16)));
using Mask = VecI;  // all ones or all zeros in each lane

// Register block of the matrix kernels: rows of A times vectors of B.
constexpr int kBlockRows = 4;
constexpr int kBlockVectors = 2;

// count < kLanes.
inline Mask first_lanes(std::size_t count) {
  const std::int32_t n = static_cast<std::int32_t>(count);
  return VecI{0, 1, 2, 3} < VecI{n, n, n, n};
}

inline VecF broadcast(float x) { return VecF{x, x, x, x}; }
inline VecF load(const float* p) {
  VecF x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
inline void store(float* p, VecF x) { __builtin_memcpy(p, &x, sizeof x); }
// The first count lanes; the others are zero.
inline VecF load_first(const float* p, std::size_t count) {
  VecF x{};
  for (std::size_t i = 0; i < count; ++i) x[i] = p[i];
  return x;
}
inline void store_first(float* p, VecF x, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) p[i] = x[i];
}

inline VecU bits(VecF x) { return reinterpret_cast<VecU>(x); }
inline VecF from_bits(VecU x) { return reinterpret_cast<VecF>(x); }
inline VecF to_float(VecI x) { return __builtin_convertvector(x, VecF); }

// a * b + c, rounded once where the ISA can.
inline VecF multiply_add(VecF a, VecF b, VecF c) { return a * b + c; }
// Both give b if either is NaN.
inline VecF min(VecF a, VecF b) { return a < b ? a : b; }
inline VecF max(VecF a, VecF b) { return a > b ? a : b; }

inline Mask less(VecF a, VecF b) { return a < b; }
inline Mask equal(VecF a, VecF b) { return a == b; }
inline Mask is_nan(VecF x) { return x != x; }
inline bool any(Mask mask) { return (mask[0] | mask[1] | mask[2] | mask[3]) != 0; }
inline VecF select(Mask mask, VecF yes, VecF no) { return mask ? yes : no; }

inline VecF sqrt(VecF x) {
  for (std::size_t i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}
// Adding and taking away 2^23 drops the fraction; larger values (and NaN) have none to drop.
inline VecF round(VecF x) {
  const VecU sign = bits(x) & 0x80000000u;
  const VecF magnitude = from_bits(bits(x) & 0x7fffffffu);
  const VecF rounded = (magnitude + 0x1p23f) - 0x1p23f;
  return select(less(magnitude, broadcast(0x1p23f)), from_bits(bits(rounded) | sign), x);
}
inline VecF floor(VecF x) {
  const VecF y = round(x);
  return select(less(x, y), y - 1.0f, y);
}
inline VecF ceil(VecF x) {
  const VecF y = round(x);
  const VecF up = from_bits(bits(y + 1.0f) | (bits(x) & 0x80000000u));  // ceil(-0.7) is -0
  return select(less(y, x), up, y);
}
// x * 2^n for integral n of -252 to 252, rounded once. n may be anything where x is NaN.
inline VecF scale_by_power(VecF x, VecF n) {
  constexpr float kShift = 0x1.8p23f;
  const VecI whole = reinterpret_cast<VecI>(bits(n + kShift) - bits(broadcast(kShift)));
  const VecI half = whole >> 1;
  const VecU first = reinterpret_cast<VecU>(half) + 127u;
  const VecU second = reinterpret_cast<VecU>(whole) - reinterpret_cast<VecU>(half) + 127u;
  return x * from_bits(first << 23) * from_bits(second << 23);
}

inline float first_lane(VecF x) { return x[0]; }
inline float sum_lanes(VecF x) { return (x[0] + x[2]) + (x[1] + x[3]); }
inline float max_lanes(VecF x) {
  const float a = x[0] > x[2] ? x[0] : x[2];
  const float b = x[1] > x[3] ? x[1] : x[3];
  return a > b ? a : b;
}

inline VecF load_half(const std::uint16_t* p) {
  const VecU half = {p[0], p[1], p[2], p[3]};
  const VecU sign = (half & 0x8000u) << 16;
  const VecU magnitude = half & 0x7fffu;
  // A multiplication by 2^112 moves the exponent's bias and normalises subnormals.
  const VecU finite = bits(from_bits(magnitude << 13) * 0x1p112f);
  const VecU special = (magnitude << 13) | 0x7f800000u;
  return from_bits((magnitude >= 0x7c00u ? special : finite) | sign);
}
inline void store_half(std::uint16_t* p, VecF x) {
  const VecU sign = (bits(x) >> 16) & 0x8000u;
  const VecU magnitude = bits(x) & 0x7fffffffu;
  // Adding 0.5 makes the addition round at the last bit of a subnormal.
  const VecU small = bits(from_bits(magnitude) + 0.5f) - 0x3f000000u;
  const VecU normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  VecU half = magnitude < 0x38800000u ? small : normal;
  half = magnitude >= 0x477ff000u ? VecU{} + 0x7c00u : half;
  half = (magnitude > 0x7f800000u ? VecU{} + 0x7e00u : half) | sign;
  for (std::size_t i = 0; i < kLanes; ++i) p[i] = static_cast<std::uint16_t>(half[i]);
}

inline VecI broadcast(std::int32_t x) { return VecI{x, x, x, x}; }
inline VecI load_pairs(const std::int16_t* p) {
  VecI x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
inline void store(std::int32_t* p, VecU x) { __builtin_memcpy(p, &x, sizeof x); }
// Each lane holds two int16: the sum of the products of the halves, modulo 2^32.
inline VecU multiply_pairs(VecI a, VecI b) {
  const VecI a_low = reinterpret_cast<VecI>(reinterpret_cast<VecU>(a) << 16) >> 16;
  const VecI b_low = reinterpret_cast<VecI>(reinterpret_cast<VecU>(b) << 16) >> 16;
  return reinterpret_cast<VecU>(a_low) * reinterpret_cast<VecU>(b_low) +
         reinterpret_cast<VecU>(a >> 16) * reinterpret_cast<VecU>(b >> 16);
}

}  // namespace
}  // namespace pyrec
