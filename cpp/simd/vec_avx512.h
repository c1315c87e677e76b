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

// Block of the products that skip groups of zeros: few rows, which share more zeros, and as many
// columns as registers hold sums of. A panel has at least kSkipFewest vectors.
constexpr bool kCanSkipGroups = true;
constexpr int kSkipRows = 3;
constexpr int kSkipVectors = 8;
constexpr std::size_t kSkipFewest = 3;
constexpr bool kSkipsGroups = true;  // and they are faster than others where there are zeros

// Sums of products of bytes are in 32 bits from the start.
struct ByteRuns {
  static constexpr bool kAny = false;
};

// dot_u8s8 is an instruction.
#ifdef __AVX512VNNI__
constexpr bool kDotsBytes = true;
#else
constexpr bool kDotsBytes = false;
#endif

// Rows that are read where they lie: bytes of one stream before some of the next, so many that
// sums of short rows stay in registers, and bytes from what is read to what is brought into cache.
constexpr std::size_t kTurnBytes = std::size_t{17} << 10;
constexpr std::size_t kBytesAhead = 4096;

// dot_bf16_pairs is an instruction.
#ifdef __AVX512BF16__
constexpr bool kMultipliesBf16 = true;
#else
constexpr bool kMultipliesBf16 = false;
#endif

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
// a / b within a unit of the last place, for b of 1 to 2 or NaN.
inline VecF divide(VecF a, VecF b) {
  const VecF y = _mm512_rcp14_ps(b);
  const VecF quotient = a * y;
  return _mm512_fmadd_ps(_mm512_fnmadd_ps(b, quotient, a), y, quotient);
}
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
// 2^(i / kPowers) for the last 5 bits i of each lane.
constexpr int kPowers = 32;
inline VecF power_of_fraction(VecU index) {
  alignas(64) static constexpr float kTable[kPowers] = {
      1.0f,        1.0218972f,  1.04427373f, 1.06714046f, 1.09050775f, 1.1143868f,  1.13878858f,
      1.1637249f,  1.18920708f, 1.21524739f, 1.24185777f, 1.26905096f, 1.29683959f, 1.32523668f,
      1.35425556f, 1.38390994f, 1.41421354f, 1.44518077f, 1.47682619f, 1.50916445f, 1.54221082f,
      1.5759809f,  1.61049032f, 1.64575553f, 1.68179286f, 1.71861935f, 1.75625217f, 1.79470909f,
      1.8340081f,  1.87416768f, 1.91520655f, 1.95714414f,
  };
  return _mm512_permutex2var_ps(load(kTable), reinterpret_cast<__m512i>(index),
                                load(kTable + kLanes));
}
// x * 2^floor(n) for n of -252 to 252, rounded once; zero where the mask is not set, whatever n.
inline VecF scale_or_zero(VecF x, VecF n, Mask mask) { return _mm512_maskz_scalef_ps(mask, x, n); }

inline Mask less(VecF a, VecF b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
inline Mask not_less(VecF a, VecF b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); }  // or NaN
inline Mask equal(VecF a, VecF b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
inline Mask is_nan(VecF x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }
inline bool any(Mask mask) { return mask != 0; }
// Bit i is set if the mask is in lane i.
inline std::uint32_t set_lanes(Mask mask) { return mask; }
inline unsigned count_bits(std::uint64_t x) {
  return static_cast<unsigned>(__builtin_popcountll(x));
}
// One more in the lanes of the mask.
inline VecU count_up(VecU x, Mask mask) {
  return bits(_mm512_mask_blend_ps(mask, from_bits(x), from_bits(x + 1)));
}
// How many of 16 numbers are less than x, which is in all lanes.
inline std::size_t count_less_of_16(const float* p, VecF x) { return count_bits(less(load(p), x)); }
// Bit i is set if lane i is not zero.
inline std::uint32_t nonzero_lanes(VecF x) {
  return _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NEQ_UQ);
}
inline VecF select(Mask mask, VecF yes, VecF no) { return _mm512_mask_blend_ps(mask, no, yes); }

using VecBytes = std::int8_t __attribute__((vector_size(4 * kLanes)));
// All bits of each byte of a that is greater than that of b: a shuffle gives zero where the sign of
// b - a is set. Masks would take a way round.
inline VecBytes greater(VecBytes a, VecBytes b) {
  const __m512i difference =
      _mm512_subs_epi8(reinterpret_cast<__m512i>(b), reinterpret_cast<__m512i>(a));
  return ~reinterpret_cast<VecBytes>(_mm512_shuffle_epi8(_mm512_set1_epi32(-1), difference));
}

