"""Catalogues whose score rises with an inner product: the search by it against the scores of all items."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from support.models import FLOAT, make_model
from support.product_models import COSINES, DOTS, ITEM, USER, two_towers

import pyrec_infer as pi
from pyrec_infer.catalog import by_product, search
from pyrec_infer.errors import InputError
from pyrec_infer.execution import calls
from pyrec_infer.top_k import Ranked

Array = NDArray[Any]

COUNT = 700


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches of few items, of which there are more than one block."""
    for module in (search, by_product):
        monkeypatch.setattr(module, "FEWEST", 64)
    monkeypatch.setattr(calls, "FEW", 64)
    monkeypatch.setattr(by_product, "_MORE", 4)


def users(count: int, seed: int = 1) -> dict[str, Array]:
    return {"user": np.random.default_rng(seed).standard_normal((count, USER)).astype(np.float32)}


def items(count: int, seed: int = 2) -> Array:
    return np.random.default_rng(seed).standard_normal((count, ITEM)).astype(np.float32)


def expected(catalog: pi.Catalog, request: Array, k: int, left: Array | None = None) -> tuple[Array, Array]:
    """Ids and scores by the definition: all scores, a stable sort, NaN last."""
    ids = catalog.ids if left is None else left
    scores = catalog.score({"user": request}, ids)
    order = np.lexsort((-scores, np.isnan(scores)))[:k]
    return ids[order], scores[order]


def same(found: Any, catalog: pi.Catalog, requests: Array, k: int, left: Array | None = None) -> None:
    for number, request in enumerate(requests):
        ids, scores = expected(catalog, request[np.newaxis], k, left)
        np.testing.assert_array_equal(found.ids[number], ids)
        np.testing.assert_array_equal(found.scores[number].view(np.int32), scores.view(np.int32))


def made(model: bytes, values: Array | None = None, **options: Any) -> pi.Catalog:
    return pi.load(model).catalog({"item": items(COUNT) if values is None else values}, **options)


def searched(catalog: pi.Catalog) -> Any:
    """What has been searched, and what was found by it."""
    state = catalog._seen
    return None if state is None else state._kept.get("numbers")


FORMS: list[dict[str, Any]] = [
    {"width": 1, "dot": "sum", "activation": "Tanh", "scale": -2.0},
    {"width": 33, "dot": "matmul", "item_bias": True},
    {
        "width": 8,
        "dot": "machine",
        "item_bias": True,
        "user_bias": True,
        "activation": "Softplus",
        "scale": 3.0,
    },
    {"width": 12, "dot": "plain", "user_bias": True, "activation": "Sigmoid", "scale": 0.125},
    {"width": 5, "dot": "sum", "user_bias": True, "activation": "Relu", "scale": 1e-20},
    {"width": 16, "dot": "matmul", "item_bias": True, "activation": "Exp"},
    {"width": 9, "dot": "cosine", "activation": "Sigmoid", "scale": 8.0},
    {"width": 4, "dot": "lengths", "scale": -3.0},
]


@cache
def of_form(number: int) -> pi.Catalog:
    values = items(COUNT, number)
    values[::3] = np.round(values[::3])  # some are alike
    return made(two_towers(**FORMS[number], seed=number), values)


@settings(max_examples=20)
@given(
    st.sampled_from(range(len(FORMS))),
    st.integers(1, 3),
    st.integers(1, 12),
    st.integers(0, 1000),
    st.sampled_from([1.0, 1e-3, 1e3]),
)
def test_the_best_are_those_of_all_scores(form: int, count: int, k: int, seed: int, size: float) -> None:
    catalog, requests = of_form(form), users(count, seed)["user"] * np.float32(size)
    found = catalog.top_k({"user": np.repeat(requests, 2, axis=0)}, k)
    same(found, catalog, np.repeat(requests, 2, axis=0), k)


@pytest.mark.parametrize("dot", [*DOTS, *COSINES])
def test_the_search_shows_the_best(dot: str, backend: str) -> None:
    catalog = made(two_towers(16, dot, item_bias=dot in DOTS, activation="Sigmoid", scale=0.05))
    request = users(1)["user"]
    for turn in range(3):
        found = catalog.top_k({"user": request}, 5)
        same(Ranked(found.ids[None], found.scores[None], found.count), catalog, request, 5)
        numbers = searched(catalog)
        if backend == "numba" or turn == 0:
            assert numbers is None
        else:
            assert (numbers.searches, numbers.misses) == (turn, 0)
    search = catalog.explain().as_dict()["catalog"]["search"]
    assert search["path"] == ("plain" if backend == "numba" else "retrieval")
    assert f"best of many items: {search['path']}" in str(catalog.explain())


