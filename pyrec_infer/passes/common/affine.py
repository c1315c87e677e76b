"""Values that are affine in some numbers of an item: what each is, and what rounding may make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.ir import Array, Node
from pyrec_infer.ops import OPS, Trait, has
from pyrec_infer.ops.lookup_parts import LookupPart, lookup_parts

Doubles: TypeAlias = NDArray[np.float64]

SMALLEST = 2.0**-149
"""No less than what the rounding of a result may change it by, besides its share of the result."""


@dataclass(frozen=True)
class Affine:
    """An array whose elements are sums of an item's numbers x times given factors, and a given number.

    Attributes
    ----------
    factors : ndarray of float64, shape (*S, F + 1)
        Of each element those of the F numbers, and the given number.
    sizes : ndarray of float64, shape (*S, F + 1)
        Sums of the absolute values of all that was added up to a factor, no less than it.
    roundings : int
        On the way from any number to an element. Rounded one by one to float32, an element differs from
        the exact one by no more than this share (see `share_of`) of ``sizes @ (|x|, 1)``, and ``rest``.
    rest : float
        What rounding of the smallest numbers changes besides.
    largest : ndarray of float64, shape (F + 1,)
        No less than the sizes of every value on the way.
    """

    factors: Doubles
    sizes: Doubles
    roundings: int
    rest: float
    largest: Doubles

    @property
    def shape(self) -> tuple[int, ...]:
        return self.factors.shape[:-1]


Value: TypeAlias = "Array | Affine"
"""Known numbers, or some that depend on the item."""


def share_of(roundings: int) -> float:
    """What so many roundings to float32, one after the other, change a number by at most, of it."""
    unit = roundings * 2.0**-24
    return unit / (1 - unit) if unit < 0.5 else float("inf")


def _made(factors: Doubles, sizes: Doubles, roundings: int, rest: float, *before: Affine) -> Affine:
    largest = sizes.reshape(-1, sizes.shape[-1]).max(axis=0, initial=0)
    for value in before:
        largest = np.maximum(largest, value.largest)
    return Affine(factors, sizes, roundings, rest, largest)


def numbers(first: int, shape: tuple[int, ...], count: int) -> Affine:
    """An item's own numbers from ``first`` on, of ``count`` in all."""
    size = int(np.prod(shape))
    factors = np.zeros((size, count + 1))
    factors[np.arange(size), first + np.arange(size)] = 1
    factors = factors.reshape(*shape, count + 1)
    return _made(factors, factors, 0, 0.0)


def _given(value: Array, like: Affine) -> Affine:
    """Known numbers in the same form."""
    factors = np.zeros((*value.shape, like.factors.shape[-1]))
    factors[..., -1] = value
    return _made(factors, np.abs(factors), 0, 0.0)


def _raised(value: Affine, rank: int) -> tuple[Doubles, Doubles]:
    """Factors and sizes with as many axes as what they are broadcast with."""
    missing = (1,) * (rank - len(value.shape))
    return tuple(each.reshape(*missing, *each.shape) for each in (value.factors, value.sizes))  # type: ignore[return-value]


def added(left: Value, right: Value, sign: float = 1.0) -> Value | None:
    """Their sum, or difference, element by element."""
    if not isinstance(left, Affine) and not isinstance(right, Affine):
        return None
    like = left if isinstance(left, Affine) else right
    assert isinstance(like, Affine)
    a, b = (value if isinstance(value, Affine) else _given(value, like) for value in (left, right))
    rank = max(len(a.shape), len(b.shape))
    (x, own), (y, other) = _raised(a, rank), _raised(b, rank)
    roundings = max(a.roundings, b.roundings) + 1
    return _made(x + sign * y, own + other, roundings, a.rest + b.rest + SMALLEST, a, b)


def scaled(value: Affine, by: Array) -> Affine:
    """Each element times a known number."""
    rank = max(len(value.shape), by.ndim)
    factors, sizes = _raised(value, rank)
    times = by.astype(np.float64).reshape(*(1,) * (rank - by.ndim), *by.shape, 1)
    most = float(np.abs(times).max(initial=0))
    rest = value.rest * most + SMALLEST
    return _made(factors * times, sizes * np.abs(times), value.roundings + 1, rest, value)


def summed(value: Affine, axes: tuple[int, ...], keep: bool) -> Affine:
    """Sums over some axes."""
    rank = len(value.shape)
    places = tuple(axis % rank for axis in axes)
    count = int(np.prod([value.shape[axis] for axis in places]))
    factors, sizes = (each.sum(axis=places, keepdims=keep) for each in (value.factors, value.sizes))
    rest = count * (value.rest + SMALLEST)
    return _made(factors, sizes, value.roundings + count, rest, value)


def _product(left: Value, right: Value) -> Affine | None:
    """A product of matrices, one of which is known."""
    if isinstance(left, Affine) == isinstance(right, Affine):
        return None
    moving, by = (left, right) if isinstance(left, Affine) else (right, left)
    assert isinstance(moving, Affine)
    assert not isinstance(by, Affine)
    if len(moving.shape) < 2 or by.ndim < 2:
        return None
    known = by.astype(np.float64)
    # The item's numbers go along as another axis in front of all.
    parts = [np.moveaxis(each, -1, 0) for each in _raised(moving, max(len(moving.shape), by.ndim))]
    factors, sizes = (
        np.moveaxis(
            part @ weights if moving is left else weights @ part,
            0,
            -1,
        )
        for part, weights in zip(parts, (known, np.abs(known)), strict=True)
    )
    inner = moving.shape[-1] if moving is left else moving.shape[-2]
    most = float(np.abs(known).max(initial=0))
    rest = (inner + 1) * (moving.rest * most + SMALLEST)
    return _made(factors, sizes, moving.roundings + inner + 1, rest, moving)


