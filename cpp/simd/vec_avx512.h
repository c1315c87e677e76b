#pragma once

// The vector vocabulary on AVX-512 (F, BW, DQ, VL). VecF, VecI and VecU are compiler vector types:
// the operators + - * / & | ^ << >> work lane by lane, and a scalar operand is repeated.

// GCC 12 takes the undefined operands inside its own intrinsics for mistakes.
#pragma GCC diagnostic push
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <cstddef>
#include <cstdint>

namespace pyrec {
namespace {

constexpr std::size_t kLanes = 16;

using VecF = __m512;
using VecI = std::int32_t __attribute__((vector_size(64)));
using VecU = std::uint32_t __attribute__((vector_size(64)));
using Mask = __mmask16;

// Register block of the matrix kernels: rows of A times vectors of B.
constexpr int kBlockRows = 8;
constexpr int kBlockVectors = 3;

// count < kLanes.
inline Mask first_lanes(std::size_t count) {
  return static_cast<Mask>(_bzhi_u32(0xffffu, static_cast<unsigned>(count)));
}

inline VecF broadcast(float x) { return _mm512_set1_ps(x); }
inline VecF load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, VecF x) { _mm512_storeu_ps(p, x); }
// The first count lanes; the others are zero.
inline VecF load_first(const float* p, std::size_t count) {
  return _mm512_maskz_loadu_ps(first_lanes(count), p);
}
inline void store_first(float* p, VecF x, std::size_t count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), x);
}

inline VecU bits(VecF x) { return reinterpret_cast<VecU>(x); }
inline VecF from_bits(VecU x) { return reinterpret_cast<VecF>(x); }
inline VecF to_float(VecI x) { return _mm512_cvtepi32_ps(reinterpret_cast<__m512i>(x)); }

// a * b + c, rounded once where the ISA can.
inline VecF multiply_add(VecF a, VecF b, VecF c) { return _mm512_fmadd_ps(a, b, c); }
// Both give b if either is NaN.
inline VecF min(VecF a, VecF b) { return _mm512_min_ps(a, b); }
inline VecF max(VecF a, VecF b) { return _mm512_max_ps(a, b); }
inline VecF sqrt(VecF x) { return _mm512_sqrt_ps(x); }
inline VecF floor(VecF x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
inline VecF ceil(VecF x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
inline VecF round(VecF x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// x * 2^n for integral n of -252 to 252, rounded once.
inline VecF scale_by_power(VecF x, VecF n) { return _mm512_scalef_ps(x, n); }

inline Mask less(VecF a, VecF b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
inline Mask equal(VecF a, VecF b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
inline Mask is_nan(VecF x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }
inline bool any(Mask mask) { return mask != 0; }
inline VecF select(Mask mask, VecF yes, VecF no) { return _mm512_mask_blend_ps(mask, no, yes); }

inline float sum_lanes(VecF x) { return _mm512_reduce_add_ps(x); }
inline float max_lanes(VecF x) { return _mm512_reduce_max_ps(x); }
inline float first_lane(VecF x) { return _mm512_cvtss_f32(x); }

inline VecF load_half(const std::uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void store_half(std::uint16_t* p, VecF x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

inline VecI broadcast(std::int32_t x) { return reinterpret_cast<VecI>(_mm512_set1_epi32(x)); }
inline VecI load_pairs(const std::int16_t* p) {
  return reinterpret_cast<VecI>(_mm512_loadu_si512(p));
}
inline void store(std::int32_t* p, VecU x) { _mm512_storeu_si512(p, reinterpret_cast<__m512i>(x)); }
// Each lane holds two int16: the sum of the products of the halves, modulo 2^32.
inline VecU multiply_pairs(VecI a, VecI b) {
  return reinterpret_cast<VecU>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}

}  // namespace
}  // namespace pyrec
