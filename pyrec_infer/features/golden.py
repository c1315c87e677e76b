"""Rows whose tensors are known, so that a schema proves at load that it still makes them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from pyrec_infer.errors import SchemaError, UncoveredSchemaWarning
from pyrec_infer.features.fields import Field, known_fields
from pyrec_infer.ir import Array

LEAST_ROWS, MOST_ROWS = 16, 4096
"""Golden rows of a field that is covered, and of a schema."""

_ENDLESS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _as_plain_numbers(values: Any) -> Any:
    """Plain data with a name for each number that is not finite, as JSON has none."""
    if isinstance(values, list):
        return [_as_plain_numbers(value) for value in values]
    if isinstance(values, float) and not math.isfinite(values):
        return "NaN" if values != values else "Infinity" if values > 0 else "-Infinity"
    return values


def _as_numbers(values: Sequence[Any]) -> list[Any]:
    return [
        _as_numbers(value)
        if isinstance(value, list)
        else _ENDLESS.get(value, value)
        if isinstance(value, str)
        else value
        for value in values
    ]


@dataclass(frozen=True)
class Golden:
    """Raw rows, and what training made of them.

    Parameters
    ----------
    columns : mapping of str to list
        A list of raw values for each field: plain data, as JSON holds them, with ``"NaN"``, ``"Infinity"``
        and ``"-Infinity"`` for such numbers. They are kept with the schema, so make them up instead of
        taking those of people.
    expected : mapping of str to list
        For each input that the schema feeds its rows, as plain data too.
    """

    columns: Mapping[str, Any]
    expected: Mapping[str, Any]

    @property
    def count(self) -> int:
        return max((len(values) for values in self.columns.values()), default=0)

    def mistakes(self) -> Iterator[str]:
        for part in (self.columns, self.expected):
            if not isinstance(part, Mapping):
                yield "golden rows: expected columns and tensors by name"
                return
            for name, values in part.items():
                if not isinstance(name, str) or not isinstance(values, list):
                    yield "golden rows: expected a list for each name"
                    return
        if not 0 < self.count <= MOST_ROWS:
            yield f"golden rows: expected 1 to {MOST_ROWS} rows"

    def misfits(self, known: Sequence[str], read: Sequence[str], fed: Sequence[str]) -> Iterator[str]:
        """What the rows have that a schema has not, and what they lack.

        Parameters
        ----------
        known, read : sequence of str
            The fields of the schema, and those that make an input.
        fed : sequence of str
            The inputs that it feeds.
        """
        first, rows = next((name, len(values)) for name, values in self.columns.items())
        for name, values in self.columns.items():
            if name not in known:
                yield f"field '{name}': the schema has no such field, expected {', '.join(known)}"
            elif len(values) != rows:
                yield f"field '{name}': expected {rows} rows as of field '{first}', got {len(values)}"
        for name in read:
            if name not in self.columns:
                yield f"field '{name}': expected {rows} rows as of field '{first}', got none"
        for name in self.expected:
            if name not in fed:
                yield f"input '{name}': no field feeds it, expected {', '.join(fed)}"
        for name in fed:
            if name not in self.expected:
                yield f"input '{name}': expected a tensor of {rows} rows, got none"

    def rows(self, fields: Sequence[Field]) -> dict[str, list[Any]]:
        """The raw values as a service gives them."""
        known = known_fields(fields)
        return {
            name: _as_numbers(values) if name in known and known[name].dtype == "number" else values
            for name, values in self.columns.items()
        }

    def tensor(self, name: str, like: Array) -> Array:
        """What training made of the rows for an input.

        Raises
        ------
        SchemaError
            It has another size or type than what it is compared with.
        """
        label = f"golden rows: input '{name}'"
        flat: list[Any] = self.expected[name]
        for _ in range(like.ndim - 1):
            flat = list(chain.from_iterable(one if isinstance(one, list) else [one] for one in flat))
        if like.dtype.kind == "f":
            flat = _as_numbers(flat)
        if len(flat) != like.size:
            shape = list(like.shape)
            raise SchemaError(f"{label}: expected {like.size} values, of shape {shape}, got {len(flat)}")
        if not all(_fits(value, like.dtype) for value in flat):
            kind = "strings" if like.dtype.kind in "OUT" else f"numbers of type {like.dtype}"
            raise SchemaError(f"{label}: expected {kind}, got others")
        return np.asarray(flat, like.dtype).reshape(like.shape)


def _fits(value: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a plain value is one of the type, not only one that NumPy would make of it."""
    if dtype.kind in "OUT":
        return isinstance(value, str)
    if dtype.kind == "b":
        return value in (0, 1) and isinstance(value, (bool, int, float))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if dtype.kind == "f":
        return isinstance(value, float) or abs(value) <= 2**1023
    limits = np.iinfo(dtype)
    return value == value and value % 1 == 0 and int(limits.min) <= value <= int(limits.max)


def uncovered(fields: Sequence[Field], golden: Golden | None) -> tuple[str, ...]:
    """The names of fields that have fewer golden rows than each should have."""
    columns = {} if golden is None else golden.columns
    return tuple(name for name in known_fields(fields) if len(columns.get(name, ())) < LEAST_ROWS)


def warn_if_uncovered(names: Sequence[str], stacklevel: int) -> None:
    """Say which fields no golden rows check, if any."""
    if not names:
        return
    shown = ", ".join((*names[:3], *(["..."] if len(names) > 3 else [])))
    warnings.warn(
        f"the schema has fewer than {LEAST_ROWS} golden rows for {len(names)} of its fields ({shown}): "
        "nothing checks what it makes of them when it is loaded. `record_golden` makes such rows",
        UncoveredSchemaWarning,
        stacklevel=stacklevel + 1,
    )


def golden_of(columns: Mapping[str, list[Any]], tensors: Mapping[str, Array]) -> Golden:
    """Golden rows of raw values and tensors as Python has them."""
    plain = {name: _as_plain_numbers(values) for name, values in columns.items()}
    return Golden(plain, {name: _as_plain_numbers(array.tolist()) for name, array in tensors.items()})


__all__ = ["LEAST_ROWS", "MOST_ROWS", "Golden", "golden_of", "uncovered", "warn_if_uncovered"]
