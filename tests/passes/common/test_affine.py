"""Values that are affine in an item's numbers, against the same arithmetic in float32."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrec_infer.ir import Array, Node
from pyrec_infer.ops import OPS
from pyrec_infer.passes.common.affine import RULES, Affine, Value, apply, numbers, share_of

pytestmark = pytest.mark.once

WIDTH = 6
F32 = np.float32


def chain(number: int, rng: np.random.Generator) -> tuple[Node, list[Array | None]]:
    """An operator, and what it takes beside a value [1, 2, 3] in the place of None."""
    some = (rng.standard_normal((1, 2, 3)) * 10.0 ** rng.integers(-3, 4)).astype(F32)
    matrix, row = rng.standard_normal((3, 3)).astype(F32), rng.standard_normal(3).astype(F32)
    left, right = np.asarray([0, 1, 1]), np.asarray([1, 0, 1])
    moved = np.asarray([2, 0, 1])
    made: list[tuple[Node, list[Array | None]]] = [
        (Node("Add", ("x", "s"), ("y",)), [None, some]),
        (Node("Sub", ("s", "x"), ("y",)), [some, None]),
        (Node("Mul", ("x", "s"), ("y",)), [None, row]),
        (Node("Div", ("x", "s"), ("y",)), [None, some]),
        (Node("Neg", ("x",), ("y",)), [None]),
        (Node("pyrec.MultiplyAdd", ("s", "x", "r"), ("y",)), [row, None, some]),
        (Node("MatMul", ("x", "m"), ("y",)), [None, matrix]),
        (Node("pyrec.Dense", ("x", "m", "r"), ("y",)), [None, matrix, row]),
        (Node("ReduceSum", ("x", "a"), ("y",), {"keepdims": 1}), [None, np.asarray([1])]),
        (Node("pyrec.PairDots", ("x", "s", "l", "r"), ("y",)), [None, some, left, right]),
        (Node("Gather", ("x", "i"), ("y",), {"axis": 2}), [None, moved]),
        (Node("Concat", ("x", "s"), ("y",), {"axis": 1}), [None, some]),
    ]
    return made[number % len(made)]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 11), min_size=1, max_size=5), st.integers(0, 1000))
def test_what_float32_makes_of_it_is_within_the_bound(numbers_of: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    own = (rng.standard_normal(WIDTH) * 10.0 ** rng.integers(-30, 4)).astype(F32)
    value: Value | None = numbers(0, (1, 2, 3), WIDTH)
    plain = own.reshape(1, 2, 3)
    for number in numbers_of:
        node, inputs = chain(number, rng)
        if plain.shape != (1, 2, 3):
            break
        value = apply(node, [value if item is None else item for item in inputs])
        plain = (
            OPS[node.op].evaluate(node, [plain if item is None else item for item in inputs])[0].astype(F32)
        )
    assert isinstance(value, Affine)
    assert value.shape == plain.shape
    sized = np.append(np.abs(own.astype(np.float64)), 1.0)
    exact = value.factors @ np.append(own.astype(np.float64), 1.0)
    bound = share_of(value.roundings + 1) * (value.sizes @ sized) + value.rest
    assert (np.abs(plain - exact) <= bound).all()
    assert (np.abs(value.factors) <= value.sizes * (1 + 1e-12)).all()
    assert (value.sizes <= value.largest * (1 + 1e-12)).all()


@pytest.mark.parametrize("op", sorted(RULES))
def test_products_of_two_that_depend_on_the_item_are_not_affine(op: str) -> None:
    value = numbers(0, (1, 2, 3), WIDTH)
    other: list[Value | None] = [value, value, np.asarray([0]), np.asarray([0])]
    count = {"Neg": 1, "ReduceSum": 2, "pyrec.MultiplyAdd": 3, "pyrec.PairDots": 4}.get(op, 2)
    made = apply(Node(op, ("x",) * count, ("y",)), other[:count])
    assert isinstance(made, Affine) == (op in ("Add", "Sum", "Sub", "Neg"))
    assert apply(Node("Exp", ("x",), ("y",)), [value]) is None
