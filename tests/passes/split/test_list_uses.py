"""Lists whose parts belong to rows: what joins their parts beside the bags is not repeated."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.helper import make_node
from support.bag_models import SPELLINGS, TABLE, expected, ragged
from support.segment_models import behind

import pyrec_infer as pi
from pyrec_infer.errors import InputError, PyrecError

Array = NDArray[Any]

USES = {
    "largest": [make_node("ReduceMax", ["ids", "zero1"], ["joint"], keepdims=0)],
    "number": [make_node("Size", ["ids"], ["joint"])],
    "share": [
        make_node("CumSum", ["ids", "zero"], ["sums_of_ids"]),
        make_node("Size", ["sums_of_ids"], ["joint"]),
    ],
    "total": [
        make_node("Gather", ["table", "ids"], ["rows_of_all"], axis=0),
        make_node("ReduceSum", ["rows_of_all"], ["joint"], keepdims=0),
    ],
}
NAMES = ("scripted-mean-first", "sequenced-sum-last", "lengths-less", "pairs-ScatterND")


@cache
def model(name: str, use: str) -> pi.Model:
    """The model whose score has something added that is made of all ids."""
    proto = onnx.ModelProto.FromString(SPELLINGS[name]())
    (last,) = (node for node in proto.graph.node if "y" in node.output)
    last.input[0] = "with_joint"
    kept = [node for node in proto.graph.node if node is not last]
    more = [
        *USES[use],
        make_node("Cast", ["joint"], ["joint_f"], to=TensorProto.FLOAT),
        make_node("Add", ["y2", "joint_f"], ["with_joint"]),
        last,
    ]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in (*kept, *more)]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return pi.load(proto.SerializeToString())


def dense(rows: int) -> Array:
    return np.random.default_rng(3).normal(size=(rows, 5)).astype(np.float32)


def added(use: str, ids: Array) -> float:
    return float({"largest": ids.max(), "total": TABLE[ids].sum()}.get(use, len(ids)))


@pytest.mark.parametrize(("name", "use"), [(name, list(USES)[i]) for i, name in enumerate(NAMES)])
def test_what_is_made_of_all_parts_is_not_repeated(name: str, use: str) -> None:
    loaded, lengths, x = model(name, use), np.asarray([2, 1, 3]), dense(3)
    given = ragged(name, lengths)
    wanted = expected(name, given, lengths, x) + added(use, given["ids"])
    np.testing.assert_allclose(loaded.run({**given, "x": x})["y"], wanted, rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match=r"^input '\w+': .*joins those of several"):
        loaded.score(ragged(name, lengths[:1]), {"x": x})
    with pytest.raises(PyrecError):
        loaded.catalog({"x": x}).score(ragged(name, lengths[:1]))


@pytest.mark.parametrize("use", ["largest", "total"])
def test_what_is_made_of_all_parts_of_candidates_is_for_one_request(use: str) -> None:
    name, lengths, x = "scripted-mean-first", np.asarray([2, 1, 3]), dense(2)
    given = ragged(name, lengths)
    alone = expected(name, given, lengths, np.repeat(x[:1], 3, axis=0)) + added(use, given["ids"])
    np.testing.assert_allclose(model(name, use).score({"x": x[:1]}, given), alone, rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="joins those of several"):
        model(name, use).score({"x": x}, given, offsets=[0, 1, 3])
    with pytest.raises(PyrecError):
        model(name, use).catalog(given)


def test_ids_that_are_changed_at_their_places_are_repeated() -> None:
    name = "scripted-mean-first"
    nodes = [make_node("Add", ["given", "one"], ["up"]), make_node("Mod", ["up", "table_rows"], ["ids"])]
    loaded = pi.load(behind(SPELLINGS[name](), "ids", "given", nodes))
    request, x = ragged(name, np.asarray([3])), dense(4)
    shifted = {**request, "ids": (request["ids"] + 1) % 20}
    bag = expected(name, shifted, np.asarray([3]), np.zeros((1, 5)))
    wanted = bag + expected(name, ragged(name, np.zeros(4, int)), np.zeros(4, int), x)
    found = loaded.score({"given": request["ids"], "offsets": request["offsets"]}, {"x": x})
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
