#include "simd/vec_avx512.h"

// After the vocabulary that it is compiled over.
#include "kernels/all.inl.h"

namespace pyrec {

extern const Kernels kAvx512Kernels;
const Kernels kAvx512Kernels = PYREC_KERNEL_TABLE("avx512", PYREC_KERNELS);

}  // namespace pyrec
