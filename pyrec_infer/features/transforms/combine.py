"""Values made of several fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from pyrec_infer.features.transforms.ids import is_of
from pyrec_infer.features.transforms.text import as_text
from pyrec_infer.features.transforms.transform import Kind, in_order
from pyrec_infer.ir import STRING
from pyrec_infer.passes.common.writer import Writer


@dataclass(frozen=True)
class Combine:
    """One way to make a value of several; immutable."""

    name: ClassVar[str]
    takes_combined: ClassVar[bool] = True
    """Whether it may be given what was combined before, and not only raw values."""

    def gives(self, kinds: Sequence[Kind]) -> Kind:
        """What it makes of values of these kinds."""
        raise NotImplementedError

    def largest(self) -> int | None:
        """The largest size of the whole numbers that it gives; None for any."""
        return None

    def limit(self) -> int:
        """The largest size of raw whole numbers that it computes with exactly."""
        return 2**63 - 1

    def mistakes(self, kinds: Sequence[Kind]) -> Iterator[str]:
        """What is wrong with its numbers, or with these kinds."""
        yield from ()

    def write(self, writer: Writer, values: Sequence[str], kinds: Sequence[Kind]) -> str:
        """The nodes that combine the values of each row."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """Plain data, which `read_combine` reads."""
        made = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in made.items()}
        return {"combine": self.name, **plain}


@dataclass(frozen=True)
class Since(Combine):
    """The first whole number less the second, at least 0: seconds from an event until now.

    Float32 holds every whole number up to 2^24 only, which are 194 days in seconds: for such an input say
    ``most``, or go on with a transform to numbers.

    Parameters
    ----------
    most : int, optional
        What a longer time is.
    """

    most: Any = None
    name: ClassVar[str] = "since"
    takes_combined: ClassVar[bool] = False

    def gives(self, kinds: Sequence[Kind]) -> Kind:
        return "integer"

    def largest(self) -> int | None:
        return None if self.most is None else int(self.most)

    def limit(self) -> int:
        # The difference of two such numbers is one of 64 bits.
        return 2**62 - 1

    def mistakes(self, kinds: Sequence[Kind]) -> Iterator[str]:
        if self.most is not None and not (is_of("integer", self.most) and self.most >= 0):
            yield "most: expected a whole number from 0, or none"
        if tuple(kinds) != ("integer", "integer"):
            yield f"takes two fields of type integer, got {', '.join(kinds)}"

    def write(self, writer: Writer, values: Sequence[str], kinds: Sequence[Kind]) -> str:
        late, early = values
        known = writer.node("Greater", late, early)
        zero = writer.constant(0, np.int64)
        passed = writer.node("Where", known, writer.node("Sub", late, early), zero)
        if self.most is None:
            return passed
        return writer.node("Min", passed, writer.constant(self.most, np.int64))


@dataclass(frozen=True)
class Join(Combine):
    """Strings, and decimal digits of whole numbers, one after another with texts between them.

    Parameters
    ----------
    between : sequence of str
        One less than the fields.
    """

    between: Sequence[str]
    name: ClassVar[str] = "join"

    def __post_init__(self) -> None:
        object.__setattr__(self, "between", in_order("between", self.between))

    def gives(self, kinds: Sequence[Kind]) -> Kind:
        return "string"

    def mistakes(self, kinds: Sequence[Kind]) -> Iterator[str]:
        if "number" in kinds:
            yield "takes fields of type string or integer, got number"
        if len(self.between) != len(kinds) - 1 or not all(isinstance(text, str) for text in self.between):
            yield f"between: expected {len(kinds) - 1} strings for {len(kinds)} fields"

    def write(self, writer: Writer, values: Sequence[str], kinds: Sequence[Kind]) -> str:
        made, *texts = [as_text(writer, value, kind) for value, kind in zip(values, kinds, strict=True)]
        for between, text in zip(self.between, texts, strict=True):
            if between:
                made = writer.node("StringConcat", made, writer.constant(between, STRING))
            made = writer.node("StringConcat", made, text)
        return made


__all__ = ["Combine", "Join", "Since"]
