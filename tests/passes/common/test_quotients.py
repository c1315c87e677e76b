"""Quotients against the numbers themselves."""

from __future__ import annotations

import numpy as np
import pytest

from pyrec_infer.ir import Node
from pyrec_infer.passes.common.affine import Affine, numbers
from pyrec_infer.passes.common.quotients import Quotient, Root, apply_divided, divided_beforehand

X = np.asarray([3.0, -1.0, 4.0])
"""An item's numbers; the last divides."""


def quotient(floor: float = 0.0) -> Quotient:
    """``5 * x[:2] / max(sqrt(2 * x[2]), floor)``."""
    inside = apply_divided(Node("Mul", ("x", "m"), ("y",)), [numbers(2, (1, 1), 3), np.asarray([[2.0]])])
    root = apply_divided(Node("Sqrt", ("y",), ("r",)), [inside])
    root = apply_divided(Node("Max", ("r", "f"), ("d",)), [root, np.asarray(floor)])
    assert isinstance(root, Root)
    made = apply_divided(Node("Div", ("x", "d"), ("q",)), [numbers(0, (1, 2), 3), root])
    made = apply_divided(Node("Mul", ("q", "c"), ("z",)), [made, np.asarray(5.0)])
    assert isinstance(made, Quotient)
    return made


def test_a_quotient_is_a_sum_of_numbers_that_are_divided() -> None:
    total = apply_divided(Node("ReduceSum", ("z", "a"), ("s",)), [quotient(), np.asarray([1])])
    assert isinstance(total, Quotient)
    made = divided_beforehand(total, 4.0, 4.0)
    assert isinstance(made, Affine)
    divided = np.append(np.append(X, 1) / np.sqrt(X[2]), 1)
    assert made.factors[0] @ divided == pytest.approx(5 * (X[0] + X[1]) / np.sqrt(2 * X[2]))


@pytest.mark.parametrize(("least", "most", "floor"), [(0.0, 4.0, 0.0), (1.0, 4.0, 2.0), (1e-40, 1.0, 0.0)])
def test_what_may_be_below_its_floor_is_no_quotient(least: float, most: float, floor: float) -> None:
    assert divided_beforehand(quotient(floor), least, most) is None


def test_what_is_added_is_no_quotient() -> None:
    assert apply_divided(Node("Add", ("z", "b"), ("y",)), [quotient(), np.asarray(1.0)]) is None
    assert apply_divided(Node("Mul", ("z", "z"), ("y",)), [quotient(), quotient()]) is None
