"""Stages of Spark ML as transforms."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.fields import Field, Missing, Side
from pyrec_infer.features.sources.parquet import read_parquet
from pyrec_infer.features.transforms.ids import OneHot, Vocabulary
from pyrec_infer.features.transforms.numbers import Bucketise, Clip, MinMax, Standardise
from pyrec_infer.features.transforms.transform import Kind, Transform

_NUMBERS = {"Inf": math.inf, "Infinity": math.inf, "-Inf": -math.inf, "-Infinity": -math.inf, "NaN": math.nan}


@dataclass(frozen=True)
class Stage:
    """One stage: its class without the package, its parameters, where its files are, and how many parts
    its columns have."""

    kind: str
    uid: str
    params: Mapping[str, Any]
    folder: Path
    parts: int = 0
    _tables: dict[str, Any] = field(default_factory=dict)

    def names(self, which: str) -> list[str]:
        """The columns that it reads, or makes."""
        one, several = self.params.get(f"{which}Col"), self.params.get(f"{which}Cols")
        # Parameters with a default are there too where the others were set.
        value = several if isinstance(several, list) and several else [one]
        if not all(isinstance(name, str) for name in value):
            raise mistake(self, f"expected the names of its {which} columns")
        return list(value)

    def text(self, name: str, default: str) -> str:
        value = self.params.get(name, default)
        if not isinstance(value, str):
            raise mistake(self, f"{name}: expected a string")
        return value.lower()

    def flag(self, name: str, default: bool) -> bool:
        value = self.params.get(name, default)
        if not isinstance(value, bool):
            raise mistake(self, f"{name}: expected true or false")
        return value

    def number(self, name: str, default: float) -> float:
        return self.numbers([self.params.get(name, default)], name)[0]

    def numbers(self, values: Any, name: str) -> list[float]:
        """Numbers as Spark writes them: what is not finite by its name."""
        if not isinstance(values, list):
            raise mistake(self, f"{name}: expected numbers")
        found = [_NUMBERS.get(value) if isinstance(value, str) else value for value in values]
        if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in found):
            raise mistake(self, f"{name}: expected numbers")
        return [float(value) for value in found if value is not None]

    def learnt(self, *names: str) -> Any:
        """What the first of these columns holds in the one row of the stage's table."""
        if not self._tables:
            self._tables.update(read_parquet(self.folder / "data", f"stage '{self.uid}' ({self.kind}): data"))
        for name in names:
            if len(self._tables.get(name, ())) == 1:
                return self._tables[name][0]
        raise mistake(self, f"expected one row with the column '{names[0]}' in its data")

    def vector(self, name: str) -> list[float]:
        """A learnt vector, of one number for each part of its columns."""
        found = self._vector(name)
        if len(found) != self.parts:
            raise mistake(self, f"{name}: expected {self.parts} numbers as of its columns, got {len(found)}")
        return found

    def _vector(self, name: str) -> list[float]:
        """A vector: dense, or with the places of what is not 0."""
        given = self.learnt(name)
        if not isinstance(given, dict) or not isinstance(given.get("values"), list):
            raise mistake(self, f"{name}: expected a vector")
        values = self.numbers(given["values"], name)
        size, places = given.get("size"), given.get("indices")
        if given.get("type") == 1:
            return values
        if not isinstance(size, int) or not 0 <= size < 2**24 or not isinstance(places, list):
            raise mistake(self, f"{name}: expected a vector")
        if len(places) != len(values) or not all(isinstance(at, int) and 0 <= at < size for at in places):
            raise mistake(self, f"{name}: expected a vector")
        found = [0.0] * size
        for at, value in zip(places, values, strict=True):
            found[at] = value
        return found


def mistake(stage: Stage, text: str) -> SchemaError:
    return SchemaError(f"stage '{stage.uid}' ({stage.kind}): {text}")


