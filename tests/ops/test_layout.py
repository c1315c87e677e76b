"""Layout, assembly, indexing and ordering operators: type rules, and C++ against the reference."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from pyrec_infer.errors import IdRangeError, ModelError, PyrecError
from pyrec_infer.ir import Dim, Graph, Info, Node, Rows
from pyrec_infer.ops import expansion, filling, indexing, layout, ordering, slicing
from pyrec_infer.ops.core.inference import analyze, constant_info

pytestmark = pytest.mark.once

try:
    from pyrec_infer import _native
except ImportError:
    _native = None

BACKENDS = _native.kernel_backends() if _native else ()
native = pytest.mark.skipif(_native is None, reason="the native extension is not built")
OPS = {
    op.name: op for family in (layout, slicing, expansion, filling, indexing, ordering) for op in family.OPS
}
N = Dim.symbol("N")
DTYPES = ["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))]
DTYPES += ["float16", "float32", "float64"]
RNG = np.random.default_rng(7)


def ints(*items: Any, dtype: Any = np.int64) -> np.ndarray:
    return np.array(items[0] if len(items) == 1 else items, dtype)


def data(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Small values with many ties."""
    return np.asarray(RNG.integers(0 if dtype[0] in "bu" else -4, 5, shape)).astype(dtype)


def some_nan(*shape: int, dtype: str = "float32") -> np.ndarray:
    values = data(*shape, dtype=dtype)
    return np.where(RNG.random(shape) < 0.2, np.array(np.nan, dtype), values)


