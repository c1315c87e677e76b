"""Where, Clip, and lists of rows that end at their own places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Info, Node, fault, same_size
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, optional, required
from pyrec_infer.ops.core.shapes import broadcast, dtype_of
from pyrec_infer.ops.core.traits import ELEMENTWISE
from pyrec_infer.ops.elementwise import ANY, NUMBERS, check_kind, check_same


def _infer_where(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    condition, a, b = (required(node, inputs, i) for i in range(3))
    check_kind(node, condition.dtype, "b")
    check_same(node, (a, b))
    return [Info(dtype_of((a, b)), broadcast((condition.shape, a.shape, b.shape)))]


def _where(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    condition, a, b = (required(node, inputs, i) for i in range(3))
    check_kind(node, condition.dtype, "b")
    check_same(node, (a, b))
    check_kind(node, a.dtype, ANY + "O")
    try:
        return [np.where(condition, a, b)]
    except ValueError as error:
        let_interrupts_pass(error)
        shapes = f"{condition.shape}, {a.shape} and {b.shape}"
        raise fault(ModelError, node, f"shapes {shapes} do not broadcast") from None


def _bound(node: Node, x: Array, bound: Array | None, default: float) -> Array:
    if bound is None:
        return np.array(default, x.dtype)
    check_same(node, (x, bound))
    if bound.size != 1:
        raise fault(ModelError, node, f"expected a scalar bound, got shape {bound.shape}")
    return bound.reshape(())


def _infer_clip(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x = required(node, inputs, 0)
    check_kind(node, x.dtype, NUMBERS)
    check_same(node, inputs)
    return [Info(x.dtype, x.shape)]


def _clip(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """A bound that is NaN does not bind; an element that is NaN stays."""
    x = required(node, inputs, 0)
    check_kind(node, x.dtype, NUMBERS)
    limits = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype)
    low = _bound(node, x, optional(inputs, 1), limits.min)
    high = _bound(node, x, optional(inputs, 2), limits.max)
    with np.errstate(invalid="ignore"):
        raised = np.where(x < low, low, x)
        return [np.where(raised > high, high, raised)]


def _infer_padded(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    values, _, _, padding = (required(node, inputs, i) for i in range(4))
    check_same(node, (values, padding))
    return [Info(dtype_of((values, padding)), values.shape)]


def _padded(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Of values [B, L], those at places [L] that are below their row's count [B]; padding for the others."""
    values, counts, places, padding = (required(node, inputs, i) for i in range(4))
    check_same(node, (values, padding))
    check_kind(node, counts.dtype, "i")
    check_same(node, (counts, places))
    if (
        values.ndim != 2
        or counts.shape != values.shape[:1]
        or places.shape != values.shape[1:]
        or padding.ndim
    ):
        shapes = f"{values.shape}, {counts.shape}, {places.shape} and {padding.shape}"
        raise fault(ModelError, node, f"shapes {shapes} do not fit")
    return [np.where(places < counts[:, None], values, padding)]


@rows.guarded()
def _rows_of_padded(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> int | None:
    values, counts, *others = inputs
    if values is None or counts is None or values.rows != 0 or counts.rows != 0:
        return None
    if any(map(rows.batched, others)) or values.shape is None or counts.shape is None:
        return None
    return 0 if same_size(values.shape[0], counts.shape[0]) else None


OPS: tuple[Op, ...] = (
    Op("Clip", _infer_clip, _clip, rows.elementwise, traits=ELEMENTWISE),
    Op("pyrec.PadLists", _infer_padded, _padded, _rows_of_padded),
    Op("Where", _infer_where, _where, rows.elementwise, True, ELEMENTWISE),
)
