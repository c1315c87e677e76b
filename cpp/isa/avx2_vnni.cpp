#include "simd/vec_avx2.h"

// After the vocabulary that it is compiled over.
#include "kernels/gemm_u8s8.inl.h"
#include "kernels/pack_s8.inl.h"
#include "kernels/screen.inl.h"
#include "kernels/screen_rows.inl.h"
#include "kernels/screen_u4.inl.h"
#include "kernels/table.inl.h"

// pack_s8 lays matrices out for the product that is compiled with it.
#define PYREC_OWN_KERNELS(X) X(pack_s8, PackBytes) PYREC_BYTE_KERNELS(X)

namespace pyrec {

extern const Kernels kAvx2VnniKernels;
const Kernels kAvx2VnniKernels = PYREC_KERNEL_TABLE("avx2", PYREC_OWN_KERNELS);

}  // namespace pyrec
