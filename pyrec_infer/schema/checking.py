"""What a schema makes of raw rows, beside what training made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyrec_infer.arguments import RawRows, as_array, regular
from pyrec_infer.backends.select import make_pool, select_backend
from pyrec_infer.errors import IdRangeError, InputError, RowCountError, SchemaError, ShapeError
from pyrec_infer.execution.planning import make_ready
from pyrec_infer.features.fields import Combination, Field, ListField, Target, kinds_of, known_fields
from pyrec_infer.features.fitting import described, targets
from pyrec_infer.features.golden import warn_if_uncovered
from pyrec_infer.ir import BATCH, STRING, Array, Dim, Graph, Info, Rows
from pyrec_infer.limits import UNLIMITED
from pyrec_infer.ops.core.interpret import interpret
from pyrec_infer.passes import Context
from pyrec_infer.schema.schema import Fitted, Schema
from pyrec_infer.strings.tensors import as_plain

RTOL, ATOL = 1e-6, 1e-7
"""How far numbers may be apart: they are rounded to float32. Whole numbers and strings are equal."""


@dataclass(frozen=True)
class FieldCheck:
    """One thing that a field feeds.

    Attributes
    ----------
    field, target : str
    transforms : tuple of str
        What is done to the field.
    rows, differ : int
        Rows that were compared, and those that are not the same.
    first : int, optional
        The first row that differs.
    """

    field: str
    target: str
    transforms: tuple[str, ...]
    rows: int
    differ: int
    first: int | None

    def __str__(self) -> str:
        if self.first is None:
            return f"field '{self.field}', {self.target}: {self.rows} rows are the same"
        by = f" (transforms: {', '.join(self.transforms)})" if self.transforms else ""
        return (
            f"field '{self.field}', {self.target}{by}: {self.differ} of {self.rows} rows differ, "
            f"the first is row {self.first}"
        )


@dataclass(frozen=True)
class FeatureReport:
    """What `check_features` found; holds no raw value.

    Attributes
    ----------
    checks : tuple of FieldCheck
        Those that differ first.
    skipped : tuple of str
        Fields without expected tensors, and inputs that no field feeds.
    """

    checks: tuple[FieldCheck, ...]
    skipped: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return all(check.first is None for check in self.checks)

    def __str__(self) -> str:
        left = [f"not compared: {', '.join(self.skipped)}"] if self.skipped else []
        return "\n".join([*map(str, self.checks), *left])

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def _raw_inputs(fitted: Fitted, raw: RawRows, rows: Any, others: Sequence[str]) -> dict[str, Any]:
    """What the graph of a schema reads of raw rows."""
    columns = raw.columns(rows, others)
    for name in fitted.front.graph.inputs:
        if name not in columns:
            raise InputError(f"field '{name}' is missing: expected {', '.join(raw.fields)}")
    return columns


def tensors(fitted: Fitted, raw: RawRows, rows: Any) -> dict[str, Array]:
    """The model's inputs that raw rows become, through the reference interpreter."""
    graph = fitted.front.graph
    columns = _raw_inputs(fitted, raw, rows, ())
    made = interpret(graph, [as_plain(columns[name]) for name in graph.inputs])
    return _by_input(fitted, dict(zip(graph.outputs, made, strict=True)))


def served_tensors(
    fitted: Fitted, raw: RawRows, rows: Any, backend: str, others: Sequence[str] = ()
) -> dict[str, Array]:
    """The model's inputs that raw rows become, through the plan and the backend that serve them.

    Of the steps that a model's graph goes through when it is loaded, those that choose other operators
    have nothing to do in the graph of a schema, so it is planned as it is.

    Raises
    ------
    InputError
        As for `Model.score`.
    """
    graph = fitted.front.graph
    columns = _raw_inputs(fitted, raw, rows, others)
    context = Context(strict_ids=True)
    ready = make_ready(graph, context, backend, make_pool(backend, 1), UNLIMITED, {})
    given: dict[str, Array] = {}
    for name in graph.inputs:
        dtype = graph.infos[name].dtype
        assert dtype is not None
        given[name] = as_array(name, columns[name], dtype)
    rowed = (len(given[name]) for name in graph.inputs if graph.infos[name].rows == 0)
    try:
        made = ready.run(given, (), next(rowed, 1))
    except IdRangeError as error:
        raise raw.located(error, given) from None
    return _by_input(fitted, made)


