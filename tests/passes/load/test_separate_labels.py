"""Classifiers whose labels are strings, which are looked up behind them, or numbers, which are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import graph_of, inputs_for, ops
from support.random_graphs import evaluate

from pyrec_infer.ir import Graph, Linear, Node
from pyrec_infer.passes.load.separate_labels import separate_labels

pytestmark = pytest.mark.once


def classifier(labels: Any, *outputs: str) -> Graph:
    linear = Linear(np.asarray([[1.0, -2.0], [0.5, 1.0], [-1.0, 0.0]]), np.asarray([0.5, 0.0, 1.0]))
    node = Node("pyrec.LinearClassifier", ("x",), outputs, {"linear": linear, "labels": labels})
    return graph_of([node], outputs=tuple(name for name in outputs if name), x=(2,))


STRINGS = np.asarray(["low", "high", "none"])


def test_strings_are_looked_up_by_their_place() -> None:
    graph = classifier(STRINGS, "label", "p")
    found = separate_labels(graph)
    assert ops(found) == ["pyrec.LinearClassifier", "Gather"]
    inputs = inputs_for(graph, 20)
    expected, made = evaluate(graph, inputs, 20), evaluate(found, inputs, 20)
    assert len(set(expected["label"].tolist())) == len(STRINGS)
    np.testing.assert_array_equal(made["label"], expected["label"])
    np.testing.assert_array_equal(made["p"], expected["p"])


def test_labels_that_nobody_reads_are_not_looked_up() -> None:
    graph = classifier(STRINGS, "", "p")
    found = separate_labels(graph)
    assert ops(found) == ["pyrec.LinearClassifier"]
    assert found.nodes[0].attribute("labels").dtype.kind == "i"
    inputs = inputs_for(graph, 20)
    np.testing.assert_array_equal(evaluate(found, inputs, 20)["p"], evaluate(graph, inputs, 20)["p"])


def test_numbers_stay_in_the_classifier() -> None:
    graph = classifier(np.asarray([5, 7, 9]), "label", "p")
    assert separate_labels(graph).nodes == graph.nodes
