"""Whether a schema fits a model: shapes and types of what each field feeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pyrec_infer.features.fields import Combination, Field, ListField, Target, kinds_of
from pyrec_infer.features.lower import raw_inputs
from pyrec_infer.features.transforms.transform import Kind
from pyrec_infer.ir import BATCH, STRING, Dim, Graph, Info


def targets(
    fields: Sequence[Field], combinations: Sequence[Combination]
) -> Iterator[tuple[Field | Combination, Target, str]]:
    """Field, what it feeds, and which of its values."""
    own: tuple[Field | Combination, ...] = (*fields, *combinations)
    for item in own:
        for target in item.to:
            yield item, target, "value"
        if isinstance(item, ListField):
            if item.lengths_to:
                yield item, item.lengths_to, "length"
            if item.mask_to:
                yield item, item.mask_to, "mask"
            if item.offsets_to:
                yield item, item.offsets_to, "offset"
            if item.weights_to:
                yield item, item.weights_to, "weight"


def fed_twice(fields: Sequence[Field], combinations: Sequence[Combination]) -> Iterator[str]:
    """Inputs, and columns of them, that more than one field feeds."""
    fed: dict[Target, list[str]] = {}
    for item, target, _ in targets(fields, combinations):
        fed.setdefault(target, []).append(f"'{item.name}'")
    for target, names in fed.items():
        if len(names) > 1:
            yield f"{described(target)}: several fields feed it: {', '.join(names)}"


def misfits(fields: Sequence[Field], combinations: Sequence[Combination], graph: Graph) -> Iterator[str]:
    """What does not fit a model."""
    fed_targets = list(targets(fields, combinations))
    dtypes = kinds_of(fields, combinations)
    inputs = {name: graph.infos[name] for name in graph.inputs}
    fed = {target if isinstance(target, str) else target[0] for _, target, _ in fed_targets}
    left = set(inputs) - fed
    columns: dict[str, dict[int, int]] = {}
    for one in fields:
        for name, _ in raw_inputs(one):
            if name in left:
                yield f"field '{one.name}': {name!r} is an input that no field feeds"
            if name in graph.outputs:
                yield f"field '{one.name}': {name!r} is an output of the model"
    for item, target, part in fed_targets:
        name = target if isinstance(target, str) else target[0]
        label = f"field '{item.name}': "
        if name not in inputs:
            yield f"{label}the model has no input '{name}', its inputs are {', '.join(inputs)}"
            continue
        length = item.width(part)
        if isinstance(item, ListField) and item.ragged:
            yield from (label + text for text in _flat_misfits(name, inputs[name]))
        elif isinstance(target, str):
            yield from (label + text for text in _shape_misfits(name, inputs[name], length))
        else:
            columns.setdefault(name, {})[target[1]] = max(length, 1)
        for check in (_type_misfits, _rounded, _below_zero, _padding_misfits):
            yield from (label + text for text in check(name, inputs[name], item, part, dtypes))
    for name, widths in columns.items():
        yield from _column_misfits(name, inputs[name], widths, any(t == name for _, t, _ in fed_targets))


def absent(fields: Sequence[Field], combinations: Sequence[Combination]) -> Iterator[str]:
    """What transforms need where they run, and do not find."""
    own: tuple[Field | Combination, ...] = (*fields, *combinations)
    for item in own:
        for transform in item.transforms:
            yield from (f"field '{item.name}': {transform.name}: {text}" for text in transform.absent())


def described(target: Target) -> str:
    return f"input '{target}'" if isinstance(target, str) else f"input '{target[0]}', column {target[1]}"


def _has_rows(info: Info) -> bool:
    return (
        info.shape is not None and bool(info.shape) and info.rows == 0 and info.shape[0] == Dim.symbol(BATCH)
    )


MOST_PLACES = 1 << 24
"""Of a row, where the model takes any number of them."""


def _shape_misfits(name: str, info: Info, length: int) -> Iterator[str]:
    if not _has_rows(info):
        yield f"input '{name}' has no row for each candidate at its first axis"
        return
    rest = (info.shape or ())[1:]
    if length:
        if len(rest) != 1 or (isinstance(rest[0], int) and rest[0] != length):
            yield f"input '{name}' has shape {list(info.shape or ())}, expected lists of {length}"
        elif length > MOST_PLACES:
            yield f"it has {length} places in each row, expected at most {MOST_PLACES}"
    elif not all(isinstance(size, int) and size == 1 for size in rest):
        yield f"input '{name}' has shape {list(info.shape or ())}, expected one value in each row"


def _flat_misfits(name: str, info: Info) -> Iterator[str]:
    """What does not fit values that follow each other, or what tells them apart."""
    if info.shape is None or len(info.shape) != 1 or isinstance(info.shape[0], int):
        yield f"input '{name}' has shape {list(info.shape or ())}, expected one axis of any length"


def _type_misfits(
    name: str, info: Info, item: Field | Combination, part: str, dtypes: Mapping[str, Kind]
) -> Iterator[str]:
    if part != "value":
        return
    kind = item.kinds(dtypes)[-1]
    takes = (
        "string" if info.dtype == STRING else "number" if info.dtype and info.dtype.kind == "f" else "integer"
    )
    if takes == "integer" and item.transforms and item.transforms[-1].width:
        # Zeros with a 1 are whole numbers as well.
        return
    if kind != takes and (kind == "string" or takes != "number"):
        yield f"it is a value of type {kind}, input '{name}' takes {takes}s"


def _column_misfits(name: str, info: Info, widths: Mapping[int, int], whole: bool) -> Iterator[str]:
    if whole:
        yield f"input '{name}': it is fed whole and by column"
        return
    if not _has_rows(info) or len(info.shape or ()) != 2 or not isinstance((info.shape or ())[1], int):
        yield f"input '{name}': expected a matrix of columns, got shape {list(info.shape or ())}"
        return
    count = int((info.shape or ())[1])
    place = 0
    for column in sorted(widths):
        if column != place:
            break
        place += widths[column]
    if place != count or any(not 0 <= column < count for column in widths):
        yield f"input '{name}': expected its {count} columns, each fed once, got {sorted(widths)}"


_INT64 = 2**63 - 1
_EXACT = {"float16": 2**11, "float32": 2**24, "float64": 2**53}


def _exact(info: Info) -> int:
    """The largest whole number up to which a type holds all of them."""
    if info.dtype is None or info.dtype.kind not in "iuf":
        return _INT64
    return _EXACT.get(info.dtype.name) or int(np.iinfo(info.dtype).max)


def limits(
    fields: Sequence[Field], combinations: Sequence[Combination], infos: Mapping[str, Info]
) -> dict[str, int]:
    """The largest raw whole numbers of fields that would not reach an input exactly if they were larger."""
    found: dict[str, int] = {}
    dtypes, raw = kinds_of(fields, combinations), {one.name for one in fields}
    fed: list[tuple[Field | Combination, int]] = [
        (item, _exact(infos[target if isinstance(target, str) else target[0]]))
        for item, target, part in targets(fields, combinations)
        if part == "value"
    ]
    for item, exact in [*fed, *((made, _INT64) for made in combinations if not made.to)]:
        if isinstance(item, Combination) and item.by is not None:
            room = item.by.limit()
        else:
            room = _room(item, item.kinds(dtypes), exact)
        for source in _sources(item) if room < _INT64 else ():
            if source in raw and dtypes[source] == "integer":
                found[source] = min(room, found.get(source, room))
    return found


def _sources(item: Field | Combination) -> Sequence[str]:
    return item.of if isinstance(item, Combination) else (item.name,)


def _room(item: Field | Combination, kinds: Sequence[Kind], exact: int) -> int:
    """The largest raw whole number that the transforms compute with exactly, and the input holds."""
    reach = 0
    before: int | None = None
    for kind, transform in zip(kinds, item.transforms, strict=False):
        if kind != "integer" or before is not None:
            return _INT64 - reach
        reach += transform.reach()
        before = transform.largest(before)
    return (exact if kinds[-1] == "integer" and before is None else _INT64) - reach


def _rounded(
    name: str, info: Info, item: Field | Combination, part: str, dtypes: Mapping[str, Kind]
) -> Iterator[str]:
    """Whether ids that the transforms make are too many for the input's type."""
    if part != "value" or item.kinds(dtypes)[-1] != "integer":
        return
    largest = item.largest(None)
    if isinstance(item, Field) and item.missing == "id":
        largest = max(largest or 0, abs(item.default))
    if largest is None and isinstance(item, Combination) and item.by is not None:
        largest = _INT64
    if largest is not None and largest > _exact(info):
        yield f"it gives whole numbers up to {largest}; input '{name}' ({info.dtype}) cannot hold them all"


