"""How far the scores of a lower precision are from those of float32, measured on sampled rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrec_infer.errors import PyrecError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Dim, Graph, Info, Node, Size
from pyrec_infer.ops import OPS, Trait, has
from pyrec_infer.ops.lookup_parts import LOOKUPS, lookup_parts

SAMPLED_ROWS = 1000

TOP = 100
"""Places of the ranking that are compared."""

_OTHER_SIZE = 8
"""What symbolic sizes other than the number of rows are in a sample."""

_OTHER_IDS = 10
"""Whole numbers that reach no table are below this."""

_UNLIMITED = np.iinfo(np.int64).max


class NotMeasurableError(PyrecError):
    """Rows for a model cannot be made up; the text says why."""


@dataclass(frozen=True)
class PrecisionReport:
    """The precision of a model's dense layers and what it costs.

    Attributes
    ----------
    precision : str
        As it was given to `load`.
    layers : int
        Dense layers that have it when all inputs come with the candidates; the others are in float32.
    rows : int
        Rows that were scored both ways; 0 where nothing was measured.
    max_error, mean_error : float
        Largest and mean absolute difference between the scores and those in float32.
    overlap : float
        Share of the 100 best rows (of all, if there are fewer) that are also the best in float32.
    note : str
        Why nothing was measured, or empty.
    """

    precision: str
    layers: int = 0
    rows: int = 0
    max_error: float = float("nan")
    mean_error: float = float("nan")
    overlap: float = float("nan")
    note: str = ""

    def __str__(self) -> str:
        if self.precision == "fp32":
            return "fp32"
        layers = "1 dense layer" if self.layers == 1 else f"{self.layers} dense layers"
        head = f"{self.precision} in {layers}, the others in fp32"
        if not self.rows:
            return f"{head}; error not measured: {self.note}"
        return (
            f"{head}; over {self.rows} rows the scores are up to {self.max_error:.2g} "
            f"({self.mean_error:.2g} on average) from those in fp32, and {self.overlap:.0%} of the best "
            f"{min(TOP, self.rows)} are the same"
        )


def compare_scores(precision: str, layers: int, exact: Array, narrow: Array) -> PrecisionReport:
    """The report on scores of the same rows in float32 and in another precision.

    Examples
    --------
    >>> import numpy as np
    >>> report = compare_scores("int8", 1, np.array([0.5, 0.25]), np.array([0.5, 0.5]))
    >>> report.max_error, report.mean_error, report.overlap
    (0.25, 0.125, 1.0)
    """
    rows = len(exact)
    exact, narrow = (scores.reshape(rows, -1).astype(np.float64) for scores in (exact, narrow))
    both = np.isfinite(exact) & np.isfinite(narrow)
    if not both.any():
        return PrecisionReport(precision, layers, note="no score is finite")
    errors = np.abs(exact - narrow)[both]
    count = min(TOP, rows)
    shares = []
    for old, new in zip(exact.T, narrow.T, strict=True):
        best = [set(np.argsort(-scores, kind="stable")[:count].tolist()) for scores in (old, new)]
        shares.append(len(best[0] & best[1]) / count)
    return PrecisionReport(
        precision, layers, rows, float(errors.max()), float(errors.mean()), float(np.mean(shares))
    )


def _small(size: Size) -> int:
    return size.coefficient if isinstance(size, Dim) else size


class _Tracer:
    """Follows the elements of the inputs through views to the tables that they choose rows of.

    Every element of an input has a number, its place. A value that consists of elements of inputs is
    known by their places and by what was added to them on the way.
    """

    def __init__(self, graph: Graph, infos: Mapping[str, Info], names: Sequence[str]) -> None:
        self._graph = graph
        self._infos = infos
        self.places: dict[str, Array] = {}
        self._added: dict[str, Array] = {}
        total = 0
        for name in names:
            shape = [_small(size) for size in infos[name].shape or ()]
            count = int(np.prod(shape))
            self.places[name] = np.arange(total, total + count).reshape(shape)
            self._added[name] = np.zeros(shape, np.int64)
            total += count
        self.low = np.zeros(total, np.int64)
        self.high = np.full(total, _UNLIMITED)
        for node in graph.nodes:
            self._visit(node)

    def _visit(self, node: Node) -> None:
        if node.op == "Gather" and node.inputs[0] in self._graph.constants:
            table = self._graph.constants[node.inputs[0]]
            if table.ndim:
                self._limit(node.inputs[1], -1, table.shape[int(node.attribute("axis", 0))])
        elif node.op in LOOKUPS:
            for part in lookup_parts(node):
                if part.table in self._graph.constants:
                    self._limit(part.source, part.column, len(self._graph.constants[part.table]))
        elif node.op == "Cast" and node.inputs[0] in self.places:
            self._set(node.outputs[0], self.places[node.inputs[0]], self._added[node.inputs[0]])
        elif node.op == "Add":
            self._shift(node)
        elif has(node, Trait.MOVES) and any(name in self.places for name in node.inputs):
            self._view(node)

    def _set(self, name: str, places: Array, added: Array) -> None:
        self.places[name], self._added[name] = places, added

    def _limit(self, name: str, column: int, count: int) -> None:
        if name not in self.places:
            return
        places, added = self.places[name], self._added[name]
        if column >= 0:
            places, added = places[:, column], added[:, column]
        np.minimum.at(self.high, places, count - added)
        np.maximum.at(self.low, places, -added)

    def _shift(self, node: Node) -> None:
        for source, constant in (node.inputs, node.inputs[::-1]):
            value = self._graph.constants.get(constant)
            if source in self.places and value is not None and value.dtype.kind in "iu":
                added = self._added[source] + value
                self._set(node.outputs[0], np.broadcast_to(self.places[source], added.shape), added)

    def _view(self, node: Node) -> None:
        both: list[list[Array | None]] = [[], []]
        for name in node.inputs:
            known: Array | None = None
            if name in self.places:
                both[0].append(self.places[name])
                both[1].append(self._added[name])
                continue
            if name:
                contents = self._infos[name].contents
                known = self._graph.constants.get(name)
                if known is None and contents is not None:
                    sizes = [_small(size) for size in contents.reshape(-1)]
                    known = np.asarray(sizes, np.int64).reshape(contents.shape)
                if known is None:
                    return
            both[0].append(known)
            both[1].append(known)
        try:
            made = [OPS[node.op].evaluate(node, inputs) for inputs in both]
        except (PyrecError, ValueError, IndexError) as error:
            let_interrupts_pass(error)
            return  # a view of other sizes than these
        for name, places, added in zip(node.outputs, *made, strict=True):
            if name:
                self._set(name, places, added)


def _sampled_shape(info: Info, rows: int) -> list[int]:
    shape = []
    for axis, size in enumerate(info.shape or ()):
        if axis == info.rows:
            shape.append(rows)
        elif isinstance(size, Dim) and size.coefficient != 1:
            raise NotMeasurableError("an input has sizes that depend on each other")
        else:
            shape.append(_OTHER_SIZE if isinstance(size, Dim) else size)
    return shape


def sample_inputs(
    graph: Graph, infos: Mapping[str, Info], names: Sequence[str], rows: int = SAMPLED_ROWS
) -> dict[str, Array]:
    """Rows for some inputs of a graph: random ids of the tables that they reach, else random numbers.

    Raises
    ------
    NotMeasurableError
        An input is of strings or of a shape that cannot be guessed.
    """
    for name in names:
        dtype = infos[name].dtype
        if dtype is None or infos[name].shape is None or dtype.kind not in "fiub":
            of = "strings" if dtype is not None and dtype.kind in "UO" else "an unknown type"
            raise NotMeasurableError(f"an input is of {of}")
    shapes = {name: _sampled_shape(infos[name], rows) for name in names}
    tracer = _Tracer(graph, infos, names)
    random = np.random.default_rng(0)
    made: dict[str, Array] = {}
    for name in names:
        wanted: np.dtype[Any] = np.dtype(infos[name].dtype)
        low, high = (
            np.broadcast_to(limits[tracer.places[name]], shapes[name]) for limits in (tracer.low, tracer.high)
        )
        reaches = high != _UNLIMITED
        high = np.where(reaches, high, _OTHER_IDS if wanted.kind != "b" else 2)
        if (low >= high).any():
            raise NotMeasurableError("no id fits the tables that an input reaches")
        ids = random.integers(low, high)
        numbers = random.standard_normal(shapes[name]) if wanted.kind == "f" else ids
        made[name] = np.where(reaches, ids, numbers).astype(wanted)
    return made
