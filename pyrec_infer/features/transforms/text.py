"""Transforms of strings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pyrec_infer.features.transforms.transform import STRING, Kind, Transform
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


__all__ = ["CHANGES", "Text"]
