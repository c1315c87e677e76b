"""Items of a saved catalogue, and what is told of the part of a model that has made their records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.catalog.description import Description
from pyrec_infer.catalog.encoder import ItemEncoder
from pyrec_infer.catalog.halves import Halves, cut_again, sizes_of
from pyrec_infer.catalog.part import ModelPart
from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats import CATALOGUE, ITEMS
from pyrec_infer.formats.tensors import Packed, TensorFile, members, texts_of, unpacked, whole_of
from pyrec_infer.ir import Array
from pyrec_infer.passes.split.record_layout import Field
from pyrec_infer.retrieval import Vectors
from pyrec_infer.retrieval.saving import vectors_of
from pyrec_infer.store import Unpacked, unpack_items

_LARGEST_SIZE = (1 << 31) - 1


def how_made(packed: Packed, halves: Halves, encoder: ItemEncoder) -> dict[str, Any]:
    """What is to be known to make the same records of the same model."""
    source, described = halves.part.source, Description(halves)
    output = source.output
    several = isinstance(output, list)
    named = output if several else [] if output is None else [output]
    return {
        "items": sorted(halves.own),
        "candidates": sorted(halves.late),
        "outputs": [[name] if isinstance(name, str) else [name[0], int(name[1])] for name in named],
        "several": several,
        "by": source.by,
        "precision": encoder.precision,
        "sizes": dict(halves.asked.sizes),
        "digest": described.digest,
        "probes": packed.put(f"{ITEMS}probes", described.probes),
        "sample": {
            name: packed.put(f"{ITEMS}sample/{name}", ids) for name, ids in sorted(encoder.sample.items())
        },
    }


@dataclass(frozen=True)
class SavedItems:
    """The items of a file, before its model is known.

    Attributes
    ----------
    file : TensorFile
        Whose arrays are read as long as it is open.
    plain : plain data
    items, candidates : tuple of str
        The inputs of items, and those that come with each call.
    output, by
        As for `Model.catalog`.
    """

    file: TensorFile
    plain: Mapping[str, Any]
    items: tuple[str, ...]
    candidates: tuple[str, ...]
    output: Any
    by: Any

    @property
    def where(self) -> str:
        return self.file.where


def read_items(file: TensorFile) -> SavedItems:
    """What a file of items says of its model.

    Raises
    ------
    ModelError
        If it holds no items.
    """
    file.require_kind(CATALOGUE)
    _, content = members(file.content, file.where, model=dict, items=dict)
    where = f"{file.where}, records"
    records, *_ = members(
        content, f"{file.where}, items", records=dict, values=str, vectors=object, items=dict
    )
    items, candidates, outputs, several, by, *_ = members(
        records,
        where,
        items=list,
        candidates=list,
        outputs=list,
        several=bool,
        by=object,
        precision=str,
        sizes=dict,
        digest=str,
        probes=str,
        sample=dict,
    )
    if type(by) not in (str, type(None)):
        raise ModelError(f"{where}: expected an expression")
    named = [_named(each, where) for each in outputs]
    if not several and len(named) > 1:
        raise ModelError(f"{where}: expected one output, or several")
    wanted = named if several else named[0] if named else None
    texts = texts_of(items, f"{where}, items"), texts_of(candidates, f"{where}, candidates")
    return SavedItems(file, content, *texts, wanted, by)


def _named(plain: Any, where: str) -> str | tuple[str, int]:
    """An output, or a column of one."""
    if type(plain) is not list or len(plain) not in (1, 2):
        raise ModelError(f"{where}: expected an output, and a column of it")
    (name,) = texts_of(plain[:1], f"{where}, outputs")
    return name if len(plain) == 1 else (name, whole_of(plain[1], f"{where}, outputs"))


def halves_of(saved: SavedItems, part: ModelPart) -> tuple[Halves, dict[str, Array]]:
    """How the model is cut, and some of the ids of the items that were the first.

    Raises
    ------
    ModelError
        If the model makes no such records; `UnsupportedModelError` if this release makes others.
    """
    records, where = saved.plain["records"], f"{saved.where}, records"
    sizes = {
        name: whole_of(size, f"{where}, sizes", 0, _LARGEST_SIZE) for name, size in records["sizes"].items()
    }
    halves = cut_again(part, saved.items, saved.candidates, sizes, records["precision"])
    sample: dict[str, Array] = {}
    for name, mention in records["sample"].items():
        given = unpacked(saved.file, mention, f"{where}, sample")
        if name not in halves.own or given.dtype.kind not in "iu":
            raise ModelError(f"{where}, sample: expected ids of items")
        sample[name] = part.signature.array(name, given, None)
    if any(sizes.get(name) != size for name, size in sizes_of(part.graph, sample).items()):
        raise ModelError(f"{where}, sample: expected the sizes of the items")
    probes = unpacked(saved.file, records["probes"], f"{where}, probes")
    if probes.dtype != np.float64:
        raise ModelError(f"{where}, probes: expected real numbers")
    if not Description(halves).is_alike(records["digest"], probes):
        raise UnsupportedModelError(
            f"{where}: another release has made them otherwise than this one reads them; make the catalogue "
            "anew from the items"
        )
    return halves, sample


def _are_items(name: str) -> bool:
    return name.startswith(ITEMS)


@dataclass(frozen=True)
class Stored:
    """What a file holds of each item.

    Attributes
    ----------
    count : int
    records : iterable of ndarray of uint8
        In portions, to be read once.
    known : Unpacked
    vectors : Vectors or None
        As products take them.
    """

    count: int
    records: Iterator[NDArray[np.uint8]]
    known: Unpacked
    vectors: Vectors | None


def stored_items(saved: SavedItems, encoder: ItemEncoder) -> Stored:
    """The items of a file.

    Raises
    ------
    ModelError
        If they are damaged.
    """
    file, plain, where = saved.file, saved.plain, saved.where
    file.require_room(_are_items)
    count, records = file.rows(plain["values"], encoder.stride, f"{where}, records")
    known = unpack_items(file, plain["items"], count, where)
    vectors = None
    if plain["vectors"] is not None:
        metric, precision, mention = members(
            plain["vectors"], f"{where}, vectors", metric=str, precision=str, values=str
        )
        values = vectors_of(file, mention, f"{where}, vectors")
        if len(values) != count:
            raise ModelError(f"{where}, vectors: expected a matrix of float32, a row for each item")
        vectors = Vectors(values, metric, precision)
    file.require_used(_are_items)
    return Stored(count, _checked(records, encoder.fields, where), known, vectors)


def _checked(
    records: Iterator[NDArray[np.uint8]], fields: tuple[Field, ...], where: str
) -> Iterator[NDArray[np.uint8]]:
    """Records whose booleans are booleans: what reads them knows no other. Row numbers are held against their
    tables where they are used."""
    flags = [field for field in fields if field.dtype.kind == "b"]
    for portion in records:
        for field in flags:
            if portion[:, field.offset : field.offset + field.size].max(initial=0) > 1:
                raise ModelError(f"{where}, records: expected booleans of {field.value!r}")
        yield portion


__all__ = ["SavedItems", "Stored", "halves_of", "how_made", "read_items", "stored_items"]
