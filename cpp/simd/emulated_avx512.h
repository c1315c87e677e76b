#pragma once

// The intrinsics of vec_avx512.h in plain C++: compiled before it, where tests of that vocabulary
// run on a processor without AVX-512. What an instruction does is in Intel's Intrinsics Guide.

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace pyrec::emulated {

template <class T, class Register>
auto lanes(Register x) {
  return std::bit_cast<std::array<T, sizeof(Register) / sizeof(T)>>(x);
}
template <class Array>
__m512 floats(const Array& x) {
  return std::bit_cast<__m512>(x);
}
template <class Array>
__m512i integers(const Array& x) {
  return std::bit_cast<__m512i>(x);
}
inline bool has(unsigned mask, std::size_t lane) { return (mask >> lane & 1) != 0; }

// Lane i of the result is make(i).
template <class T, std::size_t kCount, class Make>
std::array<T, kCount> each(Make make) {
  std::array<T, kCount> made{};
  for (std::size_t i = 0; i < kCount; ++i) made[i] = make(i);
  return made;
}
template <class Test>
std::uint16_t mask_of(Test test) {
  unsigned mask = 0;
  for (unsigned i = 0; i < 16; ++i) mask |= static_cast<unsigned>(test(i)) << i;
  return static_cast<std::uint16_t>(mask);
}

template <class T, std::size_t kCount>
std::array<T, kCount> load_masked(unsigned mask, const void* p) {
  return each<T, kCount>([&](std::size_t i) {
    T x{};
    if (has(mask, i)) std::memcpy(&x, static_cast<const char*>(p) + i * sizeof x, sizeof x);
    return x;
  });
}
inline __m512 loadu_ps(const void* p) { return floats(load_masked<float, 16>(0xffff, p)); }
inline __m512i loadu_si512(const void* p) { return integers(load_masked<int, 16>(0xffff, p)); }
inline __m512 maskz_loadu_ps(unsigned mask, const void* p) {
  return floats(load_masked<float, 16>(mask, p));
}
inline __m512i maskz_loadu_epi32(unsigned mask, const void* p) {
  return integers(load_masked<int, 16>(mask, p));
}
inline __m256i maskz_loadu_epi16(unsigned mask, const void* p) {
  return std::bit_cast<__m256i>(load_masked<std::uint16_t, 16>(mask, p));
}
inline __m128i maskz_loadu_epi8(unsigned mask, const void* p) {
  return std::bit_cast<__m128i>(load_masked<std::uint8_t, 16>(mask, p));
}
template <class Register>
void storeu(void* p, Register x) {
  std::memcpy(p, &x, sizeof x);
}
inline void mask_storeu_ps(void* p, unsigned mask, __m512 x) {
  const auto values = lanes<float>(x);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (has(mask, i)) std::memcpy(static_cast<float*>(p) + i, &values[i], sizeof values[i]);
  }
}

template <class T, class Register, class Do>
auto unary(Register x, Do apply) {
  const auto values = lanes<T>(x);
  return each<decltype(apply(values[0])), values.size()>([&](auto i) { return apply(values[i]); });
}
template <class T, class Register, class Do>
auto binary(Register a, Register b, Do apply) {
  const auto left = lanes<T>(a), right = lanes<T>(b);
  return each<decltype(apply(left[0], right[0])), left.size()>(
      [&](auto i) { return apply(left[i], right[i]); });
}

inline __m512 set1_ps(float x) {
  return floats(each<float, 16>([&](auto) { return x; }));
}
inline __m512i set1_epi32(std::int32_t x) {
  return integers(each<std::int32_t, 16>([&](auto) { return x; }));
}
// The last lane first.
template <class... Values>
__m512i set_epi32(Values... values) {
  std::array<std::int32_t, 16> all{values...};
  std::reverse(all.begin(), all.end());
  return integers(all);
}

