"""Where the candidates lie: on the batch, on another axis, in blocks of a fixed size, beside a squeeze."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from support.models import FLOAT, INT64, WIDTH, listwise, make_model

import pyrec_infer as pi
from pyrec_infer.errors import InputError, ShapeError, UnsupportedModelError


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).normal(0, 1, shape).astype(np.float32)


def two_towers(end: str) -> onnx.ModelProto:
    """Scores [B, M] of B users and M items, or these squeezed."""
    nodes = [
        helper.make_node("MatMul", ["u", "w"], ["a"]),
        helper.make_node("Transpose", ["i"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["a", "t"], ["m"]),
    ]
    nodes.append(
        helper.make_node(*(("Squeeze", ["m"], ["p"]) if end == "squeezed" else ("Sigmoid", ["m"], ["p"])))
    )
    return make_model(
        nodes,
        {"u": (FLOAT, ["B", WIDTH]), "i": (FLOAT, ["M", WIDTH])},
        {"p": (FLOAT, ["B", "M"])},
        {"w": normal(WIDTH, WIDTH, seed=3)},
    )


@pytest.mark.parametrize("end", ["plain", "squeezed"])
@pytest.mark.parametrize("rows", [1, 2, 9, 300])
def test_two_towers(end: str, rows: int) -> None:
    model = pi.load(two_towers(end).SerializeToString())
    u, i = normal(1, WIDTH), normal(rows, WIDTH)
    expected = model.run({"u": u, "i": i})["p"].reshape(rows)
    scores = model.score({"u": u}, {"i": i})
    assert scores.shape == (rows,)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.score({"u": u[0]}, {"i": i}), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.prepare(["u"], ["i"])(u, i), expected, rtol=1e-5, atol=1e-6)
    catalog = model.catalog({"i": i})
    np.testing.assert_allclose(catalog.score({"u": u}), expected, rtol=1e-5, atol=1e-6)
    for best in (model.top_k({"u": u}, {"i": i}, k=3), catalog.top_k({"u": u}, 3)):
        assert best.ids.tolist() == np.argsort(-expected, kind="stable")[:3].tolist()
    assert model.top_k({"u": u}, {"i": i}, k=1, by="1 - p").ids[0] == expected.argmin()
    with pytest.raises(InputError):
        model.score({"u": normal(2, WIDTH)}, {"i": i})


def test_two_towers_of_several_requests() -> None:
    model = pi.load(two_towers("plain").SerializeToString())
    u, i = normal(3, WIDTH), normal(10, WIDTH)
    offsets = [0, 4, 4, 10]
    matrix = model.run({"u": u, "i": i})["p"]
    expected = np.concatenate([matrix[0, :4], matrix[2, 4:]])
    np.testing.assert_allclose(
        model.score({"u": u}, {"i": i}, offsets=offsets), expected, rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ShapeError, match="'u': expected 3 rows, got 2"):
        model.score({"u": u[:2]}, {"i": i}, offsets=offsets)


def test_users_of_one_item() -> None:
    model = pi.load(two_towers("plain").SerializeToString())
    u, i = normal(7, WIDTH), normal(1, WIDTH)
    expected = model.run({"u": u, "i": i})["p"][:, 0]
    np.testing.assert_allclose(model.score({"i": i}, {"u": u}), expected, rtol=1e-5, atol=1e-6)
    assert model.top_k({"i": i}, {"u": u}, k=1).ids[0] == expected.argmax()
    with pytest.raises(ShapeError):
        model.top_k({"i": normal(2, WIDTH)}, {"u": u})


@pytest.mark.parametrize("batch", ["B", 1])
@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("rows", [1, 6, 70])
def test_lists_of_candidates(batch: str | int, attention: bool, rows: int) -> None:
    model = pi.load(listwise(batch, attention).SerializeToString())
    u, items = normal(1, WIDTH), normal(1, rows, WIDTH)
    expected = model.run({"u": u, "items": items})["p"][0]
    for given in (items, items[0]):
        scores = model.score({"u": u}, {"items": given})
        assert scores.shape == (rows,)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    assert model.top_k({"u": u}, {"items": items[0]}, k=1).ids[0] == expected.argmax()
    if attention:
        with pytest.raises(UnsupportedModelError, match="keep the rows of a batch apart"):
            model.catalog({"items": items})
    else:
        catalog = model.catalog({"items": items[0]}, ids=range(5, 5 + rows))
        np.testing.assert_allclose(catalog.score({"u": u}), expected, rtol=1e-4, atol=1e-5)


def lists_of_two_inputs(size: str, repeat: str) -> onnx.ModelProto:
    """Scores [B, M] of ids and features, the user's vector in front of each item's."""
    counted = {
        "expand": [
            helper.make_node("Unsqueeze", ["u", "one"], ["c"]),
            helper.make_node("Concat", ["b", "m", "width"], ["whole"], axis=0),
            helper.make_node("Expand", ["c", "whole"], ["e"]),
        ],
        "repeat_interleave": [
            helper.make_node("Unsqueeze", ["u", "one"], ["c"]),
            helper.make_node("Concat", ["one", "m"], ["counts"], axis=0),
            helper.make_node("OneHot", ["one", "three", "counts"], ["hot"]),
            helper.make_node("Reshape", ["hot", "three"], ["tiles"]),
            helper.make_node("Tile", ["c", "tiles"], ["e"]),
        ],
    }[repeat]
    nodes = [
        helper.make_node("Shape", ["ids"], ["b"], end=1),
        helper.make_node("Shape", ["ids"], ["m"], start=1),
        *counted,
        helper.make_node("Reshape", ["e", "flat"], ["users"]),
        helper.make_node("Reshape", ["ids", "all"], ["places"]),
        helper.make_node("Gather", ["table", "places"], ["items"]),
        helper.make_node("Reshape", ["x", "flat"], ["features"]),
        helper.make_node("Concat", ["users", "items", "features"], ["row"], axis=1),
        helper.make_node("MatMul", ["row", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("ReduceSum", ["r", "one"], ["s"], keepdims=0),
        helper.make_node("Concat", ["b", "m"], ["back"], axis=0),
        helper.make_node("Reshape", ["s", "back"], ["p"]),
    ]
    whole = {"one": [1], "three": [3], "all": [-1], "flat": [-1, WIDTH], "width": [WIDTH]}
    return make_model(
        nodes,
        {"u": (FLOAT, ["B", WIDTH]), "ids": (INT64, ["B", size]), "x": (FLOAT, ["B", size, WIDTH])},
        {"p": (FLOAT, ["B", size])},
        {
            **{name: np.asarray(value) for name, value in whole.items()},
            "table": normal(9, WIDTH),
            "w": normal(3 * WIDTH, 5, seed=1),
        },
    )


@pytest.mark.parametrize("size", ["M", "N"])
@pytest.mark.parametrize("repeat", ["expand", "repeat_interleave"])
def test_lists_of_two_inputs(size: str, repeat: str) -> None:
    """Whatever their size is called, and in whatever way the user's row is repeated."""
    model = pi.load(lists_of_two_inputs(size, repeat).SerializeToString())
    u, ids, x = normal(3, WIDTH), np.arange(21).reshape(3, 7) % 9, normal(3, 7, WIDTH)
    for b in range(3):
        expected = model.run({"u": u[b : b + 1], "ids": ids[b : b + 1], "x": x[b : b + 1]})["p"][0]
        np.testing.assert_allclose(
            model.score({"u": u[b]}, {"ids": ids[b], "x": x[b]}), expected, rtol=1e-5, atol=1e-5
        )
        catalog = model.catalog({"ids": ids[b], "x": x[b]})
        np.testing.assert_allclose(catalog.score({"u": u[b]}), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 50])
