"""Saved files taken apart and put together again, so that what is wrong in them is not their checksum."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from pyrec_infer.formats.tensors.layout import LINE, checksum_span, header_checksum


def taken_apart(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a saved file, with its content as plain data, and the tensors."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header["__metadata__"]
    metadata["content"] = json.loads(metadata["content"])
    return header, data[8 + length :]


def put_together(header: dict[str, Any], body: bytes) -> bytes:
    """A file of such parts, whose header has the checksum that it needs."""
    metadata = dict(header["__metadata__"])
    metadata["content"] = json.dumps(metadata["content"], separators=(",", ":"))
    text = json.dumps({**header, "__metadata__": metadata}, separators=(",", ":")).encode()
    return checked(text + b" " * (-(8 + len(text)) % LINE)) + body


def checked(header: bytes) -> bytes:
    """A header with its length and its checksum."""
    begin, end = checksum_span()
    own = header_checksum(header).encode()
    return len(header).to_bytes(8, "little") + header[:begin] + own + header[end:]


def _places(plain: Any) -> list[tuple[Any, Any]]:
    """Every container of plain data with every place in it."""
    found: list[tuple[Any, Any]] = []
    waiting = [plain]
    while waiting:
        current = waiting.pop()
        keys = [*current] if isinstance(current, dict) else [*range(len(current))]
        for key in keys:
            found.append((current, key))
            if isinstance(current[key], (dict, list)):
                waiting.append(current[key])
    return found


_STRANGE = (None, True, -1, 0, 1, 2, 3, 7, 1 << 31, 1 << 63, 0.5, "", "x", "N", [], {}, [1], "0x1p+0", "nan")


def damage(plain: Any, random: Random) -> None:
    """Change one place of plain data."""
    places = _places(plain)
    container, key = random.choice(places)
    other, other_key = random.choice(places)
    kind = random.randrange(6)
    if kind == 0:
        container[key] = random.choice(_STRANGE)
    elif kind == 1:
        del container[key]
    elif kind == 2:
        container[key] = json.loads(json.dumps(other[other_key]))
    elif kind == 3 and isinstance(container, list):
        container.insert(key, json.loads(json.dumps(container[key])))
    elif kind == 4 and isinstance(container, dict):
        container[f"{key}'"] = container.pop(key)
    elif isinstance(container[key], int):
        container[key] += random.choice((-1, 1))
    else:
        same = [place for place in places if type(place[0][place[1]]) is type(container[key])]
        other, other_key = random.choice(same)
        container[key] = json.loads(json.dumps(other[other_key]))


__all__ = ["checked", "damage", "put_together", "taken_apart"]
