"""Attributes of nodes, forests and linear models as plain data and arrays, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats.tensors import Packed, TensorFile, members, texts_of, unpacked, whole_of
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Attribute, Forest, Linear, as_texts

_LONG = 32
"""Longer lists are arrays of the file."""

_FOREST = (
    "comparisons",
    "features",
    "thresholds",
    "yes",
    "no",
    "missing_yes",
    "roots",
    "vote_start",
    "vote_targets",
    "vote_weights",
    "base",
    "category_start",
    "categories",
)
_LINEAR = ("coefficients", "intercepts")


def _list_to(packed: Packed, name: str, values: tuple[Any, ...]) -> dict[str, Any]:
    """A list of an attribute: whole numbers, reals or strings."""
    if all(isinstance(value, str) for value in values) and values:
        kind, array, plain = "texts", as_texts(values), list(values)
    elif all(isinstance(value, (int, np.integer)) for value in values):
        kind, array, plain = "ints", np.asarray(values, np.int64), [int(value) for value in values]
    elif all(isinstance(value, (float, np.floating)) for value in values):
        kind, array, plain = "floats", np.asarray(values, np.float64), [float(x).hex() for x in values]
    else:
        raise UnsupportedModelError(f"{name}: lists of this kind cannot be saved")
    return {kind: packed.put(name, array) if len(values) > _LONG else plain}


def value_to(packed: Packed, name: str, value: Attribute) -> dict[str, Any]:
    """Plain data of an attribute: an object whose only name says what it is.

    Raises
    ------
    UnsupportedModelError
        If it is nothing that a reader of files makes.
    """
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, (bool, int, np.integer)):
        return {"int": int(value)}
    if isinstance(value, (float, np.floating)):
        return {"float": float(value).hex()}
    if isinstance(value, np.ndarray):
        return {"array": packed.put(name, value)}
    if isinstance(value, tuple):
        return _list_to(packed, name, value)
    if isinstance(value, Forest):
        arrays = {key: packed.put(f"{name}/{key}", getattr(value, key)) for key in _FOREST}
        parts = {"targets": value.targets, "aggregate": value.aggregate, "transform": value.transform}
        return {"forest": {**parts, **arrays}}
    if isinstance(value, Linear):
        arrays = {key: packed.put(f"{name}/{key}", getattr(value, key)) for key in _LINEAR}
        return {"linear": {"transform": value.transform, **arrays}}
    raise UnsupportedModelError(f"{name}: a {type(value).__name__} cannot be saved")


def _real(value: Any, where: str) -> float:
    try:
        return float.fromhex(value)
    except (TypeError, ValueError, OverflowError) as error:
        let_interrupts_pass(error)
        raise ModelError(f"{where}: expected a real number in hexadecimal") from None


def _list_of(kind: type[np.generic], plain: Callable[[Any, str], Any]) -> Callable[..., tuple[Any, ...]]:
    def read(file: TensorFile, value: Any, where: str) -> tuple[Any, ...]:
        if type(value) is list:
            return tuple(plain(item, where) for item in value)
        array = unpacked(file, value, where)
        if array.ndim != 1 or array.dtype != kind:
            raise ModelError(f"{where}: expected a list of {np.dtype(kind).name}, got {array.dtype}")
        return tuple(array.tolist())

    return read


def _texts(file: TensorFile, value: Any, where: str) -> tuple[str, ...]:
    if type(value) is list:
        return texts_of(value, where)
    array = unpacked(file, value, where)
    if array.ndim != 1 or array.dtype != object:
        raise ModelError(f"{where}: expected a list of strings")
    return tuple(array.tolist())


def _text(file: TensorFile, value: Any, where: str) -> str:
    return texts_of([value], where)[0]


def _arrays(
    file: TensorFile, value: Mapping[str, Any], keys: tuple[str, ...], where: str
) -> dict[str, Array]:
    return {key: unpacked(file, value[key], f"{where}, {key}") for key in keys}


def _forest(file: TensorFile, value: Any, where: str) -> Forest:
    kinds: dict[str, type] = {
        "targets": int,
        "aggregate": str,
        "transform": str,
        **dict.fromkeys(_FOREST, str),
    }
    targets, aggregate, transform, *_ = members(value, where, **kinds)
    arrays: dict[str, Any] = _arrays(file, value, _FOREST, where)
    return Forest(**arrays, targets=targets, aggregate=aggregate, transform=transform, where=where)


def _linear(file: TensorFile, value: Any, where: str) -> Linear:
    transform, *_ = members(value, where, transform=str, **dict.fromkeys(_LINEAR, str))
    arrays = _arrays(file, value, _LINEAR, where)
    if any(array.dtype != np.float32 for array in arrays.values()):
        raise ModelError(f"{where}: expected float32 numbers")
    return Linear(arrays["coefficients"], arrays["intercepts"], transform, where)


_READERS: Mapping[str, Callable[[TensorFile, Any, str], Attribute]] = {
    "text": _text,
    "int": lambda file, value, where: whole_of(value, where),
    "float": lambda file, value, where: _real(value, where),
    "array": unpacked,
    "texts": _texts,
    "ints": _list_of(np.int64, whole_of),
    "floats": _list_of(np.float64, _real),
    "forest": _forest,
    "linear": _linear,
}


def value_of(file: TensorFile, plain: Any, where: str) -> Attribute:
    """The attribute that plain data stand for.

    Raises
    ------
    ModelError
        If they stand for none.
    """
    if type(plain) is not dict or len(plain) != 1:
        raise ModelError(f"{where}: expected an object with one name")
    ((kind, value),) = plain.items()
    if kind not in _READERS:
        raise ModelError(f"{where}: expected one of {', '.join(_READERS)}")
    return _READERS[kind](file, value, where)


__all__ = ["value_of", "value_to"]
