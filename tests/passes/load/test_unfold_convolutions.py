"""Convolutions as products: windows, strides, dilations and padding, and those that stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, applied, graph_of, ops

from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.load.unfold_convolutions import unfold_convolutions

pytestmark = pytest.mark.once


def convolution(
    sizes: tuple[int, ...], kernel: tuple[int, ...], bias: bool = True, **attributes: Any
) -> Graph:
    channels = sizes[0] // attributes.get("group", 1)
    numbers = np.random.default_rng(0).integers(-4, 5, (6, channels, *kernel)) / 4
    constants = {"w": numbers.astype(F32), "b": np.arange(6, dtype=F32)}
    inputs = ("x", "w", "b") if bias else ("x", "w")
    return graph_of([Node("Conv", inputs, ("y",), attributes)], constants, x=sizes)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("sizes", "kernel", "attributes"),
    [
        ((3, 7), (3,), {}),
        ((3, 7), (7,), {}),
        ((2, 5), (1,), {}),
        ((700, 16), (1,), {}),
        ((2, 7), (3,), {"pads": (2, 1), "strides": (2,)}),
        ((2, 9), (3,), {"dilations": (3,), "pads": (0, 4)}),
        ((2, 6), (4,), {"auto_pad": "SAME_LOWER"}),
        ((1, 5, 4), (2, 4), {}),
        ((2, 5, 4), (3, 1), {"pads": (1, 0, 1, 0)}),
        ((2, 4, 5), (2, 2), {"strides": (2, 3), "auto_pad": "SAME_UPPER"}),
        ((2, 3, 2, 3), (2, 2, 2), {"pads": (1, 0, 0, 0, 1, 1)}),
    ],
)
def test_windows(
    sizes: tuple[int, ...], kernel: tuple[int, ...], bias: bool, attributes: dict[str, Any]
) -> None:
    found = applied(unfold_convolutions, convolution(sizes, kernel, bias, **attributes))
    assert "Conv" not in ops(found)
    assert "MatMul" in ops(found)
    assert not analyze(found).coupled


@pytest.mark.parametrize(
    ("sizes", "kernel", "attributes"),
    [((2, 6), (3,), {"group": 2}), ((3, 64, 64), (3, 3), {})],
    ids=["groups", "an image"],
)
def test_convolutions_that_stay(
    sizes: tuple[int, ...], kernel: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    assert ops(unfold_convolutions(convolution(sizes, kernel, **attributes))) == ["Conv"]


def test_weights_that_are_no_constant_stay() -> None:
    nodes = [Node("Conv", ("x", "w"), ("y",))]
    graph = graph_of(nodes, {}, x=(2, 5), w=(2, 3))
    assert ops(unfold_convolutions(graph)) == ["Conv"]


@pytest.mark.parametrize(
    ("sizes", "kernel", "second", "attributes"),
    [
        ((3, 8), (2,), (2,), {"strides": (2,)}),
        ((2, 6), (3,), (1,), {}),
        ((2, 9), (2,), (3,), {"pads": (1, 2), "strides": (2,)}),
        ((1, 5, 7), (2, 2), (2, 3), {"strides": (2, 1), "pads": (0, 1, 1, 0), "dilations": (1, 2)}),
        ((2, 4, 4), (1, 1), (4, 4), {}),
        ((1, 40, 40), (2, 2), (2, 2), {"strides": (2, 2)}),
    ],
)
@pytest.mark.parametrize("between", [(), ("Relu",), ("Neg", "Sigmoid")])
@pytest.mark.parametrize("read_between", [False, True])
def test_stacks(
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    second: tuple[int, ...],
    attributes: dict[str, Any],
    between: tuple[str, ...],
    read_between: bool,
) -> None:
    """Channels stay together between convolutions; others read the file's form."""
    rng = np.random.default_rng(1)
    constants = {
        "w": rng.integers(-4, 5, (6, sizes[0], *kernel)).astype(F32) / 4,
        "v": rng.integers(-4, 5, (5, 6, *second)).astype(F32) / 4,
        "b": np.arange(5, dtype=F32),
    }
    names = ["h0", *(f"h{i + 1}" for i in range(len(between)))]
    nodes = [
        Node("Conv", ("x", "w"), ("h0",)),
        *(Node(op, (names[i],), (names[i + 1],)) for i, op in enumerate(between)),
        Node("Conv", (names[-1], "v", "b"), ("y",), attributes),
    ]
    outputs = ("y", *names) if read_between else ("y",)
    graph = graph_of(nodes, constants, outputs=outputs, x=sizes)
    found = applied(unfold_convolutions, graph)
    assert "Conv" not in ops(found)
    assert not analyze(found).coupled
    if not read_between:
        assert ops(remove_dead(found)).count("Transpose") == 1 + (sizes[0] > 1 and kernel == (1, 1))


def test_a_second_operand_between_convolutions_reads_the_file_s_form() -> None:
    """One number for each channel would meet the positions instead."""
    constants = {
        "w": np.ones((5, 2, 2), F32),
        "v": np.ones((3, 5, 2), F32),
        "c": np.arange(5, dtype=F32)[:, None],
    }
    nodes = [
        Node("Conv", ("x", "w"), ("h",)),
        Node("Mul", ("h", "c"), ("g",)),
        Node("Conv", ("g", "v"), ("y",)),
    ]
    found = applied(unfold_convolutions, graph_of(nodes, constants, x=(2, 6)))
    assert ops(remove_dead(found)).count("Transpose") == 2
