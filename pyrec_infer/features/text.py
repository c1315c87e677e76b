"""JSON that may be hostile."""

from __future__ import annotations

import json
from typing import Any

from pyrec_infer.errors import SchemaError
from pyrec_infer.interrupts import let_interrupts_pass

MOST_BYTES = 1 << 28
"""Of a schema's text: vocabularies of some million words."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise SchemaError("the JSON gives a name twice in one object")
    return found


def _refuse_constant(_: str) -> Any:
    raise SchemaError("the JSON holds NaN or an infinity, expected finite numbers")


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
    try:
        plain = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        raise SchemaError("the JSON is not in UTF-8") from None
    try:
        return json.loads(plain, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except SchemaError:
        raise
    except RecursionError:
        raise SchemaError("the JSON is nested too deep") from None
    except ValueError as error:
        let_interrupts_pass(error)
        raise SchemaError("expected JSON") from None


__all__ = ["parse_json"]
