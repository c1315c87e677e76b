"""JSON that may be hostile."""

from __future__ import annotations

from typing import Any

from pyrec_infer.errors import SchemaError
from pyrec_infer.formats.json_text import parse_strict

MOST_BYTES = 1 << 28
"""Of a schema's text: vocabularies of some million words."""


def parse_json(text: str | bytes) -> Any:
    """Plain data of a JSON text.

    Raises
    ------
    SchemaError
        If it is no JSON in UTF-8, has more than 256 MiB, is nested too deep, gives a name twice in
        an object, or holds NaN or an infinity.
    """
    if len(text) > MOST_BYTES:
        raise SchemaError(f"the JSON has more than {MOST_BYTES} bytes")
    return parse_strict(text, SchemaError, "the JSON")


__all__ = ["parse_json"]
