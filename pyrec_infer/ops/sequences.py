"""Sequences of tensors, which evaluate as lists of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError, ShapeError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Info, Node, fault
from pyrec_infer.ops.core.registry import Op, element_type
from pyrec_infer.ops.core.shapes import axis_of, dtype_of

Infos = Sequence[Info | None]


def _position(items: int, position: Array | None, fallback: int, *, inserting: bool) -> int:
    if position is None:
        return fallback
    index = int(np.asarray(position).reshape(()))
    last = items if inserting else items - 1
    if not -items <= index <= last:
        raise ShapeError(f"position outside a sequence of {items} tensors")
    return index + items if index < 0 else index


def _infer_sequence(node: Node, inputs: Infos) -> list[Info]:
    return [Info(dtype_of(inputs), None, sequence=True)]


def _infer_empty(node: Node, inputs: Infos) -> list[Info]:
    return [Info(element_type(node, "dtype", "float32"), None, sequence=True)]


def _infer_element(node: Node, inputs: Infos) -> list[Info]:
    return [Info(dtype_of(inputs), None)]


def _infer_length(node: Node, inputs: Infos) -> list[Info]:
    return [Info(np.dtype(np.int64), ())]


def _infer_has_element(node: Node, inputs: Infos) -> list[Info]:
    return [Info(np.dtype(np.bool_), ())]


def _infer_get_element(node: Node, inputs: Infos) -> list[Info]:
    if not inputs or inputs[0] is None:
        raise fault(ModelError, node, "its input is absent")
    return [inputs[0]]


def _empty(node: Node, inputs: Sequence[Any]) -> list[Any]:
    return [[]]


def _construct(node: Node, inputs: Sequence[Any]) -> list[Any]:
    return [list(inputs)]


def _insert(node: Node, inputs: Sequence[Any]) -> list[Any]:
    items = list(inputs[0])
    position = inputs[2] if len(inputs) > 2 else None
    items.insert(_position(len(items), position, len(items), inserting=True), inputs[1])
    return [items]


def _erase(node: Node, inputs: Sequence[Any]) -> list[Any]:
    items = list(inputs[0])
    if not items:
        raise ShapeError("SequenceErase of an empty sequence")
    position = inputs[1] if len(inputs) > 1 else None
    del items[_position(len(items), position, len(items) - 1, inserting=False)]
    return [items]


def _at(node: Node, inputs: Sequence[Any]) -> list[Any]:
    items = inputs[0]
    return [items[_position(len(items), inputs[1], 0, inserting=False)]]


def _length(node: Node, inputs: Sequence[Any]) -> list[Any]:
    return [np.asarray(len(inputs[0]), np.int64)]


def _concatenate(node: Node, inputs: Sequence[Any]) -> list[Any]:
    items = inputs[0]
    if not items:
        raise ShapeError("ConcatFromSequence of an empty sequence")
    axis = node.attribute("axis", 0)
    try:
        if node.attribute("new_axis", 0):
            return [np.stack(items, axis=axis_of(node, axis, items[0].ndim + 1))]
        return [np.concatenate(items, axis=axis_of(node, axis, items[0].ndim))]
    except ValueError as error:
        let_interrupts_pass(error)
        raise ShapeError(f"ConcatFromSequence: {error}") from None


def _split(node: Node, inputs: Sequence[Any]) -> list[Any]:
    data = inputs[0]
    axis = axis_of(node, node.attribute("axis", 0), data.ndim)
    size = data.shape[axis]
    lengths = inputs[1] if len(inputs) > 1 else None
    if lengths is not None and lengths.ndim == 1:
        if (lengths < 0).any() or int(lengths.sum()) != size:
            raise ShapeError(f"SplitToSequence: the parts do not add up to an axis of size {size}")
        return [np.split(data, np.cumsum(lengths)[:-1], axis=axis) if lengths.size else []]
    step = 1 if lengths is None else int(lengths)
    if step < 1:
        raise ShapeError(f"SplitToSequence: parts of size {step}")
    parts = [data.take(range(start, min(start + step, size)), axis) for start in range(0, size, step)]
    if lengths is None and not node.attribute("keepdims", 1):
        parts = [part.squeeze(axis) for part in parts]
    return [parts]


def _has_element(node: Node, inputs: Sequence[Any]) -> list[Any]:
    return [np.asarray(bool(inputs) and inputs[0] is not None)]


def _get_element(node: Node, inputs: Sequence[Any]) -> list[Any]:
    if not inputs or inputs[0] is None:
        raise ModelError("OptionalGetElement: its input is absent")
    return [inputs[0]]


OPS: tuple[Op, ...] = (
    Op("SequenceEmpty", _infer_empty, _empty),
    Op("SequenceConstruct", _infer_sequence, _construct),
    Op("SequenceInsert", _infer_sequence, _insert),
    Op("SequenceErase", _infer_sequence, _erase),
    Op("SequenceAt", _infer_element, _at),
    Op("SequenceLength", _infer_length, _length),
    Op("ConcatFromSequence", _infer_element, _concatenate),
    Op("SplitToSequence", _infer_sequence, _split),
    Op("OptionalHasElement", _infer_has_element, _has_element),
    Op("OptionalGetElement", _infer_get_element, _get_element),
)