inline __m512 multiply_add(__m512 a, __m512 b, __m512 c, float sign) {
  const auto x = lanes<float>(a), y = lanes<float>(b), z = lanes<float>(c);
  return floats(each<float, 16>([&](auto i) { return std::fma(sign * x[i], y[i], z[i]); }));
}
inline __m512 fmadd_ps(__m512 a, __m512 b, __m512 c) { return multiply_add(a, b, c, 1.0f); }
inline __m512 fnmadd_ps(__m512 a, __m512 b, __m512 c) { return multiply_add(a, b, c, -1.0f); }
inline __m512 min_ps(__m512 a, __m512 b) {
  return floats(binary<float>(a, b, [](float x, float y) { return x < y ? x : y; }));
}
inline __m512 max_ps(__m512 a, __m512 b) {
  return floats(binary<float>(a, b, [](float x, float y) { return x > y ? x : y; }));
}
inline __m512 sqrt_ps(__m512 x) {
  return floats(unary<float>(x, [](float v) { return std::sqrt(v); }));
}
// 14 bits of it, as the instruction gives at least.
inline __m512 rcp14_ps(__m512 x) {
  return floats(unary<float>(x, [](float v) {
    const float whole = 1.0f / v;
    if (std::isnan(whole)) return whole;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(whole) & ~std::uint32_t{0x1ff});
  }));
}
inline __m512 roundscale_ps(__m512 x, int mode) {
  return floats(unary<float>(x, [&](float v) {
    switch (mode & 3) {
      case _MM_FROUND_TO_NEG_INF:
        return std::floor(v);
      case _MM_FROUND_TO_POS_INF:
        return std::ceil(v);
      default:
        return std::nearbyint(v);
    }
  }));
}
inline __m512 maskz_scalef_ps(unsigned mask, __m512 a, __m512 b) {
  const auto x = lanes<float>(a), n = lanes<float>(b);
  return floats(each<float, 16>([&](std::size_t i) {
    if (!has(mask, i)) return 0.0f;
    if (std::isnan(n[i])) return n[i];
    const float power = std::clamp(std::floor(n[i]), -2000.0f, 2000.0f);
    return static_cast<float>(std::ldexp(static_cast<double>(x[i]), static_cast<int>(power)));
  }));
}
inline std::uint16_t cmp_ps_mask(__m512 a, __m512 b, int predicate) {
  const auto x = lanes<float>(a), y = lanes<float>(b);
  return mask_of([&](std::size_t i) {
    const bool unordered = std::isnan(x[i]) || std::isnan(y[i]);
    switch (predicate) {
      case _CMP_LT_OQ:
        return x[i] < y[i];
      case _CMP_NLT_UQ:
        return !(x[i] < y[i]);
      case _CMP_EQ_OQ:
        return x[i] == y[i];
      case _CMP_NEQ_UQ:
        return unordered || x[i] != y[i];
      case _CMP_UNORD_Q:
        return unordered;
      default:
        __builtin_trap();
    }
  });
}
inline std::uint16_t test_epi32_mask(__m512i a, __m512i b) {
  const auto x = lanes<std::uint32_t>(a), y = lanes<std::uint32_t>(b);
  return mask_of([&](std::size_t i) { return (x[i] & y[i]) != 0; });
}

