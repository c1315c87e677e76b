"""Preprocessing layers of a saved Keras 3 model as fields; neither Keras nor TensorFlow is imported."""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.fields import Combination, Field, Side
from pyrec_infer.features.text import MOST_BYTES, parse_json
from pyrec_infer.features.transforms.hashes import Cross, Hash
from pyrec_infer.features.transforms.ids import OneHot, Vocabulary
from pyrec_infer.features.transforms.numbers import Bucketise, Standardise
from pyrec_infer.features.transforms.transform import Kind, Transform
from pyrec_infer.interrupts import let_interrupts_pass

_LEAST_DEVIATION = 1e-7
"""Keras divides by no less."""


class _Archive:
    """The members of a ``.keras`` file, no larger than a schema's text may be."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile:
            raise SchemaError("expected a .keras file, got no zip archive") from None

    def read(self, name: str) -> bytes | None:
        """A member, or None."""
        try:
            info = self._zip.getinfo(name)
        except KeyError as error:
            let_interrupts_pass(error)
            return None
        if info.file_size > MOST_BYTES:
            raise SchemaError(f"the .keras file: {name} has more than {MOST_BYTES} bytes")
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            let_interrupts_pass(error)
            raise SchemaError(f"the .keras file: {name} cannot be read") from None


@dataclass(frozen=True)
class _Layer:
    """One layer: what it is, its numbers, where its files are, and what it reads."""

    kind: str
    name: str
    config: Mapping[str, Any]
    folder: str
    reads: tuple[str, ...]


def _mistake(layer: _Layer, text: str) -> SchemaError:
    return SchemaError(f"layer '{layer.name}' ({layer.kind}): {text}")


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


def _layers(config: Any) -> list[_Layer]:
    """The layers of a functional model."""
    inner = config.get("config") if isinstance(config, Mapping) else None
    given = inner.get("layers") if isinstance(inner, Mapping) else None
    if not isinstance(given, list):
        raise SchemaError("expected a functional Keras model")
    found: list[_Layer] = []
    met: Counter[str] = Counter()
    for item in given:
        own = item.get("config") if isinstance(item, Mapping) else None
        if not isinstance(own, Mapping) or not isinstance(item.get("class_name"), str):
            raise SchemaError("the .keras file: a layer has no configuration")
        kind = item["class_name"]
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
        folder = f"layers/{snake}" + (f"_{met[snake]}" if met[snake] else "")
        met[snake] += 1
        reads = tuple(dict.fromkeys(_sources(item.get("inbound_nodes", []))))
        found.append(_Layer(kind, str(item.get("name") or own.get("name")), own, folder, reads))
    return found


def _words(layer: _Layer, archive: _Archive, integers: bool) -> list[Any]:
    """A lookup's vocabulary without its mask and the marks of unknown values."""
    vocabulary = layer.config.get("vocabulary")
    if isinstance(vocabulary, list):
        words = vocabulary
    else:
        data = archive.read(f"assets/{layer.folder}/vocabulary.txt")
        if data is None:
            raise _mistake(layer, "its vocabulary is not in the file: adapt it before saving")
        words = data.decode(errors="replace").split("\n")
    special = int(layer.config.get("num_oov_indices", 1)) + (layer.config.get("mask_token") is not None)
    # A list in the configuration is as the caller gave it, a file has all.
    if not isinstance(vocabulary, list):
        words = words[special:]
    try:
        return [int(word) for word in words] if integers else [str(word) for word in words]
    except ValueError as error:
        let_interrupts_pass(error)
        raise _mistake(layer, "its vocabulary holds what is no whole number") from None


def _output(layer: _Layer, size: int) -> list[Transform]:
    mode = layer.config.get("output_mode", "int")
    if mode == "int":
        return []
    if mode in ("one_hot", "multi_hot"):
        return [OneHot(size)]
    raise _mistake(layer, f"output_mode {mode!r} is not known")


def _lookup(layer: _Layer, archive: _Archive) -> list[Transform]:
    config = layer.config
    if config.get("invert"):
        raise _mistake(layer, "turns ids back into values")
    if config.get("salt") is not None or config.get("oov_method", "floormod") != "floormod":
        raise _mistake(layer, "shares unknown values out in a way that is not known")
    words = _words(layer, archive, layer.kind == "IntegerLookup")
    made = Vocabulary(words, int(config.get("num_oov_indices", 1)), config.get("mask_token"))
    return [made, *_output(layer, made.first + len(words))]


def _hashing(layer: _Layer, archive: _Archive) -> list[Transform]:
    config = layer.config
    bins, salt = int(config["num_bins"]), config.get("salt")
    scheme = "keras" if salt is None else "keras_salted"
    return [Hash(bins, scheme, salt, mask=config.get("mask_value")), *_output(layer, bins)]


