"""Keras 3's preprocessing layers as transforms; neither Keras nor TensorFlow is imported."""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.text import MOST_BYTES
from pyrec_infer.features.transforms.counts import Counts
from pyrec_infer.features.transforms.hashes import Hash
from pyrec_infer.features.transforms.ids import OneHot, Shift, Vocabulary
from pyrec_infer.features.transforms.numbers import Bucketise, Standardise
from pyrec_infer.features.transforms.transform import Kind, Transform
from pyrec_infer.interrupts import let_interrupts_pass

_LEAST_DEVIATION = 1e-7
"""Keras divides by no less."""


class Archive:
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
class Layer:
    """One layer: what it is, its numbers, where its files are, and what it reads."""

    kind: str
    name: str
    config: Mapping[str, Any]
    folder: str
    reads: tuple[str, ...]


def mistake(layer: Layer, text: str) -> SchemaError:
    return SchemaError(f"layer '{layer.name}' ({layer.kind}): {text}")


class Folders:
    """Where the files of layers lie: numbered where several are of one kind."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._met: Counter[str] = Counter()

    def next(self, kind: str) -> str:
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
        number = self._met[snake]
        self._met[snake] += 1
        return f"{self._root}/{snake}" + (f"_{number}" if number else "")


def _words(layer: Layer, archive: Archive, integers: bool) -> list[Any]:
    """A lookup's vocabulary without its mask and the marks of unknown values."""
    vocabulary = layer.config.get("vocabulary")
    if isinstance(vocabulary, list):
        words = vocabulary
    else:
        data = archive.read(f"assets/{layer.folder}/vocabulary.txt")
        if data is None:
            raise mistake(layer, "its vocabulary is not in the file: adapt it before saving")
        words = data.decode(errors="replace").split("\n")
    masks = layer.config.get("mask_token") is not None and layer.config.get("output_mode", "int") == "int"
    special = int(layer.config.get("num_oov_indices", 1)) + masks
    # A list in the configuration is as the caller gave it, a file has all.
    if not isinstance(vocabulary, list):
        words = words[special:]
    try:
        return [int(word) for word in words] if integers else [str(word) for word in words]
    except ValueError as error:
        let_interrupts_pass(error)
        raise mistake(layer, "its vocabulary holds what is no whole number") from None


def output(layer: Layer, size: int, weights: Sequence[float] = ()) -> list[Transform]:
    """What a layer makes of its ids, which are less than a size; weights are those of ``tf_idf``."""
    mode = layer.config.get("output_mode", "int")
    if mode == "int":
        return []
    if layer.config.get("sparse"):
        raise mistake(layer, "gives sparse tensors")
    if mode == "one_hot":
        return [OneHot(size)]
    if mode in ("multi_hot", "count"):
        return [Counts(size, once=mode == "multi_hot")]
    if mode == "tf_idf" and weights:
        return [Counts(size, weights)]
    raise mistake(layer, f"output_mode {mode!r} is not known")


def _frequencies(layer: Layer, archive: Archive, unknown: int, words: int, size: int) -> list[float]:
    """The weight of each id of a lookup that counts by inverse document frequencies."""
    given = layer.config.get("idf_weights")
    if given is None:
        (stored,) = _stored(layer, archive, "idf_weights")
        found = [float(weight) for weight in stored.reshape(-1)]
    else:
        found = [float(weight) for weight in given]
        if len(found) == words:
            # An unknown value counts what a word does on average.
            found = [float(np.average(found))] * unknown + found
    if len(found) not in (unknown + words, size):
        raise mistake(layer, f"expected {unknown + words} weights, one for each id, got {len(found)}")
    return found + [0.0] * (size - len(found))


def _lookup(layer: Layer, archive: Archive) -> list[Transform]:
    config = layer.config
    if config.get("invert"):
        raise mistake(layer, "turns ids back into values")
    if config.get("salt") is not None or config.get("oov_method", "floormod") != "floormod":
        raise mistake(layer, "shares unknown values out in a way that is not known")
    words = _words(layer, archive, layer.kind == "IntegerLookup")
    unknown, mode = int(config.get("num_oov_indices", 1)), config.get("output_mode", "int")
    made = Vocabulary(words, unknown, config.get("mask_token"))
    if mode == "int":
        return [made]
    padded = config.get("max_tokens") if config.get("pad_to_max_tokens") else None
    size = unknown + len(words) if padded is None else int(padded)
    weights = _frequencies(layer, archive, unknown, len(words), size) if mode == "tf_idf" else []
    # The mask has no column.
    shift = [] if config.get("mask_token") is None else [Shift(-1)]
    return [made, *shift, *output(layer, size, weights)]


