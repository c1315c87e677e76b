"""A saved Keras FeatureSpace as fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.fields import Field, Side, Target
from pyrec_infer.features.sources.keras_layers import (
    READERS,
    Archive,
    Folders,
    Layer,
    kind_of,
    mistake,
    read_layer,
)
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


def space_fields(
    config: Any, archive: Archive, to: Mapping[str, str], sides: Mapping[str, Side], side: Side
) -> Iterator[Field]:
    """The fields of a FeatureSpace; its columns are in the alphabetical order of their names."""
    features = config.get("features") if isinstance(config, Mapping) else None
    if not isinstance(features, Mapping):
        raise SchemaError("expected a FeatureSpace with features")
    if config.get("crosses"):
        raise SchemaError("the FeatureSpace crosses what other layers made, which a schema cannot say")
    folders = Folders("preprocessors")
    inners = {str(name): _inner(value, f"feature '{name}'") for name, value in features.items()}
    made = {name: _transforms(name, inner, archive, folders) for name, inner in inners.items()}
    place = 0
    for name in sorted(inners):
        width = made[name][-1].width if made[name] else 0
        target: Target = to.get(name, name)
        if config.get("output_mode") == "concat":
            target, place = (to.get(CONCAT, CONCAT), place), place + max(width, 1)
        kind = kind_of(Layer("", name, inners[name], "", ()))
        yield Field(name, sides.get(name, side), (target,), kind, made[name])


__all__ = ["space_fields"]
