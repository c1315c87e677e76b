"""Transforms of ids and categories."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrec_infer.features.transforms.transform import IDS, INTEGER, NAN, Kind, Transform, in_order
from pyrec_infer.ops.lookup_parts import NO_ID
from pyrec_infer.passes.common.writer import Writer


def whole(label: str, value: Any, least: int) -> Iterator[str]:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not least <= value < 2**31:
        yield f"{label}: expected a whole number from {least} to {2**31 - 1}"


def finite(label: str, *values: Any) -> Iterator[str]:
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    # A whole number of thousands of digits is none that a float holds.
    if not numbers or not all(abs(value) <= sys.float_info.max for value in values):
        yield f"{label}: expected finite numbers"


def is_of(kind: Kind, value: Any) -> bool:
    """Whether a raw value is a string, or a whole number that int64 holds."""
    if kind == "string":
        return isinstance(value, str)
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def encode(writer: Writer, value: str, kind: Kind, keys: Sequence[Any], first: int, default: int) -> str:
    """The place of each element among the keys, counted from ``first``."""
    attribute = "keys_strings" if kind == "string" else "keys_int64s"
    places = tuple(range(first, first + len(keys)))
    return writer.node(
        "ai.onnx.ml.LabelEncoder",
        value,
        **{attribute: tuple(keys), "values_int64s": places, "default_int64": default},
    )


def equals(writer: Writer, value: str, kind: Kind, key: Any) -> str:
    """Whether each element is the key."""
    found = encode(writer, value, kind, (key,), 1, 0)
    return writer.node("Equal", found, writer.constant(1, np.int64))


def _kinds(values: Sequence[Any]) -> set[Kind]:
    kinds: tuple[Kind, ...] = ("string", "integer")
    return {kind for kind in kinds if all(is_of(kind, value) for value in values)}


@dataclass(frozen=True)
class Vocabulary(Transform):
    """The place of a value in a list: the mask's 0, the ids of unknown values, then the list in order.

    Keras' StringLookup and IntegerLookup lay their tables out in this way.

    Parameters
    ----------
    values : sequence of str or of int
    oov : int
        Ids for values that are not in the list: several are shared out by FarmHash of a string, or by the
        remainder of a number. With 0 a call with an unknown value is refused.
    mask : str or int, optional
        The value whose id is 0; without one the ids of unknown values begin at 0.
    oov_last : bool
        Whether the ids of unknown values follow the list instead of preceding it, as Spark keeps them.
    """

    values: Sequence[Any]
    oov: int = 1
    mask: Any = None
    oov_last: bool = False
    name = "vocabulary"
    takes = IDS

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", in_order("values", self.values))

    @property
    def first(self) -> int:
        """The id of the list's first value."""
        return int(self.mask is not None) + (0 if self.oov_last else self.oov)

    @property
    def first_unknown(self) -> int:
        """The id of the first unknown values."""
        return int(self.mask is not None) + (len(self.values) if self.oov_last else 0)

    def gives(self, kind: Kind) -> Kind:
        return "integer"

    def largest(self, before: int | None) -> int | None:
        return int(self.mask is not None) + self.oov + len(self.values) - 1

    def unknown(self) -> int | None:
        return self.first_unknown if self.oov else None

    def refuses(self) -> int:
        return 0 if self.oov else self.first + len(self.values)

    def borders(self) -> Iterator[Any]:
        yield from (self.values[0], self.values[-1], self.mask)

    def mistakes(self) -> Iterator[str]:
        yield from whole("oov", self.oov, 0)
        if not self.values:
            yield "values: expected at least one"
        elif not _kinds(self.values):
            yield "values: expected strings alone, or whole numbers alone"
        elif len(set(self.values)) < len(self.values):
            yield "values: expected each value once"
        elif self.mask is not None:
            if not _kinds((*self.values, self.mask)):
                yield "mask: expected a value of the values' type"
            elif self.mask in self.values:
                yield "mask: expected a value that is not among the values"

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        begin = self.first_unknown
        several = self.oov > 1
        default = -1 if several else begin if self.oov else NO_ID
        found = encode(writer, value, kind, self.values, self.first, default)
        if several:
            other = _shared_out(writer, value, kind, self.oov)
            other = writer.node("Add", other, writer.constant(begin, np.int64))
            absent = writer.node("Equal", found, writer.constant(default, np.int64))
            found = writer.node("Where", absent, other, found)
        if self.mask is None:
            return found
        masked = equals(writer, value, kind, self.mask)
        return writer.node("Where", masked, writer.constant(0, np.int64), found)