inline __m512 cvtepi32_ps(__m512i x) {
  return floats(unary<std::int32_t>(x, [](std::int32_t v) { return static_cast<float>(v); }));
}
inline __m512i cvtps_epi32(__m512 x) {
  return integers(unary<float>(x, [](float v) {
    const bool fits = v >= -2147483648.0f && v < 2147483648.0f;
    return fits ? static_cast<std::int32_t>(std::nearbyint(v))
                : std::numeric_limits<std::int32_t>::min();
  }));
}
inline __m512i cvtepi8_epi32(__m128i x) {
  return integers(unary<std::int8_t>(x, [](std::int8_t v) { return std::int32_t{v}; }));
}
inline __m512i cvtepu16_epi32(__m256i x) {
  return integers(unary<std::uint16_t>(x, [](std::uint16_t v) { return std::uint32_t{v}; }));
}
inline __m256i cvtepi32_epi16(__m512i x) {
  return std::bit_cast<__m256i>(
      unary<std::uint32_t>(x, [](std::uint32_t v) { return static_cast<std::uint16_t>(v); }));
}
inline __m128i cvtepi32_epi8(__m512i x) {
  return std::bit_cast<__m128i>(
      unary<std::uint32_t>(x, [](std::uint32_t v) { return static_cast<std::uint8_t>(v); }));
}
inline __m512 cvtph_ps(__m256i x) {
  return floats(unary<std::uint16_t>(x, [](std::uint16_t v) { return _cvtsh_ss(v); }));
}
inline __m256i cvtps_ph(__m512 x, int) {
  return std::bit_cast<__m256i>(unary<float>(x, [](float v) {
    return static_cast<std::uint16_t>(_cvtss_sh(v, _MM_FROUND_TO_NEAREST_INT));
  }));
}

