"""The discrete Fourier transform."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Array, Info, Node, Size, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowRule, boolean, check_count, optional, required
from pyrec_infer.ops.core.shapes import axis_of, constant_integers, fresh

COMPLEX = 2
"""Numbers of the last axis of complex values: the real and the imaginary part."""


def _axis(node: Node, given: Sequence[int] | None, present: bool, rank: int) -> int | None:
    """The axis that is transformed, before the last one by default; None if it is not known."""
    if not present:
        given = [-2]
    if given is None:
        return None
    if len(given) != 1 or axis_of(node, given[0], rank) == rank - 1:
        raise fault(ModelError, node, "expected one axis before the last one")
    return axis_of(node, given[0], rank)


def transformed_axis(node: Node, inputs: Sequence[Info | None]) -> int | None:
    """The axis that a node transforms, if it is known."""
    place, rank = optional(inputs, 2), required(node, inputs, 0).rank
    if rank is None:
        return None
    given = None if place is None else constant_integers(place)
    return _axis(node, given, place is not None, rank)


def _ways(node: Node) -> tuple[bool, bool]:
    return boolean(node.attribute("inverse", 0)), boolean(node.attribute("onesided", 0))


def _length(node: Node, size: int) -> int:
    """How many numbers are transformed if the node does not say so."""
    return 2 * (size - 1) if all(_ways(node)) else size


def _results(node: Node, length: int) -> tuple[int, int]:
    """The sizes of the transformed axis and of the last one."""
    if length < 1:
        raise fault(ModelError, node, f"the length is {length}, expected at least 1")
    inverse, onesided = _ways(node)
    if onesided:
        return (length, 1) if inverse else (length // 2 + 1, COMPLEX)
    return length, COMPLEX


def _infer_dft(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, counted = required(node, inputs, 0), optional(inputs, 1)
    if data.shape is None:
        return [Info(data.dtype, None)]
    if len(data.shape) < 2:
        raise fault(ModelError, node, "expected numbers with an axis for their real and imaginary parts")
    axis = transformed_axis(node, inputs)
    if axis is None:
        return [Info(data.dtype, tuple(fresh(node, 0, place) for place in range(len(data.shape))))]
    size, known = data.shape[axis], constant_integers(counted)
    made: tuple[Size, Size] = (fresh(node, 0, axis), _results(node, 1)[1])
    if counted is None and isinstance(size, int):
        made = _results(node, _length(node, size))
    elif known is not None and len(known) == 1:
        made = _results(node, known[0])
    return [Info(data.dtype, (*data.shape[:axis], made[0], *data.shape[axis + 1 : -1], made[1]))]


def _dft(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """In the precision of the numbers, as NumPy transforms them."""
    data, counted, place = required(node, inputs, 0), optional(inputs, 1), optional(inputs, 2)
    if data.ndim < 2 or data.shape[-1] not in (1, COMPLEX):
        raise fault(ModelError, node, "expected numbers with an axis for their real and imaginary parts")
    if counted is not None and counted.size != 1:
        raise fault(ModelError, node, "expected one length")
    given = None if place is None else [int(item) for item in place.reshape(-1)]
    axis = _axis(node, given, place is not None, data.ndim)
    assert axis is not None
    size = data.shape[axis]
    length = _length(node, size) if counted is None else int(counted.reshape(()))
    bins, _ = _results(node, length)
    check_count(node, data.size // max(size, 1) * length * COMPLEX)
    inverse, onesided = _ways(node)
    values = data[..., 0].astype(np.promote_types(data.dtype, np.complex64))
    if data.shape[-1] == COMPLEX:
        values.imag = data[..., 1]
    if inverse and onesided:
        return [np.fft.irfft(values, length, axis)[..., np.newaxis].astype(data.dtype)]
    found = (np.fft.ifft if inverse else np.fft.fft)(values, length, axis)
    found = found.take(np.arange(bins), axis)
    return [np.stack([found.real, found.imag], axis=-1).astype(data.dtype)]


_rows_of_dft: RowRule = rows.guarded()(
    rows.keeps_unless(
        lambda node, inputs, rank: (
            None if (axis := transformed_axis(node, inputs)) is None else [axis, rank - 1]
        )
    )
)


OPS = (Op("DFT", _infer_dft, _dft, _rows_of_dft),)
