"""Transforms of moments: seconds since the beginning of 1970, UTC, as whole numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyrec_infer.features.transforms.transform import INTEGER, Kind, Transform
from pyrec_infer.passes.common.writer import Writer

PARTS = ("minute", "hour", "weekday", "day", "month", "year")
_DAY = 86_400


class _Integers:
    """Arithmetic of whole numbers, written as nodes; quotients are rounded down."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def constant(self, value: int) -> str:
        return self._writer.constant(value, np.int64)

    def add(self, x: str, value: int) -> str:
        return self._writer.node("Add", x, self.constant(value))

    def times(self, x: str, value: int) -> str:
        return self._writer.node("Mul", x, self.constant(value))

    def less(self, x: str, other: str) -> str:
        return self._writer.node("Sub", x, other)

    def modulo(self, x: str, value: int) -> str:
        return self._writer.node("Mod", x, self.constant(value))

    def quotient(self, x: str, value: int) -> str:
        rest = self.less(x, self.modulo(x, value))
        return self._writer.node("Div", rest, self.constant(value))


@dataclass(frozen=True)
class DatePart(Transform):
    """A part of a moment in UTC.

    Parameters
    ----------
    part : str
        ``"minute"``, ``"hour"``, ``"weekday"`` (Monday is 0), ``"day"`` of the month and ``"month"`` from 1,
        ``"year"``. The calendar is Gregorian before its introduction too.
    """

    part: str
    name: ClassVar[str] = "date_part"
    takes = INTEGER

    def mistakes(self) -> Iterator[str]:
        if self.part not in PARTS:
            yield f"part: expected one of {', '.join(PARTS)}"

    def reach(self) -> int:
        return _DAY

    def largest(self, before: int | None) -> int | None:
        # Of a year in the time that counts, float32 holds every one.
        return 366

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        integers = _Integers(writer)
        if self.part == "minute":
            return integers.modulo(integers.quotient(value, 60), 60)
        if self.part == "hour":
            return integers.modulo(integers.quotient(value, 3600), 24)
        days = integers.quotient(value, _DAY)
        if self.part == "weekday":
            # 1970 began on a Thursday.
            return integers.modulo(integers.add(days, 3), 7)
        return _civil(integers, days)[self.part]


def _civil(integers: _Integers, days: str) -> dict[str, str]:
    """Day, month and year of days since 1970, in years that begin in March and eras of 400 years.

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    """
    shifted = integers.add(days, 719_468)
    era = integers.quotient(shifted, 146_097)
    of_era = integers.modulo(shifted, 146_097)
    leaps = integers.less(
        integers.quotient(of_era, 1_460),
        integers.less(integers.quotient(of_era, 36_524), integers.quotient(of_era, 146_096)),
    )
    year = integers.quotient(integers.less(of_era, leaps), 365)
    before = integers.less(
        integers.times(year, 365),
        integers.less(integers.quotient(year, 100), integers.quotient(year, 4)),
    )
    of_year = integers.less(of_era, before)
    month = integers.quotient(integers.add(integers.times(of_year, 5), 2), 153)
    begun = integers.quotient(integers.add(integers.times(month, 153), 2), 5)
    day = integers.add(integers.less(of_year, begun), 1)
    civil = integers.add(integers.modulo(integers.add(month, 2), 12), 1)
    # January and February belong to the year after that which began in March.
    late = integers.quotient(month, 10)
    whole = integers.less(year, integers.less(integers.times(era, -400), late))
    return {"day": day, "month": civil, "year": whole}


__all__ = ["PARTS", "DatePart"]