@dataclass(frozen=True)
class Column:
    """A part of a column on its way through the stages."""

    source: str
    dtype: Kind | None
    transforms: tuple[Transform, ...]
    missing: Missing = "error"
    default: Any = None
    nan: str = "error"

    @property
    def width(self) -> int:
        return self.transforms[-1].width if self.transforms else 0

    def typed(self, kind: Kind) -> Column:
        """The column with raw values of this kind, unless it is said to be of another."""
        return self if self.transforms or self.dtype is not None else replace(self, dtype=kind)

    def as_nan(self) -> Column:
        """The column with NaN for what is missing, if it holds raw numbers that no stage has filled."""
        if self.transforms or self.dtype != "number" or (self.missing, self.nan) != ("error", "error"):
            return self
        return replace(self, missing="default", default=math.nan, nan="keep")

    def then(self, *transforms: Transform) -> Column:
        return replace(self, transforms=(*self.transforms, *transforms))

    def rules(self) -> tuple[Any, ...]:
        return self.dtype, self.missing, repr(self.default), self.nan

    def field(self, side: Side) -> Field:
        rules: dict[str, Any] = {"missing": self.missing, "default": self.default, "nan": self.nan}
        return Field(self.source, side, (), self.dtype or "number", self.transforms, **rules)


def _at(stage: Stage, values: Sequence[Any], place: int, name: str) -> Any:
    if place >= len(values):
        raise mistake(stage, f"{name}: expected a value for each of its columns")
    return values[place]


def _alone(stage: Stage, column: Column) -> None:
    if column.width:
        raise mistake(stage, f"changes the columns that '{column.source}' was spread over")


def _string_indexer(stage: Stage, column: Column, place: int) -> Column:
    if column.transforms:
        raise mistake(stage, f"reads '{column.source}' after another stage")
    given = stage.learnt("labelsArray", "labels")
    several = isinstance(given, list) and all(isinstance(one, list) for one in given)
    labels: Any = _at(stage, given, place, "labels") if several else given
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise mistake(stage, "expected its labels in its data")
    made = column.typed("string")
    if made.dtype == "integer":
        if not all(map(_is_canonical, labels)):
            raise mistake(stage, f"labels of '{column.source}': expected whole numbers")
        labels = [int(label) for label in labels]
    keeps = stage.text("handleInvalid", "error") == "keep"
    if not keeps:
        return made.then(Vocabulary(labels, oov=0))
    made = made.then(Vocabulary(labels, oov=1, oov_last=True))
    return replace(made, missing="oov") if made.missing == "error" else made


def _is_canonical(label: str) -> bool:
    digits = label.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) < 20 and str(int(label)) == label


def _one_hot(stage: Stage, column: Column, place: int) -> Column:
    _alone(stage, column)
    sizes = stage.learnt("categorySizes")
    size = _at(stage, sizes, place, "categorySizes") if isinstance(sizes, list) else None
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size < 2**24:
        raise mistake(stage, "categorySizes: expected whole numbers")
    keeps = stage.text("handleInvalid", "error") == "keep"
    made = column.typed("integer")
    if not column.transforms:
        # Null stays null there, whatever becomes of unknown ids.
        made = made.then(Vocabulary(range(size), oov=int(keeps), oov_last=keeps))
    width = size + keeps - stage.flag("dropLast", True)
    if width < 1:
        raise mistake(stage, "leaves no column")
    return made.then(OneHot(width))


