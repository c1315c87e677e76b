#include "simd/vec_avx512.h"

// After the vocabulary that it is compiled over.
#include "kernels/gemm_bf16.inl.h"
#include "kernels/lookup_sum_bf16.inl.h"
#include "kernels/round_bf16.inl.h"
#include "kernels/table.inl.h"

namespace pyrec {

extern const Kernels kAvx512Bf16Kernels;
const Kernels kAvx512Bf16Kernels = PYREC_KERNEL_TABLE("avx512", PYREC_BF16_KERNELS);

}  // namespace pyrec
