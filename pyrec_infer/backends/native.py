"""The native backend: a plan as one C++ object, run by one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np

from pyrec_infer.backends.base import Callback, Fallbacks, guarded
from pyrec_infer.backends.numba import NumbaExecutor
from pyrec_infer.errors import IdRangeError, PyrecError, ResourceLimitError
from pyrec_infer.extension import native
from pyrec_infer.ir import Array, Dim, Forest, ForestDivision, Info, Linear, Node, holds_strings
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core.texts import PARTLY_NATIVE
from pyrec_infer.ops.hashed import native_attributes
from pyrec_infer.ops.scans import scan_attributes
from pyrec_infer.ops.strings import letter_attributes
from pyrec_infer.ops.tokens import pattern_attributes
from pyrec_infer.passes.load.resolve_sizes import MAX_FACTORS
from pyrec_infer.plan import Phase, Plan, Runner
from pyrec_infer.plan.sources import lookup_labels, node_label
from pyrec_infer.top_k import Ranked, Selection

StepTuple = tuple[str, str, list[int], list[int], list[int], dict[str, Any], list[Any], Callback | None, bool]
ProgramTuple = tuple[list[StepTuple], int, list[int], list[int], list[tuple[int, Any]]]


@cache
def native_ops() -> frozenset[str]:
    """Operators with a C++ form."""
    return frozenset(native.op_names())


def runner_of(node: Node) -> Runner:
    """What runs a node, its bodies included."""
    if node.op not in OPS:
        return "onnxruntime"
    return "native" if node.op in native_ops() else "numpy"


def _released(nodes: Sequence[Node], kept: Set[str]) -> list[list[str]]:
    """For each node the values that nothing reads after it."""
    last: dict[str, int] = {}
    for index, node in enumerate(nodes):
        last.update((name, index) for name in (*node.inputs, *node.outputs) if name)
    found: list[list[str]] = [[] for _ in nodes]
    for name, index in last.items():
        if name not in kept:
            found[index].append(name)
    return found


def plain_attributes(node: Node) -> dict[str, Any]:
    """A node's attributes as numbers, texts, lists and arrays: those of a learned model by themselves."""
    found: dict[str, Any] = {}
    for key, value in node.attributes.items():
        if isinstance(value, (Forest, ForestDivision, Linear)):
            model = value.chained if isinstance(value, Forest) else value
            found.update({part.name: getattr(model, part.name) for part in fields(model)})
        else:
            found[key] = value
    return found


class _Lowering:
    """Numbers values as slots and writes steps."""

    def __init__(self, plan: Plan, fallbacks: Fallbacks) -> None:
        self.fallbacks = fallbacks
        self.infos = plan.infos
        self.sources = plan.sources
        self.symbols = {name: number for number, name in enumerate(plan.symbols())}

    def attributes(self, node: Node) -> dict[str, Any]:
        found = plain_attributes(node)
        if node.op == "pyrec.DimValues":
            numbers: list[int] = []
            sizes: tuple[Dim, ...] = found.pop("sizes")
            for size in sizes:
                own = [self.symbols[name] for name in size.symbols]
                numbers.extend([*own, *[-1] * (MAX_FACTORS - len(own))])
            found["coefficients"] = tuple(size.coefficient for size in sizes)
            found["symbols"] = tuple(numbers)
        if node.op in ("Loop", "Scan"):
            unknown = Info(None, None)
            found.update(scan_attributes(node, [self.infos.get(name, unknown) for name in node.outputs]))
        found.update(native_attributes(node))
        found.update(pattern_attributes(node))
        found.update(letter_attributes(node))
        if labels := lookup_labels(node, self.sources):
            found["labels"] = labels
        return {
            key: np.ascontiguousarray(value).reshape(value.shape) if isinstance(value, np.ndarray) else value
            for key, value in found.items()
        }

    def program(
        self,
        nodes: Iterable[Node],
        inputs: Sequence[str],
        outputs: Sequence[str],
        constants: Mapping[str, Array],
    ) -> ProgramTuple:
        slots: dict[str, int] = {}

        def slot(name: str) -> int:
            return slots.setdefault(name, len(slots)) if name else -1

        for name in inputs:
            slot(name)
        ordered = list(nodes)
        made = {name for node in ordered for name in node.outputs}
        copied: dict[str, str] = {}
        for name in outputs:
            # A program's output is always made by one of its steps.
            if name not in made and name in constants and name not in copied:
                copied[name] = f"{name}/copy"
                ordered.append(Node("Identity", (name,), (copied[name],)))
        results = [copied.get(name, name) for name in outputs]
        used: dict[str, Array] = {}
        for node in ordered:
            for name in node.inputs:
                if name in constants and name not in made:
                    used[name] = constants[name]
        released = _released(ordered, {*results, *inputs, *constants})
        steps = [self.step(node, slot, names) for node, names in zip(ordered, released, strict=True)]
        stored = [(slots[name], _storable(value)) for name, value in used.items()]
        return (
            steps,
            len(slots),
            [slots[name] for name in inputs],
            [slots[name] for name in results],
            stored,
        )

    def step(self, node: Node, slot: Callable[[str], int], released: Iterable[str]) -> StepTuple:
        bodies = [self.program(body.nodes, body.inputs, body.outputs, body.constants) for body in node.bodies]
        label = node_label(node, self.sources)
        callback: Callback | None = self.fallbacks.get(node)
        if callback is None and runner_of(node) == "numpy":
            callback = guarded(node, OPS[node.op].evaluate, label)
        partly = callback is None and node.op in PARTLY_NATIVE
        if partly:
            callback = guarded(node, OPS[node.op].evaluate, label)
        native_too = callback is None or partly
        return (
            node.op,
            label,
            [slot(name) for name in node.inputs],
            [slot(name) for name in node.outputs],
            [slot(name) for name in released],
            self.attributes(node) if native_too else {},
            bodies if native_too else [],
            callback,
            partly,
        )

    def phase(
        self, phase: Phase, constants: Mapping[str, Array], numbers: Mapping[str, int]
    ) -> tuple[Any, ...]:
        program = self.program(
            phase.nodes,
            [item.value for item in phase.imports],
            [item.value for item in phase.exports],
            constants,
        )
        imports = [(numbers[item.value], item.mode, item.axis) for item in phase.imports]
        exports = [(numbers[item.value], item.axis) for item in phase.exports]
        return "rows" if phase.at_once else phase.kind, program, imports, exports