def _bucketizer(stage: Stage, column: Column, place: int) -> Column:
    _alone(stage, column)
    several, given = stage.params.get("splitsArray"), stage.params.get("splits")
    if isinstance(several, list) and several:
        given = _at(stage, several, place, "splitsArray")
    splits = stage.numbers(given, "splits")
    if len(splits) < 3:
        raise mistake(stage, "splits: expected at least 3 numbers")
    low, high = splits[0], splits[-1]
    inner = [*([] if low == -math.inf else [low]), *splits[1:-1]]
    # The last bucket holds its upper end too.
    inner += [] if high == math.inf else [math.nextafter(high, math.inf)]
    made = column.typed("number")
    keeps = stage.text("handleInvalid", "error") == "keep"
    if keeps:
        # NaN, which passes no boundary, is then alone in bucket 0.
        least = -sys.float_info.max
        made, inner = made.then(Clip(low=least)), [least, *inner]
        if (column.transforms, made.dtype, made.nan) == ((), "number", "error"):
            made = replace(made, nan="keep")
    count, first = len(splits) - 1, int(low != -math.inf) + keeps
    made = made.then(Bucketise(inner))
    if not first and high == math.inf:
        return made
    # What is outside is an error there, and here; null stays null there, so it is one here.
    return made.then(Vocabulary([*range(first, first + count), *([0] if keeps else [])], oov=0))


def _scaled(column: Column, centre: float, scale: float) -> Column:
    """Less the centre, by the scale; what does not vary becomes 0."""
    made = column.typed("number")
    return made.then(Standardise(centre, scale)) if scale else made.then(Clip(0.0, 0.0))


def _standard_scaler(stage: Stage, column: Column, place: int) -> Column:
    _alone(stage, column)
    mean = stage.vector("mean")[place] if stage.flag("withMean", False) else 0.0
    scale = stage.vector("std")[place] if stage.flag("withStd", True) else 1.0
    return _scaled(column, mean, scale)


def _robust_scaler(stage: Stage, column: Column, place: int) -> Column:
    _alone(stage, column)
    centres, scales = stage.flag("withCentering", False), stage.flag("withScaling", True)
    centre = stage.vector("median")[place] if centres else 0.0
    scale = stage.vector("range")[place] if scales else 1.0
    return _scaled(column, centre, scale)


def _max_abs_scaler(stage: Stage, column: Column, place: int) -> Column:
    _alone(stage, column)
    largest = stage.vector("maxAbs")[place]
    return column.typed("number").then(Standardise(0.0, largest or 1.0))


def _min_max_scaler(stage: Stage, column: Column, place: int) -> Column:
    _alone(stage, column)
    low = stage.vector("originalMin")[place]
    high = stage.vector("originalMax")[place]
    least, most = stage.number("min", 0.0), stage.number("max", 1.0)
    made = column.typed("number")
    if low == high:
        middle = 0.5 * (least + most)
        return made.then(Clip(middle, middle))
    made = made.then(MinMax(low, high))
    if (least, most) == (0.0, 1.0):
        return made
    return made.then(Standardise(-least / (most - least), 1 / (most - least)))


def _imputer(stage: Stage, column: Column, place: int) -> Column:
    if column.transforms:
        raise mistake(stage, f"reads '{column.source}' after another stage")
    if not math.isnan(stage.number("missingValue", math.nan)):
        raise mistake(stage, "takes another number than NaN for what is missing")
    value = stage.numbers([stage.learnt(stage.names("input")[place])], "data")[0]
    if column.dtype is None and value % 1 and stage.text("strategy", "mean") == "mean":
        raise mistake(
            stage,
            f"fills '{column.source}' with a fraction, which is cut off in a column of whole numbers;"
            " say in dtypes which it is, 'number' or 'integer'",
        )
    made = column.typed("number")
    if made.dtype == "integer":
        # The surrogate is cast to the column's type.
        return replace(made, missing="default", default=int(value))
    return replace(made, missing="default", default=value, nan="missing")


Reader: TypeAlias = Callable[[Stage, Column, int], Column]

READERS: Mapping[str, Reader] = {
    "StringIndexerModel": _string_indexer,
    "OneHotEncoderModel": _one_hot,
    "Bucketizer": _bucketizer,
    "StandardScalerModel": _standard_scaler,
    "RobustScalerModel": _robust_scaler,
    "MaxAbsScalerModel": _max_abs_scaler,
    "MinMaxScalerModel": _min_max_scaler,
    "ImputerModel": _imputer,
}
"""The stages that are known, and how each is read for one part of a column."""

__all__ = ["READERS", "Column", "Stage", "mistake"]
