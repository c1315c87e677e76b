"""The categories that NVTabular's Categorify has learnt, as fields; NVTabular itself is never imported.

Until 23.02 a table of unique values begins with null, and row i has the id i + start_index; what is unknown
has that of null. Later ones begin with the first value, and a table ``meta`` beside them says which ids are
padding, null, unknown values and values (nvtabular/ops/categorify.py, `_write_uniques`, `_save_encodings`).
A workflow is saved without those tables: then the index of the values tells where their ids begin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.fields import Field, Side
from pyrec_infer.features.sources.names import check_names
from pyrec_infer.features.sources.parquet import list_folder, read_bytes, read_parquet
from pyrec_infer.features.transforms.ids import Shift, Vocabulary, is_of
from pyrec_infer.features.transforms.transform import Kind

_FILE = re.compile(r"unique\.(.+)\.parquet")
_RANGE = re.compile(rb'"index_columns": \[\{"kind": "range", "name": [^,]{0,99}, "start": (\d{1,18})\b')
_KINDS = ["pad", "null", "oov", "unique"]


def _whole(value: Any) -> Any:
    """A whole number where pandas kept whole numbers as floats, since one was missing."""
    return int(value) if isinstance(value, float) and value == value and value % 1 == 0 else value


def _values(label: str, values: Sequence[Any]) -> tuple[Kind, list[Any]]:
    kinds: tuple[Kind, ...] = ("string", "integer")
    plain = [_whole(value) for value in values]
    for kind in kinds:
        if plain and all(is_of(kind, value) for value in plain):
            return kind, plain
    raise SchemaError(f"{label}: expected values that are strings alone, or whole numbers alone")


def _check_meta(label: str, meta: Mapping[str, Sequence[Any]], count: int) -> None:
    """Refuse ids that are not those that Categorify gives without buckets."""
    if meta.get("kind") != _KINDS or not {"offset", "num_indices"} <= meta.keys():
        raise SchemaError(f"{label}: expected {', '.join(_KINDS)} with their offsets in the table 'meta'")
    if list(meta["num_indices"]) != [1, 1, 1, count]:
        raise SchemaError(
            f"{label}: expected one id each for padding, null and unknown values, {count} for values;"
            " what hashes unknown values to several (num_buckets) depends on the machine that it ran on"
        )
    if None in meta.get("num_observed", ()):
        raise SchemaError(f"{label}: expected ids of its own, got those of a single_table")
    if list(meta["offset"]) != [0, 1, 2, 3]:
        raise SchemaError(f"{label}: expected ids 0 for padding, 1 for null, 2 for unknown, values from 3")


def _first_id(path: Path, label: str) -> int | None:
    """Where pandas' index of the rows begins, which the footer of the first file tells as JSON."""
    first = list_folder(path, label)[:1] if path.is_dir() else [path]
    data = read_bytes(first[0], label) if first else b""
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") :]
    found = _RANGE.search(footer)
    return int(found[1]) if found else None


def _is_later(label: str, folder: Path, name: str, values: Sequence[Any]) -> bool:
    """Whether the values are of the later layout, without the null of the earlier one before them."""
    begin = _first_id(folder / f"unique.{name}.parquet", label)
    meta = folder / f"meta.{name}.parquet"
    if meta.exists():
        _check_meta(label, read_parquet(meta, label), len(values))
    elif values and (values[0] is None or values[0] != values[0]):
        if begin in (None, 0):
            return False
    elif begin in (None, 0):
        raise SchemaError(
            f"{label}: expected null as its first value, or a table 'meta' beside it, or its index,"
            " which says at which id its values begin"
        )
    if begin not in (None, 0, 3):
        raise SchemaError(
            f"{label}: expected ids from 3 on, got some from {begin} on: those of a single_table, or behind"
            " buckets of unknown values (num_buckets), which depend on the machine that it ran on"
        )
    return True


def _field(label: str, folder: Path, name: str, start_index: int, raw: str, side: Side, to: str) -> Field:
    table = read_parquet(folder / f"unique.{name}.parquet", label)
    if name not in table or set(table) - {name, f"{name}_size"}:
        raise SchemaError(f"{label}: expected the column '{name}' alone, got {', '.join(table)}")
    values: list[Any] = table[name]
    own: dict[str, Any] = {"side": side, "to": (to,)}
    if _is_later(label, folder, name, values):
        if start_index:
            raise SchemaError(f"{label}: expected no start_index, its version of NVTabular has none")
        kind, words = _values(label, values)
        later = [Vocabulary(words), Shift(2)]
        return Field(raw, dtype=kind, transforms=later, missing="id", default=1, **own)
    kind, words = _values(label, values[1:])
    earlier = [Vocabulary(words), *([Shift(start_index)] if start_index else [])]
    return Field(raw, dtype=kind, transforms=earlier, missing="oov", **own)


def fields_of(
    folder: Path,
    to: Mapping[str, str],
    sides: Mapping[str, Side],
    side: Side,
    start_index: int,
    joint: Mapping[str, Sequence[str]],
) -> list[Field]:
    """The fields of a folder of categories, or of the workflow that it is in."""
    inner = folder / "categories"
    folder = inner if inner.is_dir() else folder
    files = [_FILE.fullmatch(path.name) for path in list_folder(folder, "the categories of NVTabular")]
    names = sorted(found[1] for found in files if found)
    if not names:
        raise SchemaError("the categories of NVTabular: expected files named unique.<column>.parquet")
    columns = [raw for name in names for raw in joint.get(name, [name])]
    check_names("joint", joint, names)
    check_names("to", to, columns)
    check_names("sides", sides, columns)
    made: list[Field] = []
    for name in names:
        for raw in joint.get(name, [name]):
            label = f"field '{raw}': the categories of NVTabular"
            made.append(_field(label, folder, name, start_index, raw, sides.get(raw, side), to.get(raw, raw)))
    return made


__all__ = ["fields_of"]
