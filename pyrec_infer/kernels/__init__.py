"""The meaning of every native kernel, its Numba fallback and the cases both are tested with."""

from pyrec_infer.kernels import (
    convert,
    dense,
    elementwise,
    embedding_bag,
    lookup,
    quantized,
    reduce,
    rows,
    sparse,
    transcendental,
)
from pyrec_infer.kernels.spec import KernelSpec

__all__ = ["KERNELS", "KernelSpec"]

KERNELS: tuple[KernelSpec, ...] = (
    *elementwise.KERNELS,
    *transcendental.KERNELS,
    *reduce.KERNELS,
    *rows.KERNELS,
    *dense.KERNELS,
    *sparse.KERNELS,
    *lookup.KERNELS,
    *embedding_bag.KERNELS,
    *convert.KERNELS,
    *quantized.KERNELS,
)