def _discretization(layer: _Layer, archive: _Archive) -> list[Transform]:
    boundaries = layer.config.get("bin_boundaries")
    if not isinstance(boundaries, list):
        raise _mistake(layer, "its boundaries are not in the file: adapt it before saving")
    return [Bucketise([float(edge) for edge in boundaries]), *_output(layer, len(boundaries) + 1)]


def _encoding(layer: _Layer, archive: _Archive) -> list[Transform]:
    return _output(layer, int(layer.config["num_tokens"]))


def _normalization(layer: _Layer, archive: _Archive) -> list[Transform]:
    if layer.config.get("invert"):
        raise _mistake(layer, "turns numbers back")
    mean, variance = layer.config.get("mean"), layer.config.get("variance")
    if mean is None or variance is None:
        mean, variance = _adapted(layer, archive)
    numbers = [np.asarray(value, np.float64).reshape(-1) for value in (mean, variance)]
    if any(value.size != 1 for value in numbers):
        raise _mistake(layer, "expected one number in each row; give each number an input of its own")
    deviation = max(float(np.sqrt(numbers[1][0])), _LEAST_DEVIATION)
    return [Standardise(float(numbers[0][0]), deviation)]


def _adapted(layer: _Layer, archive: _Archive) -> tuple[Any, Any]:
    """Mean and variance as the layer has learnt them."""
    try:
        import h5py
    except ImportError:
        raise _mistake(layer, "its numbers are in an HDF5 file: install h5py to read them") from None
    data = archive.read("model.weights.h5")
    if data is None:
        raise _mistake(layer, "its numbers are not in the file: adapt it before saving")
    try:
        with h5py.File(io.BytesIO(data), "r") as stored:
            group = stored[f"{layer.folder}/vars"]
            return np.asarray(group["0"]), np.asarray(group["1"])
    except (KeyError, OSError, ValueError, TypeError) as error:
        let_interrupts_pass(error)
        raise _mistake(layer, "its numbers cannot be read from the file's weights") from None


_Reader: TypeAlias = Callable[[_Layer, _Archive], list[Transform]]

READERS: Mapping[str, _Reader] = {
    "StringLookup": _lookup,
    "IntegerLookup": _lookup,
    "Hashing": _hashing,
    "Discretization": _discretization,
    "CategoryEncoding": _encoding,
    "Normalization": _normalization,
}
"""The layers that are known, and the transforms of each."""


def _read(reader: _Reader, layer: _Layer, archive: _Archive) -> list[Transform]:
    try:
        return reader(layer, archive)
    except SchemaError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        let_interrupts_pass(error)
        raise _mistake(layer, "its configuration lacks a number, or has another type") from None


def _chain(layer: _Layer, layers: Mapping[str, _Layer], archive: _Archive) -> tuple[str, list[Transform]]:
    """The input that a layer's values come from, and all transforms on the way."""
    made: list[Transform] = []
    while layer.kind != "InputLayer":
        reader = READERS.get(layer.kind)
        if reader is None or len(layer.reads) != 1 or layer.reads[0] not in layers:
            raise _mistake(layer, "is not made of one input by layers that are known")
        made = [*_read(reader, layer, archive), *made]
        layer = layers[layer.reads[0]]
    return layer.name, made


def _kind_of(layer: _Layer) -> Kind:
    dtype = layer.config.get("dtype")
    name = dtype.get("config", {}).get("name") if isinstance(dtype, Mapping) else dtype
    if name == "string":
        return "string"
    return "integer" if str(name).startswith(("int", "uint")) else "number"


def fields_of(
    data: bytes, to: Mapping[str, str], sides: Mapping[str, Side], side: Side
) -> list[Field | Combination]:
    """The fields of a saved model's inputs that preprocessing layers read."""
    archive = _Archive(data)
    text = archive.read("config.json")
    if text is None:
        raise SchemaError("expected a .keras file, got an archive without config.json")
    layers = {layer.name: layer for layer in _layers(parse_json(text))}
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


def _crossing(layer: _Layer, layers: Mapping[str, _Layer], archive: _Archive, target: str) -> Combination:
    if any(name not in layers or layers[name].kind != "InputLayer" for name in layer.reads):
        raise _mistake(layer, "crosses what is no input")
    transforms = _read(lambda one, _: _output(one, int(one.config["num_bins"])), layer, archive)
    return Combination(layer.name, layer.reads, Cross(int(layer.config["num_bins"])), target, transforms)


def _joined(
    layers: Mapping[str, _Layer],
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
        kind = _kind_of(layers[name])
        plain = [one for one in own[:1] if len(own) == 1]
        first = plain[0] if plain else None
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
