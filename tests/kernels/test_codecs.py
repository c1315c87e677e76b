"""Codecs of rows: what they store of every number that matters, and how far off it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

import pyrec_infer as pi
from pyrec_infer.backends.select import available_backends
from pyrec_infer.codecs import CODECS, Codec, PrecisionName, codec_of, decode, find_codec
from pyrec_infer.codecs.bf16 import round_bf16, widen_bf16
from pyrec_infer.codecs.codec import OutOfRangeError
from pyrec_infer.codecs.i8 import to_int8
from pyrec_infer.ir import Array, Node
from pyrec_infer.kernels.lookup import lookup_f32, lookup_sum_f32
from pyrec_infer.ops import OPS

pytestmark = pytest.mark.once

try:
    from pyrec_infer import _native
except ImportError:
    _native = None

NATIVE = [name for name in available_backends() if name != "numba"]
ISAS = [*NATIVE, "stand_in"] if NATIVE else []
READERS = [*ISAS, "numba"] if "numba" in available_backends() else ISAS

WIDTHS = (0, 1, 3, 4, 7, 8, 15, 16, 17, 33, 100)

EVERY_UPPER_HALF = np.arange(1 << 16, dtype=np.uint32)
SMALLEST_NORMAL, INFINITE, SIGN, QUIET = 0x80, 0x7F80, 0x8000, 0x40


def expected_bf16(bits: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """By cases: the nearest of the two numbers that a float32 lies between, the even one if it is amid."""
    upper, lower = bits >> 16, bits & 0xFFFF
    up = (lower > 0x8000) | ((lower == 0x8000) & (upper % 2 == 1))
    made = np.where(up, upper + 1, upper)
    magnitude = bits & 0x7FFFFFFF
    made = np.where(magnitude < SMALLEST_NORMAL << 16, upper & SIGN, made)
    return np.where(magnitude > INFINITE << 16, upper | QUIET, made).astype(np.uint16)


@pytest.mark.parametrize("lower", [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
def test_bf16_rounds_every_number_to_the_nearest_even(lower: int) -> None:
    """Each bfloat16 number, the middle between it and the next, and the float32 numbers beside both."""
    bits = EVERY_UPPER_HALF << 16 | lower
    numbers, expected = bits.view(np.float32), expected_bf16(bits)
    np.testing.assert_array_equal(round_bf16(numbers), expected)
    for isa in ISAS:
        made = _native.run_kernel(isa, "round_rows_bf16", numbers.reshape(16, -1), None)
        np.testing.assert_array_equal(made.reshape(-1), expected)


def test_bf16_keeps_what_it_holds() -> None:
    halves = EVERY_UPPER_HALF.astype(np.uint16)
    numbers = widen_bf16(halves)
    subnormal = np.abs(numbers) < np.finfo(np.float32).tiny
    held = ~subnormal & ~np.isnan(numbers)
    np.testing.assert_array_equal(round_bf16(numbers[held]), halves[held])
    np.testing.assert_array_equal(round_bf16(numbers[subnormal]), halves[subnormal] & SIGN)
    assert np.isnan(widen_bf16(round_bf16(numbers[np.isnan(numbers)]))).all()


def test_bf16_says_what_infinity_and_zeros_become() -> None:
    values = np.asarray(
        [3.3895314e38, 3.3961775e38, -3.4e38, -0.0, -1.1754942e-38, 1.1754944e-38], np.float32
    )
    made = widen_bf16(round_bf16(values)).tolist()
    assert made == [3.3895313892515355e38, np.inf, -np.inf, 0.0, 0.0, 1.1754943508222875e-38]
    assert np.signbit(made).tolist() == [False, False, True, True, True, False]


def test_int8_rows() -> None:
    values = np.asarray([[1, -2], [0, 0], [np.nan, 1], [np.inf, 1], [1e-45, -1e-45]], np.float32)
    numbers, scales = to_int8(values)
    assert numbers[0].tolist() == [64, -127]
    assert numbers[1].tolist() == [0, 0]
    assert np.isnan(scales).tolist() == [False, False, True, True, False]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_the_largest_numbers_stay_in_the_bound(codec: Codec) -> None:
    largest = np.finfo(np.float32).max
    rows = np.asarray([[largest, -1], [-largest, 0], [largest / 2, largest]], np.float32)
    require_bound(codec, rows if codec.name != "f16" else rows.clip(-65504, 65504))


def oracle_of(codec: Codec, data: NDArray[np.uint8], width: int) -> Array:
    return np.asarray([codec.oracle(row.tobytes(), width) for row in data]).reshape(len(data), width)


def read(isa: str, kernel: str, part: tuple[Array, int, Array | None, int, str], n: int) -> Array:
    """The rows of a part as a lookup and as a sum of one part have them, on an ISA or with Numba."""
    own = {"lookup_f32": ((part,), n), "lookup_sum_f32": (None, (part,), n, part[3], "none")}[kernel]
    if isa == "numba":
        return {"lookup_f32": lookup_f32, "lookup_sum_f32": lookup_sum_f32}[kernel](*own)
    return np.asarray(_native.run_kernel(isa, kernel, *own))


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_any_bytes_are_read_by_the_definition(codec: Codec) -> None:
    """NaN of every kind, infinities and subnormal numbers among them, in each place of a vector."""
    random = np.random.default_rng(0)
    for width in WIDTHS:
        size = codec.row_bytes(width)
        data = random.integers(0, 256, (40, -(-size // 4) * 4 + 8), np.uint8)
        data[:4] = np.asarray([0, 0x7F, 0x80, 0xFF], np.uint8)[:, None]
        with np.errstate(all="ignore"):
            expected = oracle_of(codec, data[:, 4:], width).astype(np.float32)
            np.testing.assert_array_equal(codec.decode(data[:, 4:], width), expected)
        part = data, 4, None, width, codec.name
        for isa in READERS:
            with np.errstate(all="ignore"):
                made = read(isa, "lookup_f32", part, len(data))
                np.testing.assert_array_equal(made, expected)
                np.testing.assert_array_equal(read(isa, "lookup_sum_f32", part, len(data)), expected)


def require_bound(codec: Codec, rows: NDArray[np.float32]) -> None:
    stored = codec.encode(rows)
    assert stored.dtype == np.uint8
    assert stored.shape == (len(rows), codec.row_bytes(rows.shape[1]))
    with np.errstate(all="ignore"):
        made = codec.decode(stored, rows.shape[1]).astype(np.float64)
        bound = codec.bound(rows)
        error = np.abs(made - rows.astype(np.float64))
    same = (made == rows) | (np.isnan(made) & np.isnan(rows))
    lost = np.isnan(bound) & np.isnan(made)
    assert (same | lost | (error <= bound)).all()


NUMBERS = st.floats(width=32, allow_subnormal=True)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_what_is_stored_stays_in_the_bound(data: st.DataObject) -> None:
    shape = data.draw(arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9))
    rows = data.draw(arrays.arrays(np.float32, shape, elements=NUMBERS))
    beyond = np.isfinite(rows) & (np.abs(rows) > 65504)
    for codec in CODECS.values():
        if codec.name == "f16" and beyond.any():
            with pytest.raises(OutOfRangeError) as caught:
                codec.encode(rows)
            assert [caught.value.row, caught.value.column] == np.argwhere(beyond)[0].tolist()
        else:
            require_bound(codec, rows)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_numbers_of_every_size_stay_in_the_bound(codec: Codec) -> None:
    random = np.random.default_rng(1)
    for exponent in range(-150, 128):
        rows = np.ldexp(random.uniform(-1, 1, (4, 16)), exponent).astype(np.float32)
        require_bound(codec, rows if codec.name != "f16" else rows.clip(-65504, 65504))


def test_float16_refuses_the_first_finite_number_beyond_it() -> None:
    rows = np.asarray([[np.inf, 65504], [np.nan, -np.inf], [-65504, 65504.004], [1e9, 0]], np.float32)
    with pytest.raises(OutOfRangeError, match=r"in column 1 \(row 2\)$") as caught:
        CODECS["f16"].encode(rows)
    assert (caught.value.row, caught.value.column) == (2, 1)
    require_bound(CODECS["f16"], rows[:2])
    bits = np.arange(1 << 16, dtype=np.uint16)
    numbers = bits.view(np.float16).astype(np.float32).reshape(1, -1)
    made = CODECS["f16"].encode(numbers).view(np.uint16)[0]
    held = ~np.isnan(numbers[0])
    np.testing.assert_array_equal(made[held], bits[held])
    assert np.isnan(made[~held].view(np.float16)).all()


def test_each_codec_has_a_name_and_a_precision_of_its_own() -> None:
    assert [codec.name for codec in CODECS.values()] == list(CODECS)
    assert tuple(codec.precision for codec in CODECS.values()) == get_args(PrecisionName)
    assert all(codec_of(codec.precision) is codec for codec in CODECS.values())


def test_both_sides_list_the_same_codecs() -> None:
    if _native is None:
        pytest.skip("no native extension")
    assert list(CODECS) == _native.codec_names()


def test_an_unknown_codec_is_refused() -> None:
    message = "^codec 'i4', expected one of f32, bf16, "
    with pytest.raises(pi.UnsupportedModelError, match=message):
        find_codec("i4")
    records, rows, bounds = np.zeros((4, 64), np.uint8), np.arange(3), np.asarray([[0, 3]])
    with pytest.raises(pi.UnsupportedModelError, match=message):
        decode(records, 0, 4, "i4")
    parts = {"columns": (-1,), "offsets": (0,), "widths": (8,), "codecs": ("i4",)}
    for op, inputs, attributes in (
        ("pyrec.Lookup", [rows, records], parts),
        ("pyrec.LookupSum", [None, rows, records], parts),
        ("pyrec.EmbeddingBag", [records, rows, bounds], {"width": 8, "codec": "i4"}),
    ):
        node = Node(op, tuple(f"x{i}" for i in range(len(inputs))), ("y",), attributes)
        with pytest.raises(pi.UnsupportedModelError, match=message):
            OPS[op].evaluate(node, inputs)
        for isa in NATIVE:
            with pytest.raises(pi.UnsupportedModelError, match=rf"^{op}: codec 'i4'$"):
                _native.run_node(isa, op, attributes, inputs, 1, [False] * len(inputs))


CPP = Path(__file__).resolve().parents[2] / "cpp"


@pytest.mark.skipif(not CPP.is_dir(), reason="no sources")
def test_nothing_but_the_list_knows_a_codec_by_name() -> None:
    """Every codec a file; only plain tables of numbers, which have no codec of their own, name theirs."""
    named = re.compile(r"Codec::k(?!F32\b|F16\b)\w+")
    sources = [path for path in CPP.rglob("*") if path.suffix in (".h", ".cpp")]
    assert sources
    others = [path for path in sources if path.parent.name != "codecs"]
    assert [path.name for path in others if named.search(path.read_text())] == []
    # bf16 and int8 are also the names of what layers have.
    quoted = re.compile(r"(?<!`)[\"'](i8|f16|fp16)[\"']")
    modules = [path for path in (CPP.parent / "pyrec_infer").rglob("*.py") if path.parent.name != "codecs"]
    assert [path.name for path in modules if quoted.search(path.read_text())] == []
