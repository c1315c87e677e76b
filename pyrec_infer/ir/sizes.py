"""Sizes of axes, which may be symbolic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

BATCH = "N"
"""Symbol of the batch axis: the number of candidates."""


class Undecidable(Exception):
    """A question about a symbolic dimension has no answer that holds for every size."""


@dataclass(frozen=True, slots=True)
class Dim:
    """A symbolic size: an integer times a product of named sizes, ``coefficient * s1 * s2 ...``.

    Named sizes are whole numbers of at least 0. Sums that are not of this form become a fresh
    symbol, so equal dims are certainly equal while different ones may still agree at run time.

    Examples
    --------
    >>> n = Dim.symbol("N")
    >>> n * 26, n * 26 // n, n + n
    (26*N, 26, 2*N)
    """

    coefficient: int
    symbols: tuple[str, ...]

    @staticmethod
    def symbol(name: str) -> Dim:
        return Dim(1, (name,))

    def _reduced(self) -> int | Dim:
        return self.coefficient if not self.symbols or self.coefficient == 0 else self

    def __mul__(self, other: object) -> Any:
        if isinstance(other, Dim):
            merged = tuple(sorted(self.symbols + other.symbols))
            return Dim(self.coefficient * other.coefficient, merged)._reduced()
        if isinstance(other, (int, np.integer)):
            return Dim(self.coefficient * int(other), self.symbols)._reduced()
        return NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> Any:
        return self * -1

    def __add__(self, other: object) -> Any:
        if isinstance(other, Dim) and other.symbols == self.symbols:
            return Dim(self.coefficient + other.coefficient, self.symbols)._reduced()
        if isinstance(other, (int, np.integer)) and int(other) == 0:
            return self
        raise Undecidable(f"{self} + {other}")

    __radd__ = __add__

    def __sub__(self, other: object) -> Any:
        if isinstance(other, (Dim, int, np.integer)):
            return self + -other
        return NotImplemented

    def __rsub__(self, other: object) -> Any:
        return -self + other

    def __floordiv__(self, other: object) -> Any:
        divisor = other if isinstance(other, Dim) else Dim(int(other), ())  # type: ignore[call-overload]
        remaining = list(self.symbols)
        for name in divisor.symbols:
            if name not in remaining:
                raise Undecidable(f"{self} // {other}")
            remaining.remove(name)
        if divisor.coefficient == 0 or self.coefficient % divisor.coefficient:
            raise Undecidable(f"{self} // {other}")
        return Dim(self.coefficient // divisor.coefficient, tuple(remaining))._reduced()

    __truediv__ = __floordiv__

    def __rfloordiv__(self, other: object) -> Any:
        raise Undecidable(f"{other} // {self}")

    def __mod__(self, other: object) -> Any:
        raise Undecidable(f"{self} % {other}")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Dim):
            if (self.coefficient, self.symbols) == (other.coefficient, other.symbols):
                return True
            raise Undecidable(f"{self} == {other}")
        if isinstance(other, (int, np.integer)) and int(other) * self.coefficient < 0:
            return False
        raise Undecidable(f"{self} == {other}")

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: object) -> bool:
        if isinstance(other, Dim) and other.symbols == self.symbols and self.coefficient >= other.coefficient:
            return False
        if isinstance(other, (int, np.integer)) and self.coefficient > 0 and int(other) <= 0:
            return False
        raise Undecidable(f"{self} < {other}")

    def __gt__(self, other: object) -> bool:
        if isinstance(other, Dim) and other.symbols == self.symbols and self.coefficient <= other.coefficient:
            return False
        if isinstance(other, (int, np.integer)) and self.coefficient > 0 and int(other) < 0:
            return True
        raise Undecidable(f"{self} > {other}")

    def __le__(self, other: object) -> bool:
        return not self > other

    def __ge__(self, other: object) -> bool:
        return not self < other

    def __bool__(self) -> bool:
        raise Undecidable(f"bool({self})")

    def __int__(self) -> int:
        raise Undecidable(f"int({self})")

    __index__ = __int__

    def __hash__(self) -> int:
        return hash((self.coefficient, self.symbols))

    def __repr__(self) -> str:
        names = "*".join(self.symbols)
        return names if self.coefficient == 1 else f"{self.coefficient}*{names}"

    def value(self, sizes: Mapping[str, int]) -> int:
        """The size for the given values of the symbols."""
        product = self.coefficient
        for name in self.symbols:
            product *= sizes[name]
        return product


Size: TypeAlias = int | Dim
Shape: TypeAlias = tuple[Size, ...]


def same_size(a: Size, b: Size) -> bool:
    """Whether two sizes are equal whatever the symbols stand for."""
    try:
        return bool(a == b)
    except Undecidable:
        return False


def has_symbol(size: Size, name: str = BATCH) -> bool:
    return isinstance(size, Dim) and name in size.symbols
