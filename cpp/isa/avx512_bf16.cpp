#include "simd/vec_avx512.h"

// After the vocabulary that it is compiled over.
#include "kernels/gemm_bf16.inl.h"
#include "kernels/lookup_sum_bf16.inl.h"
#include "kernels/round_bf16.inl.h"

namespace pyrec {

extern const Bf16Kernels kAvx512Bf16Kernels;
const Bf16Kernels kAvx512Bf16Kernels = {round_rows_bf16, lookup_sum_bf16, gemm_bf16,
                                        gemm_sparse_bf16};

}  // namespace pyrec
