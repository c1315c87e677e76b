"""Conditions on one attribute of items."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import DTypeError, InputError
from pyrec_infer.ir import Array
from pyrec_infer.store import Attribute

Flags = NDArray[np.bool_]

_FEW = 4
"""Values that are compared one by one."""

_ASK_FOR_GAPS = "missing=True asks for gaps"


@dataclass(frozen=True, eq=False)
class Condition:
    """What the value of an attribute has to be. A missing value meets none but that it is missing.

    Attributes
    ----------
    attribute : Attribute
        As it was when the condition was made.
    values : tuple of bytes or numbers, or None
        The value is one of these.
    least, most : int, float or None
        The value is not less, not more.
    missing : bool
        The value is missing; then the others are None.
    """

    attribute: Attribute
    values: tuple[Any, ...] | None = None
    least: float | None = None
    most: float | None = None
    missing: bool = False

    def test(self, attribute: Attribute, stored: Array) -> Flags:
        """Which of the values that are stored of the attribute meet it."""
        absent = attribute.is_absent(stored)
        if self.missing:
            return absent
        met = ~absent
        if self.values is not None:
            met &= self._is_one(attribute, stored)
        if self.least is not None:
            met &= stored >= self.least
        if self.most is not None:
            met &= stored <= self.most
        return met

    def _is_one(self, attribute: Attribute, stored: Array) -> Flags:
        assert self.values is not None
        wanted = self.values
        if attribute.kind == "U":
            # Strings that no item has had yet may come.
            wanted = tuple(code for word in self.values if (code := attribute.code_of(word)))
        if len(wanted) > _FEW:
            return np.isin(stored, np.asarray(wanted, stored.dtype))
        met = np.zeros(len(stored), np.bool_)
        for value in wanted:
            met |= stored == stored.dtype.type(value)
        return met


def read_condition(
    attribute: Attribute,
    equals: Any,
    values: Iterable[Any] | None,
    least: Any,
    most: Any,
    missing: bool | None,
) -> Condition:
    """The condition that all of these say; None says nothing, and ``...`` in the place of the equal value.

    Raises
    ------
    DTypeError
        If a value is of another type than the attribute; `InputError` if nothing can meet what is said of
        missing values, or a bound is NaN.
    """
    label = attribute.label
    said = [equals is not ..., *(given is not None for given in (values, least, most))]
    if missing is not None and not isinstance(missing, bool):
        raise DTypeError(f"{label}: expected missing=True or missing=False")
    if missing and any(said):
        raise InputError(f"{label}: a value that is missing meets no other condition")
    if equals is None:
        raise InputError(f"{label}: expected a value, got None; {_ASK_FOR_GAPS}")
    wanted: list[Any] | None = None
    if isinstance(values, (str, bytes)):
        raise DTypeError(f"{label}: expected several values in in_, got a string")
    if values is not None:
        if not isinstance(values, Iterable):
            raise DTypeError(f"{label}: expected several values in in_, got {type(values).__name__}")
        wanted = [_value(attribute, value) for value in values]
    if equals is not ...:
        own = _value(attribute, equals)
        wanted = [own] if wanted is None or own in wanted else []
    # A number that the attribute cannot hold is nobody's.
    kept = None if wanted is None else tuple(value for value in wanted if value is not None)
    return Condition(
        attribute,
        kept,
        _bound(attribute, least, math.ceil),
        _bound(attribute, most, math.floor),
        bool(missing),
    )


def _value(attribute: Attribute, value: Any) -> Any:
    """A value as it is compared with those of an attribute; None if none of those can be equal to it."""
    kind = attribute.kind
    if kind == "U":
        if isinstance(value, str):
            return value.encode(errors="surrogatepass")
        if isinstance(value, bytes):
            return value
    elif kind == "b":
        if isinstance(value, (bool, np.bool_)):
            return int(value)
    else:
        number = _number(attribute, value)
        if kind == "f":
            return _in_type(attribute, number)
        # Infinity is no whole number, and has none.
        whole = -(2**63) < number < 2**63 and number == math.floor(number)
        return int(number) if whole else None
    raise DTypeError(f"{attribute.label}: expected {attribute.expected}, got {type(value).__name__}")


def stored_value(attribute: Attribute, value: Any) -> int | None:
    """What is stored of a string, a whole number or a boolean: 0 of a string that no item ever had, None of a
    number that the attribute cannot hold.

    Raises
    ------
    DTypeError
        If the value is of another type than the attribute.
    """
    found = _value(attribute, value)
    return attribute.code_of(found) if isinstance(found, bytes) else found


def _number(attribute: Attribute, value: Any) -> Any:
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise DTypeError(f"{attribute.label}: expected numbers, got {type(value).__name__}")
    if number != number:
        raise InputError(f"{attribute.label}: expected a number, got NaN; {_ASK_FOR_GAPS}")
    return number


def _in_type(attribute: Attribute, number: float) -> Any:
    """A number in the type of a float attribute; None of one that only infinity would stand for."""
    if abs(number) != math.inf and abs(number) > sys.float_info.max:
        return None
    with np.errstate(over="ignore"):
        made = attribute.dtype.type(number)
    return None if np.isinf(made) and abs(number) != math.inf else made


def _bound(attribute: Attribute, value: Any, whole: Any) -> Any:
    """A bound as numbers of the attribute's type are compared with it."""
    if value is None:
        return None
    if attribute.kind not in "if":
        raise DTypeError(f"{attribute.label}: expected no bounds, its values are {attribute.expected}")
    number = _number(attribute, value)
    if abs(number) == math.inf:
        return float(number)
    if attribute.kind == "f":
        held = _in_type(attribute, number)
        most = np.finfo(attribute.dtype).max
    else:
        bound = whole(number)
        held = bound if abs(bound) < 2**63 else None
        most = 2**63 - 1
    if held is not None:
        return held
    # Between the largest number and infinity.
    inward = (number > 0) == (whole is math.floor)
    return (1 if number > 0 else -1) * (most if inward else math.inf)


__all__ = ["Condition", "read_condition", "stored_value"]
