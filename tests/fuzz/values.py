"""Arguments of calls: ones that fit a model's inputs, and ones that do not."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from types import MappingProxyType
from typing import Any

import numpy as np

import pyrec_infer as pi

SECRET_TEXT = "kept-secret-71"
SECRET_NUMBER = 714253
"""Values that calls hand over and that no error's text may hold."""

OTHER_SIZE = 3
"""Of symbolic axes that are not the rows."""


def fitting(random: Random, inputs: Sequence[pi.TensorInfo], rows: int) -> dict[str, Any]:
    """An array for each input, of small numbers, whose rows are the first axis named ``N``."""
    return {info.name: _array(random, info, rows) for info in inputs}


def _array(random: Random, info: pi.TensorInfo, rows: int) -> Any:
    shape = [
        min(size, 4096) if isinstance(size, int) else rows if size == "N" else OTHER_SIZE
        for size in info.shape
    ]
    generator = np.random.default_rng(random.getrandbits(32))
    if np.prod(shape, dtype=float) > 1e6:
        shape = [min(size, 2) for size in shape]
    if info.dtype == "str":
        return generator.choice(np.asarray(["a", "bb", "Zürich", "", SECRET_TEXT]), shape)
    dtype = np.dtype(np.float32 if info.dtype == "unknown" else info.dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(np.bool_)
    if dtype.kind in "iu":
        most = 4 if random.random() < 0.95 else 40
        return generator.integers(0, most, shape).astype(dtype)
    array = generator.integers(-2, 4, shape).astype(dtype)
    if random.random() < 0.5:
        array = (array + generator.random(shape)).astype(dtype)
    if random.random() < 0.1 and array.size:
        array.reshape(-1)[random.randrange(array.size)] = random.choice(
            (np.nan, np.inf, -np.inf, SECRET_NUMBER)
        )
    return array


def _damaged_array(random: Random, array: Any) -> Any:
    changes = [
        lambda: array[:-1],
        lambda: array[:0],
        lambda: np.concatenate([array, array]),
        lambda: array[..., None],
        lambda: array[None],
        lambda: array.reshape(-1),
        lambda: array.T,
        lambda: array[::-1],
        lambda: np.repeat(array, 2, axis=-1)[..., ::2],
        lambda: np.asfortranarray(array),
        lambda: array.astype(array.dtype.newbyteorder()),
        lambda: array.astype(
            random.choice([np.float16, np.float64, np.longdouble, np.int8, np.uint64, np.complex64])
        ),
        lambda: array.astype(random.choice(["U", "S", "O", "M8[s]", "?"])),
        lambda: array.tolist(),
        lambda: tuple(array),
        lambda: memoryview(array),
        lambda: np.ma.masked_array(array, mask=True),
        lambda: array + random.choice((SECRET_NUMBER, -SECRET_NUMBER, 2**40)),
        lambda: np.broadcast_to(array.reshape(-1)[:1], array.shape),
        lambda: array * np.nan,
        lambda: _read_only(array),
        lambda: _unaligned(array),
        lambda: np.zeros((*array.shape[:1], 0), array.dtype),
        lambda: np.broadcast_to(array.reshape(-1)[:1], (2**40, *array.shape[1:])),
    ]
    try:
        return random.choice(changes)()
    except (TypeError, ValueError, OverflowError, IndexError):
        return array


def _read_only(array: Any) -> Any:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def _unaligned(array: Any) -> Any:
    data = np.zeros(array.nbytes + 1, np.uint8)
    data[1:] = np.frombuffer(array.tobytes(), np.uint8)
    return data[1:].view(array.dtype).reshape(array.shape)


def strange(random: Random) -> Any:
    """A value of a type that hardly any argument takes."""
    choices: tuple[Any, ...] = (
        None,
        True,
        -1,
        0,
        2**31,
        2**63,
        2**64,
        -(2**63) - 1,
        10**30,
        1.5,
        float("nan"),
        float("inf"),
        "x",
        "\ud800",
        "a\0b",
        "z" * 10_000,
        b"x",
        object(),
        (),
        [],
        {},
        {"x": {}},
        [[1], [1, 2]],
        [[[[[[[[[[1]]]]]]]]]],
        [None],
        ["a", 1],
        {1, 2},
        range(3),
        np.float32(2.5),
        np.int64(3),
        np.array(None),
        np.array(5),
        np.zeros((2, 2), [("a", "i4"), ("b", "f8")]),
        np.array(["2020-01-01"], "M8[D]"),
        np.zeros((0, 3)),
        np.zeros(5, np.complex128),
        slice(3),
        print,
        int,
        iter([1, 2]),
        1j,
        np.empty((1,) * 32),
    )
    return random.choice(choices)


def damaged(random: Random, value: Any) -> Any:
    """An argument in the place of a fitting one."""
    if isinstance(value, dict) and random.random() < 0.8:
        return _damaged_mapping(random, value)
    if isinstance(value, np.ndarray) and random.random() < 0.7:
        return _damaged_array(random, value)
    return strange(random)


def _damaged_mapping(random: Random, value: dict[str, Any]) -> Any:
    changed: dict[Any, Any] = dict(value)
    kind = random.random()
    if changed and kind < 0.65:
        name = random.choice(sorted(changed))
        changed[name] = damaged(random, changed[name])
    elif changed and kind < 0.75:
        del changed[random.choice(sorted(changed))]
    elif kind < 0.85:
        changed[random.choice(("", "absent", "N", 3, None, ("x",)))] = strange(random)
    elif kind < 0.95:
        return MappingProxyType(changed)
    else:
        return list(changed.items())
    return changed