// Of each lane the number index[i] of a table, of which there are a power of two vectors.
constexpr bool kLooksUp = true;
template <std::size_t kVectors>
inline VecF look_up(const VecF (&table)[kVectors], VecI index) {
  const __m512i places = reinterpret_cast<__m512i>(index);
  if constexpr (kVectors == 1) {
    return _mm512_permutexvar_ps(places, table[0]);
  } else {
    VecF found[kVectors / 2];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kVectors / 2; ++i) {
      found[i] = _mm512_permutex2var_ps(table[2 * i], places, table[2 * i + 1]);
    }
#pragma GCC unroll 3
    for (std::size_t half = 1; half < kVectors / 2; half *= 2) {
      const auto bit = static_cast<std::int32_t>(2 * kLanes * half);
      const Mask second = _mm512_test_epi32_mask(places, _mm512_set1_epi32(bit));
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kVectors / 2; i += 2 * half) {
        found[i] = select(second, found[i + half], found[i]);
      }
    }
    return found[0];
  }
}

inline float sum_lanes(VecF x) { return _mm512_reduce_add_ps(x); }
// Lane i is the sum of x[i]'s lanes, of floats as sum_lanes rounds it. For VecF and VecU.
template <class Vec>
inline Vec sum_each(const Vec (&x)[kLanes]) {
  const auto sum = [](VecF a, VecF b) {
    return reinterpret_cast<VecF>(reinterpret_cast<Vec>(a) + reinterpret_cast<Vec>(b));
  };
  const __m512i across =
      _mm512_set_epi32(27, 26, 25, 24, 15, 14, 13, 12, 19, 18, 17, 16, 7, 6, 5, 4);
  VecF y[8], z[4];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const VecF a = reinterpret_cast<VecF>(x[i]), b = reinterpret_cast<VecF>(x[i + 8]);
    y[i] = sum(_mm512_mask_blend_ps(0xff00, a, b), _mm512_shuffle_f32x4(a, b, 0x4e));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    z[i] = sum(_mm512_mask_blend_ps(0xf0f0, y[i], y[i + 4]),
               _mm512_permutex2var_ps(y[i], across, y[i + 4]));
  }
  const VecF a = sum(_mm512_mask_blend_ps(0xcccc, z[0], z[1]), _mm512_shuffle_ps(z[0], z[1], 0x4e));
  const VecF b = sum(_mm512_mask_blend_ps(0xcccc, z[2], z[3]), _mm512_shuffle_ps(z[2], z[3], 0x4e));
  return reinterpret_cast<Vec>(sum(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd)));
}
// Lane j of x[i] becomes lane i of x[j].
inline void transpose(VecF (&x)[kLanes]) {
  VecF y[kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const VecF a = _mm512_unpacklo_ps(x[i], x[i + 1]), b = _mm512_unpackhi_ps(x[i], x[i + 1]);
    const VecF c = _mm512_unpacklo_ps(x[i + 2], x[i + 3]);
    const VecF d = _mm512_unpackhi_ps(x[i + 2], x[i + 3]);
    y[i] = _mm512_shuffle_ps(a, c, 0x44);
    y[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
    y[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
    y[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const VecF a = _mm512_shuffle_f32x4(y[i], y[i + 4], 0x44);
    const VecF b = _mm512_shuffle_f32x4(y[i], y[i + 4], 0xee);
    const VecF c = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0x44);
    const VecF d = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0xee);
    x[i] = _mm512_shuffle_f32x4(a, c, 0x88);
    x[i + 4] = _mm512_shuffle_f32x4(a, c, 0xdd);
    x[i + 8] = _mm512_shuffle_f32x4(b, d, 0x88);
    x[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
}
inline float max_lanes(VecF x) { return _mm512_reduce_max_ps(x); }
inline float first_lane(VecF x) { return _mm512_cvtss_f32(x); }

inline VecF load_half(const std::uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline VecF load_first_half(const std::uint16_t* p, std::size_t count) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(count), p));
}
inline void store_half(std::uint16_t* p, VecF x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

// bfloat16: the upper halves of floats.
inline VecF load_bf16(const std::uint16_t* p) {
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}
inline VecF load_first_bf16(const std::uint16_t* p, std::size_t count) {
  const __m256i x = _mm256_maskz_loadu_epi16(first_lanes(count), p);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}
inline VecF load_i8(const std::int8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline VecF load_first_i8(const std::int8_t* p, std::size_t count) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first_lanes(count), p)));
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