MOVES: list[tuple[str, Mapping[str, Any], list[tuple[int, ...] | np.ndarray | None], int]] = [
    ("Reshape", {}, [(4, 6), ints(2, -1, 3)], 1),
    ("Reshape", {}, [(4, 1, 6), ints(0, 3, 1, -1)], 1),
    ("Reshape", {}, [(0, 3, 4), ints(0, -1)], 1),
    ("Reshape", {}, [(1,), ints([])], 1),
    ("Reshape", {"allowzero": 1}, [(3, 0), ints(0, 5)], 1),
    ("Flatten", {"axis": 2}, [(2, 3, 4)], 1),
    ("Flatten", {"axis": 0}, [()], 1),
    ("Squeeze", {}, [(1, 3, 1)], 1),
    ("Squeeze", {}, [(1, 3, 1), ints([-1])], 1),
    ("Unsqueeze", {}, [(3, 4), ints(0, -1)], 1),
    ("Transpose", {}, [(2, 3, 4)], 1),
    ("Transpose", {"perm": (1, 0, 2)}, [(2, 0, 4)], 1),
    ("Shape", {"start": -2}, [(2, 3, 4)], 1),
    ("Size", {}, [(2, 3, 4)], 1),
    ("DepthToSpace", {"blocksize": 2, "mode": "DCR"}, [(2, 8, 3, 1)], 1),
    ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}, [(2, 8, 3, 2)], 1),
    ("SpaceToDepth", {"blocksize": 2}, [(2, 3, 4, 2)], 1),
    ("SpaceToDepth", {"blocksize": 2, "mode": "CRD"}, [(1, 2, 4, 6)], 1),
    ("Concat", {"axis": -1}, [(3, 20), (3, 0), (3, 1)], 1),
    ("Concat", {"axis": 1}, [(2, 1, 4), (2, 3, 4)], 1),
    ("Concat", {"axis": 0}, [(5,)], 1),
    ("Split", {"axis": 1}, [(3, 5), ints(2, 0, 3)], 3),
    ("Split", {"axis": 0, "num_outputs": 3}, [(5, 2)], 3),
    ("Split", {"axis": 0, "num_outputs": 4}, [(5,)], 4),
    ("Slice", {}, [(5, 6), ints(1, -3), ints(2**31 - 1, 1000)], 1),
    ("Slice", {}, [(5, 6), ints([-1]), ints([-(2**63)]), ints([1]), ints([-2])], 1),
    ("Slice", {}, [(5, 6), ints([-100], dtype=np.int32), ints([-200]), None, ints([-1])], 1),
    ("Slice", {}, [(5, 6), ints([3]), ints([2]), ints([0])], 1),
    ("Slice", {}, [(5, 6), ints([1]), ints([2**62]), ints([0]), ints([2**62])], 1),
    ("Slice", {}, [(0, 6), ints([0]), ints([3])], 1),
    ("Tile", {}, [(3, 1, 4), ints(2, 3, 1)], 1),
    ("Tile", {}, [(3, 1), ints(2, 20)], 1),
    ("Tile", {}, [(3, 2), ints(0, 2)], 1),
    ("Tile", {}, [(), ints([])], 1),
    ("Expand", {}, [(3, 1), ints(2, 1, 6)], 1),
    ("Expand", {}, [(), ints(2, 0)], 1),
    ("Pad", {}, [(3, 4), ints(1, 0, 0, 2)], 1),
    ("Pad", {}, [(3, 4), ints(-1, 2, 2, -5)], 1),
    ("Pad", {"mode": "reflect"}, [(3, 4), ints(4, 0, 7, 2)], 1),
    ("Pad", {"mode": "reflect"}, [(1, 4), ints(2, -1, 0, 2)], 1),
    ("Pad", {"mode": "edge"}, [(3, 4), ints(1, 5), None, ints([-1])], 1),
    ("Pad", {"mode": "wrap"}, [(3, 4), ints(4, 0, 7, 2)], 1),
    ("Trilu", {}, [(2, 3, 4)], 1),
    ("Trilu", {"upper": 0}, [(4, 3), ints(-1)], 1),
    ("Trilu", {"upper": 0}, [(3, 0), ints(2**62)], 1),
    ("EyeLike", {"k": 1}, [(3, 4)], 1),
    ("EyeLike", {"k": -2, "dtype": "float16"}, [(4, 3)], 1),
    ("ReverseSequence", {"time_axis": 0, "batch_axis": 1}, [(4, 3, 2), ints(4, 0, 3)], 1),
    ("ReverseSequence", {"time_axis": 1, "batch_axis": 0}, [(3, 4), ints(1, 2, 4)], 1),
    ("Gather", {}, [(7, 16), ints([[0, -1], [3, 3]])], 1),
    ("Gather", {}, [(7, 3), ints([], dtype=np.int32)], 1),
    ("Gather", {"axis": 1}, [(5, 7), ints(-2)], 1),
    ("Gather", {"axis": 1}, [(5, 7, 2), ints([6, 0, -7], dtype=np.int32)], 1),
    ("Gather", {"axis": -1}, [(5, 7), ints([[1], [2]])], 1),
    ("Gather", {}, [(7, 3), ints([[2]])], 1),
    ("GatherElements", {"axis": 1}, [(3, 4), ints([[0, -1, 2], [3, 3, 0]])], 1),
    ("GatherElements", {}, [(3, 4), ints(np.zeros((0, 4)))], 1),
    ("GatherND", {}, [(3, 4, 5), ints([[0, -1], [2, 3]])], 1),
    ("GatherND", {}, [(3, 4), ints([[[0, 1]], [[2, -4]]])], 1),
    ("GatherND", {"batch_dims": 1}, [(2, 3, 4), ints([[1], [-1]])], 1),
    ("ScatterElements", {"axis": 1}, [(3, 4), ints([[0, -1], [2, 1]]), (2, 2)], 1),
    ("ScatterND", {}, [(4, 3), ints([[1], [-1]]), (2, 3)], 1),
    ("ScatterND", {}, [(4, 3), ints([[1, 0], [1, 0]]), (2,)], 1),
    ("OneHot", {}, [ints([[0, -1, 5], [2, 9, -9]]), ints(4), (2,)], 1),
    ("OneHot", {"axis": 0}, [np.float32([1, 2.5]), np.float32([3]), (2,)], 1),
    ("Compress", {"axis": 1}, [(3, 4), np.array([False, True, True])], 1),
    ("Compress", {}, [(3, 4), np.array([True, False, True])], 1),
    ("NonZero", {}, [(3, 4)], 1),
    ("NonZero", {}, [()], 1),
    ("NonZero", {}, [(0, 4)], 1),
    ("Unique", {}, [(3, 8)], 4),
    ("Unique", {"sorted": 0}, [(30,)], 4),
    ("Unique", {"axis": 1}, [(2, 40)], 4),
    ("Unique", {"axis": 0, "sorted": 0}, [(40, 1)], 2),
    ("Unique", {}, [(0,)], 4),
    ("ArgMax", {"axis": 1}, [(3, 8)], 1),
    ("ArgMin", {"keepdims": 0, "select_last_index": 1}, [(8, 3)], 1),
    ("TopK", {}, [(3, 9), ints([4])], 2),
    ("TopK", {"axis": 0, "largest": 0}, [(9, 2), ints([9])], 2),
    ("TopK", {}, [(3, 9), ints([0])], 2),
]  # fmt: skip

