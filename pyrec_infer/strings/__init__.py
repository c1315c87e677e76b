"""Columns of strings in Arrow's layout."""

from pyrec_infer.strings.texts import (
    Texts,
    joined,
    of_bytes,
    of_codes,
    of_integers,
    of_objects,
    of_offsets,
    of_plain,
    of_variable,
    of_views,
)

__all__ = [
    "Texts",
    "joined",
    "of_bytes",
    "of_codes",
    "of_integers",
    "of_objects",
    "of_offsets",
    "of_plain",
    "of_variable",
    "of_views",
]
