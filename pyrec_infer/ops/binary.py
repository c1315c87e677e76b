"""Elementwise operators of two or more inputs that broadcast against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Dim, Info, Node, fault
from pyrec_infer.ops.cast import to_integer
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, boolean, id_error, required
from pyrec_infer.ops.core.shapes import broadcast
from pyrec_infer.ops.core.traits import AFFINE, COMPARISON, ELEMENTWISE, VARIADIC, Trait
from pyrec_infer.ops.elementwise import (
    ANY,
    BOOL,
    INTEGERS,
    NUMBERS,
    broadcasting,
    check_kind,
    check_same,
    widened,
)

Function = Callable[[Node, Array, Array], Array]


def _operands(node: Node, inputs: Sequence[Array | None], kinds: str) -> tuple[Array, Array]:
    """Both operands, checked and broadcast."""
    a, b = required(node, inputs, 0), required(node, inputs, 1)
    check_same(node, (a, b))
    check_kind(node, a.dtype, kinds)
    check_kind(node, b.dtype, kinds)
    try:
        a, b = np.broadcast_arrays(a, b)
    except ValueError as error:
        let_interrupts_pass(error)
        raise fault(ModelError, node, f"shapes {a.shape} and {b.shape} do not broadcast") from None
    return a, b


def _refuse_zero(node: Node, divisor: Array) -> None:
    if not divisor.all():
        raise fault(ModelError, node, "integer division by zero")


def _divide_symbolic(a: int | Dim, b: int | Dim) -> Any:
    if isinstance(a, Dim) or isinstance(b, Dim):
        return a // b
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _divide(node: Node, a: Array, b: Array) -> Array:
    if "O" in (a.dtype.kind, b.dtype.kind):
        return np.asarray(np.frompyfunc(_divide_symbolic, 2, 1)(a, b), object)
    if a.dtype.kind == "f":
        return np.divide(a, b)
    _refuse_zero(node, b)
    floor = a // b
    if a.dtype.kind == "u":
        return floor
    return np.asarray(floor + ((a - floor * b != 0) & ((a < 0) != (b < 0))))


def _modulo(node: Node, a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        _refuse_zero(node, b)
    return np.fmod(a, b) if boolean(node.attribute("fmod", 0)) else np.mod(a, b)


def _shift(node: Node, x: Array, amount: Array) -> Array:
    direction = node.attribute("direction", "")
    if direction not in ("LEFT", "RIGHT"):
        raise fault(ModelError, node, "direction is neither LEFT nor RIGHT")
    inside = (amount >= 0) & (amount < 8 * x.dtype.itemsize)
    safe = np.where(inside, amount, 0).astype(x.dtype)
    if direction == "LEFT":
        return np.where(inside, np.left_shift(x, safe), 0)
    return np.where(inside, np.right_shift(x, safe), np.where(x < 0, -1, 0).astype(x.dtype))


def _operator(
    name: str,
    function: Function,
    kinds: str = NUMBERS,
    symbolic: bool = False,
    traits: frozenset[Trait] = ELEMENTWISE,
) -> Op:
    """An operator whose result has the operands' type; the function sees float32 for float16."""
    accepted = kinds + "O" if symbolic else kinds

    def evaluate(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        a, b = _operands(node, inputs, accepted)
        dtype = np.dtype(object) if "O" in (a.dtype.kind, b.dtype.kind) else a.dtype
        with np.errstate(all="ignore"):
            result = widened(lambda x, y: function(node, x, y), np.float32, a, b)
        return [np.asarray(result, dtype)]

    return Op(name, broadcasting(kinds), evaluate, rows.elementwise, symbolic, traits)


def _comparison(name: str, function: np.ufunc, kinds: str = NUMBERS, symbolic: bool = False) -> Op:
    accepted = kinds + "O" if symbolic else kinds

    def evaluate(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        a, b = _operands(node, inputs, accepted)
        return [np.asarray(function(a, b), np.bool_)]

    traits = ELEMENTWISE if kinds == "b" else COMPARISON
    return Op(name, broadcasting(kinds, BOOL), evaluate, rows.elementwise, symbolic, traits)


def _variadic(
    name: str, function: np.ufunc, kinds: str = NUMBERS, mean: bool = False, symbolic: bool = False
) -> Op:
    def evaluate(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        operands = [required(node, inputs, i) for i in range(max(1, len(inputs)))]
        check_same(node, operands)
        check_kind(node, operands[0].dtype, kinds + "O" if symbolic else kinds)

        def combine(*arrays: Array) -> Array:
            total = reduce(function, arrays)
            return _divide(node, total, np.array(len(arrays), total.dtype)) if mean else total

        with np.errstate(all="ignore"):
            return [widened(combine, np.float32, *operands)]

    return Op(
        name, broadcasting(kinds, variadic=True), evaluate, rows.elementwise, symbolic, ELEMENTWISE | VARIADIC
    )


def _infer_power(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    base, exponent = required(node, inputs, 0), required(node, inputs, 1)
    check_kind(node, base.dtype, "fi")
    check_kind(node, exponent.dtype, NUMBERS)
    return [Info(base.dtype, broadcast((base.shape, exponent.shape)))]


def _power(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    base, exponent = required(node, inputs, 0), required(node, inputs, 1)
    check_kind(node, base.dtype, "fi")
    check_kind(node, exponent.dtype, NUMBERS)
    with np.errstate(all="ignore"):
        inexact = np.power(base.astype(np.float64), exponent.astype(np.float64))
        if base.dtype.kind == "f":
            return [np.asarray(inexact, base.dtype)]
        truncated = to_integer(np.asarray(inexact), base.dtype)
        if exponent.dtype.kind == "f":
            return [truncated]
        negative = exponent < 0
        exact = np.power(base.astype(np.int64), np.where(negative, 0, exponent).astype(np.int64))
        return [np.where(negative, truncated, exact.astype(base.dtype))]


def _infer_prelu(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x, slope = required(node, inputs, 0), required(node, inputs, 1)
    broadcasting(NUMBERS)(node, (x, slope))
    return [Info(x.dtype, x.shape)]


def _prelu(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, slope = _operands(node, inputs, NUMBERS)
    given = required(node, inputs, 0).shape
    if x.shape != given:
        raise fault(ModelError, node, f"the slope does not broadcast to {given}")
    with np.errstate(all="ignore"):
        return [np.where(x < 0, widened(np.multiply, np.float32, x, slope), x)]


def _offset_ids(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """The sum, of ids that are not negative."""
    ids, offsets = required(node, inputs, 0), required(node, inputs, 1)
    check_same(node, (ids, offsets))
    below = ids < 0
    if np.any(below):
        place = np.argwhere(below)[0]
        labels = node.attribute("labels", ())
        label = f"{labels[place[-1]]}: " if labels and len(labels) == ids.shape[-1] else ""
        shape = ids.shape[:1] if label else ids.shape
        raise id_error(f"{label}id in front of its field's rows (expected id >= 0)", place, shape)
    return [np.asarray(np.add(ids, offsets))]


OPS: tuple[Op, ...] = (
    _operator("Add", lambda node, a, b: np.add(a, b), symbolic=True, traits=AFFINE),
    _comparison("And", np.logical_and, "b"),
    _operator("BitShift", _shift, INTEGERS),
    _operator("BitwiseAnd", lambda node, a, b: np.bitwise_and(a, b), INTEGERS),
    _operator("BitwiseOr", lambda node, a, b: np.bitwise_or(a, b), INTEGERS),
    _operator("BitwiseXor", lambda node, a, b: np.bitwise_xor(a, b), INTEGERS),
    _operator("Div", _divide, symbolic=True, traits=AFFINE),
    _comparison("Equal", np.equal, ANY, symbolic=True),
    _comparison("Greater", np.greater),
    _comparison("GreaterOrEqual", np.greater_equal),
    _comparison("Less", np.less),
    _comparison("LessOrEqual", np.less_equal),
    _variadic("Max", np.maximum, symbolic=True),
    _variadic("Mean", np.add, mean=True),
    _variadic("Min", np.minimum, symbolic=True),
    _operator("Mod", _modulo, traits=COMPARISON),
    _operator("Mul", lambda node, a, b: np.multiply(a, b), symbolic=True, traits=AFFINE),
    _comparison("Or", np.logical_or, "b"),
    Op("PRelu", _infer_prelu, _prelu, rows.elementwise, traits=ELEMENTWISE),
    Op("Pow", _infer_power, _power, rows.elementwise, traits=ELEMENTWISE),
    _operator("Sub", lambda node, a, b: np.subtract(a, b), symbolic=True, traits=AFFINE),
    _variadic("Sum", np.add),
    _comparison("Xor", np.logical_xor, "b"),
    Op("pyrec.OffsetIds", broadcasting(NUMBERS), _offset_ids, rows.elementwise, traits=ELEMENTWISE, ids=0),
)