def _moved(node: Node, inputs: Sequence[Value | None]) -> Affine | None:
    """The elements that an operator puts elsewhere, by what it makes of their numbers."""
    moving = list(inputs) if has(node, Trait.VARIADIC) else [inputs[0]]
    like = next((value for value in moving if isinstance(value, Affine)), None)
    if like is None or any(isinstance(value, Affine) for value in inputs[len(moving) :]):
        return None
    parts: list[Affine] = []
    places: list[Array | None] = []
    first = 0
    for value in moving:
        assert value is not None
        part = value if isinstance(value, Affine) else _given(value, like)
        size = int(np.prod(part.shape))
        places.append(np.arange(first, first + size).reshape(part.shape))
        parts.append(part)
        first += size
    rest = [value for value in inputs[len(moving) :] if not isinstance(value, Affine)]
    (made,) = OPS[node.op].evaluate(node, [*places, *rest])
    factors, sizes = (
        np.concatenate([getattr(part, name).reshape(-1, like.factors.shape[-1]) for part in parts])[made]
        for name in ("factors", "sizes")
    )
    roundings = max(part.roundings for part in parts)
    return _made(factors, sizes, roundings, max(part.rest for part in parts), *parts)


def _add(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    total = inputs[0]
    for value in inputs[1:]:
        assert total is not None
        assert value is not None
        total = added(total, value)
        if total is None:
            return None
    return total


def _subtract(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    left, right = inputs
    assert left is not None
    assert right is not None
    return added(left, right, -1.0)


def _multiply(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    for value, by in (inputs[:2], inputs[1::-1]):
        if isinstance(value, Affine) and by is not None and not isinstance(by, Affine):
            return scaled(value, by)
    return None


def _divide(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    value, by = inputs
    if not isinstance(value, Affine) or by is None or isinstance(by, Affine):
        return None
    with np.errstate(all="ignore"):
        return scaled(value, 1 / by.astype(np.float64))


def _multiply_add(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    if not any(isinstance(value, Affine) for value in inputs[:2]):
        return None  # known numbers alone are rounded, as this does not
    product, addend = _multiply(node, inputs[:2]), inputs[2]
    return None if product is None or addend is None else added(product, addend)


def _negate(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    (value,) = inputs
    return scaled(value, np.asarray(-1.0)) if isinstance(value, Affine) else None


def _reduce_sum(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    value, axes = inputs[0], inputs[1] if len(inputs) > 1 else None
    if not isinstance(value, Affine) or axes is None or isinstance(axes, Affine) or not axes.size:
        return None
    return summed(value, tuple(axes.reshape(-1).tolist()), bool(node.attribute("keepdims", 1)))


def _multiply_matrices(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    left, right = inputs[:2]
    if left is None or right is None or "columns" in node.attributes:
        return None
    made, bias = _product(left, right), inputs[2] if len(inputs) > 2 else None
    return made if bias is None or made is None else added(made, bias)


def _pair_dots(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    a, b, left, right = inputs
    if a is None or b is None or isinstance(left, Affine) or isinstance(right, Affine):
        return None
    if isinstance(a, Affine) == isinstance(b, Affine) or left is None or right is None:
        return None
    moving, at, by, other = (a, left, b, right) if isinstance(a, Affine) else (b, right, a, left)
    assert isinstance(moving, Affine)
    assert not isinstance(by, Affine)
    chosen = _made(moving.factors[:, at], moving.sizes[:, at], moving.roundings, moving.rest, moving)
    return summed(scaled(chosen, by[:, other]), (2,), keep=False)


RULES: Mapping[str, Callable[[Node, Sequence[Value | None]], Value | None]] = {
    "Add": _add,
    "Sum": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "Neg": _negate,
    "pyrec.MultiplyAdd": _multiply_add,
    "ReduceSum": _reduce_sum,
    "MatMul": _multiply_matrices,
    "pyrec.Dense": _multiply_matrices,
    "pyrec.PairDots": _pair_dots,
}
"""What operators make of values of which some are affine; None where the result is not."""


def apply(node: Node, inputs: Sequence[Value | None]) -> Value | None:
    """What a node makes of known and affine values; None where it is not affine."""
    rule = RULES.get(node.op)
    if rule is not None:
        return rule(node, inputs)
    return _moved(node, inputs) if has(node, Trait.MOVES) and len(node.outputs) == 1 else None


def looked_up(node: Node, parts: Sequence[Value]) -> Value | None:
    """What a lookup makes of its parts: one after the other, or their sum; a bias is the first of them."""
    if node.op == "pyrec.LookupSum":
        return _add(node, parts)
    return _moved(Node("Concat", node.inputs, node.outputs, {"axis": 1}), parts)


def parts_of(node: Node) -> list[LookupPart]:
    """The parts of a lookup of any kind in the form of those of `pyrec.Lookup`."""
    if node.op != "pyrec.LookupExact":
        return lookup_parts(node)
    codec = "f32" if node.attribute("to", "") == "float32" else ""
    width, offset = (int(node.attribute(key, 0)) for key in ("width", "offset"))
    return [LookupPart(node.inputs[0], node.inputs[1], -1, width, offset, codec)]


__all__ = ["Affine", "Value", "added", "apply", "looked_up", "numbers", "parts_of", "scaled", "share_of"]