def _shared_out(writer: Writer, value: str, kind: Kind, buckets: int) -> str:
    if kind == "integer":
        return writer.node("Mod", value, writer.constant(buckets, np.int64))
    return writer.node("pyrec.HashBucket", value, scheme="farmhash64", buckets=buckets)


@dataclass(frozen=True)
class Modulo(Transform):
    """The remainder of a whole number, at least 0 as Python's ``%`` has it.

    Parameters
    ----------
    divisor : int
    """

    divisor: int
    name = "modulo"
    takes = INTEGER

    def largest(self, before: int | None) -> int | None:
        return self.divisor - 1

    def mistakes(self) -> Iterator[str]:
        yield from whole("divisor", self.divisor, 1)

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        return writer.node("Mod", value, writer.constant(self.divisor, np.int64))


@dataclass(frozen=True)
class Shift(Transform):
    """A whole number with another added, as where a table begins with rows of its own.

    Parameters
    ----------
    by : int
    """

    by: int
    name = "shift"
    takes = INTEGER

    def reach(self) -> int:
        return abs(self.by)

    def largest(self, before: int | None) -> int | None:
        return None if before is None else before + abs(self.by)

    def mistakes(self) -> Iterator[str]:
        yield from whole("by", abs(self.by) if isinstance(self.by, int) else self.by, 0)

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        return writer.node("Add", value, writer.constant(self.by, np.int64))


@dataclass(frozen=True)
class OneHot(Transform):
    """Zeros with 1 at the place of an id; no 1 for an id outside. It is the last transform of a field.

    Parameters
    ----------
    size : int
    """

    size: int
    name = "one_hot"
    takes = INTEGER

    @property
    def width(self) -> int:
        return self.size

    def gives(self, kind: Kind) -> Kind:
        return "number"

    def mistakes(self) -> Iterator[str]:
        yield from whole("size", self.size, 1)

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        column = writer.node("Unsqueeze", value, writer.constant([-1], np.int64))
        same = writer.node("Equal", column, writer.constant(range(self.size), np.int64))
        return writer.node("CastLike", same, writer.constant(0, np.float64))


@dataclass(frozen=True)
class Lookup(Transform):
    """A number for each of a few keys.

    Parameters
    ----------
    keys : sequence of str or of int
    values : sequence of float
        One for each key.
    default : float
        For every other value. It may be NaN, which trees know what to make of; in JSON that is ``"NaN"``.
    """

    keys: Sequence[Any]
    values: Sequence[float]
    default: Any = 0.0
    name = "lookup"
    takes = IDS

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", in_order("keys", self.keys))
        object.__setattr__(self, "values", in_order("values", self.values))
        if self._is_nan() or (isinstance(self.default, str) and self.default == NAN):
            # One object, by which equal transforms are equal.
            object.__setattr__(self, "default", math.nan)

    def _is_nan(self) -> bool:
        return isinstance(self.default, float) and math.isnan(self.default)

    def unknown(self) -> float | None:
        number: float = self.default
        return number

    def gives(self, kind: Kind) -> Kind:
        return "number"

    def mistakes(self) -> Iterator[str]:
        if not self.keys or not _kinds(self.keys):
            yield "keys: expected strings alone, or whole numbers alone"
        elif len(set(self.keys)) < len(self.keys):
            yield "keys: expected each key once"
        if len(self.values) != len(self.keys):
            yield f"values: expected {len(self.keys)}, one for each key, got {len(self.values)}"
        yield from finite("values", *self.values)
        if not self._is_nan():
            yield from finite("default", self.default)

    def borders(self) -> Iterator[Any]:
        yield from (self.keys[0], self.keys[-1])

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        place = encode(writer, value, kind, self.keys, 1, 0)
        table = writer.constant((self.default, *self.values), np.float64)
        return writer.node("Gather", table, place, axis=0)


__all__ = [
    "Lookup",
    "Modulo",
    "OneHot",
    "Shift",
    "Vocabulary",
    "encode",
    "equals",
    "finite",
    "is_of",
    "whole",
]
