"""Models whose score is a function of an inner product of a user's numbers and an item's."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from support.models import FLOAT, make_model

USER, ITEM = 5, 7
"""Numbers of the inputs ``user`` and ``item``."""

DOTS = ("sum", "matmul", "machine", "plain")

COSINES = ("cosine", "lengths")
"""Divided by the vectors' lengths: the root of a product of squares, not below a floor, or their product."""


def _dot(kind: str, width: int) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """From vectors ``u`` and ``v`` to ``dot`` [N, 1]."""
    if kind == "sum":
        return [
            helper.make_node("Mul", ["u", "v"], ["uv"]),
            helper.make_node("ReduceSum", ["uv", "last"], ["dot"], keepdims=1),
        ], {"last": np.asarray([1])}
    if kind == "matmul":
        return [
            helper.make_node("Reshape", ["u", "row"], ["ur"]),
            helper.make_node("Reshape", ["v", "column"], ["vc"]),
            helper.make_node("MatMul", ["ur", "vc"], ["product"]),
            helper.make_node("Reshape", ["product", "flat"], ["dot"]),
        ], {
            "row": np.asarray([-1, 1, width]),
            "column": np.asarray([-1, width, 1]),
            "flat": np.asarray([-1, 1]),
        }
    if kind == "plain":
        return [
            helper.make_node("Concat", ["u", "v"], ["uv"], axis=1),
            helper.make_node("MatMul", ["uv", "weights"], ["dot"]),
        ], {"weights": np.linspace(-1, 1, 2 * width, dtype=np.float32)[:, None]}
    if kind in COSINES:
        dot, last = _dot("sum", width)
        dot[-1].output[0] = "whole"
        if kind == "cosine":
            sides = [
                node
                for name in "uv"
                for node in (
                    helper.make_node("Mul", [name, name], [name * 2]),
                    helper.make_node("ReduceSum", [name * 2, "last"], [f"of {name}"], keepdims=1),
                )
            ]
            sides += [
                helper.make_node("Mul", ["of u", "of v"], ["squares"]),
                helper.make_node("Sqrt", ["squares"], ["root"]),
                helper.make_node("Max", ["root", "floor"], ["length"]),
            ]
        else:
            sides = [helper.make_node("ReduceL2", [name, "last"], [f"of {name}"]) for name in "uv"]
            sides.append(helper.make_node("Mul", ["of v", "of u"], ["length"]))
        return [*dot, *sides, helper.make_node("Div", ["whole", "length"], ["dot"])], {
            **last,
            "floor": np.float32(1e-8),
        }
    # A factorisation machine over two fields: half of the square of the sum less the sum of the squares.
    return [
        helper.make_node("Add", ["u", "v"], ["s"]),
        helper.make_node("Mul", ["s", "s"], ["ss"]),
        helper.make_node("Mul", ["u", "u"], ["uu"]),
        helper.make_node("Mul", ["v", "v"], ["vv"]),
        helper.make_node("Sub", ["ss", "uu"], ["less"]),
        helper.make_node("Sub", ["less", "vv"], ["twice"]),
        helper.make_node("Mul", ["twice", "half"], ["fields"]),
        helper.make_node("ReduceSum", ["fields", "last"], ["dot"], keepdims=1),
    ], {"half": np.float32(0.5), "last": np.asarray([1])}


def two_towers(
    width: int,
    dot: str = "sum",
    item_bias: bool = False,
    user_bias: bool = False,
    scale: float | None = None,
    activation: str = "",
    seed: int = 0,
) -> bytes:
    """Vectors of dense layers, multiplied; then a bias of each side, a factor and a function of that."""
    rng = np.random.default_rng(seed)
    nodes, constants = _dot(dot, width)
    towers = []
    for name, source, size, columns in (
        ("u", "user", USER, width),
        ("v", "item", ITEM, width),
        ("ub", "user", USER, 1),
        ("vb", "item", ITEM, 1),
    ):
        constants[f"w{name}"] = rng.standard_normal((size, columns)).astype(np.float32)
        towers.append(helper.make_node("MatMul", [source, f"w{name}"], [name]))
    last = "dot"
    for wanted, bias in ((item_bias, "vb"), (user_bias, "ub")):
        if wanted:
            nodes.append(helper.make_node("Add", [last, bias], [f"{last}+"]))
            last += "+"
    if scale is not None:
        constants["scale"] = np.float32(scale)
        nodes.append(helper.make_node("Mul", [last, "scale"], [f"{last}*"]))
        last += "*"
    nodes.append(helper.make_node(activation or "Identity", [last], ["score"]))
    made = make_model(
        [*towers, *nodes],
        {"user": (FLOAT, ["N", USER]), "item": (FLOAT, ["N", ITEM])},
        {"score": (FLOAT, ["N", 1])},
        constants,
    )
    return made.SerializeToString()


__all__ = ["COSINES", "DOTS", "ITEM", "USER", "two_towers"]
