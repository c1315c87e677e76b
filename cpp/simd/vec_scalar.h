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

// Block of the products that skip groups of zeros: few rows, which share more zeros, and as many
// columns as registers hold sums of. A panel has at least kSkipFewest vectors.
constexpr bool kCanSkipGroups = false;
constexpr int kSkipRows = 1;
constexpr int kSkipVectors = 1;
constexpr std::size_t kSkipFewest = 1;
constexpr bool kSkipsGroups = false;  // and they are faster than others where there are zeros

// Sums of products of bytes are in 32 bits from the start.
struct ByteRuns {
  static constexpr bool kAny = false;
};

// dot_u8s8 is an instruction.
constexpr bool kDotsBytes = false;

// Rows that are read where they lie: bytes of one stream before some of the next, and bytes from
// what is read to what is brought into cache; 0: a core does that best by itself.
constexpr std::size_t kTurnBytes = 1024;
constexpr std::size_t kBytesAhead = 0;

// dot_bf16_pairs is an instruction.
constexpr bool kMultipliesBf16 = false;

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
inline Mask not_less(VecF a, VecF b) { return ~(a < b); }  // or NaN
inline Mask equal(VecF a, VecF b) { return a == b; }
inline Mask is_nan(VecF x) { return x != x; }
inline bool any(Mask mask) { return (mask[0] | mask[1] | mask[2] | mask[3]) != 0; }
// Bit i is set if the mask is in lane i.
inline std::uint32_t set_lanes(Mask mask) {
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < kLanes; ++i) found |= std::uint32_t{mask[i] != 0} << i;
  return found;
}
// The compiler's own count would be a call into its library.
inline unsigned count_bits(std::uint64_t x) {
  unsigned count = 0;
  for (; x != 0; x &= x - 1) ++count;
  return count;
}
// One more in the lanes of the mask.
inline VecU count_up(VecU x, Mask mask) { return x - reinterpret_cast<VecU>(mask); }
// How many of 16 numbers are less than x, which is in all lanes.
inline std::size_t count_less_of_16(const float* p, VecF x) {
  const VecI low = less(load(p), x) + less(load(p + 4), x);
  const VecI all = low + (less(load(p + 8), x) + less(load(p + 12), x));
  return static_cast<std::size_t>(-(all[0] + all[1] + all[2] + all[3]));
}
// Bit i is set if lane i is not zero.
inline std::uint32_t nonzero_lanes(VecF x) {
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < kLanes; ++i) found |= std::uint32_t{x[i] != 0.0f} << i;
  return found;
}
inline VecF select(Mask mask, VecF yes, VecF no) { return mask ? yes : no; }

using VecBytes = std::int8_t __attribute__((vector_size(4 * kLanes)));
// All bits of each byte of a that is greater than that of b.
inline VecBytes greater(VecBytes a, VecBytes b) { return a > b; }

// There is no look_up: numbers of a table are read one by one as fast.
constexpr bool kLooksUp = false;

// a / b within a unit of the last place, for b of 1 to 2 or NaN.
inline VecF divide(VecF a, VecF b) { return a / b; }
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
// 2^(i / kPowers) for the last bits i of each lane; here only 2^0.
constexpr int kPowers = 1;
inline VecF power_of_fraction(VecU) { return broadcast(1.0f); }
// x * 2^n for integral n of -252 to 252, rounded once; zero where the mask is not set, whatever n.
// n may also be anything where x is NaN.
inline VecF scale_or_zero(VecF x, VecF n, Mask mask) {
  n = select(mask, n, VecF{});
  constexpr float kShift = 0x1.8p23f;
  const VecI whole = reinterpret_cast<VecI>(bits(n + kShift) - bits(broadcast(kShift)));
  const VecI half = whole >> 1;
  const VecU first = reinterpret_cast<VecU>(half) + 127u;
  const VecU second = reinterpret_cast<VecU>(whole) - reinterpret_cast<VecU>(half) + 127u;
  return select(mask, x * from_bits(first << 23) * from_bits(second << 23), VecF{});
}