def _below_zero(
    name: str, info: Info, item: Field | Combination, part: str, dtypes: Mapping[str, Kind]
) -> Iterator[str]:
    """Whether whole numbers may be negative that an input without a sign would take for large ones."""
    if part != "value" or item.kinds(dtypes)[-1] != "integer" or info.dtype is None or info.dtype.kind != "u":
        return
    counted = isinstance(item, Combination) and item.by is not None
    for transform in item.transforms:
        largest = transform.largest(None)
        counted = counted and transform.reach() == 0 if largest is None else largest < _INT64
    if not counted:
        yield f"it may be negative, which input '{name}' ({info.dtype}) cannot hold; end with a Modulo"


def _padding_misfits(
    name: str, info: Info, item: Field | Combination, part: str, dtypes: Mapping[str, Kind]
) -> Iterator[str]:
    """Whether what stands at padded places would be another number in the input."""
    if part != "value" or not isinstance(item, ListField) or item.ragged or info.dtype is None:
        return
    if info.dtype.kind in "iu":
        bounds = np.iinfo(info.dtype)
        holds = item.padding % 1 == 0 and bounds.min <= item.padding <= bounds.max
    else:
        holds = info.dtype.kind != "f" or abs(item.padding) <= float(np.finfo(info.dtype).max)
    if not holds:
        yield f"padding: expected a number that input '{name}' ({info.dtype}) holds"


__all__ = ["absent", "described", "fed_twice", "limits", "misfits", "targets"]
