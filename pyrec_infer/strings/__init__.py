"""Columns of strings in Arrow's layout."""

from pyrec_infer.strings.texts import (
    Texts,
    faults_of_views,
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
from pyrec_infer.strings.viewed import Viewed

__all__ = [
    "Texts",
    "Viewed",
    "faults_of_views",
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
