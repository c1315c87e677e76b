"""A constant text in front of strings that are hashed, and what stays a concatenation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import ops, recognised

from pyrec_infer.ir import STRING, Dim, Graph, Info, Node
from pyrec_infer.ops import OPS

pytestmark = pytest.mark.once

WORDS = np.asarray(["", "rome", "none", "å", "a\0b", "city="], object)


def graph_of_hash(front: Any, scheme: str, mask: str | None, *sizes: int) -> Graph:
    hashed = {"scheme": scheme, "buckets": 97, "first": 1, "field": "f", "seed": ("0", "0")}
    nodes = (
        Node("StringConcat", ("front", "x"), ("a",)),
        Node("pyrec.HashBucket", ("a",), ("y",), hashed if mask is None else {**hashed, "mask": mask}),
    )
    given = {"x": Info(STRING, (Dim.symbol("N"), *sizes), 0)}
    return Graph(("x",), ("y",), nodes, {"front": np.asarray(front, object)}, given)


@pytest.mark.parametrize("scheme", ["crc32", "spark_feature_hasher", "vw", "keras"])
@pytest.mark.parametrize("mask", [None, "city=none", "none", "city="])
def test_the_text_is_hashed_in_front(scheme: str, mask: str | None) -> None:
    graph = graph_of_hash("city=", scheme, mask)
    (node,) = recognised(graph).nodes
    (made,) = OPS[node.op].evaluate(node, [WORDS])
    (joined,) = OPS["StringConcat"].evaluate(graph.nodes[0], [graph.constants["front"], WORDS])
    (expected,) = OPS[node.op].evaluate(graph.nodes[1], [joined])
    np.testing.assert_array_equal(made, expected)


def test_texts_of_their_own_stay() -> None:
    graph = graph_of_hash(["a", "b"], "crc32", None, 2)
    assert ops(recognised(graph)) == ["StringConcat", "pyrec.HashBucket"]
