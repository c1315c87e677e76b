"""Turning what a caller passes into the arrays that a plan reads."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pyrec_infer.errors import DTypeError, InputError, MissingInputError, ShapeError, UnexpectedInputError
from pyrec_infer.ir import Array, Info

_KINDS = {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "b": "booleans", "U": "strings"}


def regular(label: str, value: Any) -> Array:
    """The value as one array.

    Raises
    ------
    ShapeError
        If its rows have different lengths, or it has too many axes.
    DTypeError
        If it is a container that NumPy cannot read.
    """
    # NumPy's texts may hold the values.
    try:
        return np.asarray(value)
    except ValueError:
        raise ShapeError(f"{label}: expected one array, got rows of different lengths") from None
    except TypeError:
        raise DTypeError(f"{label}: expected an array, got {type(value).__name__}") from None


def as_count(label: str, value: Any, least: int = 0) -> int:
    """A whole number; one that no array is long enough for is the same as the longest array's length.

    Raises
    ------
    InputError
        If it is less than ``least``; `DTypeError` if it is no whole number.
    """
    try:
        count = operator.index(value)
    except TypeError:
        raise DTypeError(f"{label}: expected a whole number, got {type(value).__name__}") from None
    if count < least:
        raise InputError(f"{label}: expected at least {least}, got {count}")
    return min(count, sys.maxsize)


def as_names(label: str, value: Any) -> tuple[str, ...]:
    """Names of inputs.

    Raises
    ------
    DTypeError
        If they are not several strings.
    """
    try:
        names = None if isinstance(value, (str, bytes)) else tuple(value)
    except TypeError:
        names = None
    if names is None or not all(isinstance(name, str) for name in names):
        raise DTypeError(f"{label}: expected names of inputs, got {type(value).__name__}")
    return names


def require_arrays(names: Sequence[str], arrays: Sequence[Any]) -> None:
    """Refuse a call by position with anything that is not an array.

    Raises
    ------
    InputError
        If the number is wrong; `DTypeError` if one is not an array.
    """
    if len(arrays) != len(names):
        raise InputError(f"expected {len(names)} arrays ({', '.join(names)}), got {len(arrays)}")
    for name, array in zip(names, arrays, strict=True):
        if not isinstance(array, np.ndarray):
            raise DTypeError(f"input '{name}': expected an array, got {type(array).__name__}")


def require_out(out: Any) -> None:
    """Refuse a place for scores that cannot take them.

    Raises
    ------
    DTypeError
        If it is not an array of float32 that may be written to.
    """
    if not isinstance(out, np.ndarray):
        raise DTypeError(f"argument 'out': expected an array, got {type(out).__name__}")
    if out.dtype != np.float32 or not out.flags.writeable:
        state = "" if out.flags.writeable else "read-only "
        raise DTypeError(f"argument 'out': expected writable float32, got {state}{out.dtype}")


def as_array(name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """The value as an array of a kind that the model's element type can take.

    Raises
    ------
    DTypeError
        If numbers are given for strings, or the other way round, or what is neither.
    """
    array = regular(f"input '{name}'", value)
    if array.dtype.kind in "OST" and dtype.kind == "U":
        if array.dtype.kind != "S" and not all(isinstance(item, str) for item in array.reshape(-1)):
            raise DTypeError(f"input '{name}': expected strings, got objects of other types")
        array = array.astype(str)
    fits = array.dtype.kind == dtype.kind or (array.dtype.kind in "iuf" and dtype.kind in "iuf")
    if not fits:
        raise DTypeError(
            f"input '{name}': expected {_KINDS.get(dtype.kind, str(dtype))} ({dtype}), got {array.dtype}"
        )
    if array.dtype.kind != "U":
        array = _addressable(array)
    return array


def _addressable(array: Array) -> Array:
    """The array, copied only if the executor cannot address it as it lies."""
    regular = all(stride % array.itemsize == 0 for stride in array.strides)
    if array.flags.aligned and array.dtype.isnative and regular and array.dtype.itemsize <= 8:
        return array
    narrower = np.dtype(np.float64) if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    return np.array(array, narrower)


def with_rows(name: str, array: Array, info: Info, rows: int | None) -> Array:
    """The array with the model's rank; a row axis or axes of size 1 may be left out, and a vector may
    be given as one column.

    Parameters
    ----------
    rows : int or None
        1 if the value belongs to a single request and may come without a row axis; else None.

    Raises
    ------
    ShapeError
        If the rank cannot be made to fit.
    """
    assert info.shape is not None
    rank, axis = len(info.shape), info.rows
    if array.ndim == rank or axis < 0:
        return array
    rest = [size for i, size in enumerate(info.shape) if i != axis]
    ones = all(isinstance(size, int) and size == 1 for size in rest)
    if rows == 1 and array.ndim == rank - 1 and not (ones and array.size != 1):
        return np.expand_dims(array, axis)
    if array.ndim <= 1 and ones:
        return array.reshape([array.size if i == axis else 1 for i in range(rank)])
    if array.ndim == 2 and rank == 1 and array.shape[1] == 1:
        return array[:, 0]
    raise ShapeError(f"input '{name}': expected rank {rank}, got shape {list(array.shape)}")


class Signature:
    """The inputs of a model by name, and how a call's arguments map to them.

    Parameters
    ----------
    infos : mapping of str to Info
        The inputs in order.
    columns : mapping of str to sequence of str
        Matrix inputs whose columns became inputs of their own.
    ignored : frozenset of str
        Names that a call may give without effect.
    """

    def __init__(
        self, infos: Mapping[str, Info], columns: Mapping[str, Sequence[str]], ignored: frozenset[str]
    ) -> None:
        self.infos = infos
        self.columns = columns
        self.ignored = ignored

    def expand(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Split matrices whose columns are inputs, and refuse names that the model never had."""
        if not isinstance(values, Mapping):
            raise DTypeError(f"expected arrays by the inputs' names, got {type(values).__name__}")
        found: dict[str, Any] = {}
        for name, value in values.items():
            if name in self.columns:
                given = [label for label in self.columns[name] if label in values]
                if given:
                    raise InputError(f"input '{given[0]}' is given twice, also as a column of '{name}'")
                labels = self.columns[name]
                matrix = regular(f"input '{name}'", value)
                if matrix.ndim == 1:
                    matrix = matrix[None, :]
                if matrix.ndim != 2 or matrix.shape[1] != len(labels):
                    raise ShapeError(
                        f"input '{name}': expected {len(labels)} columns, got shape {list(matrix.shape)}"
                    )
                for label in dict.fromkeys(labels):
                    chosen = [i for i, other in enumerate(labels) if other == label]
                    found[label] = matrix[:, chosen[0]] if len(chosen) == 1 else matrix[:, chosen]
            elif self._is_input(name):
                found[name] = value
        return found

    def expand_names(self, names: Iterable[str]) -> list[str]:
        """The inputs that the names stand for: a matrix stands for its columns."""
        found: list[str] = []
        for name in as_names("inputs", names):
            if name in self.columns:
                found.extend(dict.fromkeys(self.columns[name]))
            elif self._is_input(name):
                found.append(name)
        return found

    def _is_input(self, name: str) -> bool:
        """Whether a name is an input; refuses those that the model never had."""
        if name not in self.infos and name not in self.ignored:
            raise UnexpectedInputError(
                f"input '{name}': the model has no such input, expected {', '.join(self.infos)}"
            )
        return name in self.infos

    def require(self, needed: Sequence[str], *sides: Mapping[str, Any]) -> None:
        """Refuse a call that lacks an input or gives one on both sides."""
        if len(sides) == 2:
            both = sides[0].keys() & sides[1].keys()
            if both:
                raise InputError(f"input '{min(both)}' is given both in the request and with the candidates")
        for name in needed:
            if not any(name in side for side in sides):
                raise MissingInputError(f"input '{name}' is missing: expected {', '.join(needed)}")

    def array(self, name: str, value: Any, rows: int | None) -> Array:
        """One argument as the model's input."""
        info = self.infos[name]
        assert info.dtype is not None
        # Aligned strides are multiples of the element size, and an equal dtype has its byte order.
        ready = type(value) is np.ndarray and value.dtype == info.dtype and value.ndim == info.rank
        if ready and value.flags.aligned and info.dtype.kind != "U":
            return value  # type: ignore[no-any-return]
        return with_rows(name, as_array(name, value, info.dtype), info, rows)
