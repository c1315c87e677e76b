"""Schemas as plain data, as JSON holds them, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.fields import NAN, Combination, Field, ListField
from pyrec_infer.features.golden import Golden
from pyrec_infer.features.transforms import COMBINES, TRANSFORMS
from pyrec_infer.interrupts import let_interrupts_pass

VERSION = 1
FIELDS: Mapping[str, type[Field]] = {"one": Field, "list": ListField}


def _targets(item: Field | Combination) -> list[Any]:
    return [list(target) if isinstance(target, tuple) else target for target in item.to]


def _field_plain(item: Field) -> dict[str, Any]:
    kind = next(name for name, kind in FIELDS.items() if type(item) is kind)
    made: dict[str, Any] = {"field": kind}
    for part in fields(item):
        value = getattr(item, part.name)
        if part.default is MISSING or value != part.default:
            made[part.name] = value if value == value else NAN
    made["to"] = _targets(item)
    made["transforms"] = [transform.as_dict() for transform in item.transforms]
    return made


def as_plain(
    given: Sequence[Field], combinations: Sequence[Combination], golden: Golden | None
) -> dict[str, Any]:
    """Plain data of a schema."""
    combined = [
        {
            "name": made.name,
            "of": list(made.of),
            "by": None if made.by is None else made.by.as_dict(),
            "to": _targets(made),
            "transforms": [transform.as_dict() for transform in made.transforms],
        }
        for made in combinations
    ]
    made = {"version": VERSION, "fields": [_field_plain(item) for item in given], "combinations": combined}
    if golden is not None:
        made["golden"] = {"columns": dict(golden.columns), "expected": dict(golden.expected)}
    return made


class _Reader:
    """Reads plain data and collects what is wrong with it."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []

    def make(self, label: str, kind: type[Any] | None, given: Mapping[str, Any]) -> Any:
        """An object of a dataclass, or None where the names do not fit."""
        if kind is None:
            self.mistakes.append(f"{label}: unknown kind")
            return None
        known = {part.name: part for part in fields(kind)}
        unknown = sorted(set(given) - set(known))
        needed = [
            name
            for name, part in known.items()
            if part.default is MISSING and part.default_factory is MISSING and name not in given
        ]
        if unknown or needed:
            self.mistakes += [f"{label}: unknown name '{name}'" for name in unknown]
            self.mistakes += [f"{label}: '{name}' is missing" for name in needed]
            return None
        try:
            return kind(**given)
        except SchemaError as error:
            self.mistakes.append(f"{label}: {error}")
        except (TypeError, ValueError) as error:
            let_interrupts_pass(error)
            self.mistakes.append(f"{label}: values of the wrong type")
        return None

    def named(self, label: str, key: str, known: Mapping[str, type[Any]], given: Any) -> Any:
        """An object of the kind that plain data name."""
        if not isinstance(given, Mapping) or not isinstance(given.get(key), str):
            self.mistakes.append(f"{label}: expected an object with the name '{key}'")
            return None
        rest = {name: value for name, value in given.items() if name != key}
        return self.make(f"{label}: {given[key]}", known.get(given[key]), rest)

    def transforms(self, label: str, given: Any) -> list[Any]:
        if not isinstance(given, list):
            self.mistakes.append(f"{label}: expected a list of transforms")
            return []
        made = [self.named(label, "transform", TRANSFORMS, item) for item in given]
        return [item for item in made if item is not None]

    def combination(self, label: str, given: dict[str, Any]) -> Combination | None:
        if given.get("by") is not None:
            given["by"] = self.named(label, "combine", COMBINES, given["by"])
            if given["by"] is None:
                return None
        made: Combination | None = self.make(label, Combination, given)
        return made

    def fields(self, given: Any, combined: bool) -> Iterator[Field | Combination]:
        if not isinstance(given, list):
            self.mistakes.append("expected a list of fields")
            return
        for place, item in enumerate(given):
            if not isinstance(item, Mapping):
                self.mistakes.append(f"place {place}: expected an object")
                continue
            name = item.get("name")
            label = f"field '{name}'" if isinstance(name, str) else f"place {place}"
            rest = dict(item)
            if "transforms" in rest:
                rest["transforms"] = self.transforms(label, rest["transforms"])
            made = self.combination(label, rest) if combined else self.named(label, "field", FIELDS, rest)
            if made is not None:
                yield made


def read_plain(data: Any) -> tuple[list[Field | Combination], Golden | None]:
    """The fields and golden rows that plain data describe.

    Raises
    ------
    SchemaError
        Lists all that is wrong with the data.
    """
    version = data.get("version") if isinstance(data, Mapping) else None
    # In Python true is 1.
    if version != VERSION or isinstance(version, bool):
        raise SchemaError(f"expected an object with the version {VERSION}")
    unknown = sorted(set(data) - {"version", "fields", "combinations", "golden"})
    reader = _Reader()
    reader.mistakes += [f"unknown name '{name}'" for name in unknown]
    found = [*reader.fields(data.get("fields"), False), *reader.fields(data.get("combinations", []), True)]
    golden = None
    if data.get("golden") is not None:
        given = data["golden"]
        golden = reader.make("golden rows", Golden, given if isinstance(given, Mapping) else {"": given})
    if reader.mistakes:
        raise SchemaError("\n".join(reader.mistakes))
    return found, golden


__all__ = ["FIELDS", "VERSION", "as_plain", "read_plain"]
