#pragma once

namespace pyrec {

// Sets of instructions that kernels can use: this processor has them, and the operating system
// saves the registers that they need. And kinds of processors that other kernels are faster on.
#define PYREC_CPU_FEATURES(X)                      \
  X(avx2) /* AVX2, FMA, F16C and BMI2 */           \
  X(avx2_vnni)                                     \
  X(avx512) /* avx2 and AVX-512 F, BW, DQ and VL*/ \
  X(avx512_vnni)                                   \
  X(avx512_bf16)                                   \
  X(zen5) /* two products of 512 bits a cycle */

struct CpuFeatures {
#define PYREC_FEATURE(name) bool name = false;
  PYREC_CPU_FEATURES(PYREC_FEATURE)
#undef PYREC_FEATURE
};

const CpuFeatures& cpu_features();

}  // namespace pyrec
