"""Values in any form: calls that were met before give what a closer look at the same values gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from types import MappingProxyType
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from support.models import FLOAT, INT32, INT64, make_model

import pyrec_infer as pi
from pyrec_infer.ranking.shortcuts import Shortcuts

COUNT, LONG, REQUESTS = 4, 3, 2
OFFSETS = (0, 1, COUNT)
SIZES = {"id": (), "short": (), "age": (), "column": (1,), "seen": (LONG,), "exact": (), "flag": ()}
TYPES = {
    "id": INT64,
    "short": INT32,
    "age": FLOAT,
    "column": FLOAT,
    "seen": INT64,
    "exact": TensorProto.DOUBLE,
    "flag": TensorProto.BOOL,
}


def model() -> pi.Model:
    """Both sides have an input of each kind; a score is a number of all."""
    nodes, inputs, parts = [], {}, []
    for side, weight in (("u", 1.0), ("i", 0.25)):
        for name, size in SIZES.items():
            own = f"{side}_{name}"
            inputs[own] = TYPES[name], ["N", *size]
            nodes.append(onnx.helper.make_node("Cast", [own], [f"{own}/float"], to=FLOAT))
            nodes.append(onnx.helper.make_node("Reshape", [f"{own}/float", "rows"], [f"{own}/rows"]))
            nodes.append(
                onnx.helper.make_node("ReduceMean", [f"{own}/rows", "last"], [f"{own}/mean"], keepdims=0)
            )
            nodes.append(onnx.helper.make_node("Mul", [f"{own}/mean", f"weight {weight}"], [f"{own}/part"]))
            parts.append(f"{own}/part")
    nodes.append(onnx.helper.make_node("Sum", parts, ["score"]))
    constants = {
        "rows": np.asarray([0, -1]),
        "last": np.asarray([1]),
        "weight 1.0": np.asarray(1, np.float32),
        "weight 0.25": np.asarray(0.25, np.float32),
    }
    proto = make_model(nodes, inputs, {"score": (FLOAT, ["N"])}, constants)
    return pi.load(proto.SerializeToString())


def plain(side: str, rows: int) -> dict[str, Any]:
    """Arrays of the very types and shapes."""
    random = np.random.default_rng(rows)
    found = {}
    for name, size in SIZES.items():
        dtype = onnx.helper.tensor_dtype_to_np_dtype(TYPES[name])
        found[f"{side}_{name}"] = random.integers(0, 2, (rows, *size)).astype(dtype)
    return found


DTYPES = [np.int8, np.int32, np.int64, np.uint8, np.uint64, np.float16, np.float32, np.float64, np.longdouble]
NUMBERS = [
    0,
    1,
    7,
    -3,
    2**31,
    2**53 + 1,
    2**63,
    2**70,
    0.5,
    3.0,
    1e39,
    float("nan"),
    float("inf"),
    -0.0,
    1 << 24 | 1,
]
ODD = [
    None,
    "text",
    b"bytes",
    {},
    object(),
    [[1], [1, 2]],
    np.ma.masked_array([1], [True]),
    True,
    False,
    np.True_,
]


@st.composite
def arrays(draw: st.DrawFn, rows: int, size: tuple[int, ...]) -> Any:
    shape = draw(
        st.sampled_from(
            [(rows, *size), (rows, *size), size, (*size, 1), (rows, *size, 1), (1, rows, *size), (rows,), ()]
        )
    )
    dtype = draw(st.sampled_from([*DTYPES, np.bool_, object, ">i8"]))
    array = np.ones(shape, dtype) if draw(st.booleans()) else np.zeros(shape, dtype)
    if array.size and draw(st.booleans()):
        with np.errstate(all="ignore"):
            number = np.asarray(draw(st.sampled_from(NUMBERS[:5] + NUMBERS[8:])))
            array.reshape(-1)[-1] = number.astype(array.dtype)
    form = draw(
        st.sampled_from(["as it is", "read-only", "spread", "list", "tuple", "generic", "odd address"])
    )
    if form == "read-only":
        array.flags.writeable = False
    elif form == "spread" and array.ndim:
        wide = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
        wide[::2] = array
        array = wide[::2]
    elif form in ("list", "tuple"):
        return array.tolist() if form == "list" or not array.ndim else tuple(array.tolist())
    elif form == "generic" and array.ndim == 0:
        return array[()]
    elif form == "odd address" and array.dtype.kind in "iuf":
        memory = np.zeros(array.nbytes + 1, np.uint8)
        moved = memory[1:].view(array.dtype).reshape(array.shape)
        moved[...] = array
        return moved
    return array


def values(rows: int, size: tuple[int, ...]) -> st.SearchStrategy[Any]:
    return st.one_of(arrays(rows, size), st.sampled_from(NUMBERS), st.sampled_from(ODD))


@st.composite
def sides(draw: st.DrawFn, requests: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plain ones but for a few values."""
    own, others = plain("u", requests), plain("i", COUNT)
    for _ in range(draw(st.integers(0, 3))):
        side, rows = draw(st.sampled_from([(own, requests), (own, requests), (others, COUNT)]))
        name = draw(st.sampled_from([*side]))
        side[name] = draw(values(rows, SIZES[name[2:]]))
    return own, others


