"""What a transform of a field is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from pyrec_infer.errors import SchemaError
from pyrec_infer.passes.common.writer import Writer

Kind: TypeAlias = Literal["string", "integer", "number"]
"""What the values of a field are on their way: strings, int64 or float64."""


def in_order(label: str, values: Any) -> tuple[Any, ...]:
    """Several values, NumPy's as Python's own; a string is one, and what has no order is none."""
    if isinstance(values, (str, bytes, Mapping, Set)):
        raise SchemaError(f"{label}: expected a sequence, got {type(values).__name__}")
    return tuple(value.item() if isinstance(value, np.generic) else value for value in values)


NAN = "NaN"
"""The number that is none, where JSON has no other way to say it."""


@dataclass(frozen=True)
class Transform:
    """One step from a raw value to what a model reads; immutable.

    Attributes
    ----------
    name : str
        Of the transform in JSON and in messages.
    takes : frozenset of Kind
        What it can be given.
    """

    name: ClassVar[str]
    takes: ClassVar[frozenset[Kind]]

    @property
    def width(self) -> int:
        """The numbers that a value becomes, where that is a list; 0 for one value."""
        return 0

    def gives(self, kind: Kind) -> Kind:
        """What it makes of values of a kind that it takes."""
        return kind

    def mistakes(self) -> Iterator[str]:
        """What is wrong with the numbers it was made with."""
        yield from ()

    def reach(self) -> int:
        """By how much its arithmetic gets past the whole number that it is given."""
        return 0

    def absent(self) -> Iterator[str]:
        """What it needs where it runs, and does not find."""
        yield from ()

    def unknown(self) -> float | None:
        """The id, or number, of a value that is not known, where the transform has one."""
        return None

    def refuses(self) -> int:
        """How many ids it gives, from 0, where it gives another one for what is to be refused; 0 for all."""
        return 0

    def borders(self) -> Iterator[Any]:
        """Raw values at which what it gives changes, so that they tell it from others."""
        yield from ()

    def largest(self, before: int | None) -> int | None:
        """The largest size of the whole numbers that it gives, for those that it is given; None for any."""
        return before

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        """The nodes that transform every element of a value."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """Plain data, which `read_transform` reads."""
        made = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in made.items()}
        for key, value in made.items():
            if isinstance(value, float) and value != value:
                plain[key] = NAN
        return {"transform": self.name, **plain}


STRING: frozenset[Kind] = frozenset({"string"})
INTEGER: frozenset[Kind] = frozenset({"integer"})
NUMBERS: frozenset[Kind] = frozenset({"integer", "number"})
IDS: frozenset[Kind] = frozenset({"string", "integer"})

__all__ = ["IDS", "INTEGER", "NAN", "NUMBERS", "STRING", "Kind", "Transform", "in_order"]