inline VecI load(const std::int32_t* p) { return reinterpret_cast<VecI>(_mm512_loadu_si512(p)); }
// A byte in each lane.
inline VecI load_bytes(const std::uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return reinterpret_cast<VecI>(_mm512_cvtepi8_epi32(bytes)) & 0xff;
}
// Of each of kLanes / 2 bytes twice its number, and one more.
inline VecI load_doubled(const std::uint8_t* p) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  const __m512i order = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
  const __m512i twice = _mm512_permutexvar_epi32(order, _mm512_cvtepi8_epi32(bytes));
  return (reinterpret_cast<VecI>(twice) & 0xff) * 2 +
         VecI{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1};
}
inline VecI load_groups(const std::byte* p) {
  return reinterpret_cast<VecI>(_mm512_loadu_si512(p));
}
// Those of the first count lanes; the others are zero.
inline VecI load_first_groups(const std::byte* p, std::size_t count) {
  return reinterpret_cast<VecI>(_mm512_maskz_loadu_epi32(first_lanes(count), p));
}
// Four bytes in each lane, from memory: through a general register it would take three steps.
inline VecI broadcast_group(const std::uint8_t* p) {
  float x;
  __builtin_memcpy(&x, p, sizeof x);
  return reinterpret_cast<VecI>(_mm512_set1_ps(x));
}
// Keeps the compiler from loading x again for each use.
inline void hold([[maybe_unused]] VecI& x) {
#ifdef __AVX512F__  // or emulated, without such a register
  asm("" : "+v"(x));
#endif
}
// Has it load anew what p points to: more would have to stay in registers than there are.
inline void hold(const std::byte*& p) { asm("" : "+r"(p)); }
// Lane i is lane order[i] of x.
inline VecF permute(VecF x, const std::int32_t* order) {
  return _mm512_permutexvar_ps(_mm512_loadu_si512(order), x);
}
// Writes first + i for each lane i that is not zero, and something into the places up to kLanes;
// gives how many there are.
inline std::size_t store_places(std::uint16_t* p, VecI x, std::uint16_t first) {
  const __m512i lanes = reinterpret_cast<__m512i>(x);
  const Mask found = _mm512_test_epi32_mask(lanes, lanes);
  const __m512i places =
      _mm512_add_epi32(_mm512_set1_epi32(first),
                       _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(found, places)));
  return count_bits(found);
}
// The nearest integers, the even one of two.
inline VecI to_integer(VecF x) { return reinterpret_cast<VecI>(_mm512_cvtps_epi32(x)); }
inline VecU max(VecU a, VecU b) {
  return reinterpret_cast<VecU>(
      _mm512_max_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
inline std::uint32_t max_lanes(VecU x) {
  return _mm512_reduce_max_epu32(reinterpret_cast<__m512i>(x));
}
// The low byte, the low half of each lane.
inline void store_bytes(std::byte* p, VecI x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(x)));
}
// The bytes of four vectors; all lanes are 0 to 255.
inline void store_bytes(std::byte* p, const VecI (&x)[4]) {
  const auto pair = [](VecI a, VecI b) {
    return _mm512_packs_epi32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b));
  };
  const __m512i mixed = _mm512_packus_epi16(pair(x[0], x[1]), pair(x[2], x[3]));
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, mixed));
}
inline void store_low_halves(std::uint16_t* p, VecU x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(x)));
}

// Each lane holds four bytes, 0 to 127 in a and signed in b: sum and their products, modulo 2^32.
// Two products make at most 2 * 127 * 128 < 2^15, so that nothing saturates.
inline VecU dot_u8s8(VecU sum, VecI a, VecI b) {
#ifdef __AVX512VNNI__
  return reinterpret_cast<VecU>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#else
  const __m512i pairs =
      _mm512_maddubs_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b));
  return sum + multiply_pairs(reinterpret_cast<VecI>(pairs), broadcast(0x00010001));
#endif
}
// The same of two pairs of lanes, where the products of each half of b and d fit 16 bits together,
// as those of bytes of -64 to 64 do.
inline VecU dot_two_u8s8(VecU sum, VecI a, VecI b, VecI c, VecI d) {
#ifdef __AVX512VNNI__
  return dot_u8s8(dot_u8s8(sum, a, b), c, d);
#else
  const __m512i first =
      _mm512_maddubs_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b));
  const __m512i second =
      _mm512_maddubs_epi16(reinterpret_cast<__m512i>(c), reinterpret_cast<__m512i>(d));
  const VecI both = reinterpret_cast<VecI>(_mm512_add_epi16(first, second));
  return sum + multiply_pairs(both, broadcast(0x00010001));
#endif
}
#ifdef __AVX512BF16__
// The nearest bfloat16 of each lane.
inline void store_bf16(std::uint16_t* p, VecF x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
}
inline void store_bf16(std::uint16_t* p, VecF x, VecF y) {
  _mm512_storeu_si512(p, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(y, x)));
}
#endif

// Each lane holds two bfloat16: sum and their products.
inline VecF dot_bf16_pairs(VecF sum, VecI a, VecI b) {
#ifdef __AVX512BF16__
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#else
  const VecU left = reinterpret_cast<VecU>(a), right = reinterpret_cast<VecU>(b);
  const VecF upper =
      multiply_add(from_bits(left & 0xffff0000u), from_bits(right & 0xffff0000u), sum);
  return multiply_add(from_bits(left << 16), from_bits(right << 16), upper);
#endif
}

}  // namespace
}  // namespace pyrec
