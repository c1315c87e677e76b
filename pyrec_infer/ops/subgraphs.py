"""What If, Loop and Scan share: closed bodies, what is known of their results, and stacked ones.

The attribute ``captures`` is the number of outer values at the end of a node's inputs and of each
body's inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError, ShapeError
from pyrec_infer.ir import Array, Dim, Graph, Info, Node, Rows, Shape, Size, fault, same_size
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.registry import depends_on_batch_size
from pyrec_infer.ops.core.shapes import axis_of, fresh

Infos = Sequence[Info | None]
MAX_ITERATIONS = 2**31 - 1
_MAX_NESTING = 4
"""Bodies nested deeper are not looked into: a loop's fixpoint multiplies at each level."""
BYTES_OF_OBJECT = 128
"""Bytes of an array object beside its elements."""


def captures_of(node: Node) -> int:
    """How many outer values a body reads."""
    count = node.attribute("captures", 0)
    if not 0 <= count <= len(node.inputs):
        raise fault(ModelError, node, f"{count} captures, {len(node.inputs)} inputs")
    return int(count)


def closed_body(node: Node, inputs: int, outputs: int) -> Graph:
    """The only body, checked for the number of its inputs and least number of outputs."""
    if len(node.bodies) != 1:
        raise fault(ModelError, node, f"expected one body, got {len(node.bodies)}")
    body = node.bodies[0]
    if len(body.inputs) != inputs or len(body.outputs) < outputs:
        raise fault(
            ModelError,
            node,
            f"expected a body with {inputs} inputs and at least {outputs} "
            f"outputs, got {len(body.inputs)} and {len(body.outputs)}",
        )
    return body


def _nesting(graph: Graph) -> int:
    return 1 + max((_nesting(body) for node in graph.nodes for body in node.bodies), default=0)


def too_deep(node: Node) -> bool:
    """Whether bodies are nested deeper than is looked into."""
    return any(_nesting(body) > _MAX_NESTING for body in node.bodies)


def unknown_outputs(node: Node) -> list[Info]:
    """Outputs that nothing is known of."""
    return [Info(None, None)] * len(node.outputs)


def symbols_of(infos: Infos) -> set[str]:
    """The size names in shapes and contents: those that mean the same inside a body and outside."""
    sizes: list[Any] = []
    for info in infos:
        if info is not None:
            sizes.extend(info.shape or ())
            sizes.extend(() if info.contents is None else info.contents.reshape(-1))
    return {name for size in sizes if isinstance(size, Dim) for name in size.symbols}


def outer_info(node: Node, output: int, info: Info, known: set[str], offset: int = 0) -> Info:
    """A body's result as the outside sees it: sizes that only the body knows get a fresh name."""

    def foreign(size: object) -> bool:
        return isinstance(size, Dim) and not known.issuperset(size.symbols)

    contents = info.contents
    if contents is not None and any(map(foreign, contents.reshape(-1))):
        contents = None
    shape = info.shape
    if shape is not None:
        shape = tuple(
            fresh(node, output, axis + offset) if foreign(size) else size for axis, size in enumerate(shape)
        )
    return replace(info, shape=shape, contents=contents)


def merge_info(a: Info, b: Info, name: str) -> Info:
    """What holds for a value that is one or the other; sizes that differ are named after ``name``."""
    shape: Shape | None = None
    if a.shape is not None and b.shape is not None and len(a.shape) == len(b.shape):
        shape = tuple(
            x if same_size(x, y) else Dim.symbol(f"{name}:{axis}")
            for axis, (x, y) in enumerate(zip(a.shape, b.shape, strict=True))
        )
    same_type = a.dtype is not None and b.dtype is not None and a.dtype == b.dtype
    return Info(a.dtype if same_type else None, shape, sequence=a.sequence or b.sequence)


def same_type(a: Info, b: Info) -> bool:
    """Whether two plain infos (without value) say the same."""
    if (a.shape is None) != (b.shape is None) or (a.dtype is None) != (b.dtype is None):
        return False
    return (
        a.sequence == b.sequence
        and (a.dtype is None or a.dtype == b.dtype)
        and len(a.shape or ()) == len(b.shape or ())
        and all(map(same_size, a.shape or (), b.shape or ()))
    )


def plain_info(info: Info | None) -> Info:
    """An input as a body sees it: without rows, which bodies do not follow."""
    return Info(None, None) if info is None else replace(info, rows=Rows.INVARIANT)


def without_value(info: Info | None) -> Info:
    return replace(plain_info(info), constant=None, contents=None)


def stacked_info(node: Node, output: int, info: Info, known: set[str], trips: Size | None, axis: int) -> Info:
    """A scan output: what each iteration makes, stacked along a new axis."""
    one = without_value(outer_info(node, output, info, known, offset=1))
    if one.shape is None:
        return Info(one.dtype, None)
    count = fresh(node, output, 0) if trips is None else trips
    at = axis_of(node, axis, len(one.shape) + 1)
    return Info(one.dtype, (*one.shape[:at], count, *one.shape[at:]))


def stack_arrays(node: Node, arrays: list[Array], axis: int) -> Array:
    if any(array.shape != arrays[0].shape for array in arrays):
        raise fault(ShapeError, node, "a scan output changes its shape from one iteration to another")
    return np.stack(arrays, axis=axis)


def follows_rows(info: Info | None) -> bool:
    return info is None or (info.rows != Rows.OPAQUE and not depends_on_batch_size(info))


def body_rows(body: Graph, inputs: Infos) -> list[Info] | None:
    """What a body's outputs hold if it keeps the rows of its inputs apart, else None."""
    known = {name: info for name, info in zip(body.inputs, inputs, strict=True) if info is not None}
    analysis = analyze(body, known)
    made = [analysis.infos[name] for name in body.outputs]
    return None if analysis.coupled or not all(map(follows_rows, made)) else made
