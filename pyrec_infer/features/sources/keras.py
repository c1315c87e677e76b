"""Saved Keras 3 models as fields: functional models with preprocessing layers, and FeatureSpaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.fields import Combination, Field, ListField, Side
from pyrec_infer.features.sources.feature_space import space_fields
from pyrec_infer.features.sources.keras_layers import (
    READERS,
    Archive,
    Folders,
    Layer,
    kind_of,
    length_of,
    mistake,
    output,
    read_layer,
)
from pyrec_infer.features.text import parse_json
from pyrec_infer.features.transforms.counts import Counts
from pyrec_infer.features.transforms.hashes import Cross
from pyrec_infer.features.transforms.transform import Transform


def _sources(value: Any) -> Iterator[str]:
    """The layers whose outputs stand in a call's arguments."""
    if isinstance(value, Mapping):
        tensor = value.get("class_name") == "__keras_tensor__"
        history = value.get("config", {}).get("keras_history") if tensor else None
        if isinstance(history, list) and history:
            yield str(history[0])
            return
        for item in value.values():
            yield from _sources(item)
    elif isinstance(value, list):
        for item in value:
            yield from _sources(item)


def _layers(config: Any) -> list[Layer]:
    """The layers of a functional model."""
    inner = config.get("config") if isinstance(config, Mapping) else None
    given = inner.get("layers") if isinstance(inner, Mapping) else None
    if not isinstance(given, list):
        raise SchemaError("expected a functional Keras model")
    found: list[Layer] = []
    folders = Folders("layers")
    for item in given:
        own = item.get("config") if isinstance(item, Mapping) else None
        if not isinstance(own, Mapping) or not isinstance(item.get("class_name"), str):
            raise SchemaError("the .keras file: a layer has no configuration")
        kind = item["class_name"]
        folder = folders.next(kind)
        reads = tuple(dict.fromkeys(_sources(item.get("inbound_nodes", []))))
        found.append(Layer(kind, str(item.get("name") or own.get("name")), own, folder, reads))
    return found


def _chain(layer: Layer, layers: Mapping[str, Layer], archive: Archive) -> tuple[str, list[Transform]]:
    """The input that a layer's values come from, and all transforms on the way."""
    made: list[Transform] = []
    while layer.kind != "InputLayer":
        reader = READERS.get(layer.kind)
        if reader is None or len(layer.reads) != 1 or layer.reads[0] not in layers:
            raise mistake(layer, "is not made of one input by layers that are known")
        made = [*read_layer(reader, layer, archive), *made]
        layer = layers[layer.reads[0]]
    return layer.name, made


def fields_of(
    data: bytes, to: Mapping[str, str], sides: Mapping[str, Side], side: Side
) -> list[Field | Combination]:
    """The fields of a saved model's inputs that preprocessing layers read."""
    archive = Archive(data)
    text = archive.read("config.json")
    if text is None:
        raise SchemaError("expected a .keras file, got an archive without config.json")
    config = parse_json(text)
    if isinstance(config, dict) and config.get("class_name") == "FeatureSpace":
        return list(space_fields(config.get("config"), archive, to, sides, side))
    layers = {layer.name: layer for layer in _layers(config)}
    known = {*READERS, "HashedCrossing"}
    read_on = {name for layer in layers.values() if layer.kind in known for name in layer.reads}
    uses: dict[str, list[Combination]] = {}
    crosses: list[Combination] = []
    for layer in layers.values():
        if layer.kind not in known or layer.name in read_on:
            continue
        target = to.get(layer.name, layer.name)
        if layer.kind == "HashedCrossing":
            crosses.append(_crossing(layer, layers, archive, target))
            continue
        source, transforms = _chain(layer, layers, archive)
        uses.setdefault(source, []).append(Combination(layer.name, [source], None, target, transforms))
    needed = [*uses, *(name for cross in crosses for name in cross.of)]
    return _joined(layers, dict.fromkeys(needed), uses, crosses, sides, side)


def _crossing(layer: Layer, layers: Mapping[str, Layer], archive: Archive, target: str) -> Combination:
    if any(name not in layers or layers[name].kind != "InputLayer" for name in layer.reads):
        raise mistake(layer, "crosses what is no input")
    transforms = read_layer(lambda one, _: output(one, int(one.config["num_bins"])), layer, archive)
    return Combination(layer.name, layer.reads, Cross(int(layer.config["num_bins"])), target, transforms)


def _joined(
    layers: Mapping[str, Layer],
    names: Mapping[str, None],
    uses: Mapping[str, Sequence[Combination]],
    crosses: Sequence[Combination],
    sides: Mapping[str, Side],
    side: Side,
) -> list[Field | Combination]:
    """A field for each input; what else is made of it stands by itself."""
    found: list[Field | Combination] = []
    for name in names:
        own = uses.get(name, ())
        kind, length = kind_of(layers[name]), length_of(layers[name])
        plain = [one for one in own[:1] if len(own) == 1]
        first = plain[0] if plain else None
        if length > 1:
            if first is None or any(name in cross.of for cross in crosses):
                raise mistake(layers[name], "has lists that several layers read")
            if first.width() and not isinstance(first.transforms[-1], Counts):
                raise mistake(layers[name], f"has lists that layer '{first.name}' makes lists of lists")
            here = sides.get(name, side)
            found.append(ListField(name, here, first.to, kind, first.transforms, length=length, most=length))
            continue
        found.append(
            Field(
                name,
                sides.get(name, side),
                to=first.to if first else (),
                dtype=kind,
                transforms=first.transforms if first else (),
            )
        )
        found += own if first is None else ()
    return [*found, *crosses]


__all__ = ["fields_of"]
