"""What a call asks for as the only output of a graph."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, XZ, alike, graph_of, inputs_for, ops
from support.random_graphs import evaluate

from pyrec_infer.errors import InputError
from pyrec_infer.expressions import parse
from pyrec_infer.ir import Node
from pyrec_infer.passes.select.select_scores import Column, add_inputs, select_scores

pytestmark = pytest.mark.once


def test_logit_leaves_the_sigmoid_out() -> None:
    nodes = [
        Node("Neg", ("x",), ("a",)),
        Node("Sigmoid", ("a",), ("s",)),
        Node("Reshape", ("s", "flat"), ("y",)),
    ]
    constants = {"flat": np.asarray([-1])}
    assert "Sigmoid" not in ops(select_scores(graph_of(nodes, constants, **XZ), [Column("y", logit=True)]))
    nodes[2] = Node("Neg", ("s",), ("y",))
    with pytest.raises(InputError, match="does not end in a sigmoid"):
        select_scores(graph_of(nodes, constants, **XZ), [Column("y", logit=True)])


def test_several_scores_are_columns_of_one_matrix() -> None:
    nodes = [Node("Neg", ("x",), ("y",)), Node("Cast", ("z",), ("w",), {"to": "float64"})]
    graph = graph_of(nodes, outputs=("y", "w"), **XZ)
    scores = [Column("w", 3), parse("min(y[0], 2 * w[1])"), Column("y", -1)]
    found = select_scores(graph, scores)
    inputs = inputs_for(graph, 5)
    x, z = inputs["x"], inputs["z"]
    (made,) = evaluate(found, inputs, 5).values()
    np.testing.assert_allclose(made, np.stack([z[:, 3], np.minimum(-x[:, 0], 2 * z[:, 1]), -x[:, 3]], axis=1))
    assert found.nodes[-1].op == "Concat"


def test_rows_that_lie_along_another_axis_come_first() -> None:
    graph = graph_of([Node("Transpose", ("x",), ("y",), {"perm": (1, 0)})], x=(4,))
    inputs = inputs_for(graph, 5)
    (made,) = evaluate(select_scores(graph, [Column("y")]), inputs, 5).values()
    np.testing.assert_array_equal(made, inputs["x"])


def test_further_inputs_take_the_names_of_hidden_values() -> None:
    graph = graph_of([Node("Neg", ("x",), ("h",)), Node("Abs", ("h",), ("y",))], x=(4,))
    found = alike(graph, add_inputs(graph, ["h", "price"]), h=np.zeros(5, F32), price=np.zeros(5, F32))
    assert found.inputs == ("x", "h", "price")
    with pytest.raises(InputError, match="'y'"):
        add_inputs(graph, ["y"])
