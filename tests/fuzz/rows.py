"""Random schemas and rows: the same answer whichever way rows are given, and that of plain Python."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
from support.bag_models import WEIGHTS

import pyrec_infer as pi
from pyrec_infer.arguments import RawRows
from pyrec_infer.backends.select import select_backend
from pyrec_infer.errors import PyrecError
from pyrec_infer.features.fields import Combination, Field
from pyrec_infer.formats import import_model
from pyrec_infer.schema.checking import served_tensors, tensors

from . import bags, forms, oracle, schemas
from .damage import damaged_json
from .exercise import MAX_BYTES, Calls, FindingError, Outcomes
from .values import strange

Rows = list[dict[str, Any]]
HOSTILE = (0.0, 0.1, 0.4)
"""Shares of values that no field takes, for one set of rows after another."""


def exercise_rows(seed: int) -> Outcomes:
    """Score rows of a random schema in many ways.

    Raises
    ------
    FindingError
        As of `exercise`; also where plain Python makes something else of the rows, or takes what is refused
        or the reverse, or where an error names another field or row.
    """
    call, random = Calls(), Random(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if random.random() < 0.15:
            _exercise_bags(call, random)
            return call.outcomes
        made, inputs = schemas.schema(random)
        source = schemas.model(inputs).SerializeToString()
        schema = call("schema", lambda: pi.Schema(made))
        if schema is None:
            return call.outcomes
        again = pi.Schema.from_json(schema.to_json())
        if again != schema:
            raise FindingError("property json", "another schema")
        model = call("load", lambda: pi.load(source, schema=again))
        if model is not None:
            for hostile in HOSTILE:
                _Session(call, random, made, inputs, model, hostile).all(source)
        _exercise_json(call, random, schema, source)
    return call.outcomes


def _shown(value: Any) -> str:
    return f"{type(value).__name__}: {value}"[:400]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, PyrecError) or isinstance(other, PyrecError):
        return type(one) is type(other) and str(one) == str(other)
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _require_same(what: str, found: Any, expected: Any) -> None:
    if not _same(found, expected):
        raise FindingError(f"property {what}", f"{_shown(found)}, expected {_shown(expected)}")


def _given(random: Random, rows: Rows) -> tuple[str, Any]:
    """Rows in one of the ways, and its name."""
    if not rows[0]:
        return "nothing", {}
    if len(rows) == 1 and random.random() < 0.4:
        return "dictionary", rows[0]
    name = random.choice([*forms.FORMS])
    return name, forms.FORMS[name](random, rows)


def _require_named(
    error: PyrecError, refused: Sequence[tuple[str, int]], made: Sequence[Field | Combination]
) -> None:
    """An error has to name one of the fields and rows that plain Python refuses, or what it is made of."""
    text = str(error)
    sources = {
        item.name: (item.name, *getattr(item, "of", ()), getattr(item, "weights", "") or item.name)
        for item in made
    }
    named = [(name, row) for name, row in refused if any(f"'{one}" in text for one in sources[name])]
    if not any(f"(row {row})" in text for _, row in named):
        raise FindingError("property named", f"{_shown(error)}, expected one of {refused}")


class _Session:
    """The calls of one set of rows."""

    def __init__(
        self,
        call: Calls,
        random: Random,
        made: list[Field | Combination],
        inputs: schemas.Inputs,
        model: pi.Model,
        hostile: float,
    ) -> None:
        self.call, self.random, self.model, self.made = call, random, model, made
        self.fields = [item for item in made if isinstance(item, Field)]
        rows = schemas.rows(random, self.fields, random.choice((1, 2, 3, 7, 20)), hostile)
        shared = self._side(rows[:1], "request")
        self.request, self.others = shared, self._side(rows, "item", "candidate")
        if not self.others[0]:
            self.others, rows = [{}], rows[:1]
        self.rows = [{**row, **shared[0]} for row in rows]
        self.tensors, self.refused, self.sure = oracle.tensors(made, inputs, self.rows)

    def _side(self, rows: Rows, *sides: str) -> Rows:
        own = [item for item in self.fields if item.side in sides]
        names = {name for item in own for name in (item.name, getattr(item, "weights", ""))}
        return [{name: value for name, value in row.items() if name in names} for row in rows]

    def _outcome(self, name: str, request: Any, others: Any) -> Any:
        """Scores, or the error."""
        try:
            return self.call.raising(name, lambda: self.model.score(request, others))
        except PyrecError as error:
            return error

    def all(self, source: bytes) -> None:
        request, others = forms.read_in_python(self.request), forms.read_in_python(self.others)
        base = self._outcome("score rows", request, others)
        self._judge(base)
        if not isinstance(base, PyrecError):
            if self.sure:
                self._compare_tensors(source)
            self._other_calls(base)
            self._catalog(base)
        for _ in range(3):
            first, given = _given(self.random, self.request)
            second, rest = _given(self.random, self.others)
            found = self._outcome(f"score {second}", given, rest)
            if isinstance(base, PyrecError) and isinstance(found, PyrecError):
                self._judge(found)
            else:
                _require_same(f"form {first} {second}", found, base)
        self._strange()

    def _judge(self, found: Any) -> None:
        """Whether the rows had to be scored, or to be refused, and for what."""
        if not self.sure:
            return
        if isinstance(found, PyrecError):
            _require_named(found, self.refused, self.made)
        elif self.refused:
            raise FindingError("property accepted", f"expected a refusal of {self.refused}")

    def _compare_tensors(self, source: bytes) -> None:
        fitted = pi.Schema(self.made).fit(import_model(source).graph)
        raw = RawRows(fitted.fields, fitted.limits)
        for found in (
            served_tensors(fitted, raw, self.rows, select_backend()),
            tensors(fitted, raw, self.rows),
        ):
            for name, value in self.tensors.items():
                if value.dtype.kind == "f":
                    same = np.isclose(found[name], value, rtol=1e-6, atol=1e-7, equal_nan=True)
                else:
                    same = found[name] == value
                if found[name].shape != value.shape or not np.all(same):
                    raise FindingError(f"property tensor {value.dtype}", f"{name} {found[name]} {value}")

    def _other_calls(self, base: Any) -> None:
        """The same scores from groups of candidates and prepared calls, and the best of them."""
        call, model, request, others = self.call, self.model, self.request, self.others
        size = len(others)
        groups = call.required(
            "groups", lambda: model.score(request * 2, others * 2, offsets=[0, size, 2 * size])
        )
        _require_same("groups", groups, np.concatenate([base, base]))
        best = call.required("top_k rows", lambda: model.top_k(request[0], others, k=3))
        order = np.argsort(-np.where(np.isnan(base), -np.inf, base), kind="stable")
        if not np.isnan(base).any() and best.ids.tolist() != order[:3].tolist():
            raise FindingError("property top_k", f"{best}, expected {order[:3]}")
        _require_same("top_k", best.scores, base[best.ids])
        if others[0]:
            prepared = call.required("prepare rows", lambda: model.prepare([*request[0]], [*others[0]]))
            values = [*request[0].values(), *forms.columns(others).values()]
            _require_same("prepared", call.required("prepared rows", lambda: prepared(*values)), base)

    def _catalog(self, base: Any) -> None:
        call, random = self.call, self.random
        items, late = self._side(self.others, "item"), self._side(self.others, "candidate")
        if not items[0]:
            return
        given, names, ids = _given(random, items)[1], [*late[0]], np.arange(len(items))
        # Strings of items that are combined with those of requests are refused.
        catalog = call("catalog of rows", lambda: self.model.catalog(given, candidates=names))
        if catalog is None:
            return
        if random.random() < 0.5:
            again = _given(random, items[::-1])[1]
            call.required("upsert of rows", lambda: catalog.upsert(again, ids[::-1]))
        request, rest = _given(random, self.request)[1], _given(random, late)[1] if names else None
        found = call.required("catalog score of rows", lambda: catalog.score(request, ids, rest))
        if not np.allclose(found, base, rtol=1e-5, atol=1e-5, equal_nan=True):
            raise FindingError("property catalog", f"{_shown(found)}, expected {_shown(base)}")

    def _strange(self) -> None:
        """A value of a type that hardly any field takes, in one place."""
        rows = [dict(row) for row in (self.others if self.others[0] else self.request)]
        value = strange(self.random)
        if not rows[0] or hasattr(value, "__next__"):
            return
        self.random.choice(rows)[self.random.choice([*rows[0]])] = value
        found = [
            self._outcome("score strange", given, self.others)
            if not self.others[0]
            else self._outcome("score strange", self.request, given)
            for given in (rows, forms.read_in_python(rows), forms.columns(rows))
        ]
        _require_same("strange", found[0], found[1])


def _exercise_json(call: Calls, random: Random, schema: pi.Schema, source: bytes) -> None:
    text = damaged_json(random, schema.as_dict())
    made = call("damaged schema", lambda: pi.Schema.from_json(text))
    if made is None:
        return
    again = call.required("damaged schema again", lambda: pi.Schema.from_json(made.to_json()))
    if again != made:
        raise FindingError("property damaged json", "another schema")
    model = call("load damaged", lambda: pi.load(source, schema=made, max_bytes=MAX_BYTES))
    if model is None:
        return
    rows = schemas.rows(random, [*made.fields], 3, 0.1)
    call("score damaged", lambda: model.score({}, rows))


def _exercise_bags(call: Calls, random: Random) -> None:
    """Lists without padding, whose tensors the model gets by itself too."""
    source, item = bags.bag_field(random)
    plain = pi.load(source)
    model = pi.load(source, schema=pi.Schema([item]))
    for hostile in HOSTILE:
        rows = schemas.rows(random, [item], random.choice((1, 2, 5, 20)), hostile)
        x = np.random.default_rng(len(rows)).random((len(rows), len(WEIGHTS) - 4), np.float32)
        expected, refused = bags.expected(plain, item, rows, x)
        name, given = random.choice(
            (
                ("lists", forms.columns(rows)),
                ("arrow", forms.columns_of_arrow(random, rows)),
                ("numpy", forms.with_numpy(random, rows)),
            )
        )
        try:
            found = call.raising(f"bags {name}", lambda given=given, x=x: model.score({}, {**given, "x": x}))
        except PyrecError as error:
            _require_named(error, refused, [item])
            continue
        if refused:
            raise FindingError("property bags accepted", f"expected a refusal of {refused}")
        if not np.allclose(found, expected, rtol=1e-5, atol=1e-6):
            raise FindingError(f"property bags {name}", f"{_shown(found)}, expected {_shown(expected)}")
