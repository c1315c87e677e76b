"""Pipelines that Spark ML has saved, as fields; Spark itself is never imported.

A stage is a folder: ``metadata`` holds one line of JSON with its class and parameters, ``data`` a table in
Parquet with what it has learnt. A PipelineModel has its stages in ``stages``, numbered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.fields import Combination, Field, Side, Target
from pyrec_infer.features.sources.names import check_names
from pyrec_infer.features.sources.parquet import list_folder, read_bytes
from pyrec_infer.features.sources.spark_stages import READERS, Column, Stage, mistake
from pyrec_infer.features.text import parse_json
from pyrec_infer.features.transforms.transform import Kind

_MODELS = ("classification", "regression", "clustering", "recommendation", "fpm")
"""Packages of what comes after the features: the model itself."""


def _metadata(folder: Path) -> dict[str, Any]:
    label = f"the Spark model '{folder.name}'"
    for part in list_folder(folder / "metadata", f"{label}: metadata"):
        text = read_bytes(part, label).strip()
        if text:
            found = parse_json(text.splitlines()[0])
            if isinstance(found, dict) and isinstance(found.get("class"), str):
                return found
            break
    raise SchemaError(f"{label}: expected metadata with a class")


def _stages(folder: Path) -> Iterator[Stage]:
    found = _metadata(folder)
    kind = found["class"].rsplit(".", 1)
    params = {**_mapping(found, "defaultParamMap"), **_mapping(found, "paramMap")}
    if kind[-1] == "PipelineModel":
        uids = params.get("stageUids")
        label = f"the Spark model '{folder.name}': stages"
        inner = list_folder(folder / "stages", label)
        named = {path.name.split("_", 1)[-1]: path for path in inner}
        if not isinstance(uids, list) or not all(isinstance(uid, str) and uid in named for uid in uids):
            raise SchemaError(f"{label}: expected a folder for each")
        for uid in uids:
            yield from _stages(named[uid])
    elif not any(f".ml.{package}." in found["class"] for package in _MODELS):
        yield Stage(kind[-1], str(found.get("uid")), params, folder)


def _mapping(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name, {})
    return value if isinstance(value, dict) else {}


@dataclass
class _Pipeline:
    """The columns that stages have made so far: each of parts that stand beside each other."""

    dtypes: Mapping[str, Kind]
    columns: dict[str, list[Column]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    made: dict[str, None] = field(default_factory=dict)

    def column(self, name: str) -> list[Column]:
        self.read.add(name)
        return self.columns.get(name) or [Column(name, self.dtypes.get(name), ())]

    def put(self, name: str, parts: list[Column]) -> None:
        self.columns[name] = parts
        self.made[name] = None

    def run(self, stage: Stage) -> None:
        """Let a stage make its columns."""
        sources, targets = stage.names("input"), stage.names("output")
        if stage.kind == "VectorAssembler":
            if stage.text("handleInvalid", "error") == "skip":
                raise mistake(stage, "leaves rows out")
            keeps = stage.text("handleInvalid", "error") == "keep"
            joined = [part.typed("number") for name in sources for part in self.column(name)]
            self.put(targets[0], [part.as_nan() if keeps else part for part in joined])
            return
        reader = READERS.get(stage.kind)
        if reader is None:
            raise mistake(stage, f"is not known, expected one of {', '.join((*READERS, 'VectorAssembler'))}")
        if len(sources) != len(targets):
            raise mistake(stage, "expected an output for each input")
        given = [self.column(source) for source in sources]
        stage, places = replace(stage, parts=sum(map(len, given))), 0
        for parts, target in zip(given, targets, strict=True):
            self.put(target, [reader(stage, part, places + place) for place, part in enumerate(parts)])
            places += len(parts)


def fields_of(
    folder: Path, to: Mapping[str, str], sides: Mapping[str, Side], side: Side, dtypes: Mapping[str, Kind]
) -> list[Field | Combination]:
    """The fields of a saved pipeline, or of one of its stages.

    What no later stage reads, or has a target of its own, feeds an input of the model; a vector its columns.
    """
    pipeline = _Pipeline(dtypes)
    for stage in _stages(folder):
        pipeline.run(stage)
    uses: dict[str, list[tuple[Target, Column]]] = {}
    check_names("to", to, pipeline.made)
    for name in pipeline.made:
        if name in pipeline.read and name not in to:
            continue
        parts, place = pipeline.columns[name], 0
        for part in parts:
            whole = len(parts) == 1 and not part.width
            target: Target = to.get(name, name)
            uses.setdefault(part.source, []).append((target if whole else (to.get(name, name), place), part))
            place += max(part.width, 1)
    if not uses:
        raise SchemaError(f"the Spark model '{folder.name}': expected stages that make features")
    check_names("sides", sides, uses)
    check_names("dtypes", dtypes, uses)
    return list(_fields(uses, sides, side))


def _fields(
    uses: Mapping[str, Sequence[tuple[Target, Column]]], sides: Mapping[str, Side], side: Side
) -> Iterator[Field | Combination]:
    for name, parts in uses.items():
        rules = {part.rules() for _, part in parts}
        if len(rules) > 1:
            raise SchemaError(f"field '{name}': stages read it that treat missing values in different ways")
        first = parts[0][1]
        own = first.field(sides.get(name, side))
        if len({part.transforms for _, part in parts}) == 1:
            yield replace(own, to=tuple(target for target, _ in parts))
            continue
        if own.missing in ("oov", "id"):
            raise SchemaError(f"field '{name}': several stages read it, one has an id for what is missing")
        yield replace(own, transforms=())
        for place, (target, part) in enumerate(parts):
            yield Combination(f"{name}/{place}", [name], None, (target,), part.transforms)


__all__ = ["fields_of"]