Case = tuple[str, Mapping[str, Any], Sequence[np.ndarray | None], int]


def _many_short_lines() -> list[Case]:
    """More than are put in order side by side, of sizes on both sides of what is short."""
    found: list[Case] = []
    for dtype, largest in itertools.product(DTYPES[1:], (0, 1)):
        for shape, axis, k in (((70, 5), 1, 3), ((9, 7, 11), 1, 7), ((33, 12), 0, 4), ((8, 32), 1, 1)):
            values = data(*shape, dtype=dtype) if dtype[0] in "iu" else some_nan(*shape, dtype=dtype)
            found.append(("TopK", {"axis": axis, "largest": largest}, [values, ints([k])], 2))
    signed = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45], np.float32)
    for largest in (0, 1):
        lines = np.stack([RNG.permutation(signed) for _ in range(20)])
        found.append(("TopK", {"largest": largest}, [lines, ints([6])], 2))
        for dtype in ("int64", "uint64", "uint32"):
            far = np.array([2**31, 7, 2**32 - 1, 2**31 - 1], dtype)[RNG.integers(0, 4, (20, 6))]
            found.append(("TopK", {"largest": largest}, [far, ints([4])], 2))
    return found


def _cases() -> list[Case]:
    found: list[Case] = []
    for number, (op, attributes, inputs, outputs) in enumerate(MOVES):
        # Every element size with every operator, and every element type with some.
        for dtype in DTYPES[number % 3 :: 3] + ["float32"] * (number % 3 != 1):
            made = [data(*item, dtype=dtype) if isinstance(item, tuple) else item for item in inputs]
            found.append((op, attributes, made, outputs))
    for reduction, dtype in itertools.product(("add", "mul", "max", "min"), DTYPES):
        attributes = {"reduction": reduction}
        rows = ints([[0, 1, 0], [2, -1, 0], [0, 0, 0]])
        found.append(
            ("ScatterElements", attributes, [data(3, 3, dtype=dtype), rows, data(3, 3, dtype=dtype)], 1)
        )
        found.append(
            ("ScatterND", attributes, [data(3, 5, dtype=dtype), ints([[1], [1]]), data(2, 5, dtype=dtype)], 1)
        )
    for dtype, axis in itertools.product(DTYPES[1:], (0, -1)):
        for exclusive, reverse in itertools.product((0, 1), (0, 1)):
            attributes = {"exclusive": exclusive, "reverse": reverse}
            found.append(("CumSum", attributes, [data(4, 17, dtype=dtype), ints(axis)], 1))
    for dtype in ("float16", "float32", "float64"):
        values = some_nan(4, 9, dtype=dtype)
        for largest in (0, 1):
            found.append(("TopK", {"largest": largest}, [values, ints([5])], 2))
        for op, last in itertools.product(("ArgMax", "ArgMin"), (0, 1)):
            found.append((op, {"axis": 1, "select_last_index": last}, [values], 1))
        found.append(("Unique", {}, [values], 4))
        found.append(("Unique", {"axis": 0}, [values[:, :1].repeat(2, 0)], 4))
        found.append(("NonZero", {}, [values], 1))
        found.append(
            ("ScatterND", {"reduction": "max"}, [values, ints([[1]]), some_nan(1, 9, dtype=dtype)], 1)
        )
        found.append(("Pad", {}, [values, ints(1, 1, 1, 1), np.array(2.5, dtype)], 1))
        bounds = [np.array(item, dtype) for item in (0.5, 9.25, 0.1)]
        found.append(("Range", {}, bounds, 1))
        found.append(("Range", {}, [bounds[1], bounds[0], -bounds[2]], 1))
        found.append(("Range", {}, bounds[::-1], 1))
        found.append(("ConstantOfShape", {"value": np.array([3], dtype)}, [ints(2, 3)], 1))
    found += _many_short_lines()
    for dtype in ("int16", "int32", "int64"):
        for items in ((0, 10, 3), (5, -7, -2), (5, 5, 1), (-3, -100, 5)):
            found.append(("Range", {}, [np.array(item, dtype) for item in items], 1))
    lowest, highest = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    found.append(("Range", {}, [ints(lowest), ints(highest), ints(2**62)], 1))
    found.append(("ConstantOfShape", {}, [ints([])], 1))
    found.append(("ConstantOfShape", {}, [ints(2, 0)], 1))
    return found


