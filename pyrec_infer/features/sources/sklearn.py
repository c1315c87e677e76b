"""Fitted transformers of scikit-learn as transforms of fields; the package itself is never imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.fields import Combination, Field, Side
from pyrec_infer.features.transforms.ids import Lookup, OneHot, Shift, Vocabulary
from pyrec_infer.features.transforms.numbers import Bucketise, Clip, Log1p, MinMax, Standardise, YeoJohnson
from pyrec_infer.features.transforms.transform import Kind, Transform
from pyrec_infer.strings.missing import is_missing


@dataclass(frozen=True)
class _Column:
    """A column on its way through the transformers, and the columns that it becomes."""

    field: Field
    width: int = 1

    def then(self, *transforms: Transform, width: int = 1) -> _Column:
        chain = (*self.field.transforms, *transforms)
        return _Column(replace(self.field, transforms=chain), width)


def _refuse(name: str, transformer: Any, reason: str) -> SchemaError:
    return SchemaError(f"field '{name}': {type(transformer).__name__} {reason}")


def _typed(column: _Column, kind: Kind) -> _Column:
    default = column.field.default
    if kind == "integer" and isinstance(default, float) and default % 1 == 0:
        default = int(default)
    made = replace(column.field, dtype=kind, default=default)
    return column if column.field.transforms else _Column(made, column.width)


def _standard(transformer: Any, column: _Column, place: int) -> _Column:
    mean = transformer.mean_[place] if transformer.with_mean else 0.0
    scale = transformer.scale_[place] if transformer.with_std else 1.0
    return _typed(column, "number").then(Standardise(float(mean), float(scale)))


def _robust(transformer: Any, column: _Column, place: int) -> _Column:
    center = transformer.center_[place] if transformer.with_centering else 0.0
    scale = transformer.scale_[place] if transformer.with_scaling else 1.0
    return _typed(column, "number").then(Standardise(float(center), float(scale)))


def _max_abs(transformer: Any, column: _Column, place: int) -> _Column:
    return _typed(column, "number").then(Standardise(0.0, float(transformer.scale_[place])))


def _powers(transformer: Any, column: _Column, place: int) -> _Column:
    if transformer.method != "yeo-johnson":
        raise _refuse(column.field.name, transformer, "computes Box-Cox powers, which refuse what is below 0")
    made = _typed(column, "number").then(YeoJohnson(float(transformer.lambdas_[place])))
    return _standard(transformer._scaler, made, place) if transformer.standardize else made


def _min_max(transformer: Any, column: _Column, place: int) -> _Column:
    # It computes x * scale_ + min_, the distance from -min_ / scale_ in steps of 1 / scale_.
    scale, least = float(transformer.scale_[place]), float(transformer.min_[place])
    made = _typed(column, "number").then(MinMax(-least / scale, (1 - least) / scale))
    return made.then(Clip(*map(float, transformer.feature_range))) if transformer.clip else made


def _bins(transformer: Any, column: _Column, place: int) -> _Column:
    edges = [float(edge) for edge in transformer.bin_edges_[place][1:-1]]
    made = _typed(column, "number").then(Bucketise(edges))
    if transformer.encode == "ordinal":
        return made
    count = len(edges) + 1
    return made.then(OneHot(count), width=count)


def _categories(transformer: Any, column: _Column, place: int) -> tuple[_Column, list[Any]]:
    values = [
        value.item() if isinstance(value, np.generic) else value for value in transformer.categories_[place]
    ]
    if all(isinstance(value, str) for value in values):
        return _typed(column, "string"), values
    name = column.field.name
    if any(map(is_missing, values)):
        raise _refuse(name, transformer, "has a category for what is missing: put a SimpleImputer before it")
    # Booleans are 0 and 1, and numbers of pandas that were missing somewhere are whole floats.
    if all(isinstance(value, (int, float)) and value % 1 == 0 for value in values):
        return _typed(column, "integer"), [int(value) for value in values]
    raise _refuse(name, transformer, "has categories that are neither strings nor whole numbers alone")


def _parted(transformer: Any, place: int, values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The categories of a column, and those that share one code behind the others' codes."""
    groups = getattr(transformer, "infrequent_categories_", None)
    rare = set() if groups is None or groups[place] is None else set(np.asarray(groups[place]).tolist())
    return [value for value in values if value not in rare], [value for value in values if value in rare]


