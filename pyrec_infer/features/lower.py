"""From a schema to the part of a graph that stands in front of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pyrec_infer.features.fields import Combination, Field, ListField, Target, kinds_of
from pyrec_infer.features.transforms.counts import NOWHERE
from pyrec_infer.features.transforms.transform import Kind, Transform
from pyrec_infer.ir import BATCH, STRING, Array, Dim, Graph, Info, Rows, verify
from pyrec_infer.ops.core.interpret import interpret
from pyrec_infer.passes.common.writer import Writer
from pyrec_infer.passes.load.prepend_features import Front

DTYPES: Mapping[Kind, np.dtype[Any]] = {
    "string": STRING,
    "integer": np.dtype(np.int64),
    "number": np.dtype(np.float64),
}


def missing_input(name: str) -> str:
    """The input that says which rows have no value of a field."""
    return f"{name} (missing)"


def count_input(name: str) -> str:
    """The input with the number of values in each row of a list."""
    return f"{name} (count)"


def offset_input(name: str) -> str:
    """The input with the place where each row of a list begins."""
    return f"{name} (offset)"


def raw_inputs(item: Field) -> Iterator[tuple[str, Info]]:
    """The inputs that a field's raw values come in; the model says more of lists without padding."""
    rows = Dim.symbol(BATCH)
    if isinstance(item, ListField):
        flat = Dim.symbol(item.name)
        shape, axis = ((flat,), Rows.INVARIANT) if item.ragged else ((rows, item.length), 0)
        yield item.name, Info(DTYPES[item.dtype], shape, axis)
        if item.weights:
            yield item.weights, Info(DTYPES["number"], shape, axis)
        if item.offsets_to:
            yield offset_input(item.name), Info(DTYPES["integer"], (rows,), 0)
        if item.lengths_to or not item.ragged:
            yield count_input(item.name), Info(DTYPES["integer"], (rows,), 0)
        return
    yield item.name, Info(DTYPES[item.dtype], (rows,), 0)
    if item.flags_missing:
        yield missing_input(item.name), Info(np.dtype(np.bool_), (rows,), 0)


@dataclass
class _Parts:
    """What the columns of an input are fed with: the value of each first column, and its columns."""

    values: dict[int, tuple[str, int]] = field(default_factory=dict)


