#include "simd/vec_avx512.h"

// After the vocabulary that it is compiled over.
#include "kernels/gemm_u8s8.inl.h"
#include "kernels/screen.inl.h"
#include "kernels/screen_rows.inl.h"
#include "kernels/screen_u4.inl.h"
#include "kernels/table.inl.h"

namespace pyrec {

extern const Kernels kAvx512VnniKernels;
const Kernels kAvx512VnniKernels = PYREC_KERNEL_TABLE("avx512", PYREC_BYTE_KERNELS);

}  // namespace pyrec
