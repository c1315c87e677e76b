#include "simd/vec_scalar.h"

// After the vocabulary that it is compiled over.
#include "kernels/all.inl.h"

namespace pyrec {

extern const Kernels kScalarKernels;
const Kernels kScalarKernels = PYREC_KERNEL_TABLE("scalar", PYREC_KERNELS);

}  // namespace pyrec
