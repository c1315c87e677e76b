"""Catalogues that are saved, opened again, and opened after someone has meddled with the file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from support.saved import damage, put_together, taken_apart

import pyrec_infer as pi

_INTS = (0, 1, -1, 7, 255, 1 << 16, 1 << 31, -(1 << 31), 1 << 62, -(1 << 63), (1 << 63) - 1)

Asked = tuple[Mapping[str, Any], Any, Mapping[str, Any] | None]
"""A request, the ids of items, and what comes with each of them."""


def bits(found: Any) -> Any:
    """What can be compared to the last bit."""
    if isinstance(found, dict):
        return {key: bits(value) for key, value in found.items()}
    if isinstance(found, np.ndarray):
        plain = found.tolist() if found.dtype.kind in "OU" else found.tobytes()
        return str(found.dtype), found.shape, plain
    return found


def answers(call: Any, catalog: pi.Catalog, asked: Asked) -> list[Any]:
    """What a catalogue says of some of its items, to the last bit; None for what it refuses."""
    request, ids, late = asked
    scores = call("saved score", lambda: catalog.score(request, ids, late, "nan"))
    best = call("saved top_k", lambda: catalog.top_k(request, 3, ids, candidates=late, missing="skip"))
    found = None if best is None else [bits(best.ids), bits(best.scores)]
    return [len(catalog), bits(catalog.ids), bits(scores), found]


def meddled(data: bytes, random: Random) -> bytes:
    """Another file, with the checksum that its header needs: other numbers in its tensors, other plain data,
    or both."""
    header, body = taken_apart(data)
    changed = bytearray(body)
    tensors = [entry["data_offsets"] for name, entry in header.items() if name.startswith("items/")]
    spans = [(begin, end) for begin, end in tensors if end > begin]
    for _ in range(random.choice((0, 1, 1, 3, 30)) if spans else 0):
        begin, end = random.choice(spans)
        size = random.choice((1, 1, 4, 8))
        if random.random() < 0.5:
            value = random.choice(_INTS).to_bytes(8, "little", signed=True)[:size]
        else:
            value = random.randbytes(size)
        place = random.randrange(begin, end) // size * size
        if begin <= place <= end - size:
            changed[place : place + size] = value
    for _ in range(random.choice((0, 0, 1, 2))):
        damage(header["__metadata__"]["content"]["items"], random)
    return put_together(header, bytes(changed))


def try_saved(
    call: Any,
    random: Random,
    catalog: pi.Catalog,
    asked: Asked,
    change: Callable[[pi.Catalog], Any],
    max_bytes: int | None = None,
) -> list[str]:
    """Save a catalogue and open it: both have to say the same, and so after the same change. Files that are
    meddled with have to be refused, or read as far as they go.

    Parameters
    ----------
    call : Calls
        As of `exercise`: makes a call that may be refused.
    random : Random
    catalog : Catalog
    asked : Asked
    change : callable
        Changes the items of a catalogue.
    max_bytes : int, optional
        As of `load`.

    Returns
    -------
    list of str
        What differs.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shop")
        call("save", lambda: catalog.save(path))
        if not path.exists():
            return []
        mmap = random.random() < 0.5
        again = call.required("load_catalog", lambda: pi.load_catalog(path, mmap=mmap, max_bytes=max_bytes))
        wrong = [] if answers(call, again, asked) == answers(call, catalog, asked) else ["opened"]
        for each in (again, catalog):
            call("saved change", lambda each=each: change(each))
        if answers(call, again, asked) != answers(call, catalog, asked):
            wrong.append("changed")
        data = path.read_bytes()
        for place in range(random.choice((0, 2, 6))):
            other = Path(folder, f"meddled{place}")
            other.write_bytes(meddled(data, random))
            found = call("load_catalog", lambda other=other: pi.load_catalog(other, max_bytes=max_bytes))
            if found is not None:
                answers(call, found, asked)
                call("saved change", lambda found=found: change(found))
                answers(call, found, (asked[0], None, asked[2]))
        return wrong


__all__ = ["answers", "bits", "meddled", "try_saved"]
