"""Whether what a dataclass was made with has the types that its fields name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from types import NoneType
from typing import Any

from pyrec_infer.features.fields import Combination, Field
from pyrec_infer.features.transforms import Combine, Transform

_TYPES: Mapping[str, tuple[type[Any], ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "Side": (str,),
    "Kind": (str,),
    "Missing": (str,),
}


def _type_mistakes(item: Any) -> Iterator[str]:
    """What is wrong with the types of a field, or of a transform, so that nothing else can be said of it."""
    for part in fields(item):
        kind, value = str(part.type), getattr(item, part.name)
        types = (str,) if kind.startswith("Literal") else _TYPES.get(kind, (object,))
        if not isinstance(value, types) or (isinstance(value, bool) and types not in ((bool,), (object,))):
            names = " or ".join(one.__name__ for one in types)
            yield f"{part.name}: expected {names}, got {type(value).__name__}"


def mistyped(given: Sequence[Any]) -> Iterator[str]:
    """What is no field, or has parts of other types than a field's."""
    for place, item in enumerate(given):
        if not isinstance(item, (Field, Combination)):
            yield f"place {place}: expected a field or a combination, got {type(item).__name__}"
            continue
        if not isinstance(item.name, str) or not item.name:
            yield f"place {place}: expected a name"
            continue
        label = f"field '{item.name}': "
        yield from (label + text for text in _type_mistakes(item))
        for transform in item.transforms:
            if not isinstance(transform, Transform):
                yield f"{label}transforms: expected transforms, got {type(transform).__name__}"
            else:
                yield from (f"{label}{transform.name}: {text}" for text in _type_mistakes(transform))
        if isinstance(item, Combination):
            if not isinstance(item.by, (Combine, NoneType)):
                yield f"{label}by: expected a way to combine, got {type(item.by).__name__}"
            elif item.by is not None:
                yield from (f"{label}{item.by.name}: {text}" for text in _type_mistakes(item.by))
            if not all(isinstance(name, str) for name in item.of):
                yield f"{label}of: expected names of fields"


__all__ = ["mistyped"]
