"""Convolutions and pools over [N, C, spatial...]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product as positions_of
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.ir import Array, Info, Node, Shape, Size, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, boolean, optional, required
from pyrec_infer.ops.core.shapes import fresh
from pyrec_infer.ops.elementwise import FLOATS, check_kind, check_same, widened
from pyrec_infer.ops.quantization import check_8_bits, requantized, without_zero_point


@dataclass(frozen=True, slots=True)
class _Window:
    """The window attributes, one entry for each spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    auto_pad: str
    ceil: bool

    def spans(self) -> tuple[int, ...]:
        """How many elements a window reaches over along each axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))


def _window(node: Node, kernel: Sequence[int]) -> _Window:
    axes = len(kernel)

    def sizes(key: str, count: int, fallback: int, lowest: int) -> tuple[int, ...]:
        found = tuple(node.attribute(key) or (fallback,) * count)
        if len(found) != count or any(size < lowest for size in found):
            raise fault(ModelError, node, f"attribute {key} is {found}")
        return found

    auto_pad = str(node.attribute("auto_pad", "NOTSET"))
    if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise fault(ModelError, node, "unknown auto_pad")
    pads = sizes("pads", 2 * axes, 0, 0) if auto_pad == "NOTSET" else (0,) * (2 * axes)
    if any(size < 1 for size in kernel):
        raise fault(ModelError, node, f"a kernel of shape {tuple(kernel)}")
    return _Window(
        tuple(kernel),
        sizes("strides", axes, 1, 1),
        sizes("dilations", axes, 1, 1),
        tuple(zip(pads[:axes], pads[axes:], strict=True)),
        auto_pad,
        boolean(node.attribute("ceil_mode", 0)),
    )


def _along(node: Node, window: _Window, i: int, size: int) -> tuple[int, int, int]:
    """Padding in front, padding behind and number of positions along a spatial axis."""
    span, stride = window.spans()[i], window.strides[i]
    begin, end = window.pads[i]
    if window.auto_pad.startswith("SAME"):
        total = max(0, (-(-size // stride) - 1) * stride + span - size)
        begin = total // 2 if window.auto_pad == "SAME_UPPER" else total - total // 2
        end = total - begin
    room = size + begin + end - span
    if room < 0:
        raise fault(ModelError, node, f"a window of {span} over an axis of {size}")
    count = room // stride + 1
    # A window that would start in the padding at the end is left out.
    if window.ceil and room % stride and count * stride < size + begin:
        count += 1
    return begin, end, count


def _output_sizes(node: Node, window: _Window, spatial: Shape) -> tuple[Size, ...]:
    found: list[Size] = []
    for i, size in enumerate(spatial):
        if isinstance(size, int):
            found.append(_along(node, window, i, size)[2])
        elif window.strides[i] == 1 and (
            window.auto_pad.startswith("SAME") or sum(window.pads[i]) == window.spans()[i] - 1
        ):
            found.append(size)
        else:
            found.append(fresh(node, 0, i + 2))
    return tuple(found)


def _check_spatial(node: Node, shape: Shape) -> None:
    if len(shape) < 3:
        raise fault(ModelError, node, f"takes [N, C, spatial...], got shape {shape}")


def _check_weights(node: Node, x: Shape, w: Shape) -> None:
    groups = int(node.attribute("group", 1))
    channels = x[1]
    fits = len(w) == len(x) and groups >= 1
    if fits and isinstance(w[0], int) and w[0] % groups:
        fits = False
    if fits and isinstance(channels, int) and isinstance(w[1], int) and w[1] * groups != channels:
        fits = False
    given = node.attribute("kernel_shape")
    if fits and given and all(isinstance(k, int) for k in w[2:]) and tuple(given) != tuple(w[2:]):
        fits = False
    if not fits:
        raise fault(ModelError, node, f"weights of shape {w} over an input of shape {x}")


def _conv_shape(node: Node, x: Shape | None, w: Shape | None) -> Shape | None:
    if x is None or w is None:
        return None
    _check_spatial(node, x)
    _check_weights(node, x, w)
    kernel = tuple(size for size in w[2:] if isinstance(size, int))
    if len(kernel) != len(w) - 2:
        return None
    return (x[0], w[0], *_output_sizes(node, _window(node, kernel), x[2:]))


def _taps(
    node: Node, window: _Window, x: Array, fill: Any
) -> tuple[tuple[int, ...], Iterator[tuple[tuple[int, ...], Array]]]:
    """The output's spatial shape, and for each element of the window what it meets there."""
    axes = [_along(node, window, i, size) for i, size in enumerate(x.shape[2:])]
    counts = tuple(count for _, _, count in axes)
    reach = [
        (count - 1) * stride + span
        for count, stride, span in zip(counts, window.strides, window.spans(), strict=True)
    ]
    pads = [
        (begin, max(0, room - size - begin))
        for (begin, _, _), room, size in zip(axes, reach, x.shape[2:], strict=True)
    ]
    padded = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)

    def taps() -> Iterator[tuple[tuple[int, ...], Array]]:
        for tap in positions_of(*(range(k) for k in window.kernel)):
            cut = tuple(
                slice(t * d, t * d + (count - 1) * stride + 1, stride)
                for t, d, count, stride in zip(tap, window.dilations, counts, window.strides, strict=True)
            )
            yield tap, padded[(slice(None), slice(None), *cut)]

    return counts, taps()