def _grouped(column: _Column, common: Sequence[Any], rare: Sequence[Any], oov: int) -> _Column:
    """The place of a category, the rare ones having one together; unknown values, if any, come first."""
    made = column.then(Vocabulary([*common, *rare], oov=oov))
    return made.then(Bucketise(range(1, len(common) + oov + 1))) if rare and len(common) + oov else made


def _ordinal(transformer: Any, column: _Column, place: int) -> _Column:
    made, values = _categories(transformer, column, place)
    common, rare = _parted(transformer, place, values)
    if transformer.handle_unknown == "error":
        return _grouped(made, common, rare, 0)
    unknown = transformer.unknown_value
    if unknown == -1:
        return _grouped(made, common, rare, 1).then(Shift(-1))
    if unknown == len(values) and not rare:
        return made.then(Vocabulary(values, oov=1, oov_last=True))
    if unknown != unknown:
        raise _refuse(column.field.name, transformer, "gives NaN to unknown values")
    codes = [*range(len(common)), *[len(common)] * len(rare)]
    return made.then(Lookup([*common, *rare], codes, default=float(unknown)))


def _one_hot(transformer: Any, column: _Column, place: int) -> _Column:
    made, values = _categories(transformer, column, place)
    common, rare = _parted(transformer, place, values)
    dropped = None if transformer.drop_idx_ is None else transformer.drop_idx_[place]
    if rare and dropped is not None:
        raise _refuse(column.field.name, transformer, "groups infrequent categories and drops one")
    if dropped is not None:
        # Last in the list it has no column.
        common = [*values[:dropped], *values[dropped + 1 :], values[dropped]]
    width = len(common) + bool(rare) - (dropped is not None)
    if width < 1 or not common:
        raise _refuse(column.field.name, transformer, "leaves no column of it that tells values apart")
    if transformer.handle_unknown == "error":
        return _grouped(made, common, rare, 0).then(OneHot(width), width=width)
    if rare and transformer.handle_unknown != "ignore":
        return made.then(Vocabulary(common, oov=1, oov_last=True), OneHot(width), width=width)
    # The first place is that of unknown values, which have no column.
    return _grouped(made, common, rare, 1).then(Shift(-1), OneHot(width), width=width)


def _target(transformer: Any, column: _Column, place: int) -> _Column:
    if transformer.target_type_ == "multiclass":
        raise _refuse(column.field.name, transformer, "encodes several classes")
    made, values = _categories(transformer, column, place)
    means = [float(mean) for mean in transformer.encodings_[place]]
    return made.then(Lookup(values, means, default=float(transformer.target_mean_)))


def _binarizer(transformer: Any, column: _Column, place: int) -> _Column:
    return _typed(column, "number").then(Bucketise([float(transformer.threshold)], right=True))


def _imputer(transformer: Any, column: _Column, place: int) -> _Column:
    if transformer.add_indicator:
        raise _refuse(column.field.name, transformer, "adds columns that tell what was missing")
    if column.field.transforms:
        raise _refuse(column.field.name, transformer, "comes after another transformer")
    if not is_missing(transformer.missing_values):
        raise _refuse(column.field.name, transformer, "takes another value than NaN for a missing one")
    value = transformer.statistics_[place]
    value = value.item() if isinstance(value, np.generic) else value
    if is_missing(value):
        raise _refuse(column.field.name, transformer, "saw no value of it, and leaves it out")
    if isinstance(value, str):
        return _Column(replace(column.field, dtype="string", missing="default", default=value))
    return _Column(
        replace(column.field, dtype="number", missing="default", default=float(value), nan="missing")
    )