class _Lowering:
    """Writes the graph of one schema."""

    def __init__(self, infos: Mapping[str, Info], endless: frozenset[str]) -> None:
        self.infos = infos
        self.endless = endless
        self.inputs: dict[str, Info] = {}
        self.writer = Writer()
        self.whole: dict[str, str] = {}
        self.columns: dict[str, _Parts] = {}
        self.combined: dict[str, str] = {}

    def field(self, item: Field) -> None:
        self.writer.begin(f"{item.name}/feature", f"field {item.name}")
        self.inputs.update(raw_inputs(item))
        if isinstance(item, ListField):
            there = None if item.ragged else self.places(item)
            each = item.transforms if item.counts is None else item.transforms[:-1]
            value = self.transformed(item.name, each, item.dtype, there)
            self.ragged(item, value) if there is None else self.list(item, value, there)
            return
        place, stand_in = item.unknown() or (0, 0)
        if item.missing != "oov":
            place, stand_in = len(item.transforms), item.default if item.missing == "id" else 0
        before, after = item.transforms[:place], item.transforms[place:]
        present = self.writer.node("Not", missing_input(item.name)) if item.flags_missing else None
        value, kind = self.transformed(item.name, before, item.dtype, present), item.kinds()[place]
        if item.flags_missing:
            constant = self.writer.constant(stand_in, DTYPES[kind])
            gone = missing_input(item.name)
            if before and before[-1].width:
                gone = self.writer.node("Unsqueeze", gone, self.writer.constant([1], np.int64))
            value = self.writer.node("Where", gone, constant, value)
        self.feed(item.to, self.transformed(value, after, kind), item.width(), self.bounded(item))

    def transformed(
        self, value: str, transforms: Sequence[Transform], kind: Kind, present: str | None = None
    ) -> str:
        """What transforms make; ``present`` says which places hold a value, where not all do."""
        for transform in transforms:
            value = transform.write(self.writer, value, kind)
            kind = transform.gives(kind)
            value = self.refused(value, transform.refuses(), present)
        return value

    def refused(self, value: str, known: int, present: str | None) -> str:
        """The ids, where one that is not among the known ones is an error: they are looked up in a table."""
        if not known:
            return value
        if present is not None:
            value = self.writer.node("Where", present, value, self.writer.constant(0, np.int64))
        return self.writer.node("Gather", self.writer.constant(range(known), np.int64), value, axis=0)

    def places(self, item: ListField) -> str:
        """Which places of padded lists hold a value."""
        places = np.arange(item.length)
        if item.pad == "left":
            places = item.length - 1 - places
        counts = self.writer.node("Unsqueeze", count_input(item.name), self.writer.constant([1], np.int64))
        return self.writer.node("Less", self.writer.constant(places, np.int64), counts)

    def ragged(self, item: ListField, value: str) -> None:
        """Values as they are; what tells them apart reaches the model untouched, as it looks for inputs."""
        weights = (item.weights_to,) if item.weights_to else ()
        own, others = (item.name, value), (item.weights, item.weights)
        for targets, (raw, made) in ((item.to, own), (weights, others)):
            if targets:
                of_model = self.infos[str(targets[0])]
                self.inputs[raw] = replace(of_model, dtype=self.inputs[raw].dtype)
                self.feed(targets, made, 1, targets is weights or self.bounded(item))
        apart = {item.offsets_to: offset_input(item.name), item.lengths_to: count_input(item.name)}
        for target, name in apart.items():
            if target:
                self.inputs[name] = self.infos[target]
                self.whole[target] = name

    def list(self, item: ListField, value: str, there: str) -> None:
        count, length = count_input(item.name), item.length
        if item.counts is None:
            padding = self.writer.constant(item.padding, DTYPES[item.kinds()[-1]])
            made = self.writer.node("Where", there, value, padding)
        else:
            nowhere = self.writer.constant(NOWHERE, np.int64)
            made = item.counts.of_lists(self.writer, self.writer.node("Where", there, value, nowhere))
        self.feed(item.to, made, item.width(), self.bounded(item))
        if item.weights_to:
            zero = self.writer.constant(0, DTYPES["number"])
            weights = self.writer.node("Where", there, item.weights, zero)
            self.feed((item.weights_to,), weights, length, True)
        if item.lengths_to:
            self.feed((item.lengths_to,), count, 0)
        if item.mask_to:
            self.feed((item.mask_to,), there, length)

    def combination(self, item: Combination, kinds: Sequence[Kind]) -> None:
        self.writer.begin(f"{item.name}/feature", f"field {item.name}")
        kind = item.kind(kinds)
        of = [self.combined.get(name, name) for name in item.of]
        value = of[0] if item.by is None else item.by.write(self.writer, of, kinds)
        self.combined[item.name] = self.transformed(value, item.transforms, kind)
        self.feed(item.to, self.combined[item.name], item.width(), self.endless.isdisjoint(item.of))

    def bounded(self, item: Field) -> bool:
        """Whether the field gives finite numbers, which the model's type has to hold."""
        return item.name not in self.endless

    def feed(self, targets: Sequence[Target], value: str, length: int, bounded: bool = False) -> None:
        """Let a value [N], or a list [N, length], be an input, or columns of one.

        A finite number that the input's type would make infinite is refused if it is ``bounded``.
        """
        for target in targets:
            name = target if isinstance(target, str) else target[0]
            dtype = self.infos[name].dtype
            cast = value
            if bounded and dtype is not None and dtype.kind == "f" and dtype.itemsize < 8:
                cast = self.writer.node("Cast", value, to=dtype.name, require_finite=1)
            elif dtype is not None and dtype != STRING:
                cast = self.writer.node("CastLike", value, self.writer.constant(0, dtype))
            if isinstance(target, str):
                self.whole[name] = cast if length else self.with_axes(cast, name)
            else:
                self.columns.setdefault(name, _Parts()).values[target[1]] = cast, length

    def with_axes(self, value: str, name: str) -> str:
        """The values with the axes of size 1 that the input has behind its rows."""
        shape = self.infos[name].shape or ()
        axes = self.writer.constant(range(1, len(shape)), np.int64)
        return self.writer.node("Unsqueeze", value, axes) if len(shape) > 1 else value

    def finish(self) -> Front:
        self.writer.begin("columns", "columns of fields")
        one = self.writer.constant([1], np.int64)
        for name, parts in self.columns.items():
            joined = [
                value if length else self.writer.node("Unsqueeze", value, one)
                for _, (value, length) in sorted(parts.values.items())
            ]
            self.whole[name] = self.writer.node("Concat", *joined, axis=1)
        outputs = tuple(dict.fromkeys(self.whole.values()))
        graph = Graph(
            tuple(self.inputs), outputs, tuple(self.writer.nodes), self.writer.constants, self.inputs
        )
        verify(graph, "the schema")
        return Front(graph, dict(self.whole))


def lower(fields: Sequence[Field], combinations: Sequence[Combination], infos: Mapping[str, Info]) -> Front:
    """The graph that makes a model's inputs of raw values.

    Parameters
    ----------
    fields, combinations
        Of a schema that fits the model.
    infos : mapping of str to Info
        Of the model's inputs.
    """
    lowering = _Lowering(infos, frozenset(item.name for item in fields if item.infinity == "keep"))
    kinds = kinds_of(fields, combinations)
    for item in fields:
        lowering.field(item)
    for made in combinations:
        lowering.combination(made, [kinds[name] for name in made.of])
    return lowering.finish()


def first_unknown(item: Field, values: Array) -> int | None:
    """The place of the first raw value of a field that its transforms refuse; None if they take all."""
    writer, value, kind = Writer(), item.name, item.dtype
    for transform in item.transforms:
        value, kind = transform.write(writer, value, kind), transform.gives(kind)
        known = transform.refuses()
        if known:
            infos = {item.name: Info(DTYPES[item.dtype], (Dim.symbol(item.name),))}
            graph = Graph((item.name,), (value,), tuple(writer.nodes), writer.constants, infos)
            ids = np.asarray(interpret(graph, [values])[0])
            wrong = np.flatnonzero((ids < 0) | (ids >= known))
            if wrong.size:
                return int(wrong[0])
    return None


__all__ = ["DTYPES", "count_input", "first_unknown", "lower", "missing_input", "offset_input", "raw_inputs"]
