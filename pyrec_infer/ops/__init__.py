"""Operators of the IR: type rule, row rule and NumPy reference evaluation of each."""

from pyrec_infer.ops import (
    bags,
    binary,
    branches,
    cast,
    classical,
    convolution,
    expansion,
    filling,
    forest,
    fused,
    fused_quantized,
    hashed,
    indexing,
    layout,
    linear_algebra,
    linear_models,
    loops,
    masked,
    ngrams,
    normalization,
    ordering,
    quantization,
    recurrent,
    reduction,
    scans,
    select,
    sequences,
    slicing,
    strings,
    unary,
)
from pyrec_infer.ops.core.registry import Op, RowFlow, has, ids_place, register, with_trait
from pyrec_infer.ops.core.traits import Trait

__all__ = ["OPS", "Op", "RowFlow", "Trait", "has", "ids_place", "with_trait"]

OPS = register(
    family.OPS
    for family in (
        unary,
        binary,
        select,
        cast,
        layout,
        slicing,
        expansion,
        filling,
        indexing,
        ordering,
        reduction,
        linear_algebra,
        convolution,
        fused,
        fused_quantized,
        bags,
        masked,
        normalization,
        quantization,
        recurrent,
        branches,
        loops,
        scans,
        sequences,
        forest,
        linear_models,
        classical,
        strings,
        ngrams,
        hashed,
    )
)
