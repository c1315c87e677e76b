#include "simd/vec_avx512.h"

// After the vocabulary that it is compiled over.
#include "kernels/gemm_bf16.inl.h"

namespace pyrec {

extern const GemmBf16 kAvx512Bf16Gemm;
const GemmBf16 kAvx512Bf16Gemm = gemm_bf16;

}  // namespace pyrec
