"""Columns of strings in Arrow's layout."""

from pyrec_infer.strings.texts import (
    Texts,
    of_bytes,
    of_codes,
    of_integers,
    of_objects,
    of_offsets,
    of_views,
)

__all__ = ["Texts", "of_bytes", "of_codes", "of_integers", "of_objects", "of_offsets", "of_views"]
