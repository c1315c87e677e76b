#include "dispatch/cpu.h"

#ifdef PYREC_X86
#include <cpuid.h>
#endif

namespace pyrec {
namespace {

#ifdef PYREC_X86
// Those for servers and desktops, by AMD's numbers of models: the others have halves of the units.
bool is_zen5() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0 || b != signature_AMD_ebx) return false;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return false;
  const unsigned family = (a >> 8 & 0xfu) + (a >> 20 & 0xffu);
  const unsigned model = (a >> 4 & 0xfu) | (a >> 12 & 0xf0u);
  return family == 0x1a && (model < 0x20 || (model >= 0x40 && model < 0x50));
}
#endif

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
  features.avx2_vnni = features.avx2 && __builtin_cpu_supports("avxvnni");
  features.avx512 = features.avx2 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
  features.avx512_bf16 = features.avx512 && __builtin_cpu_supports("avx512bf16");
  features.avx512_vnni = features.avx512 && __builtin_cpu_supports("avx512vnni");
  features.zen5 = features.avx512_bf16 && is_zen5();
#ifdef PYREC_EMULATED_AVX512
  features.avx512 = features.avx512_bf16 = features.avx512_vnni = features.avx2;
#endif
#endif
  return features;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace pyrec
