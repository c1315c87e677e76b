"""Whether what a dataclass was made with has the types that its fields name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

_TYPES: Mapping[str, tuple[type[Any], ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "Side": (str,),
    "Kind": (str,),
    "Missing": (str,),
}


def type_mistakes(item: Any) -> Iterator[str]:
    """What is wrong with the types of a field, or of a transform, so that nothing else can be said of it."""
    for part in fields(item):
        kind, value = str(part.type), getattr(item, part.name)
        types = (str,) if kind.startswith("Literal") else _TYPES.get(kind, (object,))
        if not isinstance(value, types) or (isinstance(value, bool) and types not in ((bool,), (object,))):
            names = " or ".join(one.__name__ for one in types)
            yield f"{part.name}: expected {names}, got {type(value).__name__}"


__all__ = ["type_mistakes"]
