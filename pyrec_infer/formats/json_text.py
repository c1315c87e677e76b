"""JSON that may be hostile."""

from __future__ import annotations

import json
from typing import Any

from pyrec_infer.errors import PyrecError
from pyrec_infer.interrupts import let_interrupts_pass


def parse_strict(text: str | bytes, error: type[PyrecError], where: str, only_finite: bool = True) -> Any:
    """Plain data of a JSON text.

    Parameters
    ----------
    text : str or bytes
    error : type
        Of what is raised.
    where : str
        What the text is called in messages.
    only_finite : bool
        Whether the words NaN and Infinity, which are no JSON, are refused.

    Raises
    ------
    PyrecError
        An ``error``, if it is no JSON in UTF-8, is nested too deep, or gives a name twice in an object.

    Examples
    --------
    >>> from pyrec_infer.errors import ModelError
    >>> parse_strict('{"a": 1, "a": 2}', ModelError, "the model")
    Traceback (most recent call last):
    pyrec_infer.errors.ModelError: the model gives a name twice in one object
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise error(f"{where} gives a name twice in one object")
        return found

    def refuse(_: str) -> Any:
        raise error(f"{where} holds NaN or an infinity, expected finite numbers")

    try:
        plain = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as fault:
        let_interrupts_pass(fault)
        raise error(f"{where} is not in UTF-8") from None
    try:
        return json.loads(plain, object_pairs_hook=once, parse_constant=refuse if only_finite else None)
    except error:
        raise
    except RecursionError:
        raise error(f"{where} is nested too deep") from None
    except json.JSONDecodeError as fault:
        let_interrupts_pass(fault)
        raise error(f"{where} is no JSON from character {fault.pos} on") from None
    except ValueError as fault:
        let_interrupts_pass(fault)
        raise error(f"{where} is no JSON: a number has too many digits") from None


__all__ = ["parse_strict"]
