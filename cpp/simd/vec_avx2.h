#pragma once

// The vector vocabulary on AVX2, FMA and F16C, with AVX-VNNI where the compiler may use it. VecF,
// VecI and VecU are compiler vector types: the operators + - * / & | ^ << >> work lane by lane, and
// a scalar operand is repeated.

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

// Block of the products that skip groups of zeros: few rows, which share more zeros, and as many
// columns as registers hold sums of. A panel has at least kSkipFewest vectors.
constexpr bool kCanSkipGroups = true;
constexpr int kSkipRows = 2;
constexpr int kSkipVectors = 6;
constexpr std::size_t kSkipFewest = 2;

#ifdef __AVXVNNI__
constexpr bool kSkipsGroups = true;  // and they are faster than others where there are zeros
#else
constexpr bool kSkipsGroups = false;
#endif

// dot_u8s8 is an instruction.
#ifdef __AVXVNNI__
constexpr bool kDotsBytes = true;
#else
constexpr bool kDotsBytes = false;
#endif

// Rows that are read where they lie: bytes of one stream before some of the next, and bytes from
// what is read to what is brought into cache; 0: a core does that best by itself.
constexpr std::size_t kTurnBytes = 1024;
constexpr std::size_t kBytesAhead = 0;

// dot_bf16_pairs is an instruction.
constexpr bool kMultipliesBf16 = false;

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
// a / b within a unit of the last place, for b of 1 to 2 or NaN.
inline VecF divide(VecF a, VecF b) { return a / b; }
inline VecF sqrt(VecF x) { return _mm256_sqrt_ps(x); }
inline VecF floor(VecF x) { return _mm256_floor_ps(x); }
inline VecF ceil(VecF x) { return _mm256_ceil_ps(x); }
inline VecF round(VecF x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// 2^(i / kPowers) for the last bits i of each lane; here only 2^0.
constexpr int kPowers = 1;
inline VecF power_of_fraction(VecU) { return broadcast(1.0f); }
// x * 2^n for integral n of -252 to 252, rounded once; zero where the mask is not set, whatever n.
inline VecF scale_or_zero(VecF x, VecF n, Mask mask) {
  n = _mm256_and_ps(n, mask);
  const VecI whole = reinterpret_cast<VecI>(_mm256_cvtps_epi32(n));
  const VecI half = whole >> 1;
  const VecU first = reinterpret_cast<VecU>(half) + 127u;
  const VecU second = reinterpret_cast<VecU>(whole) - reinterpret_cast<VecU>(half) + 127u;
  return _mm256_and_ps(x * from_bits(first << 23) * from_bits(second << 23), mask);
}

inline Mask less(VecF a, VecF b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
inline Mask not_less(VecF a, VecF b) { return _mm256_cmp_ps(a, b, _CMP_NLT_UQ); }  // or NaN
inline Mask equal(VecF a, VecF b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
inline Mask is_nan(VecF x) { return _mm256_cmp_ps(x, x, _CMP_UNORD_Q); }
inline bool any(Mask mask) { return _mm256_movemask_ps(mask) != 0; }
// Bit i is set if the mask is in lane i.
inline std::uint32_t set_lanes(Mask mask) {
  return static_cast<std::uint32_t>(_mm256_movemask_ps(mask));
}
inline unsigned count_bits(std::uint64_t x) {
  return static_cast<unsigned>(__builtin_popcountll(x));
}
// One more in the lanes of the mask.
inline VecU count_up(VecU x, Mask mask) { return x - reinterpret_cast<VecU>(mask); }
// How many of 16 numbers are less than x, which is in all lanes.
inline std::size_t count_less_of_16(const float* p, VecF x) {
  const std::uint32_t low = set_lanes(less(load(p), x));
  return count_bits(low | set_lanes(less(load(p + kLanes), x)) << kLanes);
}
// Bit i is set if lane i is not zero.
inline std::uint32_t nonzero_lanes(VecF x) {
  const __m256 differ = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_NEQ_UQ);
  return static_cast<std::uint32_t>(_mm256_movemask_ps(differ));
}
inline VecF select(Mask mask, VecF yes, VecF no) { return _mm256_blendv_ps(no, yes, mask); }

using VecBytes = std::int8_t __attribute__((vector_size(4 * kLanes)));
// All bits of each byte of a that is greater than that of b.
inline VecBytes greater(VecBytes a, VecBytes b) { return a > b; }

// There is no look_up: numbers of a table are read one by one as fast.
constexpr bool kLooksUp = false;

inline float first_lane(VecF x) { return _mm256_cvtss_f32(x); }
inline float sum_lanes(VecF x) {
  __m128 y = _mm256_castps256_ps128(x) + _mm256_extractf128_ps(x, 1);
  y = y + _mm_movehl_ps(y, y);
  y = y + _mm_movehdup_ps(y);
  return _mm_cvtss_f32(y);
}
// Lane i is the sum of x[i]'s lanes, of floats as sum_lanes rounds it. For VecF and VecU.
template <class Vec>
inline Vec sum_each(const Vec (&x)[kLanes]) {
  const auto sum = [](VecF a, VecF b) {
    return reinterpret_cast<VecF>(reinterpret_cast<Vec>(a) + reinterpret_cast<Vec>(b));
  };
  VecF y[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const VecF a = reinterpret_cast<VecF>(x[i]), b = reinterpret_cast<VecF>(x[i + 4]);
    y[i] = sum(_mm256_blend_ps(a, b, 0xf0), _mm256_permute2f128_ps(a, b, 0x21));
  }
  const VecF a = sum(_mm256_blend_ps(y[0], y[1], 0xcc), _mm256_shuffle_ps(y[0], y[1], 0x4e));
  const VecF b = sum(_mm256_blend_ps(y[2], y[3], 0xcc), _mm256_shuffle_ps(y[2], y[3], 0x4e));
  return reinterpret_cast<Vec>(sum(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd)));
}
// Lane j of x[i] becomes lane i of x[j].
inline void transpose(VecF (&x)[kLanes]) {
  VecF y[kLanes];
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    const VecF a = _mm256_unpacklo_ps(x[i], x[i + 1]), b = _mm256_unpackhi_ps(x[i], x[i + 1]);
    const VecF c = _mm256_unpacklo_ps(x[i + 2], x[i + 3]);
    const VecF d = _mm256_unpackhi_ps(x[i + 2], x[i + 3]);
    y[i] = _mm256_shuffle_ps(a, c, 0x44);
    y[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
    y[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
    y[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    x[i] = _mm256_permute2f128_ps(y[i], y[i + 4], 0x20);
    x[i + 4] = _mm256_permute2f128_ps(y[i], y[i + 4], 0x31);
  }
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
inline VecF load_first_half(const std::uint16_t* p, std::size_t count) {
  std::uint16_t x[kLanes] = {};
  for (std::size_t i = 0; i < count; ++i) x[i] = p[i];
  return load_half(x);
}
inline void store_half(std::uint16_t* p, VecF x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

// bfloat16: the upper halves of floats.
inline VecF load_bf16(const std::uint16_t* p) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}
inline VecF load_first_bf16(const std::uint16_t* p, std::size_t count) {
  std::uint16_t x[kLanes] = {};
  for (std::size_t i = 0; i < count; ++i) x[i] = p[i];
  return load_bf16(x);
}
inline VecF load_i8(const std::int8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline VecF load_first_i8(const std::int8_t* p, std::size_t count) {
  std::int8_t x[kLanes] = {};
  for (std::size_t i = 0; i < count; ++i) x[i] = p[i];
  return load_i8(x);
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

inline VecI load(const std::int32_t* p) {
  return reinterpret_cast<VecI>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline VecI load_groups(const std::byte* p) {
  return reinterpret_cast<VecI>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
// Those of the first count lanes; the others are zero.
inline VecI load_first_groups(const std::byte* p, std::size_t count) {
  return reinterpret_cast<VecI>(_mm256_maskload_epi32(
      reinterpret_cast<const int*>(p), reinterpret_cast<__m256i>(first_lanes(count))));
}
// Four bytes in each lane, from memory: through a general register it would take three steps.
inline VecI broadcast_group(const std::uint8_t* p) {
  return reinterpret_cast<VecI>(_mm256_broadcast_ss(reinterpret_cast<const float*>(p)));
}
// Keeps the compiler from loading x again for each use.
inline void hold(VecI& x) { asm("" : "+x"(x)); }
// Has it load anew what p points to: more would have to stay in registers than there are.
inline void hold(const std::byte*& p) { asm("" : "+r"(p)); }
// Lane i is lane order[i] of x.
inline VecF permute(VecF x, const std::int32_t* order) {
  return _mm256_permutevar8x32_ps(x, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(order)));
}
struct PlacesOfLanes {
  std::uint64_t bytes[256] = {};  // for each set of lanes its numbers, a byte each
  constexpr PlacesOfLanes() {
    for (std::uint64_t set = 0; set < 256; ++set) {
      std::uint64_t count = 0;
      for (std::uint64_t lane = 0; lane < kLanes; ++lane) {
        if ((set >> lane & 1) != 0) bytes[set] |= lane << (8 * count++);
      }
    }
  }
};
// Writes first + i for each lane i that is not zero, and something into the places up to kLanes;
// gives how many there are.
inline std::size_t store_places(std::uint16_t* p, VecI x, std::uint16_t first) {
  static constexpr PlacesOfLanes kPlaces;
  const std::uint32_t found =
      0xffu ^ static_cast<std::uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(x == 0)));
  const __m128i places =
      _mm_cvtepu8_epi16(_mm_cvtsi64_si128(static_cast<std::int64_t>(kPlaces.bytes[found])));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_add_epi16(places, _mm_set1_epi16(static_cast<std::int16_t>(first))));
  return count_bits(found);
}
// The nearest integers, the even one of two.
inline VecI to_integer(VecF x) { return reinterpret_cast<VecI>(_mm256_cvtps_epi32(x)); }
inline VecU max(VecU a, VecU b) {
  return reinterpret_cast<VecU>(
      _mm256_max_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
inline std::uint32_t max_lanes(VecU x) {
  const __m256i all = reinterpret_cast<__m256i>(x);
  __m128i y = _mm_max_epu32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  y = _mm_max_epu32(y, _mm_shuffle_epi32(y, 0x4e));
  y = _mm_max_epu32(y, _mm_shuffle_epi32(y, 0xb1));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(y));
}
// The low byte, the low half of each lane.
inline void store_low_halves(std::uint16_t* p, VecU x) {
  const __m256i low = reinterpret_cast<__m256i>(x & 0xffffu);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
}
inline void store_bytes(std::byte* p, VecI x) {
  const __m256i low = reinterpret_cast<__m256i>(x & 0xff);
  const __m128i halves =
      _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(halves, halves));
}
// The bytes of four vectors; all lanes are 0 to 255.
inline void store_bytes(std::byte* p, const VecI (&x)[4]) {
  const auto pair = [](VecI a, VecI b) {
    return _mm256_packs_epi32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b));
  };
  const __m256i mixed = _mm256_packus_epi16(pair(x[0], x[1]), pair(x[2], x[3]));
  const __m256i order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permutevar8x32_epi32(mixed, order));
}

#ifdef __AVXVNNI__
// Each lane holds four bytes, 0 to 127 in a and signed in b: sum and their products, modulo 2^32.
inline VecU dot_u8s8(VecU sum, VecI a, VecI b) {
  return reinterpret_cast<VecU>(_mm256_dpbusd_avx_epi32(
      reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
// The same of two pairs of lanes.
inline VecU dot_two_u8s8(VecU sum, VecI a, VecI b, VecI c, VecI d) {
  return dot_u8s8(dot_u8s8(sum, a, b), c, d);
}

// Sums of products of bytes are in 32 bits from the start.
struct ByteRuns {
  static constexpr bool kAny = false;
};
#else
// Sums of products of bytes, 0 to 127 and signed ones, in 16 bits for each half of a lane: of a run
// of groups, four bytes in each lane, whose sums fit. Two products make at most 2 * 127 * 128 <
// 2^15, so that nothing saturates.
struct ByteRuns {
  static constexpr bool kAny = true;
  static constexpr int kRows = 2;  // of a block
  static constexpr int kVectors = 3;

  static VecI start(VecI a, VecI b) {
    return reinterpret_cast<VecI>(
        _mm256_maddubs_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
  }
  static VecI add(VecI sums, VecI a, VecI b) {
    return reinterpret_cast<VecI>(
        _mm256_add_epi16(reinterpret_cast<__m256i>(sums), reinterpret_cast<__m256i>(start(a, b))));
  }
  static VecU widen(VecU sum, VecI sums) {
    return sum + multiply_pairs(sums, broadcast(0x00010001));
  }
  // Has all that makes them come before what follows: more would have to stay in registers than
  // there are.
  static void settle(VecI& sums) { asm volatile("" : "+x"(sums)); }

  // The sums of the bytes of a run's right sides in each half of a lane that are above and below
  // zero.
  struct Bounds {
    VecI most{}, least{};

    Bounds with(VecI b) const {
      const __m256i zero = _mm256_setzero_si256(), bytes = reinterpret_cast<__m256i>(b);
      const VecI ones = broadcast(0x01010101);
      return {add(most, ones, reinterpret_cast<VecI>(_mm256_max_epi8(bytes, zero))),
              add(least, ones, reinterpret_cast<VecI>(_mm256_min_epi8(bytes, zero)))};
    }
    // Whether sums of products with bytes of 0 to 127 stay in 16 bits.
    bool fit() const {
      constexpr std::int16_t kLargest = 0x7fff / 127;
      const __m256i limit = _mm256_set1_epi16(kLargest);
      const __m256i lowest = _mm256_sub_epi16(_mm256_setzero_si256(), limit);
      const __m256i beyond =
          _mm256_or_si256(_mm256_cmpgt_epi16(reinterpret_cast<__m256i>(most), limit),
                          _mm256_cmpgt_epi16(lowest, reinterpret_cast<__m256i>(least)));
      return _mm256_testz_si256(beyond, beyond) != 0;
    }
  };
};

// Each lane holds four bytes, 0 to 127 in a and signed in b: sum and their products, modulo 2^32.
inline VecU dot_u8s8(VecU sum, VecI a, VecI b) {
  return ByteRuns::widen(sum, ByteRuns::start(a, b));
}
// The same of two pairs of lanes, where the products of each half of b and d fit 16 bits together,
// as those of bytes of -64 to 64 do.
inline VecU dot_two_u8s8(VecU sum, VecI a, VecI b, VecI c, VecI d) {
  return ByteRuns::widen(sum, ByteRuns::add(ByteRuns::start(a, b), c, d));
}
#endif
// Each lane holds two bfloat16: sum and their products.
inline VecF dot_bf16_pairs(VecF sum, VecI a, VecI b) {
  const VecU left = reinterpret_cast<VecU>(a), right = reinterpret_cast<VecU>(b);
  const VecF upper =
      multiply_add(from_bits(left & 0xffff0000u), from_bits(right & 0xffff0000u), sum);
  return multiply_add(from_bits(left << 16), from_bits(right << 16), upper);
}

}  // namespace
}  // namespace pyrec