def _storable(value: Array) -> Any:
    if holds_strings(value):
        return native.Strings(value)
    array = np.ascontiguousarray(value).reshape(value.shape)
    return array if array.flags.aligned else array.copy()


class NativeExecutor:
    """A plan in the C++ executor.

    Parameters
    ----------
    plan : Plan
    isa : str
        One of `available_backends` but ``numba``.
    pool : native.ThreadPool
    fallbacks : mapping of Node to callable
        For the nodes that another runtime runs.
    max_bytes : int
        Memory that one call may work in.
    """

    def __init__(
        self, plan: Plan, isa: str, pool: native.ThreadPool, fallbacks: Fallbacks, max_bytes: int
    ) -> None:
        self._plan = plan
        self._interpreted = cache(lambda: NumbaExecutor(plan, fallbacks, max_bytes, {}))
        lowering = _Lowering(plan, fallbacks)
        numbers: dict[str, int] = {}
        for item in plan.inputs:
            numbers[item.name] = len(numbers)
        for phase in plan.phases:
            for exported in phase.exports:
                numbers.setdefault(exported.value, len(numbers))
        symbols = lowering.symbols
        inputs = [
            (
                item.label or item.name,
                item.dtype.name,
                [size if isinstance(size, int) else -1 - symbols[size.symbols[0]] for size in item.shape],
                max(item.rows, -1),
                item.request,
            )
            for item in plan.inputs
        ]
        phases = [lowering.phase(phase, plan.constants, numbers) for phase in plan.phases]
        outputs = [(numbers[item.value], item.axis) for item in plan.outputs]
        alternative, few = (
            None if other is None else NativeExecutor(other, isa, pool, fallbacks, max_bytes)._executor
            for other in (plan.alternative, plan.few)
        )
        places = {item.name: place for place, item in enumerate(plan.inputs)}
        derivations = [
            (
                NativeExecutor(part.plan, isa, pool, fallbacks, max_bytes)._executor,
                part.request,
                [places[item.name] for item in part.plan.inputs],
                [places[item.value] for item in part.plan.outputs],
            )
            for part in plan.derived
        ]
        self._executor: native.Executor = native.Executor(
            isa,
            inputs,
            len(symbols),
            phases,
            outputs,
            len(numbers),
            pool,
            plan.tile_rows,
            max_bytes,
            alternative,
            few,
            plan.few_rows,
            derivations,
        )

    def run(self, arrays: Sequence[Array], offsets: Sequence[int], to_caller: bool = False) -> list[Array]:
        """See `Executor.run`."""
        try:
            return self._executor.run(arrays, offsets, to_caller)
        except PyrecError as error:
            raise self._worded(error, arrays, offsets) from None

    def run_into(self, arrays: Sequence[Array], output: int, out: Array) -> None:
        """Write one float32 output of a call with one request into ``out``."""
        try:
            self._executor.run_into(arrays, output, out)
        except PyrecError as error:
            raise self._worded(error, arrays, ()) from None

    def run_best(
        self, arrays: Sequence[Array], offsets: Sequence[int], requests: int, rows: int, selection: Selection
    ) -> Ranked:
        """The best candidates of each request by the only output, which is one score for each."""
        (times, plus, taken), numbers, by_request = selection.arrays()
        asked = selection.shared, selection.k, times, plus, taken, numbers, by_request
        try:
            return Ranked(*self._executor.run_best(arrays, offsets, *asked))
        except PyrecError as error:
            if selection.shared:
                names = [item.name for item in self._plan.given_inputs()]
                given = dict(zip(names, arrays, strict=True))
                arrays = [*self._plan.repeated(given, requests).values()]
                offsets = range(0, requests * rows + 1, rows)
            raise self._worded(error, arrays, offsets) from None

    def run_screened(
        self,
        exact: NativeExecutor,
        bound: native.ScoreBound,
        arrays: tuple[Sequence[Array], Sequence[Array]],
        rows: str,
        results: Sequence[str],
        *,
        sigmoid: bool,
        k: int,
        likely: int,
        most: int,
    ) -> tuple[Array, Array, int] | None:
        """The best candidates of one request by scores of ``exact``, most of which near sums make needless.

        Parameters
        ----------
        exact : NativeExecutor
        bound : native.ScoreBound
            Of the errors of near sums.
        arrays : tuple of two sequences of ndarray
            The inputs of this plan and of the exact one.
        rows : str
            The input that holds the candidates.
        results : sequence of str
            The near sums and what the bound needs of them.
        sigmoid : bool
            Whether a score is that of its sum, and not the sum.
        k, likely, most : int
            How many are wanted, are scored first, and may be scored.

        Returns
        -------
        tuple of ndarray of int64, ndarray of float32 and int, or None
            Places, scores, and how many were scored; None where too many would have to be.
        """
        made = [item.value for item in self._plan.outputs]
        places = [made.index(name) for name in results]
        inputs = [[item.name for item in each._plan.given_inputs()].index(rows) for each in (self, exact)]
        try:
            return self._executor.run_screened(
                exact._executor, bound, *arrays, places, (inputs[0], inputs[1]), sigmoid, k, likely, most
            )
        except PyrecError as error:
            raise self._worded(error, arrays[0], ()) from None

    def _worded(self, error: PyrecError, arrays: Sequence[Array], offsets: Sequence[int]) -> PyrecError:
        """A failed call's error as the operators' references raise it, so that all backends say the same.

        What ran out of memory would do so again, and Python reads no strings that are none. Errors of ids,
        which good models meet, are worded alike by the executor; those of nodes that run in Python have a
        row, which counts from their tile.
        """
        if isinstance(error, ResourceLimitError) or (isinstance(error, IdRangeError) and error.row is None):
            return error
        try:
            self._interpreted().run(arrays, offsets)
        except (MemoryError, UnicodeDecodeError):
            pass
        except PyrecError as same:
            return same
        return error

    def prepare(
        self,
        count: int,
        places: Sequence[int],
        rows: tuple[int, int],
        most_rows: int | None,
        width: Sequence[int],
        general: Callable[..., Array] | None,
        store: native.ItemStore | None = None,
        reader: native.RowReader | None = None,
        lenient: bool = False,
    ) -> Callable[..., Any]:
        """A callable that takes ``count`` arrays by position and ``out=``; for plans of one output.

        Parameters
        ----------
        count : int
        places : sequence of int
            For each input of the plan, which of the arrays it is.
        rows : tuple of int
            The input of the plan and its axis that tell the number of candidates.
        most_rows : int, optional
        width : sequence of int
            Sizes of a score after the axis of rows.
        general : callable, optional
            Gets the calls that need a closer look; without it, those return None.
        store : native.ItemStore, optional
            Where the scored items are; place ``count`` stands for the records then, ``count + 1`` for
            the rows in them of the items, which ``ids=`` names.
        reader : native.RowReader, optional
            What reads the only array, a raw row; places are those of its inputs, then of the records.
        lenient : bool
            Whether it also takes numbers, lists of them and arrays that lack axes of size 1; and
            ``offsets=``, the row bounds of several requests. With ``k=`` it gives the rows, scores and
            counts of the best of each request, as `run_best` does, and how many candidates there are;
            ``shared=True`` says that they are those of each request.
        """
        return self._executor.prepare(count, places, rows, most_rows, width, general, store, reader, lenient)

    def writer(
        self,
        store: native.ItemStore,
        fields: Sequence[tuple[str, int, int, int, str]],
        inputs: Sequence[tuple[str, int, int, int]],
    ) -> native.ItemWriter:
        """What puts items into a store whose records are made of the plan's outputs.

        Parameters
        ----------
        store : native.ItemStore
        fields : sequence of tuple
            Of each output: element type, axis of its rows, elements of one item, first byte in the record,
            codec or "".
        inputs : sequence of tuple
            Of each array that comes with items: element type, rank, axis of its rows, and which input of the
            plan it is, or -1.
        """
        return self._executor.writer(store, fields, inputs)


__all__ = ["NativeExecutor", "native_ops", "runner_of"]
