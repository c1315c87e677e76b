#pragma once

// The vector vocabulary on AVX2, FMA and F16C. VecF, VecI and VecU are compiler vector types:
// the operators + - * / & | ^ << >> work lane by lane, and a scalar operand is repeated.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace pyrec {
namespace {

constexpr std::size_t kLanes = 8;

using VecF = __m256;
using VecI = std::int32_t __attribute__((vector_size(32)));
using VecU = std::uint32_t __attribute__((vector_size(32)));
using Mask = __m256;  // all ones or all zeros in each lane

// Register block of the matrix kernels: rows of A times vectors of B.
constexpr int kBlockRows = 6;
constexpr int kBlockVectors = 2;

// count < kLanes.
inline Mask first_lanes(std::size_t count) {
  static constexpr std::int32_t kOnes[2 * kLanes] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_ps(reinterpret_cast<const float*>(kOnes + kLanes - count));
}

inline VecF broadcast(float x) { return _mm256_set1_ps(x); }
inline VecF load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, VecF x) { _mm256_storeu_ps(p, x); }
// The first count lanes; the others are zero.
inline VecF load_first(const float* p, std::size_t count) {
  return _mm256_maskload_ps(p, reinterpret_cast<__m256i>(first_lanes(count)));
}
inline void store_first(float* p, VecF x, std::size_t count) {
  _mm256_maskstore_ps(p, reinterpret_cast<__m256i>(first_lanes(count)), x);
}

inline VecU bits(VecF x) { return reinterpret_cast<VecU>(x); }
inline VecF from_bits(VecU x) { return reinterpret_cast<VecF>(x); }
inline VecF to_float(VecI x) { return _mm256_cvtepi32_ps(reinterpret_cast<__m256i>(x)); }

// a * b + c, rounded once where the ISA can.
inline VecF multiply_add(VecF a, VecF b, VecF c) { return _mm256_fmadd_ps(a, b, c); }
// Both give b if either is NaN.
inline VecF min(VecF a, VecF b) { return _mm256_min_ps(a, b); }
inline VecF max(VecF a, VecF b) { return _mm256_max_ps(a, b); }
inline VecF sqrt(VecF x) { return _mm256_sqrt_ps(x); }
inline VecF floor(VecF x) { return _mm256_floor_ps(x); }
inline VecF ceil(VecF x) { return _mm256_ceil_ps(x); }
inline VecF round(VecF x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// x * 2^n for integral n of -252 to 252, rounded once.
inline VecF scale_by_power(VecF x, VecF n) {
  const VecI whole = reinterpret_cast<VecI>(_mm256_cvtps_epi32(n));
  const VecI half = whole >> 1;
  const VecU first = reinterpret_cast<VecU>(half) + 127u;
  const VecU second = reinterpret_cast<VecU>(whole) - reinterpret_cast<VecU>(half) + 127u;
  return x * from_bits(first << 23) * from_bits(second << 23);
}

inline Mask less(VecF a, VecF b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
inline Mask equal(VecF a, VecF b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
inline Mask is_nan(VecF x) { return _mm256_cmp_ps(x, x, _CMP_UNORD_Q); }
inline bool any(Mask mask) { return _mm256_movemask_ps(mask) != 0; }
inline VecF select(Mask mask, VecF yes, VecF no) { return _mm256_blendv_ps(no, yes, mask); }

inline float first_lane(VecF x) { return _mm256_cvtss_f32(x); }
inline float sum_lanes(VecF x) {
  __m128 y = _mm256_castps256_ps128(x) + _mm256_extractf128_ps(x, 1);
  y = y + _mm_movehl_ps(y, y);
  y = y + _mm_movehdup_ps(y);
  return _mm_cvtss_f32(y);
}
inline float max_lanes(VecF x) {
  __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  y = _mm_max_ps(y, _mm_movehl_ps(y, y));
  y = _mm_max_ps(y, _mm_movehdup_ps(y));
  return _mm_cvtss_f32(y);
}

inline VecF load_half(const std::uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline void store_half(std::uint16_t* p, VecF x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

inline VecI broadcast(std::int32_t x) { return reinterpret_cast<VecI>(_mm256_set1_epi32(x)); }
inline VecI load_pairs(const std::int16_t* p) {
  return reinterpret_cast<VecI>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void store(std::int32_t* p, VecU x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(x));
}
// Each lane holds two int16: the sum of the products of the halves, modulo 2^32.
inline VecU multiply_pairs(VecI a, VecI b) {
  return reinterpret_cast<VecU>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}

}  // namespace
}  // namespace pyrec
