"""Names that a caller gives for what a training pipeline calls its columns."""

from __future__ import annotations

from collections.abc import Iterable

from pyrec_infer.errors import SchemaError


def check_names(argument: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names of columns that are not there, which would be left out without a word.

    Raises
    ------
    SchemaError
    """
    there = sorted(known)
    for name in given:
        if name not in there:
            raise SchemaError(f"{argument}: there is no column '{name}', expected some of {', '.join(there)}")


__all__ = ["check_names"]
