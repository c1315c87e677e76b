"""Matrices of the request that are laid out once for all candidates."""

from __future__ import annotations

import pytest
from support.graphs import ops
from support.split_graphs import (
    LENGTH,
    REQUEST,
    Builder,
    check,
)

from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.pack_matrices import pack_matrices

pytestmark = pytest.mark.once


def test_a_product_with_a_matrix_of_the_request_is_packed_once() -> None:
    build = Builder()
    weights = build.node("Softmax", build.dense("i", 4, LENGTH), axis=-1)
    graph = build.graph(build.node("MatMul", build.node("Unsqueeze", weights, build.integers(1)), "k"))
    assert "pyrec.Pack" in ops(check(graph, pack_matrices(graph, Sides(REQUEST))))
    assert pack_matrices(graph, Sides(frozenset())).nodes == graph.nodes
