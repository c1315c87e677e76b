"""Caps and quotas: how many of the best items may, and how many have to, have a value of an attribute."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import as_count
from pyrec_infer.errors import DTypeError, InputError
from pyrec_infer.extension import native
from pyrec_infer.ir import Array
from pyrec_infer.selection.conditions import stored_value
from pyrec_infer.store import Attribute, Rows64


@dataclass(frozen=True)
class Cap:
    """How many items may have the same value of an attribute. A missing value is under no cap.

    Attributes
    ----------
    attribute : Attribute
    every : int or None
        Of each value; None: there is no limit but for those in ``of``.
    of : mapping of int to int
        By what is stored of a value.
    """

    attribute: Attribute
    every: int | None
    of: Mapping[int, int]

    def most(self, value: int) -> int | None:
        return self.of.get(value, self.every)


@dataclass(frozen=True)
class Quota:
    """How many items at least have to have one value of an attribute.

    Attributes
    ----------
    number : int
        Among the quotas as they are given.
    attribute : Attribute
    value : int
        What is stored of it; what is stored of missing ones where no item ever had it.
    least : int
    """

    number: int
    attribute: Attribute
    value: int
    least: int

    @property
    def label(self) -> str:
        """What messages call it, which tell no values."""
        return f"min_per, {self.attribute.label} (quota {self.number})"


def read_caps(find: Any, given: Any) -> tuple[Cap, ...]:
    """Caps as calls give them: for each attribute one number, or numbers by value.

    Parameters
    ----------
    find : callable
        The attribute of a name.
    given : mapping or None
    """
    caps = []
    for name, most in _pairs("max_per", given):
        attribute = _grouping("max_per", find(name))
        label = f"max_per, {attribute.label}"
        if not isinstance(most, Mapping):
            caps.append(Cap(attribute, as_count(label, most), {}))
            continue
        each = _by_stored(label, attribute, most)
        caps.append(Cap(attribute, None, {value: count for value, count in each if value is not None}))
    return tuple(caps)


def read_quotas(find: Any, given: Any, caps: Sequence[Cap], k: int) -> tuple[Quota, ...]:
    """Quotas as calls give them: for one attribute numbers by value.

    Raises
    ------
    InputError
        If they are of several attributes, or beside a cap of another one; or if they cannot be met: they are
        more than k, or than a cap.
    """
    pairs = _pairs("min_per", given)
    if not pairs:
        return ()
    if len(pairs) > 1:
        raise InputError("min_per: expected one attribute, whose values are disjoint groups of items")
    quotas: list[Quota] = []
    for name, least in pairs:
        attribute = _grouping("min_per", find(name))
        if not isinstance(least, Mapping):
            raise DTypeError(
                f"min_per, {attribute.label}: expected numbers by value, got {type(least).__name__}"
            )
        each = _by_stored(f"min_per, {attribute.label}", attribute, least)
        for number, (stored, count) in enumerate(each):
            # What the attribute cannot hold is no item's, as what is missing is.
            value = int(attribute.absent) if stored is None else stored
            quotas.append(Quota(number, attribute, value, count))
    for cap in caps if quotas else ():
        if cap.attribute is not quotas[0].attribute:
            raise InputError("min_per: expected no cap of another attribute beside it")
        for quota in quotas:
            most = cap.most(quota.value)
            if most is not None and most < quota.least:
                raise InputError(
                    f"{quota.label}: expected no more items than max_per has, {most}, got {quota.least}"
                )
    needed = sum(quota.least for quota in quotas)
    if needed > k:
        raise InputError(f"min_per: expected no more than k items, {k}, got {needed}")
    return tuple(quota for quota in quotas if quota.least)


def _pairs(label: str, given: Any) -> list[tuple[Any, Any]]:
    if given is None:
        return []
    if not isinstance(given, Mapping):
        raise DTypeError(f"{label}: expected numbers by the attributes' names, got {type(given).__name__}")
    return list(given.items())


def _by_stored(label: str, attribute: Attribute, given: Mapping[Any, Any]) -> list[tuple[int | None, int]]:
    """Numbers by what is stored of values; None of one that the attribute cannot hold.

    Raises
    ------
    InputError
        If two values are the same, as a string and its bytes are.
    """
    found = [(stored_value(attribute, value), as_count(label, count)) for value, count in given.items()]
    names = [value.encode(errors="surrogatepass") if isinstance(value, str) else value for value in given]
    if len(set(names)) < len(names):
        raise InputError(f"{label}: expected each value once")
    return found


def _grouping(label: str, attribute: Attribute) -> Attribute:
    if attribute.kind == "f":
        raise DTypeError(
            f"{label}: expected strings, whole numbers or booleans, {attribute.label} has floats"
        )
    return attribute


class Walk:
    """Walks ranked items, best first, and passes over those that break a cap.

    Parameters
    ----------
    caps : sequence of Cap
    stored : sequence of ndarray
        For each cap what is stored of its attribute for the items that are taken already, which are counted,
        and for the ranked ones.
    taken : int
        How many are taken already.
    """

    def __init__(self, caps: Sequence[Cap], stored: Sequence[Array], taken: int = 0) -> None:
        self._caps, self._stored, self._taken = caps, stored, taken

    def first(self, count: int, k: int, skip: NDArray[np.bool_] | None = None) -> Rows64:
        """The numbers of the first k of so many ranked items that may be taken; those that are to be skipped
        are passed over."""
        if native is not None:
            given = [
                (own.astype(np.int64), int(cap.attribute.absent), _limit(cap.every), dict(cap.of))
                for cap, own in zip(self._caps, self._stored, strict=True)
            ]
            found: Rows64 = native.walk_caps(given, self._taken, count, k, skip)
            return found
        return self._first(count, k, skip)

    def _first(self, count: int, k: int, skip: NDArray[np.bool_] | None) -> Rows64:
        counts = _Counts(self._caps)
        groups = [_groups_of(cap.attribute, own) for cap, own in zip(self._caps, self._stored, strict=True)]
        each = list(zip(*groups, strict=True)) if groups else [()] * (self._taken + count)
        for own in each[: self._taken]:
            counts.take(own)
        kept: list[int] = []
        for number, own in enumerate(each[self._taken :]):
            if len(kept) == k:
                break
            if (skip is None or not skip[number]) and counts.take(own):
                kept.append(number)
        return np.asarray(kept, np.int64)


def _limit(most: int | None) -> int:
    return sys.maxsize if most is None else most


def _groups_of(attribute: Attribute, stored: Array) -> list[int | None]:
    """What is stored of an attribute, None where the value is missing."""
    gone = attribute.is_absent(stored)
    return [None if absent else value for value, absent in zip(stored.tolist(), gone.tolist(), strict=True)]


class _Counts:
    """How many items of each value there are under some caps."""

    def __init__(self, caps: Sequence[Cap]) -> None:
        self._caps = caps
        self._taken: list[dict[int, int]] = [{} for _ in caps]

    def take(self, groups: Sequence[int | None]) -> bool:
        """Count an item with a value for each cap, unless it breaks one; whether it was counted."""
        for cap, taken, group in zip(self._caps, self._taken, groups, strict=True):
            most = None if group is None else cap.most(group)
            if group is not None and most is not None and taken.get(group, 0) >= most:
                return False
        for taken, group in zip(self._taken, groups, strict=True):
            if group is not None:
                taken[group] = taken.get(group, 0) + 1
        return True


__all__ = ["Cap", "Quota", "Walk", "read_caps", "read_quotas"]
