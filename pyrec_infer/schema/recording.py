"""Golden rows from a table: which rows and values tell most, and what is made of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from numpy.typing import ArrayLike

from pyrec_infer.arguments import RawRows, plain_columns, raw_columns
from pyrec_infer.errors import InputError, RowCountError, SchemaError
from pyrec_infer.features.coverage import choose_rows, made_up
from pyrec_infer.features.fields import Field, ListField, known_fields
from pyrec_infer.features.golden import LEAST_ROWS, golden_of
from pyrec_infer.formats import import_model, model_source
from pyrec_infer.schema.checking import check_features, tensors
from pyrec_infer.schema.schema import Schema

_LOOKED_AT = 1 << 16
"""Rows of a table among which golden ones are chosen."""

Columns: TypeAlias = dict[str, list[Any]]
Expected: TypeAlias = "Mapping[str, ArrayLike] | Callable[[list[dict[str, Any]]], Mapping[str, ArrayLike]]"


def _filled_up(columns: Columns, chosen: Sequence[int], added: Mapping[str, list[Any]]) -> Columns:
    """The chosen rows, at least 16, and after them rows that hold the added values."""
    base = [chosen[place % len(chosen)] for place in range(max(len(chosen), LEAST_ROWS))]
    further = max(map(len, added.values()), default=0)
    made: Columns = {}
    for name, values in columns.items():
        own = added.get(name, [])
        rest = [values[chosen[place % len(chosen)]] for place in range(len(own), further)]
        made[name] = [*(values[row] for row in base), *own, *rest]
    return made


def _added(fields: Sequence[Field], raw: RawRows, far: bool) -> dict[str, list[Any]]:
    """Values that the table may lack, with weights of those that have some."""
    found: dict[str, list[Any]] = {}
    for item in fields:
        found[item.name] = made_up(item, raw.limits.get(item.name, 2**63 - 1) if far else None)
        if isinstance(item, ListField) and item.weights:
            found[item.weights] = [
                None if values is None else [0.5 + place for place in range(len(values))]
                for values in found[item.name]
            ]
        if isinstance(item, ListField) and item.separator:
            joined = item.separator.join
            found[item.name] = [None if one is None else joined(one) for one in found[item.name]]
    return found


def _require_same(schema: Schema, rows: Any, expected: Mapping[str, ArrayLike]) -> None:
    report = check_features(schema, rows, expected)
    if report.skipped:
        raise SchemaError(f"expected: tensors of every field, got none of {', '.join(report.skipped)}")
    if not report.same:
        raise SchemaError("\n".join(str(check) for check in report.checks if check.first is not None))


def record_golden(
    schema: Schema, table: Any, model: str | os.PathLike[str] | bytes, expected: Expected | None = None
) -> Schema:
    """The same schema with golden rows: at least 16 of each field, with special values of each.

    Chosen are rows of the table that hold missing, unknown, empty, smallest, largest and otherwise
    different values. Where ``expected`` is no mapping, rows with values that the table may lack are
    added: what is missing, unknown or NaN where the field allows it, ends of vocabularies and ranges,
    empty and overlong lists.

    Parameters
    ----------
    schema : Schema
        Whatever golden rows it has are replaced.
    table : mapping, list of mappings, table
        As for `Model.score`, with a column for each field; others are left. Of a long one the first 65,536
        rows are looked at. Some rows are kept with the schema as they are, so make them up.
    model : path or bytes
        The model whose inputs the schema feeds.
    expected : mapping of str to array_like, or callable, optional
        What training makes: its tensors for all rows of the table, or a function that takes rows (a list of
        dictionaries) and gives them. All that it says is compared with what the schema makes. Without it
        what the schema makes now is recorded, which finds what changes later, not what differs from training.

    Returns
    -------
    Schema

    Raises
    ------
    SchemaError
        The schema is that of another model, or makes something else than training; names the field, the row
        and the transforms.
    InputError
        The table has fewer rows than are needed, or as for `Model.score`.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> from pyrec_infer.bundled import MODEL, SCHEMA, raw_items, raw_user
    >>> rows = [{**raw_user(), **item} for item in raw_items(100)]
    >>> schema = pi.record_golden(pi.Schema.load(SCHEMA), rows, MODEL)
    >>> schema.golden.count >= 16, schema.uncovered
    (True, ())
    """
    fitted = schema.fit(import_model(model_source(model)).graph)
    raw = RawRows(fitted.fields, fitted.limits)
    columns = plain_columns(schema.fields, table, _LOOKED_AT, whole=True)
    count = len(next(iter(columns.values()), ()))
    if not count:
        raise InputError("expected a table of at least one row, got none")
    known = known_fields(schema.fields)
    chosen = choose_rows(known, columns)
    added: dict[str, list[Any]]
    if isinstance(expected, Mapping):
        if count < LEAST_ROWS:
            raise RowCountError(f"expected a table of at least {LEAST_ROWS} rows, got {count}")
        whole = {name: values for name, values in raw_columns(table).items() if name in known}
        _require_same(schema, whole, expected)
        added = {}
    else:
        added = _added(schema.fields, raw, far=expected is None)
    rows = _filled_up(columns, chosen, added)
    if callable(expected):
        dicts = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        _require_same(schema, rows, expected(dicts))
    golden = golden_of(rows, tensors(fitted, raw, rows))
    return Schema([*schema.fields, *schema.combinations], golden)


__all__ = ["record_golden"]