// Numbers below the smallest normal one are zero to the instructions of bfloat16.
inline std::uint32_t without_denormal(std::uint32_t bits) {
  return (bits & 0x7f800000u) == 0 ? bits & 0x80000000u : bits;
}
inline std::uint16_t to_bf16(float x) {
  const std::uint32_t bits = without_denormal(std::bit_cast<std::uint32_t>(x));
  if (std::isnan(x)) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float from_bf16(std::uint16_t x) {
  return std::bit_cast<float>(without_denormal(std::uint32_t{x} << 16));
}
inline __m256i cvtneps_pbh(__m512 x) { return std::bit_cast<__m256i>(unary<float>(x, to_bf16)); }
inline __m512i cvtne2ps_pbh(__m512 a, __m512 b) {
  const auto low = lanes<float>(b), high = lanes<float>(a);
  return integers(each<std::uint16_t, 32>(
      [&](std::size_t i) { return to_bf16(i < 16 ? low[i] : high[i - 16]); }));
}
template <class Pairs>
__m512 dpbf16_ps(__m512 sum, Pairs a, Pairs b) {
  const auto before = lanes<float>(sum);
  const auto x = lanes<std::uint16_t>(a), y = lanes<std::uint16_t>(b);
  return floats(each<float, 16>([&](std::size_t i) {
    const float odd = std::fma(from_bf16(x[2 * i + 1]), from_bf16(y[2 * i + 1]), before[i]);
    return std::fma(from_bf16(x[2 * i]), from_bf16(y[2 * i]), odd);
  }));
}

// The sum of kGroup products of A's and B's lanes, exact.
template <class A, class B, std::size_t kGroup>
auto grouped(__m512i a, __m512i b) {
  const auto x = lanes<A>(a);
  const auto y = lanes<B>(b);
  return each<std::int64_t, x.size() / kGroup>([&](std::size_t i) {
    std::int64_t sum = 0;
    for (std::size_t j = i * kGroup; j < (i + 1) * kGroup; ++j) sum += std::int64_t{x[j]} * y[j];
    return sum;
  });
}
template <class T>
T saturated(std::int64_t x) {
  return static_cast<T>(
      std::clamp<std::int64_t>(x, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
}
inline __m512i madd_epi16(__m512i a, __m512i b) {
  const auto sums = grouped<std::int16_t, std::int16_t, 2>(a, b);
  return integers(
      each<std::uint32_t, 16>([&](auto i) { return static_cast<std::uint32_t>(sums[i]); }));
}
inline __m512i maddubs_epi16(__m512i a, __m512i b) {
  const auto sums = grouped<std::uint8_t, std::int8_t, 2>(a, b);
  return integers(each<std::int16_t, 32>([&](auto i) { return saturated<std::int16_t>(sums[i]); }));
}
inline __m512i dpbusd_epi32(__m512i sum, __m512i a, __m512i b) {
  const auto before = lanes<std::uint32_t>(sum);
  const auto sums = grouped<std::uint8_t, std::int8_t, 4>(a, b);
  return integers(each<std::uint32_t, 16>(
      [&](auto i) { return before[i] + static_cast<std::uint32_t>(sums[i]); }));
}
inline __m512i subs_epi8(__m512i a, __m512i b) {
  return integers(
      binary<std::int8_t>(a, b, [](auto x, auto y) { return saturated<std::int8_t>(x - y); }));
}
inline __m512i shuffle_epi8(__m512i a, __m512i order) {
  const auto x = lanes<std::uint8_t>(a), at = lanes<std::uint8_t>(order);
  return integers(each<std::uint8_t, 64>(
      [&](auto i) { return at[i] < 128 ? x[i - i % 16 + at[i] % 16] : std::uint8_t{0}; }));
}
inline __m512i add_epi16(__m512i a, __m512i b) {
  return integers(binary<std::uint16_t>(
      a, b, [](auto x, auto y) { return static_cast<std::uint16_t>(x + y); }));
}
inline __m512i add_epi32(__m512i a, __m512i b) {
  return integers(binary<std::uint32_t>(a, b, [](auto x, auto y) { return x + y; }));
}
inline __m512i max_epu32(__m512i a, __m512i b) {
  return integers(binary<std::uint32_t>(a, b, [](auto x, auto y) { return std::max(x, y); }));
}
inline __m512i slli_epi32(__m512i x, unsigned count) {
  return integers(unary<std::uint32_t>(x, [&](std::uint32_t v) { return v << count; }));
}

// Within each of the four quarters, first those of a and then those of b.
template <class To, class From>
__m512i packed(__m512i a, __m512i b) {
  const auto x = lanes<From>(a), y = lanes<From>(b);
  constexpr std::size_t kQuarter = 16 / sizeof(From);
  return integers(each<To, 64 / sizeof(To)>([&](std::size_t i) {
    const std::size_t quarter = i / (2 * kQuarter), place = i % (2 * kQuarter);
    const auto& from = place < kQuarter ? x : y;
    return saturated<To>(from[quarter * kQuarter + place % kQuarter]);
  }));
}
inline __m512i packs_epi32(__m512i a, __m512i b) {
  return packed<std::int16_t, std::int32_t>(a, b);
}
inline __m512i packus_epi16(__m512i a, __m512i b) {
  return packed<std::uint8_t, std::int16_t>(a, b);
}

// Lanes are moved as bits: what is signalled or quieted in a NaN stays.
template <class Pick>
std::array<std::uint32_t, 16> picked(Pick pick) {
  return each<std::uint32_t, 16>(pick);
}
inline __m512 mask_blend_ps(unsigned mask, __m512 a, __m512 b) {
  const auto x = lanes<std::uint32_t>(a), y = lanes<std::uint32_t>(b);
  return floats(picked([&](std::size_t i) { return has(mask, i) ? y[i] : x[i]; }));
}
inline __m512i maskz_compress_epi32(unsigned mask, __m512i a) {
  const auto x = lanes<std::uint32_t>(a);
  std::array<std::uint32_t, 16> made{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (has(mask, i)) made[count++] = x[i];
  }
  return integers(made);
}
inline __m512 permutex2var_ps(__m512 a, __m512i order, __m512 b) {
  const auto x = lanes<std::uint32_t>(a), y = lanes<std::uint32_t>(b);
  const auto places = lanes<std::uint32_t>(order);
  return floats(picked([&](std::size_t i) { return (places[i] & 16 ? y : x)[places[i] & 15]; }));
}
inline __m512i permutexvar_epi32(__m512i order, __m512i a) {
  const auto x = lanes<std::uint32_t>(a), places = lanes<std::uint32_t>(order);
  return integers(picked([&](std::size_t i) { return x[places[i] & 15]; }));
}
inline __m512 permutexvar_ps(__m512i order, __m512 a) {
  return std::bit_cast<__m512>(permutexvar_epi32(order, std::bit_cast<__m512i>(a)));
}
inline __m512 shuffle_f32x4(__m512 a, __m512 b, int order) {
  const auto x = lanes<std::uint32_t>(a), y = lanes<std::uint32_t>(b);
  return floats(picked([&](std::size_t i) {
    const std::size_t quarter = i / 4;
    return (quarter < 2 ? x : y)[4 * (order >> (2 * quarter) & 3) + i % 4];
  }));
}
inline __m512 shuffle_ps(__m512 a, __m512 b, int order) {
  const auto x = lanes<std::uint32_t>(a), y = lanes<std::uint32_t>(b);
  return floats(picked([&](std::size_t i) {
    const std::size_t place = i % 4;
    return (place < 2 ? x : y)[i - place + (order >> (2 * place) & 3)];
  }));
}
inline __m512 unpack(__m512 a, __m512 b, std::size_t first) {
  const auto x = lanes<std::uint32_t>(a), y = lanes<std::uint32_t>(b);
  return floats(
      picked([&](std::size_t i) { return (i % 2 == 0 ? x : y)[i / 4 * 4 + first + i % 4 / 2]; }));
}
inline __m512 unpacklo_ps(__m512 a, __m512 b) { return unpack(a, b, 0); }
inline __m512 unpackhi_ps(__m512 a, __m512 b) { return unpack(a, b, 2); }

// Halves are combined until one lane is left, as compilers do it.
template <class T, class Register, class Do>
T reduced(Register x, Do combine) {
  auto values = lanes<T>(x);
  for (std::size_t half = values.size() / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) values[i] = combine(values[i], values[i + half]);
  }
  return values[0];
}
inline float reduce_add_ps(__m512 x) {
  return reduced<float>(x, [](float a, float b) { return a + b; });
}
inline float reduce_max_ps(__m512 x) {
  return reduced<float>(x, [](float a, float b) { return a > b ? a : b; });
}
inline std::uint32_t reduce_max_epu32(__m512i x) {
  return reduced<std::uint32_t>(x, [](auto a, auto b) { return std::max(a, b); });
}

}  // namespace pyrec::emulated

// Some of the compiler's intrinsics are macros where nothing is optimised.
#undef _mm512_cmp_ps_mask
#undef _mm512_cvtps_ph
#undef _mm512_maskz_scalef_ps
#undef _mm512_roundscale_ps
#undef _mm512_shuffle_f32x4
#undef _mm512_shuffle_ps
#undef _mm512_slli_epi32
#define _mm256_maskz_loadu_epi16 pyrec::emulated::maskz_loadu_epi16
#define _mm512_add_epi16 pyrec::emulated::add_epi16
#define _mm512_add_epi32 pyrec::emulated::add_epi32
#define _mm512_castsi512_ps pyrec::emulated::floats
#define _mm512_cmp_ps_mask pyrec::emulated::cmp_ps_mask
#define _mm512_cvtepi32_epi16 pyrec::emulated::cvtepi32_epi16
#define _mm512_cvtepi32_epi8 pyrec::emulated::cvtepi32_epi8
#define _mm512_cvtepi32_ps pyrec::emulated::cvtepi32_ps
#define _mm512_cvtepi8_epi32 pyrec::emulated::cvtepi8_epi32
#define _mm512_cvtepu16_epi32 pyrec::emulated::cvtepu16_epi32
#define _mm512_cvtne2ps_pbh pyrec::emulated::cvtne2ps_pbh
#define _mm512_cvtneps_pbh pyrec::emulated::cvtneps_pbh
#define _mm512_cvtph_ps pyrec::emulated::cvtph_ps
#define _mm512_cvtps_epi32 pyrec::emulated::cvtps_epi32
#define _mm512_cvtps_ph pyrec::emulated::cvtps_ph
#define _mm512_cvtss_f32(x) pyrec::emulated::lanes<float>(x)[0]
#define _mm512_dpbf16_ps pyrec::emulated::dpbf16_ps
#define _mm512_dpbusd_epi32 pyrec::emulated::dpbusd_epi32
#define _mm512_fmadd_ps pyrec::emulated::fmadd_ps
#define _mm512_fnmadd_ps pyrec::emulated::fnmadd_ps
#define _mm512_loadu_ps pyrec::emulated::loadu_ps
#define _mm512_loadu_si512 pyrec::emulated::loadu_si512
#define _mm512_madd_epi16 pyrec::emulated::madd_epi16
#define _mm512_maddubs_epi16 pyrec::emulated::maddubs_epi16
#define _mm512_mask_blend_ps pyrec::emulated::mask_blend_ps
#define _mm512_mask_storeu_ps pyrec::emulated::mask_storeu_ps
#define _mm512_maskz_compress_epi32 pyrec::emulated::maskz_compress_epi32
#define _mm512_maskz_loadu_epi32 pyrec::emulated::maskz_loadu_epi32
#define _mm512_maskz_loadu_ps pyrec::emulated::maskz_loadu_ps
#define _mm512_maskz_scalef_ps pyrec::emulated::maskz_scalef_ps
#define _mm512_max_epu32 pyrec::emulated::max_epu32
#define _mm512_max_ps pyrec::emulated::max_ps
#define _mm512_min_ps pyrec::emulated::min_ps
#define _mm512_packs_epi32 pyrec::emulated::packs_epi32
#define _mm512_packus_epi16 pyrec::emulated::packus_epi16
#define _mm512_permutex2var_ps pyrec::emulated::permutex2var_ps
#define _mm512_permutexvar_epi32 pyrec::emulated::permutexvar_epi32
#define _mm512_permutexvar_ps pyrec::emulated::permutexvar_ps
#define _mm512_rcp14_ps pyrec::emulated::rcp14_ps
#define _mm512_reduce_add_ps pyrec::emulated::reduce_add_ps
#define _mm512_reduce_max_epu32 pyrec::emulated::reduce_max_epu32
#define _mm512_reduce_max_ps pyrec::emulated::reduce_max_ps
#define _mm512_roundscale_ps pyrec::emulated::roundscale_ps
#define _mm512_set1_epi32 pyrec::emulated::set1_epi32
#define _mm512_set1_ps pyrec::emulated::set1_ps
#define _mm512_set_epi32 pyrec::emulated::set_epi32
#define _mm512_setzero_ps() pyrec::emulated::set1_ps(0.0f)
#define _mm512_shuffle_epi8 pyrec::emulated::shuffle_epi8
#define _mm512_shuffle_f32x4 pyrec::emulated::shuffle_f32x4
#define _mm512_shuffle_ps pyrec::emulated::shuffle_ps
#define _mm512_slli_epi32 pyrec::emulated::slli_epi32
#define _mm512_sqrt_ps pyrec::emulated::sqrt_ps
#define _mm512_storeu_ps pyrec::emulated::storeu
#define _mm512_storeu_si512 pyrec::emulated::storeu
#define _mm512_subs_epi8 pyrec::emulated::subs_epi8
#define _mm512_test_epi32_mask pyrec::emulated::test_epi32_mask
#define _mm512_unpackhi_ps pyrec::emulated::unpackhi_ps
#define _mm512_unpacklo_ps pyrec::emulated::unpacklo_ps
#define _mm_maskz_loadu_epi8 pyrec::emulated::maskz_loadu_epi8

#define __AVX512BF16__ 1
#define __AVX512VNNI__ 1
