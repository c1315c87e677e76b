#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "dispatch/kernels.h"

#ifdef PYREC_X86
#include <cpuid.h>
#endif

namespace pyrec {

extern const Kernels kScalarKernels;
#ifdef PYREC_X86
extern const Kernels kAvx2Kernels;
#endif
#ifdef PYREC_AVX512
extern const Kernels kAvx512Kernels;
extern const VnniKernels kAvx512VnniKernels;
extern const Bf16Kernels kAvx512Bf16Kernels;
#endif

namespace {

CpuFeatures detect() {
  CpuFeatures features{};
#ifdef PYREC_X86
  // The compiler's check includes XGETBV: a feature counts only if the operating system saves the
  // registers that it needs.
  __builtin_cpu_init();
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  features.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi2") && f16c;
  features.avx512 = features.avx2 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
  features.avx512_bf16 = features.avx512 && __builtin_cpu_supports("avx512bf16");
  features.avx512_vnni = features.avx512 && __builtin_cpu_supports("avx512vnni");
#endif
  return features;
}

#ifdef PYREC_AVX512
// The kernels that more than plain AVX-512 makes faster, in the place of the plain ones.
Kernels best_avx512() {
  Kernels kernels = kAvx512Kernels;
  if (cpu_features().avx512_vnni) {
    kernels.gemm_u8s8 = kAvx512VnniKernels.gemm;
    kernels.gemm_sparse_u8s8 = kAvx512VnniKernels.gemm_sparse;
  }
  if (cpu_features().avx512_bf16) {
    kernels.round_rows_bf16 = kAvx512Bf16Kernels.round_rows;
    kernels.lookup_sum_bf16 = kAvx512Bf16Kernels.lookup_sum;
    kernels.gemm_bf16 = kAvx512Bf16Kernels.gemm;
    kernels.gemm_sparse_bf16 = kAvx512Bf16Kernels.gemm_sparse;
    kernels.fast_bf16 = true;
  }
  return kernels;
}

const Kernels* emulated_avx512() {
  static const Kernels kernels = [] {
    Kernels made = kAvx512Kernels;
    made.fast_bf16 = true;
    return made;
  }();
  return cpu_features().avx512 ? &kernels : nullptr;
}
#endif

struct Available {
  std::array<const Kernels*, 3> tables{};
  std::size_t count = 0;

  Available() {
#ifdef PYREC_AVX512
    static const Kernels avx512 = best_avx512();
    if (cpu_features().avx512) tables[count++] = &avx512;
#endif
#ifdef PYREC_X86
    if (cpu_features().avx2) tables[count++] = &kAvx2Kernels;
#endif
    tables[count++] = &kScalarKernels;
  }
};

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

std::span<const Kernels* const> available_kernels() {
  static const Available available;
  return {available.tables.data(), available.count};
}

const Kernels* find_kernels(std::string_view isa) {
  for (const Kernels* kernels : available_kernels()) {
    if (kernels->isa == isa) return kernels;
  }
#ifdef PYREC_AVX512
  if (isa == "avx512_emulated") return emulated_avx512();
#endif
  return nullptr;
}

}  // namespace pyrec
