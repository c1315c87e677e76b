"""Secret keys: where they are is said by a schema, what they are only by the place where it runs."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pyrec_infer.errors import SchemaError
from pyrec_infer.hashing import SCHEMES, Scheme
from pyrec_infer.hashing.digests import LONGEST_KEY
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Secret

SHORTEST = 16
"""Bytes of a key that cannot be found by trying."""

KEYED: Mapping[str, Scheme] = {name: SCHEMES[name] for name in ("siphash24", "blake2b")}

_MOST_BYTES = 4096
_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_LOOKS_SECRET = re.compile(r"env:_?[0-9A-Fa-f]{32,}")


def place_mistakes(place: Any) -> Iterator[str]:
    """Whether this names no place of a key; it is not shown, as it may be the key itself."""
    named = isinstance(place, str) and bool(_VARIABLE.fullmatch(place)) and not _LOOKS_SECRET.match(place)
    filed = isinstance(place, str) and place.startswith("file:") and len(place) > 5 and "\0" not in place
    if not (named or filed):
        yield "key: expected 'env:' and the name of an environment variable, or 'file:' and a path"


def _text(place: str) -> str:
    where, name = place.split(":", 1)
    if where == "env":
        found = os.environ.get(name)
        if found is None:
            raise SchemaError(f"key: the environment variable {name!r} is not set")
        return found
    try:
        # What is no plain file may have no end, or nobody who writes to it.
        if not stat.S_ISREG(Path(name).stat().st_mode):
            raise SchemaError(f"key: expected a plain file at {name!r}")
        with Path(name).open("rb") as file:
            return file.read(_MOST_BYTES + 1).decode("latin-1")
    except OSError as error:
        let_interrupts_pass(error)
        raise SchemaError(f"key: the file {name!r} cannot be read") from None


def read_key(place: str, scheme: Scheme) -> Secret:
    """The key at a place that has no mistakes.

    Parameters
    ----------
    place : str
        ``"env:NAME"`` or ``"file:PATH"``. There it stands as hexadecimal digits: 32 for SipHash, 32 to 128
        for BLAKE2b; white space around them does not count.
    scheme : Scheme

    Raises
    ------
    SchemaError
        There is none, or it is none for the scheme; tells the place, and nothing of what stands there.
    """
    digits = _text(place).strip()
    longest = SHORTEST if scheme.seeds == "pair" else LONGEST_KEY
    sizes = "32" if longest == SHORTEST else f"{2 * SHORTEST} to {2 * longest}"
    whole = re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", digits)
    if not whole or not SHORTEST <= len(digits) // 2 <= longest:
        raise SchemaError(f"key: expected {sizes} hexadecimal digits at {place!r}")
    return Secret(bytes.fromhex(digits))


__all__ = ["KEYED", "SHORTEST", "place_mistakes", "read_key"]
