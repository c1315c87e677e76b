"""Embedding bags: reference, native and Numba against plain loops in float64."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pyrec_infer.backends.evaluators import EVALUATORS
from pyrec_infer.errors import IdRangeError, PyrecError, ShapeError
from pyrec_infer.ir import Dim, Graph, Info, Node, Rows
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core.inference import analyze

pytestmark = pytest.mark.once

_native = pytest.importorskip("pyrec_infer._native", reason="the native extension is not built")

Array = NDArray[Any]
Inputs = Sequence[Array | None]

F32 = np.dtype(np.float32)
INT64 = np.dtype(np.int64)
BACKENDS = ["reference", "numba", *_native.kernel_backends()]


def run(backend: str, op: str, inputs: Inputs, attributes: dict[str, Any]) -> Array:
    if backend in _native.kernel_backends():
        return np.asarray(_native.run_node(backend, op, attributes, list(inputs), 1, [True])[0])
    names = tuple("" if x is None else f"x{i}" for i, x in enumerate(inputs))
    node = Node(op, names, ("y",), attributes, name="node")
    evaluate = EVALUATORS.get(op, OPS[op].evaluate) if backend == "numba" else OPS[op].evaluate
    return np.asarray(evaluate(node, inputs)[0])


def expected_bags(
    table: Array,
    ids: Array,
    bounds: Array,
    weights: Array | None,
    mode: str = "sum",
    padding: int | None = None,
    weighted_mean: int = 0,
) -> Array:
    """The meaning, one number at a time, in float64."""
    out = np.zeros((len(bounds), table.shape[1]))
    for bag, (start, end) in enumerate(bounds.tolist()):
        places = [place for place in range(start, end) if padding is None or ids[place] != padding]
        if not places:
            continue
        factors = [1.0 if weights is None else float(weights[place]) for place in places]
        for j in range(table.shape[1]):
            numbers = [float(table[int(ids[place]), j]) for place in places]
            if mode == "max":
                out[bag, j] = np.max(numbers)
                continue
            total = sum(f * x for f, x in zip(factors, numbers, strict=True))
            divisor = sum(factors) if weighted_mean else len(places)
            out[bag, j] = total / divisor if mode == "mean" else total
    return out


def close(actual: Array, expected: Array, terms: int) -> None:
    assert actual.dtype == F32
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=3e-6, atol=2e-6 * (terms + 1))


# Bounds


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_bounds(backend: str, dtype: Any) -> None:
    ids = np.arange(7)
    for offsets, attributes, expected in (
        ([0, 2, 2, 5], {}, [[0, 2], [2, 2], [2, 5], [5, 7]]),
        ([0, 2, 2, 5], {"last": 1}, [[0, 2], [2, 2], [2, 5]]),
        ([3], {}, [[3, 7]]),
        ([7, 7], {}, [[7, 7], [7, 7]]),
        ([3], {"last": 1}, np.zeros((0, 2))),
        ([], {}, np.zeros((0, 2))),
        ([0, 0], {"last": 1}, [[0, 0]]),
        ([0, 2, 7], {"last": 1, "full": 1}, [[0, 2], [2, 7]]),
        ([3], {"last": 1, "full": 1}, np.zeros((0, 2))),
    ):
        made = run(backend, "pyrec.BagBounds", [np.asarray(offsets, dtype), ids], attributes)
        assert made.dtype == INT64
        np.testing.assert_array_equal(made, expected)
    for lengths, expected in (
        ([2, 0, 4], [[0, 2], [2, 2], [2, 6]]),
        ([7], [[0, 7]]),
        ([0], [[0, 0]]),
        ([], np.zeros((0, 2))),
    ):
        made = run(backend, "pyrec.BagBoundsOfLengths", [np.asarray(lengths, dtype), ids], {})
        assert made.dtype == INT64
        np.testing.assert_array_equal(made, expected)
    strided = np.asarray([0, 9, 2, 9, 5, 9], dtype)[::2]
    np.testing.assert_array_equal(run(backend, "pyrec.BagBounds", [strided, ids], {})[:, 0], [0, 2, 5])


STARTS = r"expected a bag that starts at 0 or later, got one that starts before \(row {}\)"
FALLS = r"expected a bag whose end is not before its start, got one whose end is \(row {}\)"
ENDS = r"expected a bag that ends within 7 ids, got one that ends after them \(row {}\)"
SHORT = r"expected a last bag that ends after 7 ids, got one that ends before \(row 1\)"
FAR = 2**62


@pytest.mark.parametrize("backend", BACKENDS)
def test_bounds_name_the_row_of_a_wrong_bag(backend: str) -> None:
    ids = np.arange(7)
    for op, given_, attributes, error in (
        ("pyrec.BagBounds", [-1, 2], {}, STARTS.format(0)),
        ("pyrec.BagBounds", [0, 2, 1], {}, FALLS.format(1)),
        ("pyrec.BagBounds", [0, 2, 8], {}, ENDS.format(1)),
        ("pyrec.BagBounds", [8], {}, FALLS.format(0)),
        ("pyrec.BagBounds", [0, 2, 8], {"last": 1}, ENDS.format(1)),
        ("pyrec.BagBounds", [0, 2, 6], {"last": 1, "full": 1}, SHORT),
        ("pyrec.BagBoundsOfLengths", [2, 4], {"full": 1}, SHORT),
        ("pyrec.BagBounds", [0, FAR, -FAR], {}, ENDS.format(0)),
        ("pyrec.BagBoundsOfLengths", [3, -1, 2], {}, FALLS.format(1)),
        ("pyrec.BagBoundsOfLengths", [3, 5], {}, ENDS.format(1)),
        ("pyrec.BagBoundsOfLengths", [3, FAR, FAR, FAR, FAR], {}, ENDS.format(1)),
        ("pyrec.BagBoundsOfLengths", [3, -FAR], {}, FALLS.format(1)),
    ):
        with pytest.raises(ShapeError, match=f"{error}$"):
            run(backend, op, [np.asarray(given_), ids], attributes)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bounds_refuse_what_no_offsets_are(backend: str) -> None:
    ids = np.arange(7)
    for op, offsets, attributes in (
        ("pyrec.BagBounds", np.zeros(0, np.int64), {"last": 1}),
        ("pyrec.BagBounds", np.zeros((2, 1), np.int64), {}),
        ("pyrec.BagBounds", np.zeros(2), {}),
        ("pyrec.BagBoundsOfLengths", np.zeros((2, 1), np.int64), {}),
        ("pyrec.BagBoundsOfLengths", np.zeros(2), {}),
    ):
        with pytest.raises(PyrecError):
            run(backend, op, [offsets, ids], attributes)


# Bags


def bags_of(random: np.random.Generator, count: int, ids: int) -> Array:
    """Bounds of bags that share ids, leave some out, and are empty now and then."""
    return np.sort(random.integers(0, ids + 1, (count, 2)), axis=1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("width", [0, 1, 3, 8, 16, 17, 32, 50, 64, 100, 128, 200])
def test_bags(backend: str, width: int) -> None:
    random = np.random.default_rng(width)
    table = random.normal(size=(40, width)).astype(F32)
    for count, length in product((0, 1, 5), (0, 1, 2, 33)):
        dtype = np.int32 if length == 2 else np.int64
        ids = random.integers(-40, 40, length).astype(dtype)
        ids[::5] = 7
        weights = random.normal(size=length).astype(F32)
        bounds = bags_of(random, count, length)
        for mode, padding, factors in product(("sum", "mean", "max"), (None, 7, -3), (None, weights)):
            if mode == "max" and factors is not None:
                continue
            attributes: dict[str, Any] = {"mode": mode} | ({} if padding is None else {"padding": padding})
            inputs = (table, ids, bounds, factors)
            made = run(backend, "pyrec.EmbeddingBag", inputs, attributes)
            close(made, expected_bags(*inputs, mode, padding), length)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_weighted_mean_divides_by_the_weights(backend: str) -> None:
    random = np.random.default_rng(0)
    table, ids = random.normal(size=(9, 20)).astype(F32), random.integers(0, 9, 30)
    weights = random.uniform(0.5, 2, 30).astype(F32)
    inputs = (table, ids, np.asarray([[0, 4], [4, 4], [4, 30]]), weights)
    attributes = {"mode": "mean", "padding": 3, "weighted_mean": 1}
    made = run(backend, "pyrec.EmbeddingBag", inputs, attributes)
    close(made, expected_bags(*inputs, **attributes), 30)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bags_of_strided_and_narrow_inputs(backend: str) -> None:
    random = np.random.default_rng(1)
    table = random.normal(size=(40, 48)).astype(F32)
    ids, weights = random.integers(0, 20, 60)[::3], random.normal(size=40).astype(F32)[::-2]
    bounds = np.asarray([[0, 9, 0, 4], [4, 9, 0, 20]])[:, ::3]
    for part in (table[::-2, 1:33], table.T[:40, :40], table[:, ::3], table.astype(np.float16)):
        inputs = (part, ids, bounds, weights)
        close(run(backend, "pyrec.EmbeddingBag", inputs, {}), expected_bags(*inputs), 20)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("width", [5, 16, 40])
def test_bags_of_records(backend: str, width: int) -> None:
    random = np.random.default_rng(2)
    numbers = random.normal(size=(30, width)).astype(F32)
    halves = np.ascontiguousarray(numbers.view(np.uint16)[:, 1::2])
    steps = random.integers(-127, 128, (30, width), np.int8)
    scales = random.uniform(0.5, 2, (30, 1)).astype(F32)
    spare = np.zeros((30, -width % 4), np.uint8)
    ids, bounds = random.integers(-30, 30, 50), np.asarray([[0, 3], [3, 50], [20, 20]])
    for codec, data, meant in (
        ("f32", [numbers.view(np.uint8)], numbers),
        ("bf16", [halves.view(np.uint8)], (halves.astype(np.uint32) << 16).view(F32)),
        ("i8", [steps.view(np.uint8), spare, scales.view(np.uint8)], steps * scales),
    ):
        records = np.concatenate([np.zeros((30, 8), np.uint8), *data], axis=1)
        records = np.pad(records, ((0, 0), (0, -records.shape[1] % 64)))
        attributes = {"offset": 8, "width": width, "codec": codec}
        made = run(backend, "pyrec.EmbeddingBag", (records, ids, bounds, None), attributes)
        close(made, expected_bags(meant, ids, bounds, None), 50 * 127)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bags_of_numbers_that_are_not_finite(backend: str) -> None:
    table = np.ones((6, 20), F32)
    table[1, 2], table[2, 3], table[3, 4], table[4] = np.nan, np.inf, -np.inf, -np.inf
    ids = np.asarray([0, 1, 2, 3, 0, 1, 4, 4])
    bounds = np.asarray([[0, 5], [1, 2], [6, 8], [7, 7]])
    for mode in ("sum", "mean", "max"):
        made = run(backend, "pyrec.EmbeddingBag", (table, ids, bounds), {"mode": mode})
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(made, expected_bags(table, ids, bounds, None, mode))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wrong_id_of_a_bag_is_named_by_its_place(backend: str) -> None:
    table, bounds = np.ones((5, 16), F32), np.asarray([[2, 6], [6, 40]])
    outside = r"^id outside a table of 5 rows \(expected -5 <= id < 5\) \(row {}\)$"
    for dtype, place in product((np.int64, np.int32), (2, 5, 39)):
        for wrong in (5, -6, 2**31 - 1, -(2**31)):
            ids = np.zeros(40, dtype)
            ids[place] = wrong
            with pytest.raises(IdRangeError, match=outside.format(place)):
                run(backend, "pyrec.EmbeddingBag", (table, ids, bounds), {})
            # Padding is no id, and neither is what no bag holds.
            run(backend, "pyrec.EmbeddingBag", (table, ids, bounds), {"padding": wrong})
            run(backend, "pyrec.EmbeddingBag", (table, ids, np.asarray([[0, 2], [3, 5], [6, 39]])), {})
    with pytest.raises(IdRangeError):
        run(backend, "pyrec.EmbeddingBag", (table[:0], np.zeros(3, np.int64), np.asarray([[0, 1]])), {})


@pytest.mark.parametrize("backend", BACKENDS)
def test_strict_ids_do_not_count_from_the_end(backend: str) -> None:
    table, bounds = np.arange(80, dtype=F32).reshape(5, 16), np.asarray([[0, 2], [2, 6], [6, 40]])
    for dtype, place in product((np.int64, np.int32), (0, 5, 39)):
        ids = np.ones(40, dtype)
        ids[place] = -1
        run(backend, "pyrec.EmbeddingBag", (table, ids, bounds), {})
        with pytest.raises(IdRangeError, match=rf"expected 0 <= id < 5\) \(row {place}\)$"):
            run(backend, "pyrec.EmbeddingBag", (table, ids, bounds), {"strict": 1})
        padded = run(backend, "pyrec.EmbeddingBag", (table, ids, bounds), {"strict": 1, "padding": -1})
        kept = np.asarray([2, 4, 34]) - [place == 0, place == 5, place == 39]
        np.testing.assert_array_equal(padded, kept[:, None] * table[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_padding_that_wraps_is_a_row_of_the_table(backend: str) -> None:
    table, bounds = np.arange(80, dtype=F32).reshape(5, 16), np.asarray([[0, 4], [4, 5]])
    for dtype in (np.int64, np.int32):
        ids = np.asarray([1, 3, -2, -4, -2], dtype)
        for mode in ("sum", "mean", "max"):
            attributes = {"mode": mode, "padding": 3, "padding_wraps": 1}
            made = run(backend, "pyrec.EmbeddingBag", (table, ids, bounds), attributes)
            close(made, expected_bags(table, ids % 5, bounds, None, mode, 3), 4)
            with pytest.raises(IdRangeError, match=r"expected 0 <= id < 5\) \(row 2\)$"):
                run(backend, "pyrec.EmbeddingBag", (table, ids, bounds), {**attributes, "strict": 1})


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wrong_bag_is_named_by_its_row(backend: str) -> None:
    table, ids = np.ones((5, 16), F32), np.zeros(7, np.int64)
    for wrong, error in (([-1, 3], STARTS), ([4, 3], FALLS), ([0, 8], ENDS), ([FAR, -FAR], FALLS)):
        bounds = np.asarray([[0, 1], [1, 1], wrong])
        with pytest.raises(ShapeError, match=f"^{error.format(2)}$"):
            run(backend, "pyrec.EmbeddingBag", (table, ids, bounds), {})


@pytest.mark.parametrize("backend", BACKENDS)
def test_bags_refuse(backend: str) -> None:
    table, ids, bounds = np.ones((5, 16), F32), np.zeros(7, np.int64), np.asarray([[0, 7]])
    for inputs, attributes in (
        ((table, ids, bounds), {"mode": "median"}),
        ((table, ids.astype(F32), bounds), {}),
        ((table, ids[:, None], bounds), {}),
        ((table, ids, bounds[0]), {}),
        ((table, ids, bounds[:, :1]), {}),
        ((table, ids, bounds, np.ones(6, F32)), {}),
        ((table, ids, bounds, np.ones((7, 1), F32)), {}),
    ):
        with pytest.raises(PyrecError):
            run(backend, "pyrec.EmbeddingBag", inputs, attributes)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=9).map(np.asarray),
    spare=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_lengths_offsets_and_bags_agree(backend: str, lengths: Array, spare: int, seed: int) -> None:
    ids = np.random.default_rng(seed).integers(0, 6, int(lengths.sum()) + spare)
    table = np.arange(6 * 3, dtype=F32).reshape(6, 3)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    bounds = run(backend, "pyrec.BagBoundsOfLengths", [lengths, ids], {})
    np.testing.assert_array_equal(bounds, run(backend, "pyrec.BagBounds", [offsets, ids], {"last": 1}))
    without = run(backend, "pyrec.BagBounds", [offsets[:-1], ids[: offsets[-1]]], {})
    np.testing.assert_array_equal(bounds, without)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    scattered = np.zeros((len(lengths), 3), F32)
    np.add.at(scattered, rows, table[ids[: len(rows)]])
    # Whole numbers are exact in any order.
    np.testing.assert_array_equal(run(backend, "pyrec.EmbeddingBag", (table, ids, bounds), {}), scattered)
    means = run(backend, "pyrec.EmbeddingBag", (table, ids, bounds), {"mode": "mean"})
    for row in range(len(lengths)):
        alone = run(backend, "pyrec.EmbeddingBag", (table, ids, bounds[row : row + 1]), {"mode": "mean"})
        np.testing.assert_array_equal(alone[0], means[row])


# Types and rows


def found(op: str, inputs: dict[str, Info], **attributes: Any) -> tuple[Info, bool]:
    node = Node(op, tuple(inputs), ("y",), attributes, name="node")
    analysis = analyze(Graph(tuple(inputs), ("y",), (node,), {}, inputs))
    return analysis.infos["y"], node in analysis.coupled


def vector(size: Any, rows: int = Rows.INVARIANT) -> Info:
    return Info(INT64, (size,), rows)


def test_bounds_couple_rows_and_bags_do_not() -> None:
    batch, many = Dim.symbol("N"), Dim.symbol("M")
    for op in ("pyrec.BagBounds", "pyrec.BagBoundsOfLengths"):
        info, coupled = found(op, {"offsets": vector(batch, 0), "ids": vector(many)})
        assert (info.dtype, info.shape, info.rows, coupled) == (INT64, (batch, 2), 0, True)
        info, coupled = found(op, {"offsets": vector(5), "ids": vector(many)})
        assert (info.shape, info.rows, coupled) == ((5, 2), Rows.INVARIANT, False)
        info, coupled = found(op, {"offsets": vector(5), "ids": vector(batch, 0)})
        assert (info.rows, coupled) == (Rows.OPAQUE, True)
    info, coupled = found("pyrec.BagBounds", {"offsets": vector(5), "ids": vector(many)}, last=1)
    assert (info.shape, coupled) == ((4, 2), False)
    info, coupled = found("pyrec.BagBounds", {"offsets": vector(batch, 0), "ids": vector(many)}, last=1)
    assert (info.rows, coupled) == (Rows.OPAQUE, True)

    table = Info(F32, (9, 16))
    for ids, bounds, weights, expected in (
        (Rows.INVARIANT, 0, Rows.INVARIANT, (0, False)),
        (Rows.INVARIANT, Rows.INVARIANT, Rows.INVARIANT, (Rows.INVARIANT, False)),
        (0, 0, Rows.INVARIANT, (Rows.OPAQUE, True)),
        (Rows.INVARIANT, 0, 0, (Rows.OPAQUE, True)),
        (Rows.INVARIANT, 1, Rows.INVARIANT, (Rows.OPAQUE, True)),
    ):
        inputs = {
            "table": table,
            "ids": vector(many, ids),
            "bounds": Info(INT64, (batch, 2), bounds),
            "weights": Info(F32, (many,), weights),
        }
        info, coupled = found("pyrec.EmbeddingBag", inputs)
        assert (info.dtype, info.shape) == (F32, (batch, 16))
        assert (info.rows, coupled) == expected


def test_rows_of_lengths() -> None:
    op = OPS["pyrec.RowsOfLengths"]
    node = Node("pyrec.RowsOfLengths", ("lengths",), ("rows",))
    for lengths, rows in (([2, 0, 3], [0, 0, 2, 2, 2]), ([0], []), ([], [])):
        (made,) = op.evaluate(node, [np.asarray(lengths, np.int32)])
        assert made.dtype == INT64
        np.testing.assert_array_equal(made, rows)
    with pytest.raises(ShapeError, match=r"expected no negative length, got one \(row 1\)"):
        op.evaluate(node, [np.asarray([2, -1])])
    for lengths, row in (([1, 2**62, 2**62], 1), ([2**40] * 2**9, 256), ([2**63 - 1], 0)):
        with pytest.raises(ShapeError, match=rf"expected at most \d+ ids by all lengths, .*\(row {row}\)"):
            op.evaluate(node, [np.asarray(lengths)])


def test_lengths_of_offsets() -> None:
    op = OPS["pyrec.LengthsOfOffsets"]
    node = Node("pyrec.LengthsOfOffsets", ("offsets",), ("lengths",))
    for offsets, lengths in (([0, 2, 2, 5], [2, 0, 3]), ([4], []), ([], [])):
        (made,) = op.evaluate(node, [np.asarray(offsets, np.int32)])
        assert made.dtype == INT64
        np.testing.assert_array_equal(made, lengths)
    with pytest.raises(ShapeError):
        op.evaluate(node, [np.zeros((2, 2), np.int64)])


def test_pairs_whose_rows_are_not_counted_end_with_the_last() -> None:
    rows = np.asarray([2, 0, 2])
    bounds, order = (Node(op, ("rows",), ("y",)) for op in ("pyrec.BagsOfPairs", "pyrec.OrderOfPairs"))
    np.testing.assert_array_equal(OPS[bounds.op].evaluate(bounds, [rows])[0], [[0, 1], [1, 1], [1, 3]])
    np.testing.assert_array_equal(OPS[order.op].evaluate(order, [rows])[0], [1, 0, 2])
    assert OPS[bounds.op].evaluate(bounds, [rows[:0]])[0].shape == (0, 2)
    assert OPS[order.op].evaluate(order, [rows[:0]])[0].shape == (0,)
