"""What a schema makes of rows, worked out value by value in plain Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

import pyrec_infer as pi
from pyrec_infer import features as f
from pyrec_infer.features.fields import Combination, Field, ListField
from pyrec_infer.features.transforms import Transform

from .schemas import Inputs


class Refused(Exception):
    """A value that no input takes."""


class Unsure(Exception):
    """A value at an edge that this file has no rule for."""


def _bucket(step: f.Hash, value: Any) -> int:
    if step.mask is not None and value == step.mask:
        return 0
    first = int(step.mask is not None and step.buckets > 1)
    return first + int(pi.hash_to_bucket([value], buckets=step.buckets - first, scheme=step.scheme)[0])


def _place(step: f.Vocabulary, value: Any) -> int:
    masks = int(step.mask is not None)
    if masks and value == step.mask:
        return 0
    known = list(step.values)
    if value in known:
        return masks + known.index(value) + (0 if step.oov_last else step.oov)
    if not step.oov:
        raise Refused
    begin = masks + (len(known) if step.oov_last else 0)
    if step.oov == 1:
        return begin
    if isinstance(value, int):
        return begin + value % step.oov
    return begin + int(pi.hash_to_bucket([value], buckets=step.oov)[0])


def _part(name: str, value: int) -> int:
    if abs(value) > 10**10:
        raise Unsure
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)
    return moment.weekday() if name == "weekday" else int(getattr(moment, name))


def _of_number(step: Transform, value: Any) -> Any:
    x = np.float64(value)
    with np.errstate(all="ignore"):
        if isinstance(step, f.Log1p):
            return np.log1p(x)
        if isinstance(step, f.Standardise):
            return (x - step.mean) / step.deviation
        if isinstance(step, f.MinMax):
            return (x - step.low) / (step.high - step.low)
        if isinstance(step, f.Sign):
            return np.sign(x)
    if isinstance(step, f.Clip):
        x = x if step.low is None or not x < step.low else np.float64(step.low)
        return x if step.high is None or not x > step.high else np.float64(step.high)
    assert isinstance(step, f.Bucketise)
    return sum(bool(x > bound if step.right else x >= bound) for bound in step.boundaries)


def _step(step: Transform, value: Any) -> Any:
    if isinstance(step, f.Text):
        return getattr(value, step.change)()
    if isinstance(step, f.Prefix):
        return step.text + str(value)
    if isinstance(step, f.Hash):
        return _bucket(step, value)
    if isinstance(step, f.Vocabulary):
        return _place(step, value)
    if isinstance(step, f.Lookup):
        return dict(zip(step.keys, step.values, strict=True)).get(value, step.default)
    if isinstance(step, f.Modulo):
        return value % step.divisor
    if isinstance(step, f.Shift):
        return value + step.by
    if isinstance(step, f.DatePart):
        return _part(step.part, value)
    if isinstance(step, f.OneHot):
        return [float(place == value) for place in range(step.size)]
    return _of_number(step, value)


def _through(steps: Sequence[Transform], value: Any) -> Any:
    for step in steps:
        value = _step(step, value)
        if isinstance(value, int) and not -(2**62) < value < 2**62:
            raise Unsure
    return value


def _present(item: Field, raw: Any) -> Any:
    """The raw value, the default, or None where a rule stands in for it."""
    missing = raw is None or (isinstance(raw, float) and math.isnan(raw) and item.nan == "missing")
    if missing:
        if item.missing == "error":
            raise Refused
        return item.default if item.missing == "default" else None
    number = isinstance(raw, float)
    if number and math.isnan(raw) and item.nan == "error":
        raise Refused
    if number and math.isinf(raw) and item.infinity == "error":
        raise Refused
    return raw


def single(item: Field, raw: Any) -> Any:
    """What a field of one value makes of it."""
    value = _present(item, raw)
    if value is not None:
        return _through(item.transforms, value)
    if item.missing == "oov":
        known = item.unknown()
        assert known is not None
        return _through(item.transforms[known[0] :], known[1])
    zero = "0" if item.kinds()[-1] == "string" else item.default if item.missing == "id" else 0
    return [0.0] * item.width() if item.width() else zero


def several(item: ListField, raw: Any, weights: Any) -> dict[str, Any]:
    """The parts of a list, each padded."""
    if raw is None and item.missing == "error":
        raise Refused
    if item.separator:
        raw = raw.split(item.separator) if raw else []
    values = [] if raw is None else raw
    if item.most and len(values) > item.most:
        raise Refused
    found = []
    for value in values:
        present = _present(item, value)
        if present is None:
            raise Refused
        found.append(present)
    if item.weights and len(weights) != len(values):
        raise Refused
    most = item.length or len(found)

    def kept(parts: list[Any]) -> list[Any]:
        return parts[max(len(parts) - most, 0) :] if item.keep == "last" else parts[:most]

    made = [_through(item.transforms, value) for value in kept(found)]
    blank = str(item.padding) if item.kinds()[-1] == "string" else item.padding
    gap = 0 if item.ragged else item.length - len(made)

    def padded(parts: list[Any], blank: Any) -> list[Any]:
        return [blank] * gap + parts if item.pad == "left" else parts + [blank] * gap

    parts = {"value": padded(made, blank), "length": len(made), "mask": padded([1] * len(made), 0)}
    if item.weights:
        parts["weight"] = padded(kept(list(weights)), 0)
    return parts


def combined(item: Combination, raw: Mapping[str, Any]) -> Any:
    """What several values together become."""
    values = [raw[name] for name in item.of]
    if item.by is None:
        return _through(item.transforms, values[0])
    if isinstance(item.by, f.Since):
        if any(abs(value) >= 2**62 for value in values):
            raise Unsure
        value: Any = max(values[0] - values[1], 0)
        value = value if item.by.most is None else min(value, item.by.most)
    elif isinstance(item.by, f.Join):
        value = str(values[0])
        for between, text in zip(item.by.between, values[1:], strict=True):
            value += between + str(text)
    else:
        own = {"buckets": item.by.buckets, "scheme": item.by.scheme}
        value = int(pi.cross_to_bucket([[one] for one in values], **own)[0])
    return _through(item.transforms, value)


def fits(value: Any, dtype: str, bounded: bool) -> None:
    """Refuse a number that the type of an input rounds, cuts or, where it is bounded, makes infinite."""
    if isinstance(value, list):
        for one in value:
            fits(one, dtype, bounded)
    elif isinstance(value, int) and not isinstance(value, bool) and dtype != "str":
        exact = {"float16": 2**11, "float32": 2**24, "float64": 2**53}.get(dtype)
        low, high = (-exact, exact) if exact else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not low <= value <= high:
            raise Refused
        if abs(value) > high - 1000 and high > 1000:
            raise Unsure
    elif bounded and isinstance(value, float) and dtype.startswith("float"):
        with np.errstate(over="ignore"):
            if math.isfinite(value) and not np.isfinite(np.dtype(dtype).type(value)):
                raise Refused


def row_of(fields: Sequence[Field | Combination], row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each field, what its parts become of one row; or why they don't."""
    made: dict[str, dict[str, Any]] = {}
    raw: dict[str, Any] = {}
    for item in fields:
        try:
            if isinstance(item, ListField):
                made[item.name] = several(item, row[item.name], row.get(item.weights))
            elif isinstance(item, Field):
                made[item.name] = {"value": single(item, row[item.name])}
                if not item.flags_missing:
                    raw[item.name] = _present(item, row[item.name])
            else:
                made[item.name] = {"value": combined(item, raw)}
                raw[item.name] = made[item.name]["value"]
        except KeyError:
            made[item.name] = {"error": Refused()}
        except (Refused, Unsure) as error:
            made[item.name] = {"error": error}
    return made


