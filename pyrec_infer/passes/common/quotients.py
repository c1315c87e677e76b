"""Values that are divided by a power of one of an item's numbers, as cosines by the length of its vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from pyrec_infer.ir import Array, Node
from pyrec_infer.ops import OPS, Trait, has
from pyrec_infer.passes.common.affine import SMALLEST, Affine, Value, apply, scaled

_ABOVE = 1 + 2.0**-20
"""What is more than so many times a floor is above it however it is rounded."""

_MOST, _LEAST = 2.0**100, 2.0**-100
"""Between them rounding changes numbers by a share of them alone."""

_SPARE = 6
"""Roundings that no node makes: of vectors that are divided beforehand, of double precision, and of what is
subnormal on the way to a divisor."""


@dataclass(frozen=True)
class Root:
    """One value: a power of a factor times one number of an item, where that product is above a floor.

    Attributes
    ----------
    factor : float
    number : int
        Which of the item's numbers.
    power : float
    floor : float
    roundings : int
        On the way to it.
    rest : float
        What rounding of the smallest numbers changes the product by besides.
    shape : tuple of int
    """

    factor: float
    number: int
    power: float
    floor: float
    roundings: int
    rest: float
    shape: tuple[int, ...]

    def alike(self, other: Root) -> bool:
        """Whether both divide an item's numbers by the same number."""
        return self.number == other.number and self.power == other.power


@dataclass(frozen=True)
class Quotient:
    """An affine value that was divided on the way."""

    value: Affine
    by: Root

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape


Term: TypeAlias = "Value | Root | Quotient"


def _root_of(value: Term | None) -> Root | None:
    """An affine value as a power of one number, if it is nothing else."""
    if isinstance(value, Root):
        return value
    if not isinstance(value, Affine) or np.prod(value.shape) != 1:
        return None
    factors, sizes = value.factors.reshape(-1), value.sizes.reshape(-1)
    (places,) = np.nonzero(sizes)
    if len(places) != 1 or places[0] == len(factors) - 1 or abs(factors[places[0]]) != sizes[places[0]]:
        return None
    number = int(places[0])
    return Root(float(factors[number]), number, 1.0, 0.0, value.roundings, value.rest, value.shape)


def _floored(root: Root, least: Array) -> Root | None:
    """What is not below a known number: the root itself where it is above."""
    if least.size != 1 or not np.isfinite(least).all():
        return None
    floor = float(np.maximum(least, 0).item()) ** (1 / root.power)
    shape = np.broadcast_shapes(root.shape, least.shape)
    return replace(root, floor=max(root.floor, floor), shape=shape)


def _bounded(node: Node, inputs: Sequence[Term | None]) -> Root | None:
    """What Max and Clip make of a root."""
    value, least, *most = inputs
    if node.op == "Max" and isinstance(value, np.ndarray):
        value, least = least, value
    root = _root_of(value)
    if root is None or not isinstance(least, np.ndarray) or any(bound is not None for bound in most):
        return None
    return _floored(root, least)


def _divided(value: Term | None, by: Term | None) -> Quotient | None:
    root = _root_of(by)
    if root is None or not isinstance(value, Affine) or len(root.shape) > len(value.shape):
        return None
    made = replace(value, roundings=value.roundings + 1, rest=value.rest + SMALLEST)
    return Quotient(made, root)


def _viewed(node: Node, root: Root, inputs: Sequence[Term | None]) -> Root:
    known = [value for value in inputs[1:] if value is None or isinstance(value, np.ndarray)]
    (made,) = OPS[node.op].evaluate(node, [np.zeros(root.shape, np.float32), *known])
    return replace(root, shape=made.shape)


def apply_divided(node: Node, inputs: Sequence[Term | None]) -> Term | None:
    """What a node makes of known and affine values, roots and quotients; None where it is none of these."""
    if node.op == "Sqrt":
        root = _root_of(inputs[0])
        if root is None or root.power < 0.5:
            return None
        return replace(root, power=root.power / 2, roundings=root.roundings + 1)
    if node.op in ("Max", "Clip") and len(inputs) > 1:
        return _bounded(node, inputs)
    if node.op == "Div" and isinstance(inputs[1], Affine | Root):
        return _divided(*inputs)
    own = [value for value in inputs if isinstance(value, Root | Quotient)]
    if not own:
        return apply(node, [value for value in inputs if not isinstance(value, Root | Quotient)])
    if len(own) > 1 or any(isinstance(value, Affine) for value in inputs) or len(node.outputs) != 1:
        return None
    if isinstance(own[0], Root):
        return _viewed(node, own[0], inputs) if has(node, Trait.VIEW) and inputs[0] is own[0] else None
    made, nothing = (
        apply(node, [each if isinstance(value, Quotient) else value for value in inputs])  # type: ignore[misc]
        for each in (own[0].value, scaled(own[0].value, np.asarray(0.0)))
    )
    # What makes something of nothing adds to it.
    if not isinstance(made, Affine) or not isinstance(nothing, Affine) or nothing.sizes.any():
        return None
    return Quotient(made, own[0].by)


def divided_beforehand(quotient: Quotient, least: float, most: float) -> Affine | None:
    """A quotient of one element, as a value that is affine in numbers that were divided.

    Parameters
    ----------
    quotient : Quotient
    least, most : float
        Between them is the number by whose power is divided, of any item.

    Returns
    -------
    Affine or None
        Of each of the item's numbers and of 1, divided by the power, with factors for all of them; what the
        result was given is 0. None where the divisor may be below its floor, or numbers too large or small.
    """
    value, by = quotient.value, quotient.by
    low, high = by.factor * least, by.factor * most
    if not (max(by.floor * _ABOVE, by.rest * 2.0**30, _LEAST) < low <= high < _MOST):
        return None
    if not _LEAST < least <= most < _MOST:
        return None
    shared = by.factor**by.power
    factors, sizes = (
        np.append(each.reshape(-1) / shared, 0.0)[np.newaxis] for each in (value.factors, value.sizes)
    )
    rest = 2 * value.rest * max(1.0, low**-by.power) + SMALLEST * float(np.abs(factors).sum())
    largest = np.append(value.largest * max(most**by.power, 1 / shared), 0.0)
    return Affine(factors, sizes, value.roundings + by.roundings + _SPARE, rest, largest)


__all__ = ["Quotient", "Root", "Term", "apply_divided", "divided_beforehand"]