def _function(transformer: Any, column: _Column, place: int) -> _Column:
    if transformer.func is None:
        return _typed(column, "number")
    if transformer.func is np.log1p:
        return _typed(column, "number").then(Log1p())
    raise _refuse(column.field.name, transformer, "computes another function than numpy.log1p")


Reader: TypeAlias = Callable[[Any, _Column, int], _Column]

READERS: Mapping[str, Reader] = {
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MaxAbsScaler": _max_abs,
    "PowerTransformer": _powers,
    "MinMaxScaler": _min_max,
    "Binarizer": _binarizer,
    "KBinsDiscretizer": _bins,
    "OrdinalEncoder": _ordinal,
    "OneHotEncoder": _one_hot,
    "TargetEncoder": _target,
    "SimpleImputer": _imputer,
    "FunctionTransformer": _function,
}
"""The transformers that are known, and how each is read for one column."""


def _through(transformer: Any, column: _Column, place: int) -> _Column:
    if isinstance(transformer, str):
        if transformer == "passthrough":
            return _typed(column, "number")
        raise SchemaError(f"field '{column.field.name}': unknown transformer {transformer!r}")
    if type(transformer).__name__ == "Pipeline":
        for _, step in transformer.steps:
            column = _through(step, column, place) if step != "passthrough" else column
        return column
    reader = READERS.get(type(transformer).__name__)
    if reader is None or not type(transformer).__module__.startswith("sklearn."):
        known = ", ".join((*READERS, "Pipeline"))
        raise _refuse(column.field.name, transformer, f"is not known, expected one of {known}")
    return reader(transformer, column, place)


def fields_of(transformer: Any, to: str, sides: Mapping[str, Side], side: Side) -> list[Field | Combination]:
    """The fields of a fitted ColumnTransformer, whose columns are those of a model's input in order."""
    if type(transformer).__name__ != "ColumnTransformer":
        raise SchemaError(f"expected a fitted ColumnTransformer, got {type(transformer).__name__}")
    if not hasattr(transformer, "transformers_"):
        raise SchemaError("expected a fitted ColumnTransformer, got one that is not fitted")
    names = [str(name) for name in getattr(transformer, "feature_names_in_", ())]
    if not names:
        raise SchemaError("expected a ColumnTransformer that was fitted on a table with names")
    found: dict[str, list[Field]] = {}
    first = 0
    for _, one, chosen in transformer.transformers_:
        if isinstance(one, str) and one == "drop":
            continue
        columns = _chosen(chosen, names)
        for place, name in enumerate(columns):
            field = Field(name, sides.get(name, side), nan="keep", infinity="keep")
            column = _through(one, _Column(field), place)
            found.setdefault(name, []).append(replace(column.field, to=(to, first)))
            first += column.width
    return [item for uses in found.values() for item in _uses(uses)]


def _uses(uses: Sequence[Field]) -> Iterator[Field | Combination]:
    """One column, which each of these takes."""
    first = uses[0]
    if len(uses) == 1:
        yield first
        return
    plain = replace(first, to=(), transforms=())
    rules = {(use.dtype, use.missing, repr(use.default), use.nan) for use in uses}
    if len(rules) > 1:
        raise SchemaError(
            f"field '{first.name}': transformers take it as values of different types, "
            "or treat what is missing in different ways"
        )
    yield plain
    for place, use in enumerate(uses):
        yield Combination(f"{first.name}/{place}", [first.name], None, use.to, use.transforms)


def _chosen(chosen: Any, names: Sequence[str]) -> list[str]:
    """The names of a transformer's columns."""
    if isinstance(chosen, slice):
        return list(names[chosen])
    given = [chosen] if isinstance(chosen, (str, int)) else list(chosen)
    if given and all(isinstance(item, (bool, np.bool_)) for item in given):
        return [name for name, taken in zip(names, given, strict=True) if taken]
    return [item if isinstance(item, str) else names[int(item)] for item in given]


__all__ = ["fields_of"]
