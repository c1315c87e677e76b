"""Operators that rearrange axes or report sizes and leave the elements as they are."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Array, Dim, Info, Node, RowAxis, Rows, Shape, Size, fault, same_size
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowFlow, boolean, couples, optional, required
from pyrec_infer.ops.core.shapes import axis_of, constant_integers, fresh, integers, product, quotient
from pyrec_infer.ops.core.traits import MOVES, VIEW, no_flops

INT64 = np.dtype(np.int64)


def integer_list(array: Array) -> list[int]:
    """The elements of a small integer tensor."""
    return [int(item) for item in array.reshape(-1)]


def _reshape_target(
    node: Node, target: Sequence[Size], shape: Shape | None, allow_zero: bool
) -> tuple[Size, ...]:
    sizes: list[Size] = []
    copied: set[int] = set()
    inferred: int | None = None
    for i, size in enumerate(target):
        if isinstance(size, Dim) or size > 0 or (size == 0 and allow_zero):
            sizes.append(size)
        elif size == 0:
            if shape is not None and i >= len(shape):
                raise fault(ModelError, node, f"copies axis {i} of a value of rank {len(shape)}")
            sizes.append(fresh(node, 0, i) if shape is None else shape[i])
            copied.add(i)
        elif size == -1 and inferred is None:
            inferred = i
            sizes.append(1)
        else:
            raise fault(ModelError, node, f"shape {list(target)} is not valid")
    if shape is None:
        if inferred is not None:
            sizes[inferred] = fresh(node, 0, inferred)
        return tuple(sizes)
    # Copied axes stand on both sides, so that [0, -1] has a meaning for an empty batch too.
    total = product([size for i, size in enumerate(shape) if i not in copied])
    known = product([size for i, size in enumerate(sizes) if i not in copied])
    if inferred is not None:
        fits = quotient(total, known)
        if fits is None and isinstance(total, int) and isinstance(known, int):
            raise fault(ModelError, node, f"{total} elements do not fit {list(target)}")
        sizes[inferred] = fresh(node, 0, inferred) if fits is None else fits
    else:
        total, known = product(shape), product(sizes)
        if isinstance(total, int) and isinstance(known, int) and total != known:
            raise fault(ModelError, node, f"{total} elements do not fit {list(target)}")
    return tuple(sizes)


def _infer_reshape(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, target = required(node, inputs, 0), required(node, inputs, 1)
    sizes = integers(target)
    shape: Shape | None = None
    if sizes is not None:
        shape = _reshape_target(node, sizes, data.shape, boolean(node.attribute("allowzero", 0)))
    elif target.shape is not None and len(target.shape) == 1 and isinstance(target.shape[0], int):
        shape = tuple(fresh(node, 0, axis) for axis in range(target.shape[0]))
    return [Info(data.dtype, shape)]


def _reshape(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, target = required(node, inputs, 0), required(node, inputs, 1)
    allow_zero = boolean(node.attribute("allowzero", 0))
    sizes = _reshape_target(node, integer_list(target), data.shape, allow_zero)
    return [data.reshape([int(size) for size in sizes])]


def _infer_flatten(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    if data.shape is None:
        return [Info(data.dtype, (fresh(node, 0, 0), fresh(node, 0, 1)))]
    axis = _flatten_axis(node, len(data.shape))
    return [Info(data.dtype, (product(data.shape[:axis]), product(data.shape[axis:])))]


def _flatten_axis(node: Node, rank: int) -> int:
    axis = int(node.attribute("axis", 1))
    return rank if axis == rank else axis_of(node, axis, rank)


def _flatten(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data = required(node, inputs, 0)
    axis = _flatten_axis(node, data.ndim)
    return [data.reshape(prod(data.shape[:axis]), prod(data.shape[axis:]))]


def _infer_squeeze(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, axes = required(node, inputs, 0), optional(inputs, 1)
    if data.shape is None:
        return [Info(data.dtype, None)]
    if axes is None:
        # A symbolic size may turn out to be 1, and then the axis goes too.
        if any(isinstance(size, Dim) for size in data.shape):
            return [Info(data.dtype, None)]
        return [Info(data.dtype, tuple(size for size in data.shape if size != 1))]
    numbers = constant_integers(axes)
    if numbers is None:
        return [Info(data.dtype, None)]
    dropped = _axes(node, numbers, len(data.shape))
    for axis in dropped:
        size = data.shape[axis]
        if isinstance(size, int) and size != 1:
            raise fault(ModelError, node, f"axis {axis} has size {size}, expected 1")
    return [Info(data.dtype, tuple(size for axis, size in enumerate(data.shape) if axis not in dropped))]


def _axes(node: Node, axes: Sequence[int], rank: int) -> set[int]:
    found = {axis_of(node, axis, rank) for axis in axes}
    if len(found) != len(axes):
        raise fault(ModelError, node, f"axes {list(axes)} repeat an axis")
    return found


def _squeeze(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, axes = required(node, inputs, 0), optional(inputs, 1)
    if axes is None:
        return [data.reshape([size for size in data.shape if size != 1])]
    dropped = _axes(node, integer_list(axes), data.ndim)
    for axis in dropped:
        if data.shape[axis] != 1:
            raise fault(ModelError, node, f"axis {axis} has size {data.shape[axis]}, expected 1")
    return [data.reshape([size for axis, size in enumerate(data.shape) if axis not in dropped])]


def _unsqueezed(node: Node, axes: Sequence[int], shape: Shape) -> Shape:
    rank = len(shape) + len(axes)
    added = _axes(node, axes, rank)
    rest = iter(shape)
    return tuple(1 if axis in added else next(rest) for axis in range(rank))


def _infer_unsqueeze(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    axes = constant_integers(required(node, inputs, 1))
    if data.shape is None or axes is None:
        return [Info(data.dtype, None)]
    return [Info(data.dtype, _unsqueezed(node, axes, data.shape))]


def _unsqueeze(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, axes = required(node, inputs, 0), required(node, inputs, 1)
    shape = _unsqueezed(node, integer_list(axes), data.shape)
    return [data.reshape([int(size) for size in shape])]


def _permutation(node: Node, rank: int) -> tuple[int, ...]:
    found = node.attribute("perm")
    permutation = tuple(range(rank))[::-1] if found is None else tuple(int(axis) for axis in found)
    if sorted(permutation) != list(range(rank)):
        raise fault(ModelError, node, f"perm {list(permutation)} of a value of rank {rank}")
    return permutation


def _infer_transpose(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    if data.shape is None:
        return [Info(data.dtype, None)]
    return [Info(data.dtype, tuple(data.shape[axis] for axis in _permutation(node, len(data.shape))))]


def _transpose(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data = required(node, inputs, 0)
    return [data.transpose(_permutation(node, data.ndim))]


def sizes_info(sizes: Sequence[Size], shape: Shape) -> Info:
    """The type of an int64 tensor that holds these sizes."""
    if all(isinstance(size, int) for size in sizes):
        return Info(INT64, shape, constant=np.array(sizes, INT64).reshape([int(size) for size in shape]))
    contents = np.empty(len(sizes), object)
    contents[:] = sizes
    return Info(INT64, shape, contents=contents.reshape([int(size) for size in shape]))


def _shape_bounds(node: Node) -> slice:
    end = node.attribute("end")
    return slice(int(node.attribute("start", 0)), None if end is None else int(end))


def _infer_shape(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    if data.shape is None:
        return [Info(INT64, (fresh(node, 0, 0),))]
    sizes = data.shape[_shape_bounds(node)]
    return [sizes_info(sizes, (len(sizes),))]


def _shape(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.array(required(node, inputs, 0).shape[_shape_bounds(node)], INT64)]


def _infer_size(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    return [Info(INT64, ()) if data.shape is None else sizes_info([product(data.shape)], ())]


def _size(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.array(required(node, inputs, 0).size, INT64)]


def _block(node: Node, rank: int) -> int:
    block = int(node.attribute("blocksize", 0))
    if rank != 4:
        raise fault(ModelError, node, f"rank {rank}, expected 4")
    if block < 1:
        raise fault(ModelError, node, f"blocksize {block}, expected at least 1")
    if node.attribute("mode", "DCR") not in ("DCR", "CRD"):
        raise fault(ModelError, node, f"unknown mode {node.attribute('mode')!r}")
    return block


def _whole(node: Node, axis: int, size: Size, factor: int) -> Size:
    found = quotient(size, factor)
    if found is None and isinstance(size, int):
        raise fault(ModelError, node, f"size {size} is not a multiple of {factor}")
    return fresh(node, 0, axis) if found is None else found


def _infer_depth_to_space(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    if data.shape is None:
        return [Info(data.dtype, None)]
    block = _block(node, len(data.shape))
    n, c, h, w = data.shape
    return [Info(data.dtype, (n, _whole(node, 1, c, block * block), h * block, w * block))]


def _depth_to_space(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data = required(node, inputs, 0)
    block = _block(node, data.ndim)
    n, c, h, w = data.shape
    depth = int(_whole(node, 1, c, block * block))
    if node.attribute("mode", "DCR") == "DCR":
        moved = data.reshape(n, block, block, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        moved = data.reshape(n, depth, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    return [moved.reshape(n, depth, h * block, w * block)]


def _infer_space_to_depth(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    if data.shape is None:
        return [Info(data.dtype, None)]
    block = _block(node, len(data.shape))
    n, c, h, w = data.shape
    return [Info(data.dtype, (n, c * (block * block), _whole(node, 2, h, block), _whole(node, 3, w, block)))]


def _space_to_depth(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data = required(node, inputs, 0)
    block = _block(node, data.ndim)
    n, c, h, w = data.shape
    height, width = int(_whole(node, 2, h, block)), int(_whole(node, 3, w, block))
    split = data.reshape(n, c, height, block, width, block)
    order = (0, 3, 5, 1, 2, 4) if node.attribute("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return [split.transpose(order).reshape(n, c * block * block, height, width)]


@rows.guarded()
def _rows_of_transpose(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """The row axis moves with the permutation."""
    first = rows.single(inputs)
    if first is None or first.rank is None:
        return None
    order = node.attribute("perm") or tuple(reversed(range(first.rank)))
    return tuple(order).index(first.rows) if first.rows in order else None


@rows.guarded(shape_inputs=(1,))
def _rows_of_reshape(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Reshapes that keep the rows outermost among what follows the same leading sizes."""
    first = rows.single(inputs)
    target = outputs[0].shape
    if first is None or first.shape is None or target is None:
        return None
    if first.rows == 0 and target and same_size(first.shape[0], target[0]):
        return 0
    axes = rows.batch_axes(target)
    if len(axes) != 1 or rows.batch_axes(first.shape) != [first.rows]:
        return None
    (axis,) = axes
    if not same_size(product(first.shape[: first.rows]), product(target[:axis])):
        return None
    return axis


