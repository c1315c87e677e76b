"""Operators that leave out hidden positions: native against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pyrec_infer.errors import PyrecError, UseAlternativeError
from pyrec_infer.ir import Node
from pyrec_infer.ops import OPS

pytestmark = pytest.mark.once

_native = pytest.importorskip("pyrec_infer._native", reason="the native extension is not built")

Array = NDArray[Any]
INF = float("inf")


def reference(op: str, inputs: list[Array], attributes: dict[str, Any], outputs: int) -> list[Array]:
    names = tuple(f"x{i}" for i in range(len(inputs)))
    node = Node(op, names, ("y", "z")[:outputs], attributes, name="node")
    return list(OPS[op].evaluate(node, inputs))[:outputs]


def native(op: str, inputs: list[Array], attributes: dict[str, Any], outputs: int) -> list[Array]:
    return list(_native.run_node("scalar", op, attributes, inputs, outputs))


RUNS = [native, reference]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("hidden", [1, 0])
@pytest.mark.parametrize(
    ("shown", "kept", "least"),
    [
        ([0, 1, 1, 0, 1], [1, 2, 4], -5.0),
        ([1, 1, 1, 1, 1], [0, 1, 2, 3, 4], -INF),
        ([0, 0, 0, 0, 0], [0, 1, 2, 3, 4], -INF),
        ([0, 0, 0, 0, 1], [4], -5.0),
    ],
)
def test_kept_positions(run: Any, hidden: int, shown: list[int], kept: list[int], least: float) -> None:
    mask = np.asarray(shown, bool) != bool(hidden)
    attributes = {"axes": (1,), "hidden": hidden, "least": -5.0}
    for given in (mask[None], np.repeat(mask, 2)[None, ::2]):
        made = run("pyrec.KeptPositions", [given], attributes, 2)
        assert [value.dtype for value in made] == [np.int64, np.float32]
        np.testing.assert_array_equal(made[0], kept)
        np.testing.assert_array_equal(made[1], np.float32(least))


@pytest.mark.parametrize("run", RUNS)
def test_a_position_is_kept_if_it_is_shown_anywhere(run: Any) -> None:
    mask = np.asarray([[[1, 1, 0, 1]], [[1, 0, 1, 1]]], bool)
    made = run("pyrec.KeptPositions", [mask], {"axes": (2,), "hidden": 1}, 1)
    np.testing.assert_array_equal(made[0], [1, 2])


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("value", [np.nan, INF, -INF])
def test_all_positions_are_kept_for_hidden_values_that_are_not_finite(run: Any, value: float) -> None:
    mask = np.asarray([[True, False, True, False]])
    attributes = {"axes": (1, 1, 2), "hidden": 1, "least": -5.0}
    for place in range(4):
        vectors = np.ones((1, 4, 3), np.float32)
        vectors[0, place, 2] = value
        inputs = [mask, np.ones((1, 4), np.float32), vectors.transpose(0, 2, 1)]
        kept, least = run("pyrec.KeptPositions", inputs, attributes, 2)
        np.testing.assert_array_equal(kept, [1, 3] if place in (1, 3) else range(4))
        assert least == (-5.0 if place in (1, 3) else -INF)


@pytest.mark.parametrize("run", RUNS)
def test_nothing_to_keep_and_wrong_inputs(run: Any) -> None:
    mask, vectors = np.zeros((1, 0), bool), np.ones((1, 3), np.float32)
    with pytest.raises(UseAlternativeError):
        run("pyrec.KeptPositions", [mask], {"axes": (1,), "hidden": 1}, 2)
    with pytest.raises(PyrecError):
        run("pyrec.KeptPositions", [mask, vectors], {"axes": (1,), "hidden": 1}, 2)
    with pytest.raises(PyrecError):
        run("pyrec.KeptPositions", [mask], {"axes": (2,), "hidden": 1}, 2)


SCORES = np.asarray([[-9.0, 2.0, -3.0], [-6.0, -5.0, -7.0]], np.float32)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(("least", "passes"), [(-5.0, True), (-4.9, False), (-INF, True)])
def test_every_row_needs_a_score_that_is_high_enough(run: Any, least: float, passes: bool) -> None:
    for scores, axis in ((SCORES, -1), (SCORES.T, 0), (SCORES[:, None, ::-1], 2)):
        inputs = [scores, np.asarray(least, np.float32)]
        if passes:
            (made,) = run("pyrec.CheckedScores", inputs, {"axis": axis}, 1)
            np.testing.assert_array_equal(made, scores)
        else:
            with pytest.raises(UseAlternativeError):
                run("pyrec.CheckedScores", inputs, {"axis": axis}, 1)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("value", [np.nan, INF])
def test_a_score_that_is_no_number_needs_the_alternative(run: Any, value: float) -> None:
    scores = SCORES.copy()
    scores[1, 2] = value
    with pytest.raises(UseAlternativeError):
        run("pyrec.CheckedScores", [scores, np.float32(-5.0)], {"axis": -1}, 1)
    (made,) = run("pyrec.CheckedScores", [scores, np.float32(-INF)], {"axis": -1}, 1)
    np.testing.assert_array_equal(made, scores)
