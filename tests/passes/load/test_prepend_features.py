"""Graphs of raw values in front of a model: names on both sides that are alike mean what they meant."""

from __future__ import annotations

import pytest
from support.graphs import F32, graph_of, inputs_for, ops
from support.random_graphs import equal, evaluate

from pyrec_infer.ir import Graph, Node, verify
from pyrec_infer.passes.load.prepend_features import Front, prepend_features

pytestmark = pytest.mark.once

ROWS = 5


def front(made: str = "f", raw: str = "r") -> Front:
    """The model's ``x`` is the exponential of a raw value less 2, by way of a value."""
    nodes = [Node("Sub", (raw, "two"), (f"{made}/1",)), Node("Exp", (f"{made}/1",), (made,))]
    return Front(graph_of(nodes, {"two": F32.type(2)}, outputs=(made,), **{raw: (4,)}), {"x": made})


def check(model: Graph, made: Front) -> Graph:
    """The graph of both, once it gives what one after the other gives."""
    found = prepend_features(model, made)
    verify(found, "prepend_features")
    inputs = inputs_for(found, ROWS)
    values = evaluate(made.graph, inputs, ROWS)
    fed = {name: values.get(value, inputs.get(value)) for name, value in made.feeds.items()}
    expected = evaluate(model, {**inputs, **fed}, ROWS)
    for name, value in evaluate(found, inputs, ROWS).items():
        assert equal(value, expected[name]), name
    return found


MODEL = [Node("Mul", ("x", "two"), ("m",)), Node("Add", ("m", "z"), ("y",))]


def model(nodes: list[Node] = MODEL, output: str = "y", other: str = "z") -> Graph:
    return graph_of(nodes, {"two": F32.type(3)}, outputs=(output,), x=(4,), **{other: (4,)})


def test_the_model_reads_what_the_front_makes() -> None:
    found = check(model(), front())
    assert found.inputs == ("r", "z")
    assert ops(found) == ["Sub", "Exp", "Mul", "Add"]


@pytest.mark.parametrize("made", ["m", "x", "f"])
@pytest.mark.parametrize("raw", ["x", "m", "r"])
def test_values_inside_the_model_give_way(made: str, raw: str) -> None:
    if made != raw:
        assert check(model(), front(made, raw)).inputs == (raw, "z")


@pytest.mark.parametrize("name", ["two", "f/1", "f"])
def test_values_inside_the_front_give_way_to_outputs_and_other_inputs(name: str) -> None:
    doubled = [Node("Add", ("x", "x"), (name,)), Node("Identity", ("z",), ("unused",))]
    out = graph_of(doubled, outputs=(name,), x=(4,), z=(4,))
    assert check(out, front()).outputs == (name,)
    summed = graph_of([Node("Add", ("x", name), ("y",))], x=(4,), **{name: (4,)})
    assert check(summed, front()).inputs == ("r", name)


def test_an_input_that_is_an_output_is_what_it_is_fed() -> None:
    same = graph_of([Node("Neg", ("x",), ("y",))], outputs=("y", "x"), x=(4,))
    assert check(same, front()).outputs == ("y", "x")
