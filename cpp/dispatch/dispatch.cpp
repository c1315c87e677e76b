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
extern const Kernels kAvx512Kernels;
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

struct Available {
  std::array<const Kernels*, 3> tables{};
  std::size_t count = 0;

  Available() {
#ifdef PYREC_X86
    if (cpu_features().avx512) tables[count++] = &kAvx512Kernels;
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
  return nullptr;
}

}  // namespace pyrec
