"""Fourier transforms as products: all their forms, and those that stay what they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, N, graph_of, inputs_for, ops
from support.random_graphs import evaluate

from pyrec_infer.errors import PyrecError
from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.load.expand_transforms import expand_transforms

pytestmark = pytest.mark.once


def transform(sizes: tuple[Any, ...], length: int | None, axis: int | None, **ways: int) -> Graph:
    constants = {
        name: np.asarray(value) for name, value in (("n", length), ("axis", axis)) if value is not None
    }
    inputs = ("x", "n" if length is not None else "", "axis" if axis is not None else "")
    return graph_of([Node("DFT", inputs, ("y",), ways)], constants, x=sizes)


@pytest.mark.parametrize("ways", [{}, {"onesided": 1}, {"inverse": 1}, {"inverse": 1, "onesided": 1}])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(("sizes", "axis"), [((6,), None), ((6, 3), 1), ((3, 5), -2), ((1, 2), 2)])
@pytest.mark.parametrize("length", [None, 4, 5, 8])
def test_transforms_of_a_known_length(
    sizes: tuple[int, ...], axis: int | None, parts: int, length: int | None, ways: dict[str, int]
) -> None:
    graph = transform((*sizes, parts), length, axis, **ways)
    found = expand_transforms(graph)
    assert "DFT" not in ops(found)
    assert not analyze(found).coupled
    given = inputs_for(graph, 4)
    expected, made = evaluate(graph, given, 4)["y"], evaluate(found, given, 4)["y"]
    assert made.shape == expected.shape
    assert [4, *expected.shape[1:]] == [4, *(analyze(found).infos["y"].shape or ())[1:]]
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


def test_what_a_transform_gives() -> None:
    """By its definition, the sum over t of x[t] exp(-2 pi i k t / n)."""
    graph = transform((6, 1), None, 1)
    x = inputs_for(graph, 3)["x"]
    k = np.arange(6)
    found = np.einsum("btc,kt->bk", x, np.exp(-2j * np.pi * np.outer(k, k) / 6))
    made = evaluate(expand_transforms(graph), {"x": x}, 3)["y"]
    np.testing.assert_allclose(made, np.stack([found.real, found.imag], -1), rtol=1e-5, atol=1e-5)


def test_transforms_that_stay() -> None:
    assert ops(expand_transforms(transform((2048, 1), None, 1))) == ["DFT"]
    open_axis = Graph(
        ("x",), ("y",), (Node("DFT", ("x",), ("y",)),), {}, {"x": Info(F32, (N, Dim.symbol("T"), 1), 0)}
    )
    assert ops(expand_transforms(open_axis)) == ["DFT"]
    assert not analyze(open_axis).coupled
    over_rows = transform((3, 1), 4, 0)
    assert ops(expand_transforms(over_rows)) == ["DFT"]
    assert analyze(over_rows).coupled


@pytest.mark.parametrize(
    ("sizes", "length", "axis"),
    [((6, 1), 0, 1), ((6, 1), -3, 1), ((6, 1), 4, 2), ((6, 3), 4, 1), ((1, 2), None, 1), ((6, 1), 2**40, 1)],
)
def test_transforms_of_damaged_files(sizes: tuple[int, ...], length: int | None, axis: int) -> None:
    ways = {"inverse": 1, "onesided": 1}

    def run() -> None:
        graph = transform(sizes, length, axis, **ways)
        evaluate(expand_transforms(graph), inputs_for(graph, 2), 2)

    with pytest.raises(PyrecError):
        run()