def places_seen(node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> tuple[tuple[int, ...], Array]:
    """Which elements of a row each output position is made of.

    Parameters
    ----------
    node : Node
        A convolution without groups.
    sizes : sequence of int
        Of the channels and the spatial axes of its input.
    kernel : sequence of int

    Returns
    -------
    counts : tuple of int
        The output's spatial shape.
    places : ndarray of int, shape (positions, channels * elements of the kernel)
        Places in the row laid end to end; -1 for padding.
    """
    numbers = np.arange(1, np.prod(sizes, dtype=int) + 1).reshape(1, *sizes)
    counts, taps = _taps(node, _window(node, kernel), numbers, 0)
    seen = np.stack([part.reshape(sizes[0], -1) for _, part in taps], axis=1)
    return counts, seen.reshape(-1, seen.shape[-1]).T - 1


def _convolve(node: Node, x: Array, w: Array) -> Array:
    """Sums in the type of the operands, which must be the same."""
    _conv_shape(node, x.shape, w.shape)
    groups = int(node.attribute("group", 1))
    counts, taps = _taps(node, _window(node, w.shape[2:]), x, 0)
    images, filters, channels = x.shape[0], w.shape[0], w.shape[1]
    total = np.zeros((images, groups, filters // groups, *counts), x.dtype)
    kernels = w.reshape(groups, filters // groups, channels, *w.shape[2:])
    for tap, seen in taps:
        parts = seen.reshape(images, groups, channels, *counts)
        index: tuple[Any, ...] = (..., *tap)
        total += np.einsum("gmc,ngc...->ngm...", kernels[index], parts)
    return total.reshape(images, filters, *counts)


def _infer_conv(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x, w = required(node, inputs, 0), required(node, inputs, 1)
    check_same(node, [x, w, optional(inputs, 2)])
    check_kind(node, x.dtype, FLOATS)
    return [Info(x.dtype or w.dtype, _conv_shape(node, x.shape, w.shape))]


def _conv(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, w, bias = required(node, inputs, 0), required(node, inputs, 1), optional(inputs, 2)
    check_same(node, [x, w, bias])
    check_kind(node, x.dtype, FLOATS)
    if bias is not None and bias.shape != w.shape[:1]:
        raise fault(ModelError, node, f"bias of shape {bias.shape}")

    def convolved(x: Array, w: Array, *biases: Array) -> Array:
        y = _convolve(node, x, w)
        return y if not biases else np.asarray(y + biases[0].reshape(-1, *(1,) * (x.ndim - 2)))

    return [widened(convolved, np.float32, x, w, *([] if bias is None else [bias]))]


def _infer_conv_integer(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x, w = required(node, inputs, 0), required(node, inputs, 1)
    check_8_bits(node, x.dtype, w.dtype)
    return [Info(np.dtype(np.int32), _conv_shape(node, x.shape, w.shape))]


def _per_filter(parameter: Array, w: Array) -> Array:
    return parameter.reshape(-1, *(1,) * (w.ndim - 1))


def _conv_integer(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, w = required(node, inputs, 0), required(node, inputs, 1)
    check_8_bits(node, x.dtype, w.dtype)
    w_zero = optional(inputs, 3)
    weights = without_zero_point(w, None if w_zero is None else _per_filter(w_zero, w))
    return [_convolve(node, without_zero_point(x, optional(inputs, 2)), weights)]


def _infer_qlinear_conv(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x, w, zero = (required(node, inputs, i) for i in (0, 3, 7))
    check_8_bits(node, x.dtype, w.dtype, zero.dtype)
    return [Info(zero.dtype, _conv_shape(node, x.shape, w.shape))]


def _qlinear_conv(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (required(node, inputs, i) for i in range(8))
    check_8_bits(node, x.dtype, w.dtype, y_zero.dtype)
    sums = _convolve(node, without_zero_point(x, x_zero), without_zero_point(w, _per_filter(w_zero, w)))
    bias = optional(inputs, 8)
    spread = (-1, *(1,) * (x.ndim - 2))
    if bias is not None:
        sums = sums + bias.reshape(spread)
    factor = (x_scale.reshape(()) * w_scale.reshape(-1) / y_scale.reshape(())).astype(np.float32)
    return [requantized(sums.astype(np.float32) * factor.reshape(spread), y_zero)]


def _pool_window(node: Node) -> _Window:
    kernel = node.attribute("kernel_shape")
    if not kernel:
        raise fault(ModelError, node, "has no kernel_shape")
    return _window(node, kernel)


def _check_pool(node: Node, dtype: np.dtype[Any] | None) -> None:
    if dtype is not None and not (
        dtype.kind == "f" or (node.op == "MaxPool" and dtype in (np.dtype(np.int8), np.dtype(np.uint8)))
    ):
        raise fault(ModelError, node, f"does not take {dtype}")
    if len(node.outputs) > 1:
        raise fault(UnsupportedModelError, node, "the indices output")


def _infer_pool(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x = required(node, inputs, 0)
    _check_pool(node, x.dtype)
    if x.shape is None:
        return [Info(x.dtype, None)]
    _check_spatial(node, x.shape)
    window = _pool_window(node)
    if len(window.kernel) != len(x.shape) - 2:
        raise fault(ModelError, node, f"kernel_shape over an input of shape {x.shape}")
    return [Info(x.dtype, (*x.shape[:2], *_output_sizes(node, window, x.shape[2:])))]


def _max_pool(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = required(node, inputs, 0)
    _infer_pool(node, [Info(x.dtype, x.shape)])
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    counts, taps = _taps(node, _pool_window(node), x, lowest)
    best = np.full((*x.shape[:2], *counts), lowest, x.dtype)
    for _, seen in taps:
        best = np.maximum(best, seen)
    return [best]


def _average_pool(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = required(node, inputs, 0)
    _infer_pool(node, [Info(x.dtype, x.shape)])
    window = _pool_window(node)
    counted = np.ones((1, 1, *x.shape[2:]))
    shifted = node
    if boolean(node.attribute("count_include_pad", 0)):
        # What lies beyond the padding (a last window of ceil_mode) never counts.
        pads = [_along(node, window, i, size)[:2] for i, size in enumerate(x.shape[2:])]
        counted = np.ones((1, 1, *(size + sum(pad) for size, pad in zip(x.shape[2:], pads, strict=True))))
        attributes = {**node.attributes, "auto_pad": "NOTSET", "pads": (0,) * (2 * len(pads))}
        shifted = Node(node.op, node.inputs, node.outputs, attributes, (), node.name)
    spatial, count_taps = _taps(shifted, _pool_window(shifted), counted, 0)

    def averaged(x: Array) -> Array:
        counts, taps = _taps(node, window, x, 0)
        total = np.zeros((*x.shape[:2], *counts), x.dtype)
        for _, seen in taps:
            total += seen
        number = np.zeros((1, 1, *spatial), x.dtype)
        for _, seen in count_taps:
            number += seen
        # Positions past the last one start beyond the padding.
        cut = tuple(slice(count) for count in counts)
        with np.errstate(all="ignore"):
            return np.asarray(total / number[(slice(None), slice(None), *cut)])

    return [widened(averaged, np.float32, x)]


def _infer_global_pool(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x = required(node, inputs, 0)
    check_kind(node, x.dtype, FLOATS)
    if x.shape is None:
        return [Info(x.dtype, None)]
    _check_spatial(node, x.shape)
    return [Info(x.dtype, (*x.shape[:2], *(1 for _ in x.shape[2:])))]


def _global_pool(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = required(node, inputs, 0)
    _infer_global_pool(node, [Info(x.dtype, x.shape)])
    axes = tuple(range(2, x.ndim))
    with np.errstate(all="ignore"):
        if node.op == "GlobalMaxPool":
            return [x.max(axes, keepdims=True, initial=-np.inf)]
        total = x.sum(axes, np.float32 if x.dtype == np.float16 else x.dtype, keepdims=True)
        return [(total / total.dtype.type(np.prod(x.shape[2:]))).astype(x.dtype)]


OPS = (
    Op("Conv", _infer_conv, _conv, rows.outermost),
    Op("ConvInteger", _infer_conv_integer, _conv_integer, rows.outermost),
    Op("QLinearConv", _infer_qlinear_conv, _qlinear_conv, rows.outermost),
    Op("MaxPool", _infer_pool, _max_pool, rows.outermost),
    Op("AveragePool", _infer_pool, _average_pool, rows.outermost),
    Op("GlobalAveragePool", _infer_global_pool, _global_pool, rows.outermost),
    Op("GlobalMaxPool", _infer_global_pool, _global_pool, rows.outermost),
)
