"""Transforms of strings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pyrec_infer.features.transforms.transform import IDS, STRING, Kind, Transform
from pyrec_infer.ir import STRING as STRING_TYPE
from pyrec_infer.passes.common.writer import Writer

CHANGES = ("lower", "upper", "strip")


@dataclass(frozen=True)
class Text(Transform):
    """A string changed as Python's methods of these names do.

    Parameters
    ----------
    change : str
        ``"lower"``, ``"upper"``, or ``"strip"`` for white space at both ends.
    """

    change: str
    name: ClassVar[str] = "text"
    takes = STRING

    def mistakes(self) -> Iterator[str]:
        if self.change not in CHANGES:
            yield f"change: expected one of {', '.join(CHANGES)}"

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        return writer.node("pyrec.ChangeText", value, change=self.change)


@dataclass(frozen=True)
class Prefix(Transform):
    """A text in front of a string, or of a whole number's decimal digits, as in ``city=Rome``.

    Parameters
    ----------
    text : str
    """

    text: str
    name: ClassVar[str] = "prefix"
    takes = IDS

    def gives(self, kind: Kind) -> Kind:
        return "string"

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        return writer.node(
            "StringConcat", writer.constant(self.text, STRING_TYPE), as_text(writer, value, kind)
        )


def as_text(writer: Writer, value: str, kind: Kind) -> str:
    """A string as it is, a whole number as its decimal digits."""
    if kind == "string":
        return value
    return writer.node("CastLike", value, writer.constant("", STRING_TYPE))


__all__ = ["CHANGES", "Prefix", "Text", "as_text"]
