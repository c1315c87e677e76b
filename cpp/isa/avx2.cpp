#include "simd/vec_avx2.h"

// After the vocabulary that it is compiled over.
#include "kernels/all.inl.h"

namespace pyrec {

extern const Kernels kAvx2Kernels;
const Kernels kAvx2Kernels = PYREC_KERNEL_TABLE("avx2", PYREC_KERNELS);

}  // namespace pyrec