def outcome(call: Callable[[], Any]) -> tuple[Any, ...]:
    try:
        found = call()
    except pi.PyrecError as error:
        return type(error), str(error)
    parts = found if isinstance(found, tuple) else (found,)
    how = (found.refined, found.certified) if isinstance(found, tuple) else ()
    return (type(found), *how, *((np.asarray(x).dtype, np.shape(x), np.asarray(x).tobytes()) for x in parts))


@cache
def known() -> tuple[pi.Model, pi.Catalog]:
    """A model and a catalogue that have met all calls."""
    made = model()
    items = plain("i", COUNT)
    own, several = plain("u", 1), plain("u", REQUESTS)
    made.score(own, items)
    made.top_k(own, items, 2)
    made.score(several, items, offsets=OFFSETS)
    return made, made.catalog(items)


def by_model(requests: int) -> list[Callable[[Any, Any], Any]]:
    made = known()[0]
    offsets = None if requests == 1 else OFFSETS
    return [
        lambda own, others: made.score(own, others, offsets=offsets),
        lambda own, others: made.top_k(own, others, 3, offsets=offsets),
        lambda own, others: made.top_k(own, others, 9, offsets=offsets, ids=list("abcd")),
        lambda own, others: made.top_k(own, others, 2, offsets=offsets, exclude=[1]),
    ]


def by_catalog() -> list[Callable[[Any], Any]]:
    shop = known()[1]
    return [
        lambda own: shop.score(own),
        lambda own: shop.score(own, [2, 0]),
        lambda own: shop.top_k(own, 3),
        lambda own: shop.top_k(own, 3, exclude=[1]),
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize("requests", [1, REQUESTS])
def test_short_ways_and_closer_looks_agree(requests: int, data: st.DataObject) -> None:
    own, others = data.draw(sides(requests))
    for call in by_model(requests):
        with mock.patch.object(Shortcuts, "key", return_value=None):
            closer = outcome(partial(call, own, others))
        assert outcome(partial(call, own, others)) == closer
    for call in by_catalog():
        # Only dictionaries take the short way.
        closer = outcome(partial(call, MappingProxyType(own)))
        assert outcome(partial(call, own)) == closer


@pytest.mark.parametrize(
    "offsets", [[0, 4], (0, 4), [0, 0, 4], np.asarray([0, 4], np.int32), [0.0, 4.0], [0, 5]], ids=str
)
@pytest.mark.parametrize("rows", [1, 2])
def test_bounds_in_any_form(offsets: Any, rows: int) -> None:
    made = known()[0]
    own, others = plain("u", rows), plain("i", COUNT)
    for call in (made.score, partial(made.top_k, k=3)):
        closer = outcome(partial(call, MappingProxyType(own), others, offsets=offsets))
        assert outcome(partial(call, own, others, offsets=offsets)) == closer


@pytest.mark.parametrize("k", [0, 1, COUNT, 100, 10**30, True, -1, 1.0, np.int64(2)], ids=str)
def test_any_number_of_results(k: Any) -> None:
    made, shop = known()
    own, others = plain("u", 1), plain("i", COUNT)
    closer = outcome(lambda: made.top_k(MappingProxyType(own), others, k))
    assert outcome(lambda: made.top_k(own, others, k)) == closer
    closer = outcome(lambda: shop.top_k(MappingProxyType(own), k))
    assert outcome(lambda: shop.top_k(own, k)) == closer


TABLES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": lambda columns: pytest.importorskip("pandas").DataFrame(columns),
    "polars": lambda columns: pytest.importorskip("polars").DataFrame(columns),
    "pyarrow": lambda columns: pytest.importorskip("pyarrow").table(columns),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_are_columns(kind: str) -> None:
    made = model()
    own = {**plain("u", 1), "i_seen": [1, 0, 1]}
    items = {name: value.reshape(COUNT) for name, value in plain("i", COUNT).items() if value.size == COUNT}
    table = TABLES[kind](items)
    with mock.patch.object(Shortcuts, "key", return_value=None):
        closer = outcome(lambda: made.score(own, table)), outcome(lambda: made.top_k(own, table, 3))
    for _ in range(2):
        assert (outcome(lambda: made.score(own, table)), outcome(lambda: made.top_k(own, table, 3))) == closer
    assert closer[0] == outcome(lambda: made.score(own, items))
    for bad in ("i_age", "i_id"):
        wrong = TABLES[kind]({**items, bad: [None, 1, 2, 3]})
        with mock.patch.object(Shortcuts, "key", return_value=None):
            refused = outcome(partial(made.score, own, wrong))
        assert outcome(partial(made.score, own, wrong)) == refused


def test_late_inputs_of_candidates_in_any_form() -> None:
    items = plain("i", COUNT)
    late = {name: items.pop(name) for name in ("i_age", "i_short")}
    shop, own = model().catalog(items, candidates=[*late]), plain("u", 1)
    numbers = {name: value.tolist() for name, value in late.items()}
    wrong = {**numbers, "i_age": [1.0]}
    for given_late in (late, numbers, wrong, {"i_age": numbers["i_age"]}):
        for call in (partial(shop.top_k, k=3), shop.score):
            closer = outcome(partial(call, MappingProxyType(own), candidates=given_late))
            assert outcome(partial(call, own, candidates=given_late)) == closer
    assert shop.top_k(own, 3, candidates=late).refined == COUNT
