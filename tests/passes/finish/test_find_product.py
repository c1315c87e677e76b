"""Scores that rise with an inner product, and those that nearly do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, N

from pyrec_infer.ir import Dim, Graph, Info, Node, Rows
from pyrec_infer.ops.lookup_parts import LookupPart, make_lookup
from pyrec_infer.passes.finish.find_product import RISING, ItemProduct, find_product, request_graph
from pyrec_infer.passes.split.record_layout import RECORDS, ROWS

pytestmark = pytest.mark.once

INFOS = {
    "u": Info(F32, (N, 1, 2), 0),
    "t": Info(F32, (N, 1), 0),
    ROWS: Info(np.dtype(np.int64), (N,), 0),
    RECORDS: Info(np.dtype(np.uint8), (Dim.symbol("M"), 16), Rows.INVARIANT),
}
CONSTANTS = {"shape": np.asarray([-1, 1, 2]), "zero": np.asarray([0])}
VECTOR, BIAS = LookupPart(ROWS, RECORDS, -1, 2), LookupPart(ROWS, RECORDS, -1, 1, 8)
DOT = (
    Node("Exp", ("u",), ("e",)),
    make_lookup("pyrec.Lookup", "x", [VECTOR]),
    Node("Reshape", ("x", "shape"), ("v",)),
    Node("pyrec.PairDots", ("e", "v", "zero", "zero"), ("d",)),
)


def found(*nodes: Node, **constants: Any) -> ItemProduct | str:
    graph = Graph(("u", "t", RECORDS, ROWS), ("y",), nodes, {**CONSTANTS, **constants}, INFOS)
    made = find_product(graph)
    if isinstance(made, ItemProduct):
        own = request_graph(graph, made)
        assert own.outputs == made.request
        assert {node.op for node in own.nodes} <= {"Exp"}
    return made


def test_biases_scales_and_functions() -> None:
    product = found(
        *DOT,
        make_lookup("pyrec.LookupSum", "b", [BIAS], bias="d"),
        Node("pyrec.MultiplyAdd", ("b", "two", "t"), ("z",)),
        Node("Sigmoid", ("z",), ("p",)),
        Node("Relu", ("p",), ("y",)),
        two=np.float32([2]),
    )
    assert isinstance(product, ItemProduct)
    assert (set(product.request), product.functions, product.width) == ({"e", "t"}, ("Sigmoid", "Relu"), 3)
    made = product.factors({"e": np.float32([[[3, 4]]]), "t": np.float32([[5]])})
    assert made is not None
    assert made.factors.reshape(-1).tolist() == [6, 8, 2, 5]


def test_a_function_inside_of_a_lookup() -> None:
    product = found(*DOT, make_lookup("pyrec.LookupSum", "y", [BIAS], bias="d", activation="Sigmoid"))
    assert isinstance(product, ItemProduct)
    assert product.functions == ("Sigmoid",)


@pytest.mark.parametrize(
    "last",
    [
        (Node("Neg", ("d",), ("n",)), Node("Abs", ("n",), ("y",))),
        (Node("Mul", ("d", "d"), ("y",)),),
        (Node("Sigmoid", ("d",), ("s",)), Node("Mul", ("s", "t"), ("y",))),
        (
            make_lookup("pyrec.LookupSum", "b", [BIAS], bias="d", activation="Relu"),
            Node("Add", ("b", "t"), ("y",)),
        ),
        (make_lookup("pyrec.LookupSum", "y", [LookupPart(ROWS, RECORDS, -1, 1, 8, "f16")], bias="d"),),
        (Node("Div", ("t", "d"), ("y",)),),
    ],
)
def test_near_misses(last: tuple[Node, ...]) -> None:
    assert isinstance(found(*DOT, *last), str)


def test_functions_never_fall_and_their_bounds_hold() -> None:
    values = np.linspace(-30, 90, 500)
    for name, function in RISING.items():
        made = [function(float(value)) for value in values]
        assert (np.diff(made) >= 0).all()
        product = ItemProduct((), (), {}, "", (name, name), 0, 0)
        assert all(product.highest(x) > function(y) for x, y in zip(values.tolist(), made, strict=True))
    assert ItemProduct((), (), {}, "", ("Exp",), 0, 0).highest(200.0) == np.inf