def test_filters_changes_and_lists_of_each_request() -> None:
    values = items(COUNT)
    kinds = np.arange(COUNT) % 3
    catalog = made(
        two_towers(8, item_bias=True), values, attributes={"kind": kinds}, ids=np.arange(COUNT) + 5
    )
    requests = users(3)["user"]
    for turn in range(2):
        ids, kind = catalog.ids, np.where(np.arange(COUNT) == 0, 1 if turn else 0, kinds)
        prepared = catalog.where("kind", 1)
        for _ in range(2):
            same(catalog.top_k({"user": requests}, 4, where=prepared), catalog, requests, 4, ids[kind == 1])
        some = ids[10:200]
        same(catalog.top_k({"user": requests}, 4, allow=some), catalog, requests, 4, some)
        best = catalog.top_k({"user": requests}, 6)
        for number, own in enumerate(requests):
            left = np.setdiff1d(ids, best.ids[number][:3])
            lists = [best.ids[each][:3] for each in range(3)]
            found = catalog.top_k({"user": requests}, 4, exclude=lists)
            same(
                Ranked(found.ids[number:][:1], found.scores[number:], found.counts),
                catalog,
                own[None],
                4,
                left,
            )
        capped = catalog.top_k({"user": requests}, 6, max_per={"kind": 1})
        assert capped.counts.tolist() == [3, 3, 3]
        plus = np.zeros(COUNT, np.float32)
        plus[7] = 1e6
        assert catalog.top_k({"user": requests}, 1, boost=plus).ids.tolist() == [[12]] * 3
        catalog.upsert({"item": 3 * values[:1]}, [5], {"kind": [1]})
    assert catalog.remove([6, 7]) == 2
    for _ in range(2):
        same(catalog.top_k({"user": requests}, 9), catalog, requests, 9)


@pytest.mark.parametrize("values", ["alike", "zeros", "infinite", "nan", "huge", "tiny", "long"])
@pytest.mark.parametrize("activation", ["", "Sigmoid"])
def test_unusual_items(values: str, activation: str) -> None:
    given = items(COUNT)
    with np.errstate(over="ignore"):
        if values == "alike":
            given[:] = given[0]
        elif values == "zeros":
            given[:] = 0
        elif values in ("infinite", "nan"):
            given[[3, 300]] = np.inf if values == "infinite" else np.nan
        else:
            given *= {"huge": np.float32(3e37), "tiny": np.float32(1e-39), "long": np.float32(1e19)}[values]
        given[500] *= -1
    catalog = made(two_towers(9, item_bias=True, activation=activation), given)
    requests = np.concatenate([users(2)["user"], np.full((1, USER), np.nan, np.float32)])
    for _ in range(2):
        same(catalog.top_k({"user": requests}, 20), catalog, requests, 20)
        same(catalog.top_k({"user": requests[:2]}, 20), catalog, requests[:2], 20)


@pytest.mark.parametrize("dot", COSINES)
@pytest.mark.parametrize("values", ["zero", "tiny", "long", "infinite", "apart"])
def test_unusual_lengths(dot: str, values: str) -> None:
    given = items(COUNT)
    size = {"zero": 0.0, "tiny": 1e-12, "long": 1e18, "infinite": np.inf, "apart": 1e-4}[values]
    with np.errstate(invalid="ignore"):
        given[[3, 300]] *= np.float32(size)
    catalog = made(two_towers(6, dot, activation="Sigmoid"), given)
    requests = users(3)["user"]
    requests[1] *= np.float32(1e-6)
    for _ in range(2):
        same(catalog.top_k({"user": requests}, 20), catalog, requests, 20)


def test_scores_that_rounding_makes_alike_are_those_of_earlier_items() -> None:
    catalog = made(two_towers(6, activation="Sigmoid", scale=40.0))
    requests = users(4)["user"]
    for _ in range(8):
        same(catalog.top_k({"user": requests}, 30), catalog, requests, 30)


def test_numbers_of_results_and_bad_requests() -> None:
    catalog = made(two_towers(6))
    requests = users(2)
    for k in (0, 1, COUNT, COUNT + 9):
        found = catalog.top_k(requests, k)
        assert found.ids.shape == (2, min(k, COUNT))
    same(catalog.top_k(requests, COUNT), catalog, requests["user"], COUNT)
    assert catalog.top_k({"user": np.ones((0, USER), np.float32)}, 3).ids.shape == (0, 0)
    with pytest.raises(InputError, match="user"):
        catalog.top_k({}, 3)
    with pytest.raises(InputError, match="item"):
        catalog.top_k({**requests, "item": items(2)}, 3)
    with pytest.raises(InputError):
        catalog.top_k({"user": np.ones((2, USER + 1), np.float32)}, 3)
    empty = made(two_towers(6), items(0))
    assert empty.top_k(requests, 3).counts.tolist() == [0, 0]


def test_items_change_while_they_are_searched() -> None:
    values = items(COUNT)
    catalog = made(two_towers(8), values)
    requests = users(2)["user"]
    done = threading.Event()

    def change() -> None:
        for _ in range(40):
            catalog.remove(np.arange(100))
            catalog.upsert({"item": values[:100]}, np.arange(100))
        done.set()

    thread = threading.Thread(target=change)
    thread.start()
    order = np.argsort(
        -np.stack([catalog.score({"user": own[None]}, np.arange(100, COUNT)) for own in requests])
    )
    while not done.is_set():
        found = catalog.top_k({"user": requests}, 10)
        for number, ids in enumerate(found.ids):
            late = ids[ids >= 100]
            assert late.tolist() == (100 + order[number][: len(late)]).tolist()
    thread.join()


def test_what_is_no_product_is_told() -> None:
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((USER + ITEM, 8)), "o": rng.standard_normal((8, 1))}
    nodes = [
        helper.make_node("Concat", ["user", "item"], ["x"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "o"], ["score"]),
    ]
    inputs = {"user": (FLOAT, ["N", USER]), "item": (FLOAT, ["N", ITEM])}
    constants = {name: value.astype(np.float32) for name, value in weights.items()}
    model = make_model(nodes, inputs, {"score": (FLOAT, ["N", 1])}, constants).SerializeToString()
    search = made(model).explain().as_dict()["catalog"]["search"]
    assert search["path"] == "plain"
    assert "no search by a product" in search["why"]
    assert "(pyrec.LookupSum) makes more of it" in search["why"]
