// The arithmetic limit of one core, in 10^9 operations a second (a multiply-add counts as two):
// fp32 fused multiply-add, and where the processor has them int8 (vpdpbusd) and bf16 (vdpbf16ps)
// dot products. Prints one JSON object; a kind that the processor lacks is null.
//
//     c++ -O3 -march=native -std=c++17 peak.cpp -o peak && ./peak

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

// More independent chains than two pipes of latency five need; all fit the registers.
constexpr int kChains = 12;
constexpr int kRuns = 101;
// Shorter than a scheduler's time slice, so that the median does not see other programs.
constexpr double kSeconds = 0.002;

// Hides a value's contents from the compiler, which could otherwise drop or merge the chains.
template <typename Vector>
inline void keep(Vector& value) {
#if defined(__AVX512F__)
  asm volatile("" : "+v"(value));
#elif defined(__x86_64__)
  asm volatile("" : "+x"(value));
#else
  asm volatile("" : "+w"(value));
#endif
}

#if defined(__AVX512F__)
using Floats = __m512;
inline Floats fill(float value) { return _mm512_set1_ps(value); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
#elif defined(__AVX2__) && defined(__FMA__)
using Floats = __m256;
inline Floats fill(float value) { return _mm256_set1_ps(value); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
#endif

#if defined(__AVX512VNNI__)
#define HAS_INT8 1
using Integers = __m512i;
inline Integers zeros() { return _mm512_setzero_si512(); }
inline Integers dots(Integers sum, Integers a, Integers b) {
  return _mm512_dpbusd_epi32(sum, a, b);
}
#elif defined(__AVXVNNI__)
#define HAS_INT8 1
using Integers = __m256i;
inline Integers zeros() { return _mm256_setzero_si256(); }
inline Integers dots(Integers sum, Integers a, Integers b) {
  return _mm256_dpbusd_avx_epi32(sum, a, b);
}
#endif

// The median of several short runs; `step` does `operations` operations.
template <typename Step>
double measure(double operations, Step step) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> speeds;
  for (int run = 0; run < kRuns; ++run) {
    double done = 0;
    double elapsed = 0;
    const auto start = Clock::now();
    while (elapsed < kSeconds) {
      for (int i = 0; i < 100; ++i) step();
      done += 100 * operations;
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    speeds.push_back(done / elapsed * 1e-9);
  }
  std::sort(speeds.begin(), speeds.end());
  return speeds[speeds.size() / 2];
}

// `step` on every chain, again and again.
template <typename Vector, typename Step>
double chains(Vector start, double operations, Step step) {
  constexpr int kRepeats = 64;
  return measure(operations * kChains * kRepeats, [start, step] {
    Vector local[kChains];
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) {
      local[i] = start;
      keep(local[i]);
    }
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
#pragma GCC unroll 16
      for (int i = 0; i < kChains; ++i) local[i] = step(local[i]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) keep(local[i]);
  });
}

void print(const char* name, double value, const char* end) {
  if (value > 0) {
    std::printf("\"%s\": %.1f%s", name, value, end);
  } else {
    std::printf("\"%s\": null%s", name, end);
  }
}

}  // namespace

int main() {
  double fp32 = 0;
  double int8 = 0;
  double bf16 = 0;
#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
  Floats factor = fill(0.5F);
  Floats term = fill(1.0F);
  keep(factor);
  keep(term);
  fp32 = chains(term, 2.0 * sizeof(Floats) / 4,
                [=](Floats sum) { return multiply_add(sum, factor, term); });
#else
  fp32 = chains(1.0F, 2.0, [](float sum) { return sum * 0.5F + 1.0F; });
#endif
#if defined(HAS_INT8)
  const Integers ones = zeros();
  int8 =
      chains(zeros(), 2.0 * sizeof(Integers), [=](Integers sum) { return dots(sum, ones, ones); });
#endif
#if defined(__AVX512BF16__)
  const __m512bh halves = {};
  bf16 = chains(_mm512_setzero_ps(), 2.0 * sizeof(__m512) / 2,
                [=](__m512 sum) { return _mm512_dpbf16_ps(sum, halves, halves); });
#endif
  std::printf("{");
  print("fp32", fp32, ", ");
  print("bf16", bf16, ", ");
  print("int8", int8, "}\n");
  return 0;
}