def feeds(item: Field | Combination) -> list[tuple[Any, str]]:
    """What a field feeds, and with which of its parts."""
    found: list[tuple[Any, str]] = [(target, "value") for target in item.to]
    if isinstance(item, ListField):
        parts = {"length": item.lengths_to, "mask": item.mask_to, "weight": item.weights_to}
        found += [(target, part) for part, target in parts.items() if target]
    return found


def tensors(
    fields: Sequence[Field | Combination], inputs: Inputs, rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], list[tuple[str, int]], bool]:
    """The model's inputs, the fields and rows that are refused, and whether that is sure."""
    made = {
        name: np.zeros((len(rows), *shape[1:]), object if dtype == "str" else dtype)
        for name, (dtype, shape) in inputs.shapes.items()
    }
    refused: list[tuple[str, int]] = []
    sure = True
    endless = {item.name for item in fields if isinstance(item, Field) and item.infinity == "keep"}
    for place, row in enumerate(rows):
        for name, parts in row_of(fields, row).items():
            item = next(one for one in fields if one.name == name)
            try:
                if "error" in parts:
                    raise parts["error"]
                bounded = endless.isdisjoint(getattr(item, "of", (name,)))
                for target, part in feeds(item):
                    fits(parts[part], inputs.shapes[_input(target)][0], bounded or part == "weight")
                    _put(made, target, parts[part], place)
            except Refused:
                refused.append((name, place))
            except Unsure:
                sure = False
    return made, refused, sure


def _input(target: Any) -> str:
    return str(target if isinstance(target, str) else target[0])


def _put(made: dict[str, Any], target: Any, value: Any, place: int) -> None:
    with np.errstate(all="ignore"):
        if isinstance(target, str):
            made[target][place] = value
        else:
            width = len(value) if isinstance(value, list) else 1
            made[target[0]][place, target[1] : target[1] + width] = value
