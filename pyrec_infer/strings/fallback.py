"""What native code does with strings, in Python: the functions have the same names and results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import DTypeError
from pyrec_infer.strings.missing import is_missing

Layout = tuple[NDArray[np.int64], NDArray[np.uint8]]

_NO_TEXT = "expected strings in UTF-8"
_INLINE = 12
"""The longest string that a view of Arrow holds itself."""


def _layout(words: Sequence[bytes]) -> Layout:
    offsets = np.zeros(len(words) + 1, np.int64)
    np.cumsum([len(word) for word in words], out=offsets[1:])
    return offsets, np.frombuffer(b"".join(words), np.uint8)


def _row(place: int, per_row: int) -> str:
    return f" (row {place // per_row})" if per_row > 0 else ""


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _as_bytes(item: Any, names: bool) -> bytes | None:
    """The bytes of a string, None if it has none."""
    if isinstance(item, bytes):
        return bytes(item) if not names or _is_utf8(item) else None
    try:
        return str(item).encode(errors="surrogatepass" if names else "strict")
    except UnicodeEncodeError:
        return None


def texts_of_objects(
    items: Iterable[Any], per_row: int, names: bool
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.bool_] | None]:
    words, gone = [], []
    for place, item in enumerate(items):
        if isinstance(item, (str, bytes)):
            word = _as_bytes(item, names)
            if word is None:
                raise DTypeError(f"{_NO_TEXT}{_row(place, per_row)}")
            words.append(word)
            continue
        if not is_missing(item):
            got = type(item).__name__
            raise DTypeError(f"expected strings, got {got}{_row(place, per_row)}")
        words.append(b"")
        gone.append(place)
    missing = None
    if gone:
        missing = np.zeros(len(words), np.bool_)
        missing[gone] = True
    return *_layout(words), missing


def _of_array(array: NDArray[Any], per_row: int, names: bool) -> Layout:
    offsets, data, _ = texts_of_objects(array.tolist(), per_row, names)
    return offsets, data


texts_of_codes: Callable[[NDArray[Any], int, bool], Layout] = _of_array
texts_of_bytes: Callable[[NDArray[Any], int, bool], Layout] = _of_array


def texts_of_variable(
    array: NDArray[Any],
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.bool_] | None]:
    return texts_of_objects(array.tolist(), 0, False)


def texts_of_integers(numbers: NDArray[np.int64]) -> Layout:
    return _layout([b"%d" % number for number in numbers.tolist()])


def texts_of_naturals(numbers: NDArray[np.uint64]) -> Layout:
    return _layout([b"%d" % number for number in numbers.tolist()])


def are_offsets(offsets: NDArray[Any], size: int) -> bool:
    return bool(offsets[0] >= 0 and offsets[-1] <= size and (offsets[1:] >= offsets[:-1]).all())


def texts_of_views(
    views: NDArray[np.uint8], buffers: Sequence[NDArray[np.uint8]], missing: NDArray[np.bool_] | None
) -> Layout | None:
    data = views.tobytes()
    numbers = np.frombuffer(data, np.int32).reshape(-1, 4)
    if missing is not None:
        numbers = np.where(missing[:, None], 0, numbers)
    memory = [buffer.tobytes() for buffer in buffers]
    words = []
    for i, (length, _, place, offset) in enumerate(numbers.tolist()):
        if 0 <= length <= _INLINE:
            words.append(data[16 * i + 4 : 16 * i + 4 + length])
            continue
        if length < 0 or not 0 <= place < len(memory) or not 0 <= offset <= len(memory[place]) - length:
            return None
        words.append(memory[place][offset : offset + length])
    return _layout(words)


def faults_of_views(
    views: NDArray[np.uint8],
    buffers: Sequence[NDArray[np.uint8]],
    missing: NDArray[np.bool_] | None,
    utf8: bool,
) -> tuple[bool, int]:
    made = texts_of_views(views, buffers, missing)
    return made is None, first_no_utf8(*made) if utf8 and made is not None else -1


def take_texts(offsets: NDArray[Any], data: NDArray[np.uint8], places: NDArray[np.int64]) -> Layout:
    text, bounds = data.tobytes(), offsets.tolist()
    return _layout([text[bounds[i] : bounds[i + 1]] for i in places.tolist()])


def group_texts(
    offsets: NDArray[Any], data: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    text, bounds = data.tobytes(), offsets.tolist()
    firsts: list[int] = []
    known: dict[bytes, int] = {}
    places = np.empty(len(bounds) - 1, np.int64)
    for i, (begin, end) in enumerate(pairwise(bounds)):
        places[i] = known.setdefault(text[begin:end], len(firsts))
        if places[i] == len(firsts):
            firsts.append(i)
    return np.asarray(firsts, np.int64), places


def first_no_utf8(offsets: NDArray[Any], data: NDArray[np.uint8]) -> int:
    text = data.tobytes()
    for place, (begin, end) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        if not _is_utf8(text[begin:end]):
            return place
    return -1


__all__ = [
    "are_offsets",
    "faults_of_views",
    "first_no_utf8",
    "group_texts",
    "take_texts",
    "texts_of_bytes",
    "texts_of_codes",
    "texts_of_integers",
    "texts_of_naturals",
    "texts_of_objects",
    "texts_of_variable",
    "texts_of_views",
]
