"""Schemas as JSON that someone has meddled with."""

from __future__ import annotations

import json
from random import Random
from typing import Any

_PLAIN: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    3,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    0.5,
    1e308,
    -0.0,
    "",
    "x",
    "NaN",
    "\ud800",
    "a\0b",
    "default",
    "z" * 10_000,
    [],
    {},
    [[]],
    ["x", 1],
    {"x": {}},
    [None],
)


def _places(data: Any) -> list[tuple[Any, Any]]:
    """Every container of plain data with each of its keys."""
    found: list[tuple[Any, Any]] = []
    keys = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        found.append((data, key))
        found += _places(data[key])
    return found


def _change(random: Random, data: Any) -> None:
    places = _places(data)
    holder, key = random.choice(places)
    kind = random.random()
    if kind < 0.5:
        holder[key] = random.choice(_PLAIN)
    elif kind < 0.65:
        del holder[key]
    elif kind < 0.8:
        holder[key] = json.loads(json.dumps(random.choice(places)[0]))
    elif isinstance(holder, list):
        holder.insert(key, json.loads(json.dumps(holder[key])))
    else:
        holder[random.choice(("", "name", "missing", "nobody", "length", "offsets_to", "to"))] = holder[key]


def damaged_json(random: Random, data: dict[str, Any]) -> str | bytes:
    """JSON of a schema with a few changes, or a text that is hardly JSON."""
    changed = json.loads(json.dumps(data))
    for _ in range(random.choice((1, 1, 2, 3))):
        if changed:
            _change(random, changed)
    text = json.dumps(changed)
    kind = random.random()
    if kind < 0.8:
        return text
    place = random.randrange(len(text))
    return random.choice(
        (
            text[:place],
            text.encode()[:place] + b"\xff" + text.encode()[place:],
            text.replace("[", "[" * 100_000, 1),
            text.replace('"fields"', '"version": 1, "fields"', 1),
            text.replace('"name"', '"name": "other", "name"', 1),
            text.replace("[", "[NaN, ", 1),
            text.replace("[]", "[-Infinity]", 1),
            text.replace("1", "1" * 5000, 1),
            text.encode("utf-16"),
        )
    )
