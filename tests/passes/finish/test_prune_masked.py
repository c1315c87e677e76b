"""Attention over a history is computed at the positions that the mask keeps, with the results of all."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support.models import FLOAT, INT64, make_model

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError
from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.passes import EVERY, Aim, Context, State, finish_graphs
from pyrec_infer.passes.common.sides import Sides

Array = NDArray[Any]
LENGTH, WIDTH, HIDDEN = 9, 6, 5
REQUEST = ("hidden", "keys")
TINY = {"rtol": 1e-5, "atol": 1e-6}

Step = tuple[str, tuple[str, ...], str, dict[str, Any]]

FEATURES: dict[str, list[Step]] = {
    "product": [("Mul", ("query", "keys"), "features", {})],
    "concatenated": [
        ("Expand", ("query", "history_shape"), "queries", {}),
        ("Sub", ("queries", "keys"), "gap", {}),
        ("Mul", ("queries", "keys"), "product", {}),
        ("Concat", ("queries", "keys", "gap", "product"), "features", {"axis": -1}),
    ],
}
MASKS: dict[str, list[Step]] = {
    "hidden": [("Where", ("hidden", "fill", "s"), "masked", {})],
    "kept": [("Not", ("hidden",), "kept", {}), ("Where", ("kept", "s", "fill"), "masked", {})],
    "divided": [
        ("Where", ("hidden", "fill", "s"), "whole", {}),
        ("Div", ("whole", "root"), "masked", {}),
    ],
    "filled rows": [
        ("Shape", ("s",), "sizes", {}),
        ("ConstantOfShape", ("sizes",), "ones", {"value": helper.make_tensor("", FLOAT, [1], [1.0])}),
        ("Mul", ("ones", "fill"), "fills", {}),
        ("Where", ("hidden", "fills", "s"), "masked", {}),
    ],
}
WEIGHTS: dict[str, list[Step]] = {
    "softmax": [("Softmax", ("masked",), "weights", {"axis": -1})],
    "column": [
        ("Unsqueeze", ("masked", "two"), "column", {}),
        ("Softmax", ("column",), "soft", {"axis": 1}),
        ("Squeeze", ("soft", "two"), "weights", {}),
    ],
    "none": [("Identity", ("masked",), "weights", {})],
}
POOLING: dict[str, list[Step]] = {
    "matmul": [
        ("Unsqueeze", ("weights", "one"), "row", {}),
        ("MatMul", ("row", "keys"), "sum", {}),
        ("Squeeze", ("sum", "one"), "pooled", {}),
    ],
    "transposed": [
        ("Unsqueeze", ("weights", "two"), "rows", {}),
        ("Transpose", ("keys",), "turned", {"perm": [0, 2, 1]}),
        ("MatMul", ("turned", "rows"), "sum", {}),
        ("Squeeze", ("sum", "two"), "pooled", {}),
    ],
    "reduce": [
        ("Unsqueeze", ("weights", "two"), "rows", {}),
        ("Mul", ("rows", "keys"), "weighted", {}),
        ("ReduceSum", ("weighted", "one"), "pooled", {"keepdims": 0}),
    ],
}


def attention(
    features: str = "product",
    mask: str = "hidden",
    weights: str = "softmax",
    pooling: str = "matmul",
    fill: float = -1e9,
    bias: float = 0.25,
    extra: tuple[Step, ...] = (),
    pooled: str = "pooled",
    scalar: bool = True,
    activation: str = "Sigmoid",
) -> bytes:
    """A model of a hidden mask, keys and an item's vector; the scores of a history pass two layers."""
    generator = np.random.default_rng(3)
    inner = WIDTH * (4 if features == "concatenated" else 1)
    constants: dict[str, Array] = {
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "history_shape": np.array([1, LENGTH, WIDTH], np.int64),
        "fill": np.array(fill, np.float32),
        "root": np.array(2.5, np.float32),
        "w1": generator.normal(size=(inner, HIDDEN)).astype(np.float32),
        "b1": generator.normal(size=HIDDEN).astype(np.float32),
        "w2": generator.normal(size=(HIDDEN, 1)).astype(np.float32),
        "b2": np.array([bias], np.float32),
        "w3": generator.normal(size=(WIDTH, 1)).astype(np.float32),
    }
    steps: list[Step] = [
        ("Unsqueeze", ("item", "one"), "query", {}),
        *FEATURES[features],
        ("MatMul", ("features", "w1"), "a", {}),
        ("Add", ("a", "b1"), "b", {}),
        (activation, ("b",), "c", {}),
        ("MatMul", ("c", "w2"), "d", {}),
        ("Add", ("d", "b2"), "e", {}),
        ("Squeeze", ("e", "two"), "s", {}),
        *MASKS[mask],
        *WEIGHTS[weights],
        *POOLING[pooling],
        *extra,
        ("MatMul", (pooled, "w3"), "score", {}),
    ]
    if not scalar:
        constants["w3"] = generator.normal(size=(LENGTH, 1)).astype(np.float32)
    used = {name for _, inputs, _, _ in steps for name in inputs}
    nodes = [helper.make_node(op, inputs, [output], **given) for op, inputs, output, given in steps]
    model = make_model(
        nodes,
        {
            "hidden": (TensorProto.BOOL, ("N", LENGTH)),
            "keys": (FLOAT, ("N", LENGTH, WIDTH)),
            "item": (FLOAT, ("N", WIDTH)),
        },
        {"score": (FLOAT, ("N", 1))},
        {name: value for name, value in constants.items() if name in used},
    )
    return model.SerializeToString()


