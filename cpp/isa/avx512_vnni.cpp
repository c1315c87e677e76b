#include "simd/vec_avx512.h"

// After the vocabulary that it is compiled over.
#include "kernels/gemm_u8s8.inl.h"

namespace pyrec {

extern const GemmU8S8 kAvx512VnniGemm;
const GemmU8S8 kAvx512VnniGemm = gemm_u8s8;

}  // namespace pyrec