inline float first_lane(VecF x) { return x[0]; }
inline float sum_lanes(VecF x) { return (x[0] + x[2]) + (x[1] + x[3]); }
// Lane i is the sum of x[i]'s lanes, of floats as sum_lanes rounds it. For VecF and VecU.
template <class Vec>
inline Vec sum_each(const Vec (&x)[kLanes]) {
  Vec sums{};
  for (std::size_t i = 0; i < kLanes; ++i) sums[i] = (x[i][0] + x[i][2]) + (x[i][1] + x[i][3]);
  return sums;
}
// Lane j of x[i] becomes lane i of x[j].
inline void transpose(VecF (&x)[kLanes]) {
  const VecF y[kLanes] = {x[0], x[1], x[2], x[3]};
  for (std::size_t i = 0; i < kLanes; ++i) x[i] = VecF{y[0][i], y[1][i], y[2][i], y[3][i]};
}
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
inline VecF load_first_half(const std::uint16_t* p, std::size_t count) {
  std::uint16_t x[kLanes] = {};
  for (std::size_t i = 0; i < count; ++i) x[i] = p[i];
  return load_half(x);
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

// bfloat16: the upper halves of floats.
inline VecF load_bf16(const std::uint16_t* p) {
  const VecU x = {p[0], p[1], p[2], p[3]};
  return from_bits(x << 16);
}
inline VecF load_first_bf16(const std::uint16_t* p, std::size_t count) {
  VecU x{};
  for (std::size_t i = 0; i < count; ++i) x[i] = p[i];
  return from_bits(x << 16);
}
inline VecF load_i8(const std::int8_t* p) { return to_float(VecI{p[0], p[1], p[2], p[3]}); }
inline VecF load_first_i8(const std::int8_t* p, std::size_t count) {
  VecI x{};
  for (std::size_t i = 0; i < count; ++i) x[i] = p[i];
  return to_float(x);
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

inline VecI load(const std::int32_t* p) {
  VecI x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
inline VecI load_groups(const std::byte* p) {
  VecI x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
// Those of the first count lanes; the others are zero.
inline VecI load_first_groups(const std::byte* p, std::size_t count) {
  VecI x{};
  __builtin_memcpy(&x, p, count * sizeof(x[0]));
  return x;
}
// Of use where registers are.
inline void hold(VecI&) {}
inline void hold(const std::byte*&) {}
// Lane i is lane order[i] of x.
inline VecF permute(VecF x, const std::int32_t* order) {
  VecF y{};
  for (std::size_t i = 0; i < kLanes; ++i) y[i] = x[order[i]];
  return y;
}
// The nearest integers, the even one of two.
inline VecI to_integer(VecF x) { return __builtin_convertvector(round(x), VecI); }
inline VecU max(VecU a, VecU b) { return a > b ? a : b; }
inline std::uint32_t max_lanes(VecU x) {
  const std::uint32_t a = x[0] > x[2] ? x[0] : x[2];
  const std::uint32_t b = x[1] > x[3] ? x[1] : x[3];
  return a > b ? a : b;
}
// The low byte, the low half of each lane.
inline void store_bytes(std::byte* p, VecI x) {
  for (std::size_t i = 0; i < kLanes; ++i) p[i] = static_cast<std::byte>(x[i] & 0xff);
}
// The bytes of four vectors.
inline void store_bytes(std::byte* p, const VecI (&x)[4]) {
  for (std::size_t v = 0; v < 4; ++v) store_bytes(p + v * kLanes, x[v]);
}
inline void store_low_halves(std::uint16_t* p, VecU x) {
  for (std::size_t i = 0; i < kLanes; ++i) p[i] = static_cast<std::uint16_t>(x[i]);
}

// Four bytes in each lane.
inline VecI broadcast_group(const std::uint8_t* p) {
  std::int32_t x;
  __builtin_memcpy(&x, p, sizeof x);
  return broadcast(x);
}

// Each lane holds four bytes, unsigned in a and signed in b: sum and their products, modulo 2^32.
inline VecU dot_u8s8(VecU sum, VecI a, VecI b) {
  using Shorts = std::int16_t __attribute__((vector_size(16)));
  const Shorts right = reinterpret_cast<Shorts>(b);
  const VecI even = reinterpret_cast<VecI>(Shorts(right << 8) >> 8);
  const VecI odd = reinterpret_cast<VecI>(right >> 8);
  return sum + multiply_pairs(a & 0x00ff00ff, even) + multiply_pairs((a >> 8) & 0x00ff00ff, odd);
}
// The same of two pairs of lanes, where the products of each half of b and d fit 16 bits together,
// as those of bytes of -64 to 64 do.
inline VecU dot_two_u8s8(VecU sum, VecI a, VecI b, VecI c, VecI d) {
  return dot_u8s8(dot_u8s8(sum, a, b), c, d);
}
// Each lane holds two bfloat16: sum and their products.
inline VecF dot_bf16_pairs(VecF sum, VecI a, VecI b) {
  const VecU left = reinterpret_cast<VecU>(a), right = reinterpret_cast<VecU>(b);
  const VecF upper =
      multiply_add(from_bits(left & 0xffff0000u), from_bits(right & 0xffff0000u), sum);
  return multiply_add(from_bits(left << 16), from_bits(right << 16), upper);
}

}  // namespace
}  // namespace pyrec