def requests(hidden: list[list[int]], seed: int = 0) -> dict[str, Array]:
    """One row for each list of hidden positions."""
    masks = np.zeros((len(hidden), LENGTH), bool)
    for row, positions in zip(masks, hidden, strict=True):
        row[positions] = True
    generator = np.random.default_rng(seed)
    keys = generator.normal(size=(len(hidden), LENGTH, WIDTH)).astype(np.float32)
    return {"hidden": masks, "keys": keys}


def items(rows: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)


def reference(model: pi.Model, request: Mapping[str, Array], item: Array) -> Array:
    """All positions computed, as a full batch is."""
    full = {name: np.repeat(value, len(item), axis=0) for name, value in request.items()}
    return model.run({**full, "item": item})["score"].reshape(-1)


def prunes(model: pi.Model, request: tuple[str, ...] = REQUEST) -> bool:
    phases = model.explain(request, output="score").as_dict()["phases"]
    return any(step["operator"] == "pyrec.KeptPositions" for phase in phases for step in phase["steps"])


SPELLINGS: dict[str, dict[str, Any]] = {
    "where": {},
    "kept": {"mask": "kept"},
    "divided": {"mask": "divided"},
    "filled rows": {"mask": "filled rows", "fill": -(2.0**32) + 1},
    "minus infinity": {"fill": -np.inf},
    "concatenated": {"features": "concatenated"},
    "column": {"weights": "column"},
    "transposed": {"pooling": "transposed"},
    "reduce": {"pooling": "reduce"},
    "no softmax": {"weights": "none", "fill": 0.0},
    "no softmax, reduce": {"weights": "none", "fill": 0.0, "pooling": "reduce"},
}
HIDDEN_SETS: dict[str, list[int]] = {
    "nothing": [],
    "end": [5, 6, 7, 8],
    "begin": [0, 1],
    "scattered": [0, 3, 4, 7],
    "all but one": [0, 1, 2, 3, 5, 6, 7, 8],
    "all": list(range(LENGTH)),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_are_pruned_and_equal_all_positions(name: str, backend: str) -> None:
    model = pi.load(attention(**SPELLINGS[name]))
    assert prunes(model)
    item = items(70)
    for positions in HIDDEN_SETS.values():
        request = requests([positions])
        actual = model.score(request, {"item": item})
        np.testing.assert_allclose(actual, reference(model, request, item), **TINY)


ACTIVATIONS = ("Abs", "Celu", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Relu", "Selu")
ACTIVATIONS += ("Sin", "Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_any_elementwise_operator_may_stand_between_the_layers(activation: str, backend: str) -> None:
    model = pi.load(attention(activation=activation))
    assert prunes(model)
    item, request = items(9), requests([HIDDEN_SETS["scattered"]])
    np.testing.assert_allclose(model.score(request, {"item": item}), reference(model, request, item), **TINY)


NEAR_MISSES: dict[str, dict[str, Any]] = {
    "a fill that scores reach": {"fill": -100.0},
    "a large fill": {"fill": 1e9},
    "a fill other than zero without softmax": {"weights": "none", "fill": -1e9},
    "weights that are no sum's": {
        "extra": (
            ("ReduceMax", ("weights", "one"), "top", {"keepdims": 1}),
            ("Add", ("pooled", "top"), "z", {}),
        ),
        "pooled": "z",
    },
    "weights that meet themselves": {
        "extra": (("Mul", ("weights", "weights"), "z", {}),),
        "pooled": "z",
        "scalar": False,
    },
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_near_misses_compute_all_positions(name: str, backend: str) -> None:
    model = pi.load(attention(**NEAR_MISSES[name]))
    assert not prunes(model)
    item = items(9)
    request = requests([[1, 2]])
    actual = model.score(request, {"item": item})
    np.testing.assert_allclose(actual, reference(model, request, item), **TINY)


def test_mask_or_vectors_of_the_candidate_are_not_pruned(backend: str) -> None:
    model = pi.load(attention())
    assert not prunes(model, ("keys",))
    assert not prunes(model, ("hidden",))
    assert not prunes(model, ())


def test_vectors_with_a_second_reader_keep_all_positions_for_it(backend: str) -> None:
    mean: Step = ("ReduceMean", ("keys", "one"), "mean", {"keepdims": 0})
    model = pi.load(attention(extra=(mean, ("Add", ("pooled", "mean"), "z", {})), pooled="z"))
    assert prunes(model)
    request, item = requests([[0, 8]]), items(20)
    np.testing.assert_allclose(model.score(request, {"item": item}), reference(model, request, item), **TINY)


@pytest.mark.parametrize("bias", [-2e9, -1e9, -1e9 + 64])
@pytest.mark.parametrize("rows", [1, 300])
def test_scores_as_low_as_the_fill_are_those_of_all_positions(bias: float, rows: int, backend: str) -> None:
    model = pi.load(attention(bias=bias))
    assert prunes(model)
    request, item = requests([[2, 3, 7]]), items(rows)
    expected = reference(model, request, item)
    np.testing.assert_allclose(model.score(request, {"item": item}), expected, **TINY)
    kept = pi.load(attention())
    # What leaving them out regardless would give.
    assert not np.allclose(expected, reference(kept, request, item), rtol=1e-2)


def test_one_candidate_that_is_no_number_is_scored_exactly(backend: str) -> None:
    model = pi.load(attention())
    item = items(300)
    item[123] = np.nan
    request = requests([[4, 5]])
    expected = reference(model, request, item)
    assert np.isnan(expected[123])
    assert np.isfinite(np.delete(expected, 123)).all()
    np.testing.assert_allclose(model.score(request, {"item": item}), expected, **TINY)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["where", "concatenated", "reduce", "no softmax"])
def test_vectors_that_are_not_finite_count_where_they_are_hidden(
    name: str, value: float, backend: str
) -> None:
    model = pi.load(attention(**SPELLINGS[name]))
    request, item = requests([[2, 6]]), items(40)
    request["keys"][0, 6, 1] = value
    expected = reference(model, request, item)
    assert np.isnan(expected).all()
    np.testing.assert_array_equal(model.score(request, {"item": item}), expected)


@pytest.mark.parametrize("bias", [0.25, -2e9])
def test_requests_of_several_lengths(bias: float, backend: str) -> None:
    model = pi.load(attention(bias=bias))
    hidden = list(HIDDEN_SETS.values())
    request = requests(hidden)
    request["keys"][1, 8, 0] = np.nan
    counts = [3, 40, 0, 7, 1, 20]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    item = items(int(offsets[-1]))
    actual = model.score(request, {"item": item}, offsets=offsets)
    for row, (begin, end) in enumerate(pairwise(offsets)):
        own = {name: value[row : row + 1] for name, value in request.items()}
        expected = reference(model, own, item[begin:end]) if end > begin else np.empty(0)
        np.testing.assert_allclose(actual[begin:end], expected, **TINY)


@pytest.mark.parametrize("bias", [0.25, -2e9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_prepared_and_repeated_calls(bias: float, dtype: Any, backend: str) -> None:
    model = pi.load(attention(bias=bias))
    request, item = requests([[0, 1, 5]]), items(50)
    expected = reference(model, request, item)
    call = model.prepare(REQUEST, ("item",))
    keys, rows = request["keys"].astype(dtype), item.astype(dtype)
    out = np.empty(50, np.float32)
    for _ in range(3):
        np.testing.assert_allclose(call(request["hidden"], keys, rows), expected, **TINY)
        assert call(request["hidden"], keys, rows, out=out) is out
        np.testing.assert_allclose(out, expected, **TINY)
        given = {"hidden": request["hidden"], "keys": keys}
        np.testing.assert_allclose(model.score(given, {"item": rows}), expected, **TINY)


@pytest.mark.parametrize("bias", [0.25, -2e9])
def test_catalogue(bias: float, backend: str) -> None:
    model = pi.load(attention(bias=bias, features="concatenated"))
    item = items(60)
    catalog = model.catalog({"item": item})
    operators = [
        step["operator"] for phase in catalog.explain().as_dict()["phases"] for step in phase["steps"]
    ]
    assert "pyrec.KeptPositions" in operators
    for positions in HIDDEN_SETS.values():
        request = requests([positions])
        expected = reference(model, request, item)
        np.testing.assert_allclose(catalog.score(request), expected, **TINY)
        np.testing.assert_allclose(catalog.score(request, [5, 0, 59]), expected[[5, 0, 59]], **TINY)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_rounded_layers_round_each_position_alone(precision: str, backend: str) -> None:
    model = pi.load(attention(features="concatenated"), precision=precision)
    request, item = requests([[1, 4, 5, 8]]), items(30)
    assert prunes(model)
    exact = reference(pi.load(attention(features="concatenated")), request, item)
    np.testing.assert_allclose(model.score(request, {"item": item}), exact, atol=0.05)


def test_threads_share_a_request_that_needs_all_positions(backend: str) -> None:
    model = pi.load(attention(), threads=2)
    item = items(2000)
    item[1990] = np.nan
    request = requests([[0, 8]])
    expected = reference(model, request, item)
    for _ in range(5):
        np.testing.assert_allclose(model.score(request, {"item": item}), expected, **TINY)


def lookups() -> pi.Model:
    """Histories of ids of any length, hidden from a number of items on."""
    generator = np.random.default_rng(5)
    constants = {
        "table": generator.normal(size=(20, WIDTH)).astype(np.float32),
        "w": generator.normal(size=(WIDTH, 1)).astype(np.float32),
        "low": np.array(-1e9, np.float32),
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
    }
    steps: list[Step] = [
        ("Gather", ("table", "history"), "keys", {}),
        ("Gather", ("table", "item"), "vector", {}),
        ("Unsqueeze", ("vector", "one"), "query", {}),
        ("Mul", ("query", "keys"), "product", {}),
        ("Tanh", ("product",), "bent", {}),
        ("MatMul", ("bent", "w"), "column", {}),
        ("Squeeze", ("column", "two"), "s", {}),
        ("GreaterOrEqual", ("place", "length"), "hidden", {}),
        ("Where", ("hidden", "low", "s"), "masked", {}),
        ("Softmax", ("masked",), "weights", {"axis": -1}),
        ("Unsqueeze", ("weights", "one"), "row", {}),
        ("MatMul", ("row", "keys"), "sum", {}),
        ("Squeeze", ("sum", "one"), "pooled", {}),
        ("MatMul", ("pooled", "w"), "score", {}),
    ]
    nodes = [helper.make_node(op, inputs, [output], **given) for op, inputs, output, given in steps]
    inputs = {
        "history": (INT64, ("N", "L")),
        "place": (INT64, ("N", "L")),
        "length": (INT64, ("N", 1)),
        "item": (INT64, ("N",)),
    }
    return pi.load(make_model(nodes, inputs, {"score": (FLOAT, ("N", 1))}, constants).SerializeToString())


@pytest.mark.parametrize("length", [0, 1, 2, 30])
def test_histories_of_any_length(length: int, backend: str) -> None:
    model = lookups()
    assert prunes(model, ("history", "place", "length"))
    rows = np.arange(20)
    for shown in {0, 1, length // 2, length}:
        request = {
            "history": np.arange(3, 3 + length)[None] % 20,
            "place": np.arange(length)[None],
            "length": np.array([[shown]]),
        }
        expected = reference(model, request, rows)
        np.testing.assert_allclose(model.score(request, {"item": rows}), expected, **TINY)


def test_hidden_ids_are_still_checked(backend: str) -> None:
    model = lookups()
    request = {"history": np.array([[3, 4, 20]]), "place": np.arange(3)[None], "length": np.array([[2]])}
    with pytest.raises(IdRangeError, match="history"):
        model.score(request, {"item": np.arange(5)})


def test_explain_counts_all_positions(backend: str) -> None:
    text = str(pi.load(attention()).explain(REQUEST, output="score"))
    assert "Positions that the request's mask hides are left out." in text
    pruned = pi.load(attention()).explain(REQUEST, output="score").as_dict()["work"]["pair"]["flops"]
    whole = (
        pi.load(attention(fill=-100.0)).explain(REQUEST, output="score").as_dict()["work"]["pair"]["flops"]
    )
    assert whole <= pruned <= whole + 2 * LENGTH


def test_scores_that_mix_positions_are_not_pruned() -> None:
    n, kind = Dim.symbol("N"), np.dtype(np.float32)
    infos = {
        "x": Info(kind, (n, 9, 4), 0),
        "hidden": Info(np.dtype(np.bool_), (n, 1, 9), 0),
        "k": Info(kind, (n, 9, 4), 0),
    }
    constants = {"low": np.asarray(-1e9, np.float32), "w": np.ones((4, 1), np.float32)}
    mixed = Node("CumSum", ("x", "axis"), ("m",))
    plain = Node("Relu", ("x",), ("m",))
    rest = (
        Node("pyrec.Dense", ("m", "w"), ("c",)),
        Node("Transpose", ("c",), ("s",), {"perm": (0, 2, 1)}),
        Node("Where", ("hidden", "low", "s"), ("t",)),
        Node("Softmax", ("t",), ("a",)),
        Node("MatMul", ("a", "k"), ("y",)),
    )
    constants["axis"] = np.asarray(1, np.int64)
    results = []
    for first in (mixed, plain):
        graph = Graph(tuple(infos), ("y",), (first, *rest), constants, infos)
        context = Context(sides=Sides(frozenset(("hidden", "k"))))
        made = finish_graphs({EVERY: State(graph, context)})
        results.append(frozenset({Aim.HIDDEN}) in made)
    assert results == [False, True]