CASES = _cases()


def node_of(op: str, attributes: Mapping[str, Any], inputs: Sequence[Any], outputs: int) -> Node:
    names = tuple("" if item is None else f"x{i}" for i, item in enumerate(inputs))
    return Node(op, names, tuple(f"y{i}" for i in range(outputs)), attributes, name="node")


def layouts(array: np.ndarray) -> list[np.ndarray]:
    """The same elements under other strides."""
    spaced = np.zeros([2 * size + 1 for size in array.shape], array.dtype)
    inside = spaced[(..., *(slice(1, None, 2) for _ in array.shape))]
    inside[...] = array
    return [array, array.copy(order="F"), np.asarray(np.flip(np.asarray(np.flip(array)).copy())), inside]


@native
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: f"{CASES[i][0]}-{i}")
def test_native_equals_reference(backend: str, number: int) -> None:
    op, attributes, inputs, outputs = CASES[number]
    expected = OPS[op].evaluate(node_of(op, attributes, inputs, outputs), inputs)
    assert len(expected) == outputs
    for variant in range(4):
        arranged = [None if item is None else layouts(item)[variant] for item in inputs]
        found = _native.run_node(backend, op, dict(attributes), arranged, outputs)
        for got, want in zip(found, expected, strict=True):
            assert got.dtype == want.dtype
            assert got.shape == want.shape
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: f"{CASES[i][0]}-{i}")
def test_type_rule_fits_reference(number: int) -> None:
    op, attributes, inputs, outputs = CASES[number]
    node = node_of(op, attributes, inputs, outputs)
    results = OPS[op].evaluate(node, inputs)
    known = [None if item is None else constant_info(item) for item in inputs]
    unknown = [None if item is None else Info(item.dtype, item.shape) for item in inputs]
    for infos in (known, unknown):
        found = OPS[op].infer(node, infos)
        assert len(found) == outputs
        for info, array in zip(found, results, strict=True):
            assert info.dtype == array.dtype
            if info.shape is None:
                assert infos is unknown
                continue
            assert len(info.shape) == array.ndim
            for size, actual in zip(info.shape, array.shape, strict=True):
                assert isinstance(size, Dim) or size == actual


