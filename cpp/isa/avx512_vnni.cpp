#include "simd/vec_avx512.h"

// After the vocabulary that it is compiled over.
#include "kernels/gemm_u8s8.inl.h"

namespace pyrec {

extern const VnniKernels kAvx512VnniKernels;
const VnniKernels kAvx512VnniKernels = {gemm_u8s8, gemm_sparse_u8s8};

}  // namespace pyrec
