"""Operators that leave out the positions of a sequence that a mask hides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pyrec_infer.errors import ModelError, UseAlternativeError
from pyrec_infer.ir import Array, Dim, Info, Node, Rows, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowFlow, required
from pyrec_infer.ops.core.shapes import axis_of, fresh
from pyrec_infer.ops.fused import F32
from pyrec_infer.ops.layout import INT64


def _axes(node: Node, inputs: Sequence[Array | Info | None]) -> list[int]:
    axes = [int(axis) for axis in node.attribute("axes", ())]
    if len(axes) != len(inputs):
        raise fault(ModelError, node, "expected an axis for each input")
    return axes


def _infer_kept(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    _axes(node, inputs)
    return [Info(INT64, (fresh(node, 0, 0),)), Info(F32, ())]


def _kept(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    axes = _axes(node, inputs)
    mask = required(node, inputs, 0)
    axis = axis_of(node, axes[0], mask.ndim)
    length = mask.shape[axis]
    if length == 0:
        raise UseAlternativeError("nothing to keep")
    hidden = mask if node.attribute("hidden", 1) else ~mask
    drops = np.moveaxis(hidden, axis, 0).reshape(length, -1).all(axis=1)
    whole = bool(drops.all() or not drops.any())
    for place in range(1, len(inputs)):
        values = np.moveaxis(required(node, inputs, place), axes[place], 0)
        whole = whole or not np.isfinite(values[drops]).all()
    kept = np.arange(length) if whole else np.flatnonzero(~drops)
    least = -np.inf if whole else float(node.attribute("least", 0.0))
    return [kept.astype(INT64), np.asarray(least, F32)]


def _invariant(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    return RowFlow((Rows.INVARIANT,) * len(outputs))


def _infer_checked(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    scores = required(node, inputs, 0)
    return [Info(scores.dtype, scores.shape)]


def _checked(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    scores, least = required(node, inputs, 0), required(node, inputs, 1)
    if least != -np.inf:
        axis = axis_of(node, int(node.attribute("axis", -1)), scores.ndim)
        reached = (scores >= least).any(axis=axis)
        if not (reached.all() and (scores < np.inf).all()):
            raise UseAlternativeError("scores as low as those of hidden positions")
    return [scores]


def most_positions(nodes: Iterable[Node], infos: Mapping[str, Info]) -> dict[str, int]:
    """The largest value of each size that is known at run time only, by its symbol."""
    found: dict[str, int] = {}
    for node in nodes:
        if node.op != "pyrec.KeptPositions":
            continue
        kept, mask = infos[node.outputs[0]].shape, infos[node.inputs[0]].shape
        size = None if mask is None else mask[int(node.attribute("axes")[0])]
        if kept and isinstance(kept[0], Dim) and isinstance(size, int):
            found[kept[0].symbols[0]] = size
    return found


OPS = (
    # Inputs a mask of the request and the values of the request, float32, that the masked scores' weights
    # are multiplied with. The positions along an axis that some element of the mask does not hide, all of
    # them if there are none or a value at a hidden one is not finite (zero times it is not zero); and the
    # least score for CheckedScores, -inf if all are kept. Attributes: axes, one for each input; hidden
    # (int), the mask's value where it hides; least. A request has a single row, so rows are not coupled.
    Op("pyrec.KeptPositions", _infer_kept, _kept, _invariant),
    # The scores themselves, if along an axis some are `least` or above and none is NaN or inf: a softmax
    # over more scores, each far below `least`, then gives those exactly 0. Else UseAlternativeError.
    Op("pyrec.CheckedScores", _infer_checked, _checked, rows.elementwise),
)