@pytest.mark.parametrize("late", [False, True])
def test_squeeze_without_axes_keeps_the_rows(rows: int, late: bool) -> None:
    nodes = [
        helper.make_node("Mul", ["u", "x"], ["m"]),
        helper.make_node("ReduceSum", ["m", "last"], ["s"], keepdims=1),
        helper.make_node("Squeeze", ["s"], ["q"]),
        helper.make_node("Sigmoid", ["q"], ["z"]),
        helper.make_node("Mul", ["z", "w"], ["p"]) if late else helper.make_node("Identity", ["z"], ["p"]),
    ]
    proto = make_model(
        nodes,
        {"u": (FLOAT, ["N", 1, WIDTH]), "x": (FLOAT, ["N", 1, WIDTH]), "w": (FLOAT, ["N"])},
        {"p": (FLOAT, ["N"])},
        {"last": np.asarray([2])},
    )
    model = pi.load(proto.SerializeToString())
    u, x, w = normal(1, 1, WIDTH), normal(rows, 1, WIDTH), normal(rows)
    expected = (1 / (1 + np.exp(-(u * x).sum((1, 2))))) * (w if late else 1)
    candidates = {"x": x, "w": w} if late else {"x": x}
    scores = model.score({"u": u}, candidates)
    assert scores.shape == (rows,)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    np.testing.assert_allclose(model.catalog(candidates).score({"u": u}), expected, rtol=1e-5)
    assert model.outputs[0].shape == ("N",)
    # `run` is ONNX to the letter: a batch of one is squeezed away.
    whole = model.run({"u": np.repeat(u, rows, axis=0), "x": x, "w": w})["p"]
    assert whole.shape == ((rows,) if rows > 1 or late else ())


