"""The JSON Schema of schemas, made from the classes that they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pyrec_infer.features.fields import Combination
from pyrec_infer.features.golden import Golden
from pyrec_infer.features.plain import FIELDS, VERSION
from pyrec_infer.features.transforms import COMBINES, TRANSFORMS
from pyrec_infer.features.transforms.hashes import MODULOS

Plain = dict[str, Any]

_PLAIN: Mapping[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
}
_TARGET: Plain = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "array",
            "prefixItems": [{"type": "string"}, {"type": "integer"}],
            "minItems": 2,
            "maxItems": 2,
        },
    ]
}
_RAW: Plain = {"type": ["string", "number", "null"]}
_ONE_OF_SEVERAL: Mapping[str, Plain] = {
    "to": {"anyOf": [*_TARGET["anyOf"], {"type": "array", "items": _TARGET}]},
    "by": {"anyOf": [{"$ref": "#/$defs/combine"}, {"type": "null"}]},
    "default": _RAW,
    "mask": _RAW,
    "low": {"type": ["number", "null"]},
    "high": {"type": ["number", "null"]},
    "modulo": {"enum": [*MODULOS, None]},
    "most": {"type": ["integer", "null"]},
    "name_of_field": {"type": ["string", "null"]},
    "seed": {"anyOf": [{"type": ["integer", "null"]}, {"type": "array", "items": {"type": "integer"}}]},
    "transforms": {"type": "array", "items": {"$ref": "#/$defs/transform"}},
}
"""What the classes take in several forms, as plain data hold it."""


def _typed(hint: Any) -> Plain:
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if get_origin(hint) is Sequence:
        (item,) = get_args(hint)
        return {"type": "array", "items": {"type": ["string", "integer"]} if item is Any else _typed(item)}
    return {"type": "object", "additionalProperties": {"type": "array"}}


def _object(kind: type[Any], key: str = "", name: str = "") -> Plain:
    """An object with the names of a dataclass, and one that says which it is."""
    hints = get_type_hints(kind)
    properties: Plain = {key: {"const": name}} if key else {}
    required = [key] if key else []
    for part in fields(kind):
        given = hints[part.name]
        properties[part.name] = _ONE_OF_SEVERAL[part.name] if given is Any else _typed(given)
        if part.name == "transforms":
            properties[part.name] = _ONE_OF_SEVERAL[part.name]
        if part.default is MISSING and part.default_factory is MISSING:
            required.append(part.name)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _any_of(key: str, kinds: Mapping[str, type[Any]]) -> Iterator[Plain]:
    for name, kind in kinds.items():
        yield _object(kind, key, name)


def json_schema() -> Plain:
    """The JSON Schema (draft 2020-12) of what `Schema.to_json` writes.

    It says which names there are and of what types; that a schema contradicts itself, only
    `Schema.from_json` finds.

    Returns
    -------
    dict

    Examples
    --------
    >>> sorted(json_schema()["$defs"])
    ['combination', 'combine', 'field', 'golden', 'transform']
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pyrec_infer schema of raw rows",
        "type": "object",
        "properties": {
            "version": {"const": VERSION},
            "fields": {"type": "array", "items": {"$ref": "#/$defs/field"}},
            "combinations": {"type": "array", "items": {"$ref": "#/$defs/combination"}},
            "golden": {"anyOf": [{"$ref": "#/$defs/golden"}, {"type": "null"}]},
        },
        "required": ["version", "fields"],
        "additionalProperties": False,
        "$defs": {
            "field": {"anyOf": list(_any_of("field", FIELDS))},
            "combination": _object(Combination),
            "transform": {"anyOf": list(_any_of("transform", TRANSFORMS))},
            "combine": {"anyOf": list(_any_of("combine", COMBINES))},
            "golden": _object(Golden),
        },
    }


__all__ = ["json_schema"]