@rows.guarded()
def _rows_of_squeeze(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Squeezes of named axes; without names the rank would depend on the batch size."""
    first = rows.single(inputs)
    axes = constant_integers(optional(inputs, 1))
    if first is None or not first.rank or axes is None:
        return None
    dropped = {axis % first.rank for axis in axes}
    if first.rows in dropped:
        return None
    return first.rows - sum(axis < first.rows for axis in dropped)


@rows.guarded()
def _rows_of_unsqueeze(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """New axes in front of the rows move them."""
    first = rows.single(inputs)
    axes = constant_integers(optional(inputs, 1))
    if first is None or first.rank is None or axes is None:
        return None
    rank = first.rank + len(axes)
    added = {axis % rank for axis in axes}
    kept = [axis for axis in range(rank) if axis not in added]
    return kept[first.rows] if first.rows < len(kept) else None


def _rows_of_shape_of(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowFlow:
    """Shape and Size: not data of any row, as long as the sizes are known symbolically."""
    if outputs[0].contents is not None or outputs[0].constant is not None:
        return RowFlow((Rows.INVARIANT,) * len(outputs))
    return couples(node, inputs, outputs)


OPS = (
    Op("Reshape", _infer_reshape, _reshape, _rows_of_reshape, True, VIEW, no_flops),
    Op("Flatten", _infer_flatten, _flatten, _rows_of_reshape, False, VIEW, no_flops),
    Op("Squeeze", _infer_squeeze, _squeeze, _rows_of_squeeze, True, VIEW, no_flops),
    Op("Unsqueeze", _infer_unsqueeze, _unsqueeze, _rows_of_unsqueeze, True, VIEW, no_flops),
    Op("Transpose", _infer_transpose, _transpose, _rows_of_transpose, True, MOVES, no_flops),
    Op("Shape", _infer_shape, _shape, _rows_of_shape_of, flops=no_flops),
    Op("Size", _infer_size, _size, _rows_of_shape_of, flops=no_flops),
    Op("DepthToSpace", _infer_depth_to_space, _depth_to_space),
    Op("SpaceToDepth", _infer_space_to_depth, _space_to_depth),
)
