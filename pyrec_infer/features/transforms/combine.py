"""Values made of several fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from pyrec_infer.features.transforms.transform import Kind
from pyrec_infer.passes.common.writer import Writer


@dataclass(frozen=True)
class Combine:
    """One way to make a value of several; immutable."""

    name: ClassVar[str]

    def gives(self, kinds: Sequence[Kind]) -> Kind:
        """What it makes of values of these kinds."""
        raise NotImplementedError

    def mistakes(self, kinds: Sequence[Kind]) -> Iterator[str]:
        """What is wrong with its numbers, or with these kinds."""
        yield from ()

    def write(self, writer: Writer, values: Sequence[str]) -> str:
        """The nodes that combine the values of each row."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """Plain data, which `read_combine` reads."""
        return {"combine": self.name, **{field.name: getattr(self, field.name) for field in fields(self)}}


@dataclass(frozen=True)
class Since(Combine):
    """The first whole number less the second, at least 0: seconds from an event until now."""

    name: ClassVar[str] = "since"

    def gives(self, kinds: Sequence[Kind]) -> Kind:
        return "integer"

    def mistakes(self, kinds: Sequence[Kind]) -> Iterator[str]:
        if tuple(kinds) != ("integer", "integer"):
            yield f"takes two fields of type integer, got {', '.join(kinds)}"

    def write(self, writer: Writer, values: Sequence[str]) -> str:
        late, early = values
        known = writer.node("Greater", late, early)
        zero = writer.constant(0, np.int64)
        return writer.node("Where", known, writer.node("Sub", late, early), zero)


__all__ = ["Combine", "Since"]