REFUSED: list[Case] = [
    ("Reshape", {}, [data(4, 6), ints(5, -1)], 1),
    ("Reshape", {}, [data(4, 6), ints(-1, -1)], 1),
    ("Reshape", {}, [data(4, 6), ints(4, 6, 0)], 1),
    ("Reshape", {"allowzero": 1}, [data(0, 6), ints(0, -1)], 1),
    ("Squeeze", {}, [data(2, 1), ints([0])], 1),
    ("Unsqueeze", {}, [data(2, 1), ints([1, 1])], 1),
    ("Transpose", {"perm": (0, 0)}, [data(2, 1)], 1),
    ("SpaceToDepth", {"blocksize": 2}, [data(1, 1, 3, 2)], 1),
    ("Concat", {"axis": 0}, [data(2, 3), data(2, 4)], 1),
    ("Split", {}, [data(5), ints(2, 2)], 2),
    ("Slice", {}, [data(5), ints([0]), ints([5]), ints([0]), ints([0])], 1),
    ("Slice", {}, [data(5, 5), ints(0, 0), ints(5, 5), ints(0, -2)], 1),
    ("Tile", {}, [data(2), ints([-1])], 1),
    ("Expand", {}, [data(2), ints([3])], 1),
    ("Pad", {}, [data(2), ints(-2, -1)], 1),
    ("Pad", {"mode": "edge"}, [data(0), ints(1, 0)], 1),
    ("ConstantOfShape", {}, [ints(2, -1)], 1),
    ("Range", {}, [ints(0), ints(1), ints(0)], 1),
    ("Range", {}, [np.float32(0), np.float32(np.inf), np.float32(1)], 1),
    ("GatherND", {}, [data(2, 3), ints([[0, 0, 0]])], 1),
    ("GatherElements", {}, [data(2, 3), ints([[0, 0, 0, 0]])], 1),
    ("ScatterND", {}, [data(2, 3), ints([[0]]), data(1, 2)], 1),
    ("Compress", {"axis": 0}, [data(2, 3), np.array([False, False, True])], 1),
    ("TopK", {}, [data(3), ints([4])], 2),
    ("ArgMax", {}, [data(0, 3)], 1),
]


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=lambda i: f"{REFUSED[i][0]}-{i}")
def test_impossible_requests_are_refused(number: int) -> None:
    op, attributes, inputs, outputs = REFUSED[number]
    with pytest.raises(ModelError):
        OPS[op].evaluate(node_of(op, attributes, inputs, outputs), [np.asarray(item) for item in inputs])
    for backend in BACKENDS:
        with pytest.raises(PyrecError):
            _native.run_node(backend, op, dict(attributes), [np.asarray(item) for item in inputs], outputs)


@native
def test_sizes_no_tensor_can_have_are_refused() -> None:
    for op, inputs in (
        ("Expand", [data(1), ints(2**40, 2**40)]),
        ("Tile", [data(2, 2), ints(2**40, 2**40)]),
        ("ConstantOfShape", [ints(2**62, 2)]),
        ("Reshape", [data(0), ints(0, 2**40, 2**40)]),
        ("Pad", [data(1), ints(2**62, 2**62)]),
    ):
        with pytest.raises(PyrecError):
            _native.run_node("scalar", op, {}, inputs, 1)


@pytest.mark.parametrize("op", ["Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND"])
def test_id_outside_its_table(op: str) -> None:
    indices = np.zeros((6, 1), np.int64)
    indices[4] = 123456
    inputs = [data(8, 1), indices]
    if op.startswith("Scatter"):
        inputs.append(data(6, 1))
    expected = r"id outside a table of 8 rows \(expected -8 <= id < 8\) \(row 4\)"
    with pytest.raises(IdRangeError, match=expected) as caught:
        OPS[op].evaluate(node_of(op, {}, inputs, 1), inputs)
    assert "123456" not in str(caught.value)
    for backend in BACKENDS:
        with pytest.raises(IdRangeError, match=expected) as caught:
            _native.run_node(backend, op, {}, inputs, 1)
        assert "123456" not in str(caught.value)


def shape_of(op: str, inputs: Sequence[Info | None], outputs: int = 1, **attributes: Any) -> Any:
    found = OPS[op].infer(node_of(op, attributes, inputs, outputs), inputs)
    return found[0].shape if outputs == 1 else [info.shape for info in found]


def floats(*shape: Any) -> Info:
    return Info(np.dtype(np.float32), shape)


def known(*items: int) -> Info:
    return constant_info(ints(list(items)))


def symbolic(*items: Any) -> Info:
    contents = np.empty(len(items), object)
    contents[:] = items
    return Info(np.dtype(np.int64), (len(items),), contents=contents)