def _hashing(layer: Layer, archive: Archive) -> list[Transform]:
    config = layer.config
    bins, salt = int(config["num_bins"]), config.get("salt")
    scheme = "keras" if salt is None else "keras_salted"
    return [Hash(bins, scheme, salt, mask=config.get("mask_value")), *output(layer, bins)]


def _discretization(layer: Layer, archive: Archive) -> list[Transform]:
    boundaries = layer.config.get("bin_boundaries")
    if not isinstance(boundaries, list):
        raise mistake(layer, "its boundaries are not in the file: adapt it before saving")
    return [Bucketise([float(edge) for edge in boundaries]), *output(layer, len(boundaries) + 1)]


def _encoding(layer: Layer, archive: Archive) -> list[Transform]:
    return output(layer, int(layer.config["num_tokens"]))


def _normalization(layer: Layer, archive: Archive) -> list[Transform]:
    if layer.config.get("invert"):
        raise mistake(layer, "turns numbers back")
    mean, variance = layer.config.get("mean"), layer.config.get("variance")
    if mean is None or variance is None:
        mean, variance = _stored(layer, archive, "0", "1")
    numbers = [np.asarray(value, np.float64).reshape(-1) for value in (mean, variance)]
    if any(value.size != 1 for value in numbers):
        raise mistake(layer, "expected one number in each row; give each number an input of its own")
    deviation = max(float(np.sqrt(numbers[1][0])), _LEAST_DEVIATION)
    return [Standardise(float(numbers[0][0]), deviation)]


def _rescaling(layer: Layer, archive: Archive) -> list[Transform]:
    scale, offset = float(layer.config["scale"]), float(layer.config["offset"])
    if scale == 0:
        raise mistake(layer, "makes every number the same")
    return [Standardise(-offset / scale, 1 / scale)]


def _stored(layer: Layer, archive: Archive, *names: str) -> list[Any]:
    """Numbers that a layer has learnt, from the file's weights."""
    try:
        import h5py
    except ImportError:
        raise mistake(layer, "its numbers are in an HDF5 file: install h5py to read them") from None
    data = archive.read("model.weights.h5")
    if data is None:
        raise mistake(layer, "its numbers are not in the file: adapt it before saving")
    try:
        with h5py.File(io.BytesIO(data), "r") as stored:
            group = stored[f"{layer.folder}/vars"]
            return [np.asarray(group[name]) for name in names]
    except (KeyError, OSError, ValueError, TypeError) as error:
        let_interrupts_pass(error)
        raise mistake(layer, "its numbers cannot be read from the file's weights") from None


Reader: TypeAlias = Callable[[Layer, Archive], list[Transform]]

READERS: Mapping[str, Reader] = {
    "StringLookup": _lookup,
    "IntegerLookup": _lookup,
    "Hashing": _hashing,
    "Discretization": _discretization,
    "CategoryEncoding": _encoding,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
}
"""The layers that are known, and the transforms of each."""


def read_layer(reader: Reader, layer: Layer, archive: Archive) -> list[Transform]:
    try:
        return reader(layer, archive)
    except SchemaError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        let_interrupts_pass(error)
        raise mistake(layer, "its configuration lacks a number, or has another type") from None


def length_of(layer: Layer) -> int:
    """How many values an input has in each row."""
    shape = layer.config.get("batch_shape") or layer.config.get("batch_input_shape")
    sizes = shape[1:] if isinstance(shape, list) else []
    if len(sizes) > 1 or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise mistake(layer, f"has rows of shape {sizes}, expected one value in each, or lists of one length")
    return int(sizes[0]) if sizes else 1


def kind_of(layer: Layer) -> Kind:
    dtype = layer.config.get("dtype")
    name = dtype.get("config", {}).get("name") if isinstance(dtype, Mapping) else dtype
    if name == "string":
        return "string"
    return "integer" if str(name).startswith(("int", "uint")) else "number"


__all__ = [
    "READERS",
    "Archive",
    "Folders",
    "Layer",
    "kind_of",
    "length_of",
    "mistake",
    "output",
    "read_layer",
]
