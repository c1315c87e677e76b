"""One column of a call's arguments as a NumPy array, from whatever people keep such columns in."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrec_infer.arguments.arrow import LOST_END, ArrowColumn, arrow_column, is_arrow
from pyrec_infer.errors import DTypeError, InputError, ShapeError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, as_texts, holds_strings
from pyrec_infer.limits import require_own_elements
from pyrec_infer.strings.missing import is_missing
from pyrec_infer.strings.tensors import tensor_of

_KINDS = {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "b": "booleans", "U": "strings"}

_BEYOND = 2.0**63
"""The least whole number that int64 does not hold."""

ONE_TYPE = "whole numbers that int64 holds, or all of them uint64"
"""What errors say where NumPy has no type for all of some whole numbers."""

_NUMBER = (int, float, np.integer, np.floating)

ACCEPTED = "a NumPy array, a list, a number or string, a torch tensor, or a polars, pandas or Arrow column"


def regular(label: str, value: Any) -> Array:
    """The value as one array.

    Raises
    ------
    InputError
        If a value is missing or masked, or a string would lose a NUL at its end.
    ShapeError
        If its rows have different lengths, or it has too many axes.
    DTypeError
        If it is nothing that NumPy can read.
    """
    if type(value) is np.ndarray:
        require_own_elements(label, value)
        return value
    if isinstance(value, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(value)
        if mask.any():
            raise _missing(label, mask)
        return np.asarray(value.data)
    if is_pandas(value):
        return _of_pandas(label, value)
    if is_arrow(value):
        return arrow_column(label, value).array(label)
    if callable(getattr(value, "detach", None)) and callable(getattr(value, "numpy", None)):
        value = _of_tensor(label, value)
    return _read(label, value)


def _read(label: str, value: Any) -> Array:
    if isinstance(value, (list, tuple)):
        for row, item in enumerate(value):
            # NumPy would drop the masks of what it stacks.
            if isinstance(item, np.ma.MaskedArray) and np.ma.getmaskarray(item).any():
                raise InputError(f"{label}: expected a value in each row, got a missing one (row {row})")
    # NumPy's and other packages' texts may hold the values.
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        let_interrupts_pass(error)
        raise ShapeError(f"{label}: expected one array, got rows of different lengths") from None
    except MemoryError:
        raise
    except Exception as error:
        let_interrupts_pass(error)
        raise DTypeError(f"{label}: expected {ACCEPTED}, got {type(value).__name__}") from None
    if array.dtype.kind == "O" and array.ndim == 0 and not isinstance(value, np.ndarray):
        if value is None:
            raise InputError(f"{label}: expected a value, got None")
        if not isinstance(value, (int, bytes)):
            raise DTypeError(f"{label}: expected {ACCEPTED}, got {type(value).__name__}")
    if array.dtype.kind in "US" and not isinstance(value, np.ndarray):
        _refuse_lost_ends(label, np.asarray(value, object))
    if isinstance(value, (list, tuple)) and array.dtype.kind == "f":
        try:
            return _not_rounded(array, value)
        except OverflowError as error:
            let_interrupts_pass(error)
            first = np.argwhere(array >= _BEYOND)[0][0]
            raise DTypeError(f"{label}: expected {ONE_TYPE} (row {first})") from None
    return array


def _not_rounded(array: Array, items: Any) -> Array:
    """Whole numbers as such where NumPy made floats of them, which it does if some are beyond int64.

    Raises
    ------
    OverflowError
        If one is negative, or beyond uint64.
    """
    if array.dtype.kind != "f" or not (array >= _BEYOND).any():
        return array
    objects = np.asarray(items, object).reshape(-1).tolist()
    whole = all(isinstance(item, (int, np.integer)) for item in objects)
    # Of its own numbers, NumPy would take a negative one for what it is modulo 2^64.
    return np.array([int(item) for item in objects], np.uint64).reshape(array.shape) if whole else array


def _refuse_lost_ends(label: str, texts: Array) -> None:
    """Refuse strings that an array of a fixed width would make equal to shorter ones.

    Raises
    ------
    InputError
        Names the first row of a string that ends in NUL.
    """
    for place, text in enumerate(texts.reshape(-1).tolist()):
        if isinstance(text, (str, bytes)) and text[-1:] in ("\0", b"\0"):
            raise InputError(f"{label}: {LOST_END}{_row(texts, place)}")


def _missing(label: str, mask: Array) -> InputError:
    row = f" (row {np.argwhere(mask)[0][0]})" if mask.ndim else ""
    return InputError(f"{label}: expected a value in each row, got a missing one{row}")


def is_pandas(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "isna")


def arrow_column_of(label: str, value: Any) -> ArrowColumn | None:
    """A column with Arrow's interface, or the one that a column of pandas keeps its strings in.

    None for everything else.
    """
    if is_pandas(value):
        if getattr(getattr(value, "dtype", None), "storage", None) != "pyarrow":
            return None
        value = getattr(value, "array", value).__arrow_array__()
    return arrow_column(label, value) if is_arrow(value) else None


def _of_pandas(label: str, value: Any) -> Array:
    """A Series, an Index or an array of pandas. Plain floats hold NaN as a number like others."""
    if getattr(value, "ndim", 1) != 1:
        raise ShapeError(f"{label}: expected one column, got a table")
    dtype = value.dtype
    if not isinstance(dtype, np.dtype) or dtype.kind == "O":
        gone = np.asarray(value.isna())
        if gone.any():
            raise _missing(label, gone)
        plain = getattr(dtype, "numpy_dtype", None)
        if isinstance(plain, np.dtype) and plain.kind in "biuf":
            return np.asarray(value.to_numpy(dtype=plain))
    return _read(label, value)


def _of_tensor(label: str, value: Any) -> Any:
    """A tensor of torch as an array that shares its memory; what it needs for gradients is left."""
    device = getattr(getattr(value, "device", None), "type", "cpu")
    if device != "cpu":
        raise InputError(f"{label}: expected a tensor in main memory, got one on {device}: call .cpu() first")
    tensor = value.detach()
    try:
        return tensor.numpy()
    except (TypeError, RuntimeError) as error:
        let_interrupts_pass(error)
    try:
        # Types that NumPy does not have, like bfloat16; float32 holds each of their numbers.
        return tensor.float().numpy()
    except Exception as error:
        let_interrupts_pass(error)
        raise DTypeError(f"{label}: expected a tensor that NumPy can read: call .float() first") from None


def as_strings(label: str, array: Array) -> Array:
    """Strings of any form as an array of objects, or of a fixed width as they are; bytes are UTF-8.

    Raises
    ------
    InputError
        If one is missing or ends in NUL; `DTypeError` if one is no string.
    """
    if array.dtype.kind == "U":
        return array
    items = array.reshape(-1).tolist()
    texts = items if set(map(type, items)) == {str} else _decoded(label, array, items)
    made = as_texts(texts).reshape(array.shape)
    if array.dtype.kind != "S" and "\0" in "".join([text[-1:] for text in texts]):
        _refuse_lost_ends(label, made)
    return made


def _decoded(label: str, array: Array, items: list[Any]) -> list[str]:
    """The elements of an array as strings."""
    texts = []
    for place, item in enumerate(items):
        if isinstance(item, bytes):
            try:
                item = item.decode()
            except UnicodeDecodeError:
                raise DTypeError(f"{label}: expected bytes in UTF-8{_row(array, place)}") from None
        elif not isinstance(item, str):
            _refuse_missing(label, array, place, item)
            got = type(item).__name__
            raise DTypeError(f"{label}: expected strings, got {got}{_row(array, place)}")
        # A class of the caller's may have an `__eq__` of its own.
        texts.append(str.__str__(item))
    return texts


def _row(array: Array, place: int) -> str:
    return f" (row {np.unravel_index(place, array.shape)[0]})" if array.ndim else ""


def _refuse_missing(label: str, array: Array, place: int, item: Any) -> None:
    if is_missing(item):
        raise InputError(f"{label}: expected a value in each row, got a missing one{_row(array, place)}")


def numbers_of_objects(label: str, array: Array) -> Array:
    """An array of Python's numbers as one of NumPy's, or the array itself if they are others."""
    items = array.reshape(-1).tolist()
    numbers = True
    for place, item in enumerate(items):
        _refuse_missing(label, array, place, item)
        numbers = numbers and isinstance(item, _NUMBER) and not isinstance(item, bool)
    if not numbers or not items:
        return array
    try:
        return _not_rounded(np.array(items), items).reshape(array.shape)
    except (OverflowError, ValueError) as error:
        let_interrupts_pass(error)
        return array


def holds_texts(value: Any) -> bool:
    """Whether nested lists begin with a string, or with nothing but missing values."""
    while isinstance(value, (list, tuple)) and value:
        value = next((item for item in value if item is not None), None)
    return isinstance(value, (str, bytes)) or value is None


def array_of_objects(label: str, value: Any) -> Array:
    """Nested lists of strings as an array of objects, which no string is copied for."""
    try:
        array = np.array(value, object)
    except (ValueError, OverflowError) as error:
        let_interrupts_pass(error)
        raise ShapeError(f"{label}: expected one array, got rows of different lengths") from None
    if array.size and isinstance(array.reshape(-1)[0], (list, tuple)):
        raise ShapeError(f"{label}: expected one array, got rows of different lengths")
    return array


def as_array(name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """The value as an array of a kind that the model's element type can take.

    Raises
    ------
    DTypeError
        If numbers are given for strings, or the other way round, or what is neither.
    InputError
        If a value is missing.
    """
    plain: Array | None = tensor_of(value) if dtype.kind == "U" else None
    if plain is not None:
        return plain
    label = f"input '{name}'"
    # Strings of a list would be padded to the longest.
    texts = dtype.kind == "U" and isinstance(value, (list, tuple)) and holds_texts(value)
    array = array_of_objects(label, value) if texts else regular(label, value)
    if array.dtype.kind in "OST" and dtype.kind == "U":
        array = as_strings(label, array)
    elif array.dtype.kind == "O":
        array = numbers_of_objects(label, array)
    texts = dtype.kind == "U" and holds_strings(array)
    fits = texts or array.dtype.kind == dtype.kind or (array.dtype.kind in "iuf" and dtype.kind in "iuf")
    if not fits:
        kind = _KINDS.get(dtype.kind, str(dtype))
        expected = kind if dtype.kind == "U" else f"{kind} ({dtype})"
        raise DTypeError(f"{label}: expected {expected}, got {_kind_of(array)}")
    return array if texts else _addressable(array)


def _kind_of(array: Array) -> str:
    """What an array holds; of objects the type of the first that is no number, with its row."""
    if array.dtype.kind != "O" or not array.size:
        return str(array.dtype)
    items = array.reshape(-1).tolist()
    odd = (place for place, item in enumerate(items) if not isinstance(item, _NUMBER))
    place = next(odd, None)
    if place is None:
        return "whole numbers of more than 64 bits"
    return f"{type(items[place]).__name__}{_row(array, place)}"


def _addressable(array: Array) -> Array:
    """The array, copied only if the executor cannot address it as it lies."""
    regular = all(stride % array.itemsize == 0 for stride in array.strides)
    if array.flags.aligned and array.dtype.isnative and regular and array.dtype.itemsize <= 8:
        return array
    narrower = np.dtype(np.float64) if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    with np.errstate(all="ignore"):
        return np.array(array, narrower)


__all__ = [
    "ACCEPTED",
    "ONE_TYPE",
    "array_of_objects",
    "arrow_column_of",
    "as_array",
    "as_strings",
    "holds_texts",
    "is_pandas",
    "numbers_of_objects",
    "regular",
]