def test_symbolic_sizes() -> None:
    assert shape_of("Reshape", [floats(N, 26, 16), known(-1, 416)]) == (N, 416)
    assert shape_of("Reshape", [floats(N, 26, 16), known(0, -1)]) == (N, 416)
    assert shape_of("Reshape", [floats(N, 26, 16), symbolic(N, -1)]) == (N, 416)
    assert shape_of("Reshape", [floats(N, 8), symbolic(N, 2, 4)]) == (N, 2, 4)
    unknown = Info(np.dtype(np.int64), (3,))
    assert len(shape_of("Reshape", [floats(N, 8), unknown])) == 3
    assert shape_of("Flatten", [floats(N, 26, 16)]) == (N, 416)
    assert shape_of("Concat", [floats(N, 3), floats(N, 4)], axis=1) == (N, 7)
    assert shape_of("Concat", [floats(N, 3), floats(N, 3)], axis=0) == (N * 2, 3)
    assert shape_of("Split", [floats(N, 6)], 2, axis=1) == [(N, 3), (N, 3)]
    assert shape_of("Slice", [floats(N, 6), known(1), known(3), known(1)]) == (N, 2)
    assert shape_of("Slice", [floats(N, 6), known(0), known(2**31 - 1), known(0)]) == (N, 6)
    assert shape_of("Slice", [floats(N * 2, 6), symbolic(N), symbolic(N * 2), known(0)]) == (N, 6)
    size, width = shape_of("Slice", [floats(N, 6), known(0), known(5), known(0)])
    assert isinstance(size, Dim)
    assert size.symbols != N.symbols
    assert width == 6
    assert shape_of("Expand", [floats(N, 1, 8), known(1, 5, 1)]) == (N, 5, 8)
    assert shape_of("Expand", [floats(1, 8), symbolic(N, 8)]) == (N, 8)
    assert shape_of("Tile", [floats(N, 1, 8), known(1, 5, 1)]) == (N, 5, 8)
    assert shape_of("ConstantOfShape", [symbolic(N, 3)]) == (N, 3)
    assert shape_of("Range", [known(0), symbolic(N), known(1)]) == (N,)
    assert shape_of("Gather", [floats(1000, 16), Info(np.dtype(np.int64), (N, 2))]) == (N, 2, 16)
    assert shape_of("Pad", [floats(N, 3), known(0, 1, 0, 1)]) == (N, 5)
    assert shape_of("OneHot", [floats(N), known(4), floats(2)]) == (N, 4)


def test_shape_arithmetic_runs_on_symbols() -> None:
    sizes = OPS["Shape"].infer(node_of("Shape", {}, [0], 1), [floats(N, 26, 16)])[0].contents
    assert sizes is not None

    def run(op: str, inputs: Sequence[Any], **attributes: Any) -> Any:
        return OPS[op].evaluate(node_of(op, attributes, inputs, 1), inputs)[0]

    first = run("Gather", [sizes, ints(0)])
    assert first.dtype == object
    assert first.shape == ()
    row = run("Unsqueeze", [first, ints([0])])
    assert run("Concat", [row, ints([-1])], axis=0).tolist() == [N, -1]
    assert run("Slice", [sizes, ints([0]), ints([2])]).tolist() == [N, 26]
    assert run("Squeeze", [row, ints([0])]).tolist() == N


@pytest.mark.parametrize(
    ("axes", "rows", "lengths", "expected"),
    [
        ((0, 1), 1, 0, (1, False)),
        ((1, 0), 0, 0, (0, False)),
        ((1, 0), 1, 0, (Rows.OPAQUE, True)),
        ((1, 0), 0, Rows.INVARIANT, (Rows.OPAQUE, True)),
        ((0, 1), 2, Rows.INVARIANT, (2, False)),
        ((0, 1), 2, 0, (Rows.OPAQUE, True)),
        ((0, 1), Rows.INVARIANT, 0, (Rows.OPAQUE, True)),
    ],
)
def test_rows_of_reversed_sequences(
    axes: tuple[int, int], rows: int, lengths: int, expected: tuple[int, bool]
) -> None:
    time, batch = axes
    node = Node("ReverseSequence", ("x", "n"), ("y",), {"time_axis": time, "batch_axis": batch})
    shape: list[int | Dim] = [4, 4, 4]
    if rows >= 0:
        shape[rows] = Dim.symbol("N")
    infos = {
        "x": Info(np.dtype(np.float32), tuple(shape), rows),
        "n": Info(np.dtype(np.int64), (shape[batch],), lengths),
    }
    analysis = analyze(Graph(("x", "n"), ("y",), (node,), {}, infos))
    assert (analysis.infos["y"].rows, node in analysis.coupled) == expected