def fixed(size: int, coupled: bool = False) -> pi.Model:
    nodes = [
        helper.make_node("Concat", ["u", "x"], ["c"], axis=1),
        helper.make_node("Reshape", ["c", "shape"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["m"]),
        helper.make_node("Softmax", ["m"], ["s"], axis=0)
        if coupled
        else helper.make_node("Sigmoid", ["m"], ["s"]),
        helper.make_node("Reshape", ["s", "flat"], ["p"]),
    ]
    proto = make_model(
        nodes,
        {"u": (FLOAT, [size, WIDTH]), "x": (FLOAT, [size, WIDTH])},
        {"p": (FLOAT, [size])},
        {"shape": np.asarray([size, -1]), "flat": np.asarray([size]), "w": normal(2 * WIDTH, 1)},
    )
    with pytest.warns(RuntimeWarning, match=rf"fixes the batch to {size} rows.*dynamic_axes"):
        return pi.load(proto.SerializeToString(), threads=2)


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 11, 300])
@pytest.mark.parametrize("size", [4, 130])
def test_blocks_of_a_fixed_batch(rows: int, size: int) -> None:
    model = fixed(size)
    u, x, w = normal(1, WIDTH), normal(rows, WIDTH), normal(2 * WIDTH, 1)
    expected = 1 / (1 + np.exp(-(np.concatenate([np.repeat(u, rows, axis=0), x], axis=1) @ w)[:, 0]))
    scores = model.score({"u": u}, {"x": x})
    assert scores.shape == (rows,)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.prepare(["u"], ["x"])(u, x), expected, rtol=1e-5, atol=1e-6)
    best = model.top_k({"u": u}, {"x": x}, k=2, by="p + 1")
    assert best.ids.tolist() == np.argsort(-expected, kind="stable")[:2].tolist()
    if rows == 11:
        users = normal(3, WIDTH, seed=8)
        made = model.score({"u": users}, {"x": x}, offsets=[0, 5, 5, 11])
        rows_of = np.repeat([0, 2], [5, 6])
        alone = [model.score({"u": users[r : r + 1]}, {"x": x[k : k + 1]})[0] for k, r in enumerate(rows_of)]
        np.testing.assert_allclose(made, alone, rtol=1e-5, atol=1e-6)
    with pytest.raises(UnsupportedModelError, match=rf"fixes the batch to {size} rows"):
        model.catalog({"x": x})
    whole = normal(size, WIDTH)
    assert model.run({"u": whole, "x": whole})["p"].shape == (size,)


def test_a_fixed_batch_whose_rows_depend_on_each_other() -> None:
    model = fixed(4, coupled=True)
    u, x = normal(1, WIDTH), normal(4, WIDTH)
    expected = model.run({"u": np.repeat(u, 4, axis=0), "x": x})["p"]
    np.testing.assert_allclose(model.score({"u": u}, {"x": x}), expected, rtol=1e-5)
    for rows in (1, 3, 5, 8):
        with pytest.raises(ShapeError, match=r"fixes the batch to 4 rows, and node .* couples them"):
            model.score({"u": u}, {"x": normal(rows, WIDTH)})


def test_a_free_batch_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pi.load(two_towers("plain").SerializeToString())
        pi.load(listwise(1, attention=False).SerializeToString())
