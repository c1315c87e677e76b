"""The meaning of every native kernel, its Numba fallback and the cases both are tested with."""

from itertools import chain

from pyrec_infer.kernels import (
    convert,
    dense,
    elementwise,
    embedding_bag,
    find,
    forest,
    gather,
    lookup,
    pair_dots,
    quantized,
    reduce,
    rows,
    screen,
    transcendental,
)
from pyrec_infer.kernels.spec import KernelSpec

__all__ = ["FAMILIES", "KERNELS", "KernelSpec"]

_MODULES = (
    elementwise,
    transcendental,
    reduce,
    rows,
    dense,
    gather,
    lookup,
    embedding_bag,
    pair_dots,
    convert,
    quantized,
    screen,
    find,
    forest,
)

FAMILIES: dict[str, tuple[KernelSpec, ...]] = {
    module.__name__.rpartition(".")[2]: module.KERNELS for module in _MODULES
}
"""The kernels of each family of the native list; the families' modules have their names."""

KERNELS: tuple[KernelSpec, ...] = tuple(chain.from_iterable(FAMILIES.values()))
