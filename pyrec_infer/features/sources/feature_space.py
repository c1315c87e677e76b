"""A saved Keras FeatureSpace as fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.fields import Combination, Field, Side, Target
from pyrec_infer.features.sources.keras_layers import (
    READERS,
    Archive,
    Folders,
    Layer,
    kind_of,
    mistake,
    read_layer,
)
from pyrec_infer.features.transforms.hashes import Cross
from pyrec_infer.features.transforms.ids import OneHot
from pyrec_infer.features.transforms.transform import Transform

CONCAT = "features"
"""The input that takes all columns, unless it is said to be another one."""


def _inner(value: Any, label: str) -> Mapping[str, Any]:
    inner = value.get("config") if isinstance(value, Mapping) else None
    if not isinstance(inner, Mapping):
        raise SchemaError(f"the .keras file: {label} has no configuration")
    return inner


def _transforms(name: str, feature: Mapping[str, Any], archive: Archive, folders: Folders) -> list[Transform]:
    given = feature.get("preprocessor")
    kind = str(given.get("class_name")) if isinstance(given, Mapping) else "none"
    config = _inner(given, f"feature '{name}'")
    layer = Layer(kind, name, {**config, "output_mode": feature.get("output_mode")}, folders.next(kind), ())
    # A number that is left as it is.
    if kind == "TFDIdentity":
        return []
    reader = READERS.get(kind)
    if reader is None:
        raise mistake(layer, "is none of the layers that are known")
    if layer.config["output_mode"] == "float":
        layer = Layer(kind, name, {**config, "output_mode": "int"}, layer.folder, ())
    return read_layer(reader, layer, archive)


def _crosses(given: Any, names: Sequence[str]) -> dict[str, tuple[list[str], Transform | None, int]]:
    """What each cross is of, how it is spread over columns if it is, and its buckets; by name."""
    found: dict[str, tuple[list[str], Transform | None, int]] = {}
    for item in given if isinstance(given, list) else []:
        inner = _inner(item, "a cross")
        of, size, mode = (inner.get(name) for name in ("feature_names", "crossing_dim", "output_mode"))
        if (
            not isinstance(of, list)
            or len(of) < 2
            or not all(isinstance(name, str) and name in names for name in of)
        ):
            raise SchemaError("a cross: expected the names of several features")
        if not isinstance(size, int) or isinstance(size, bool) or mode not in ("int", "one_hot"):
            raise SchemaError(
                f"the cross of {', '.join(map(str, of))}: its dimension or output_mode is not known"
            )
        found["_X_".join(of)] = (of, OneHot(size) if mode == "one_hot" else None, size)
    return found


def space_fields(
    config: Any, archive: Archive, to: Mapping[str, str], sides: Mapping[str, Side], side: Side
) -> Iterator[Field | Combination]:
    """The fields of a FeatureSpace.

    Its columns are in the alphabetical order of their names, first those of features, then those of crosses.
    A cross is of what the features become before they are spread over columns.
    """
    features = config.get("features") if isinstance(config, Mapping) else None
    if not isinstance(features, Mapping):
        raise SchemaError("expected a FeatureSpace with features")
    folders = Folders("preprocessors")
    inners = {str(name): _inner(value, f"feature '{name}'") for name, value in features.items()}
    made = {name: _transforms(name, inner, archive, folders) for name, inner in inners.items()}
    crosses = _crosses(config.get("crosses"), list(inners))
    place = 0

    def target(name: str, width: int) -> tuple[Target, ...]:
        nonlocal place
        if config.get("output_mode") != "concat":
            return (to.get(name, name),)
        place += max(width, 1)
        return ((to.get(CONCAT, CONCAT), place - max(width, 1)),)

    for name in sorted(inners):
        width = made[name][-1].width if made[name] else 0
        kind = kind_of(Layer("", name, inners[name], "", ()))
        yield Field(name, sides.get(name, side), target(name, width), kind, made[name])
    crossed: dict[str, str] = {}
    for name in dict.fromkeys(name for of, _, _ in crosses.values() for name in of):
        ids = [one for one in made[name] if not one.width]
        crossed[name] = f"{name} (crossed)" if ids else name
        if ids:
            yield Combination(crossed[name], [name], None, (), ids)
    for name in sorted(crosses):
        of, spread, size = crosses[name]
        transforms = [spread] if spread else []
        fed = target(name, spread.width if spread else 0)
        yield Combination(name, [crossed[one] for one in of], Cross(size), fed, transforms)


__all__ = ["space_fields"]