def _by_input(fitted: Fitted, made: Mapping[str, Any]) -> dict[str, Array]:
    return {name: np.asarray(made[value]) for name, value in fitted.front.feeds.items()}


def _wrong_rows(made: Array, wanted: Array, exact: bool) -> Array:
    if not exact and (made.dtype.kind == "f" or wanted.dtype.kind == "f"):
        same = np.isclose(made.astype(np.float64), wanted.astype(np.float64), RTOL, ATOL, equal_nan=True)
    else:
        same = made == wanted
    wrong: Array = np.logical_not(same.reshape(len(same), -1).all(axis=1))
    return wrong


def _input_of(target: Target) -> str:
    return target if isinstance(target, str) else target[0]


def _part(array: Array, target: Target, length: int) -> Array:
    if isinstance(target, str):
        return array
    return array[:, target[1] : target[1] + max(length, 1)]


def _rows_of(item: Field | Combination, target: Target, wrong: Array, made: Mapping[str, Array]) -> Array:
    """Which rows are wrong, of values that are: those of a list without padding follow each other."""
    if not isinstance(item, ListField) or not item.ragged or target in (item.lengths_to, item.offsets_to):
        return wrong
    if item.lengths_to:
        rows = np.repeat(np.arange(len(made[item.lengths_to])), made[item.lengths_to])
    else:
        rows = np.searchsorted(made[item.offsets_to], np.arange(len(wrong)), "right") - 1
    count = len(made[item.lengths_to or item.offsets_to]) - (not item.lengths_to and item.ends)
    found: Array = np.bincount(rows[wrong], minlength=count) > 0
    return found


def _checks(schema: Schema, made: Mapping[str, Array], expected: Mapping[str, Array]) -> Iterator[FieldCheck]:
    dtypes = kinds_of(schema.fields, schema.combinations)
    for item, target, part in targets(schema.fields, schema.combinations):
        name = _input_of(target)
        if name not in expected:
            continue
        if made[name].shape != expected[name].shape:
            raise RowCountError(
                f"input '{name}': expected shape {list(made[name].shape)}, got {list(expected[name].shape)}"
            )
        length = item.width(part)
        exact = item.kinds(dtypes)[-1] != "number" if part == "value" else part != "weight"
        wrong = _wrong_rows(_part(made[name], target, length), _part(expected[name], target, length), exact)
        wrong = _rows_of(item, target, wrong, made)
        first = int(np.flatnonzero(wrong)[0]) if wrong.any() else None
        names = tuple(transform.name for transform in item.transforms)
        yield FieldCheck(item.name, described(target), names, len(wrong), int(wrong.sum()), first)


def _is_flat(item: Field | Combination, part: str) -> bool:
    """Whether a part of a field has no row for each raw row."""
    if not isinstance(item, ListField) or not item.ragged:
        return False
    return part in ("value", "weight") or (part == "offset" and item.ends)


def _covered(schema: Schema, names: frozenset[str]) -> tuple[Schema, tuple[str, ...]]:
    """The fields all of whose inputs are among the names, and those that are left out."""

    def covers(item: Field | Combination) -> bool:
        own = [target for other, target, _ in targets(schema.fields, schema.combinations) if other is item]
        return bool(own) and all(_input_of(target) in names for target in own)

    combined: list[Combination] = []
    read: set[str] = set()
    # What a combination reads comes before it; what is only read feeds nothing.
    for made in reversed(schema.combinations):
        if covers(made) or made.name in read:
            combined.insert(0, made if covers(made) else replace(made, to=()))
            read.update(made.of)
    kept = [
        item if covers(item) else replace(item, to=())
        for item in schema.fields
        if covers(item) or item.name in read
    ]
    chosen: list[Field | Combination] = [*kept, *combined]
    every: list[Field | Combination] = [*schema.fields, *schema.combinations]
    left = [item.name for item in every if not covers(item) and (item.to or item.name not in read)]
    return Schema(chosen), tuple(left)


