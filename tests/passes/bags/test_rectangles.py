"""Bags of ids that stand in a matrix: `EmbeddingBag` of torch, called with two axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.helper import make_node
from onnx.numpy_helper import from_array
from support.bag_models import PADDING, TABLE, padded, scripted, sequenced
from support.models import INT64
from support.random_graphs import equal, evaluate

import pyrec_infer as pi
from pyrec_infer.formats import import_model
from pyrec_infer.ir import Graph
from pyrec_infer.passes import compile_graph

LENGTH = 3


def of_matrix(
    source: bytes, counted: str, first: int = 0, step: int = LENGTH, weights: bool = False
) -> bytes:
    """A model of bags whose ids and offsets are made of a matrix, as both exporters count its elements."""
    model = onnx.ModelProto.FromString(source)
    counts = {
        "scripted": [
            make_node("Shape", ["tags"], ["sizes"]),
            make_node("ReduceProd", ["sizes"], ["all_ids"]),
        ],
        "dynamo": [
            make_node("Shape", ["tags"], ["sizes"], end=1),
            make_node("Squeeze", ["sizes"], ["some"]),
            make_node("Mul", ["some", "long"], ["all_ids"]),
        ],
    }[counted]
    if counted == "scripted":
        counts[1].attribute.append(onnx.helper.make_attribute("keepdims", 0))
    front = [
        *counts,
        make_node("Reshape", ["tags", "minus1"], ["ids"]),
        make_node("Range", ["first_place", "all_ids", "step"], ["offsets"]),
    ]
    if weights:
        front.append(make_node("Reshape", ["tag_weights", "minus1"], ["weights"]))
    numbers = {"first_place": first, "step": step, "long": LENGTH}
    model.graph.initializer.extend(from_array(np.asarray(value), name) for name, value in numbers.items())
    nodes, inputs = [*front, *model.graph.node], [item for item in model.graph.input if item.name == "x"]
    inputs.append(onnx.helper.make_tensor_value_info("tags", INT64, ["B", LENGTH]))
    if weights:
        inputs.append(
            onnx.helper.make_tensor_value_info("tag_weights", onnx.TensorProto.FLOAT, ["B", LENGTH])
        )
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(nodes)
    model.graph.input.extend(inputs)
    return model.SerializeToString()


FORMS: Mapping[str, tuple[str, Callable[..., bytes]]] = {
    "scripted": ("scripted", scripted),
    "sequenced": ("dynamo", sequenced),
    "padded": ("dynamo", padded),
}


def rows(count: int = 5) -> dict[str, Any]:
    numbers = np.random.default_rng(count)
    tags = numbers.integers(0, len(TABLE), (count, LENGTH))
    tags[0] = PADDING
    tags[-1, 1] = PADDING
    return {"tags": tags, "x": numbers.random((count, 5), np.float32)}


def loops(graph: Graph) -> set[str]:
    return {"Loop", "pyrec.EmbeddingBag"} & {node.op for node in graph.nodes}


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("form", FORMS)
def test_bags_of_a_matrix_are_reduced_row_by_row(form: str, mode: str) -> None:
    counted, build = FORMS[form]
    source = of_matrix(build(mode), counted)
    before, given = import_model(source).graph, rows()
    after = compile_graph(before)
    assert not loops(after)
    assert "Mul" not in {node.op for node in after.nodes}
    expected = evaluate(before, given, 5)["y"]
    model = pi.load(source)
    np.testing.assert_allclose(model.run(given)["y"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.score({}, given), expected, rtol=1e-5, atol=1e-6)
    own = {"tags": given["tags"][:1], "x": given["x"]}
    repeated = {**own, "tags": np.repeat(own["tags"], 5, axis=0)}
    scores = evaluate(before, repeated, 5)["y"]
    np.testing.assert_allclose(
        model.score({"tags": own["tags"]}, {"x": own["x"]}), scores, rtol=1e-5, atol=1e-6
    )
    catalog = model.catalog({"tags": given["tags"]}, candidates=["x"])
    found = catalog.score({}, range(5), {"x": given["x"]})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["scripted", "sequenced"])
def test_weights_of_a_matrix(form: str) -> None:
    counted, build = FORMS[form]
    source = of_matrix(build("sum", weighted=True), counted, weights=True)
    given = {**rows(), "tag_weights": np.random.default_rng(2).random((5, LENGTH), np.float32)}
    before = import_model(source).graph
    assert not loops(compile_graph(before))
    np.testing.assert_allclose(
        pi.load(source).run(given)["y"], evaluate(before, given, 5)["y"], rtol=1e-5, atol=1e-6
    )


@pytest.mark.once
@pytest.mark.parametrize("change", [{"step": 2}, {"step": 6}, {"first": 1}])
@pytest.mark.parametrize("form", FORMS)
def test_bags_that_are_no_rows_stay(form: str, change: dict[str, int]) -> None:
    counted, build = FORMS[form]
    before = import_model(of_matrix(build(), counted, **change)).graph
    after = compile_graph(before)
    assert loops(after)
    given = rows(6)
    given["x"] = given["x"][np.arange(6) % 6]
    outcomes = []
    for graph in (before, after):
        try:
            outcomes.append(evaluate(graph, given, 6)["y"])
        except pi.PyrecError:
            outcomes.append(None)
    assert outcomes[1] is None or equal(*outcomes)