def check_features(schema: Schema, raw_rows: Any, expected: Mapping[str, ArrayLike]) -> FeatureReport:
    """Compare what serving makes of raw rows with what training made of them.

    Parameters
    ----------
    schema : Schema
    raw_rows : mapping, list of mappings, table
        As for `Model.score`.
    expected : mapping of str to array_like
        Inputs of the model, as training saw them for these rows.

    Returns
    -------
    FeatureReport
        Whole numbers and strings are the same if they are equal, numbers up to 1e-6 of their size.

    Raises
    ------
    SchemaError
        ``expected`` are the inputs of another model.
    InputError
        As for `Model.score`; or no field feeds any of ``expected``.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> from pyrec_infer import features
    >>> price = features.Field("price", "item", to="p", dtype="number", transforms=[features.Log1p()])
    >>> print(pi.check_features(pi.Schema([price]), {"price": [0.0, 1.0]}, {"p": [0.0, 1.0]}))
    field 'price', input 'p' (transforms: log1p): 1 of 2 rows differ, the first is row 1
    """
    arrays = {name: regular(f"expected '{name}'", value) for name, value in expected.items()}
    for name, array in arrays.items():
        if array.ndim == 0:
            raise ShapeError(f"expected '{name}': expected values for rows, got one alone")
    chosen, skipped = _covered(schema, frozenset(arrays))
    fed = dict.fromkeys(_input_of(target) for _, target, _ in targets(schema.fields, schema.combinations))
    if not any(name in fed for name in arrays):
        raise InputError(f"expected: expected tensors of inputs that fields feed: {', '.join(fed)}")
    skipped += tuple(f"input '{name}'" for name in arrays if name not in fed)
    flat = {name for item, name, part in targets(chosen.fields, chosen.combinations) if _is_flat(item, part)}
    infos = {}
    for name, array in arrays.items():
        axis, size = (Rows.INVARIANT, name) if name in flat else (0, BATCH)
        dtype = STRING if array.dtype.kind in "OUST" else array.dtype
        infos[name] = Info(dtype, (Dim.symbol(size), *array.shape[1:]), axis)
    fitted = chosen.fit(Graph(tuple(infos), (), (), {}, infos))
    raw = RawRows(fitted.fields, fitted.limits)
    others = [item.name for item in schema.fields]
    made = served_tensors(fitted, raw, raw_rows, select_backend(), others)
    checks = sorted(_checks(chosen, made, arrays), key=lambda check: check.first is None)
    return FeatureReport(tuple(checks), skipped)


def require_golden(schema: Schema, fitted: Fitted, raw: RawRows, backend: str) -> None:
    """Refuse a schema of which the backend does not make what its golden rows are known to be.

    Raises
    ------
    SchemaError
        Names the field, the row and the transforms; or all fields and inputs that are missing or unknown.
    """
    warn_if_uncovered(schema.uncovered, 6)
    golden = schema.golden
    if golden is None:
        return
    read = raw.reading(fitted.front.graph.inputs)
    unfit = [*golden.misfits([*known_fields(schema.fields)], read, [*fitted.front.feeds])]
    if unfit:
        raise SchemaError("golden rows: " + "\ngolden rows: ".join(unfit))
    try:
        made = served_tensors(fitted, raw, golden.rows(schema.fields), backend)
    except InputError as error:
        raise SchemaError(f"golden rows: {error}") from None
    expected = {name: golden.tensor(name, like) for name, like in made.items()}
    wrong = [str(check) for check in _checks(schema, made, expected) if check.first is not None]
    if wrong:
        raise SchemaError("golden rows: " + "\ngolden rows: ".join(wrong))


__all__ = ["FeatureReport", "FieldCheck", "check_features", "require_golden", "served_tensors", "tensors"]
