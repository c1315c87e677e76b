"""The numba backend: the same plan, interpreted in Python over NumPy and Numba kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from pyrec_infer.backends.base import Fallbacks, guarded
from pyrec_infer.backends.evaluators import EVALUATORS
from pyrec_infer.errors import (
    DTypeError,
    IdRangeError,
    PyrecError,
    RowCountError,
    ShapeError,
    UnsupportedModelError,
    UseAlternativeError,
)
from pyrec_infer.ir import BATCH, STRING, Array, Node, as_texts, reworded
from pyrec_infer.limits import Budget, current_budget, limited, memory_errors_typed
from pyrec_infer.ops import OPS
from pyrec_infer.ops.cast import whole_numbers_rule
from pyrec_infer.ops.core.bounds import made_bytes
from pyrec_infer.ops.core.registry import Evaluate
from pyrec_infer.plan import Import, Phase, Plan, PlanInput, Runner
from pyrec_infer.plan.sources import lookup_labels, node_label
from pyrec_infer.strings.tensors import as_plain

_TILE_ROWS = 4096
"""Interpreting costs microseconds a node, so tiles are as large as the cache of a core bears."""


def runner_of(node: Node) -> Runner:
    """What runs a node: Numba and NumPy both count as this backend's own."""
    return "onnxruntime" if node.op not in OPS else "native" if node.op in EVALUATORS else "numpy"


def _checked(item: PlanInput, array: Array, first: int) -> Array:
    """The array in the model's element type; refuses any change but rounding to narrower floats.

    Its rows are the caller's from ``first`` on.
    """
    if array.dtype == item.dtype and item.dtype != STRING:
        return array
    if item.dtype.kind == "U" and array.dtype.kind in "UOST":
        return _checked_strings(item, array, first)
    numeric = array.dtype.kind in "iuf" and item.dtype.kind in "iuf"
    if not numeric:
        raise DTypeError(f"input '{item.label or item.name}': expected {item.dtype}, got {array.dtype}")
    with np.errstate(all="ignore"):
        if array.dtype.kind == "f" and item.dtype.kind == "f":
            return array.astype(item.dtype)
        converted = array.astype(item.dtype)
        # Between signed and unsigned numbers, both ways may wrap around.
        wrong = (converted.astype(array.dtype) != array) | ((converted < 0) != (array < 0))
        for floating in (array, converted):
            if floating.dtype.kind == "f":
                # From here on a float may stand for a neighbouring number.
                wrong |= ~(np.abs(floating) < 2 ** (np.finfo(floating.dtype).nmant + 1))
    if wrong.any():
        raise _not_held(item, array, tuple(np.argwhere(wrong)[0]), first)
    return converted


def _checked_strings(item: PlanInput, array: Array, first: int) -> Array:
    if array.dtype.kind != "O":
        return as_texts(array.astype(str) if array.dtype.kind == "S" else array)
    items = array.reshape(-1).tolist()
    for place, text in enumerate(items):
        if not isinstance(text, str):
            row = np.unravel_index(place, array.shape)[item.rows] if item.rows >= 0 else 0
            raise DTypeError(
                f"input '{item.label or item.name}': expected strings, got {type(text).__name__} "
                f"(row {first + int(row)})"
            )
    return as_texts(list(map(str.__str__, items))).reshape(array.shape)


def _not_held(item: PlanInput, array: Array, place: tuple[int, ...], first: int) -> IdRangeError:
    reason = f", as the model takes {item.dtype}"
    if array.dtype.kind == "f":
        rule = whole_numbers_rule(array.dtype, bool(np.isnan(array[place])), reason)
    else:
        got = f"got {array.dtype} data with one that is not"
        rule = f"expected values that {item.dtype} holds exactly{reason}, {got}"
    row = first + (int(place[item.rows]) if item.rows >= 0 else 0)
    return IdRangeError(f"input '{item.label or item.name}': {rule}", row)


def _repeat(array: Array, axis: int, rows: int) -> Array:
    if array.ndim > 2 and array.shape[axis] == 1:
        # A matrix that is copied for each row can be larger than memory.
        return np.broadcast_to(array, (*array.shape[:axis], rows, *array.shape[axis + 1 :]))
    repeats = [1] * array.ndim
    repeats[axis] = rows
    return np.tile(array, repeats) if array.shape[axis] != 1 else np.repeat(array, rows, axis)


def _rows_of(array: Array, axis: int, begin: int, end: int, total: int) -> Array:
    multiple = array.shape[axis] // total if total else 0
    index = [slice(None)] * array.ndim
    index[axis] = slice(begin * multiple, end * multiple)
    return array[tuple(index)]


def _sizes(node: Node, sizes: Mapping[str, int]) -> Array:
    values = [
        size.coefficient * prod(sizes[name] for name in size.symbols) for size in node.attribute("sizes")
    ]
    return np.asarray(values[0] if node.attribute("scalar") else values, np.int64)


class NumbaExecutor:
    """A plan that is interpreted; see `Plan` and `NativeExecutor`.

    Parameters
    ----------
    plan : Plan
    fallbacks : mapping of Node to callable
    max_bytes : int
        Memory that one call may work in.
    evaluators : mapping of str to callable
        What is faster than the operators' references.
    """

    def __init__(
        self,
        plan: Plan,
        fallbacks: Fallbacks,
        max_bytes: int,
        evaluators: Mapping[str, Evaluate] = EVALUATORS,
    ) -> None:
        self._plan = plan
        self._max_bytes = max_bytes
        self._faster = evaluators
        self._evaluators: list[list[Callable[[Sequence[Any]], Sequence[Any]] | None]] = [
            [self._evaluator(node, fallbacks) for node in phase.nodes] for phase in plan.phases
        ]
        self._tile_rows = plan.static_rows or _TILE_ROWS
        self._few, self._alternative = (
            None if other is None else NumbaExecutor(other, fallbacks, max_bytes, evaluators)
            for other in (plan.few, plan.alternative)
        )
        self._derived = [
            (part, NumbaExecutor(part.plan, fallbacks, max_bytes, evaluators)) for part in plan.derived
        ]

    def _evaluator(self, node: Node, fallbacks: Fallbacks) -> Callable[[Sequence[Any]], Sequence[Any]] | None:
        if node in fallbacks:
            return fallbacks[node]
        if node.op == "pyrec.DimValues":
            return None
        if labels := lookup_labels(node, self._plan.sources):
            node = replace(node, attributes={**node.attributes, "labels": labels})
        return guarded(node, self._faster.get(node.op, OPS[node.op].evaluate))

    def _derive(self, arrays: Sequence[Array], offsets: Sequence[int]) -> list[Array]:
        """The arrays with the inputs that are made from them."""
        _, _, rows = self._bind(arrays)
        rows = offsets[-1] if rows < 0 and len(offsets) else rows
        values = dict(zip((item.name for item in self._plan.inputs), arrays, strict=False))
        for part, plan in self._derived:
            own = max(len(offsets) - 1, 1) if part.request else rows
            given = [values[item.name] for item in part.plan.inputs]
            made = plan.run(given, () if own < 0 else (0, own))
            values.update(zip((item.value for item in part.plan.outputs), made, strict=True))
        return [values[item.name] for item in self._plan.inputs]

    def _bind(self, arrays: Sequence[Array]) -> tuple[dict[str, int], int, int]:
        sizes: dict[str, int] = {}
        counts = {True: -1, False: -1}
        owners: dict[bool, str] = {}
        for item, array in zip(self._plan.inputs, arrays, strict=False):
            where = f"input '{item.label or item.name}'"
            if array.ndim != len(item.shape):
                raise ShapeError(f"{where}: expected rank {len(item.shape)}, got shape {list(array.shape)}")
            for axis, (expected, size) in enumerate(zip(item.shape, array.shape, strict=True)):
                if axis == item.rows:
                    if counts[item.request] < 0:
                        counts[item.request], owners[item.request] = size, item.label or item.name
                    elif counts[item.request] != size:
                        raise RowCountError(
                            f"{where}: expected {counts[item.request]} rows, as input "
                            f"'{owners[item.request]}' has, got {size}"
                        )
                    continue
                known = expected if isinstance(expected, int) else sizes.setdefault(expected.symbols[0], size)
                if known != size:
                    raise ShapeError(
                        f"{where}: expected size {known} along axis {axis}, got shape {list(array.shape)}"
                    )
        return sizes, counts[True], counts[False]

    @memory_errors_typed
    def run(self, arrays: Sequence[Array], offsets: Sequence[int], to_caller: bool = False) -> list[Array]:
        """See `Executor.run`."""
        arrays = [as_plain(array) for array in arrays]
        with limited(self._max_bytes) as budget:
            if self._derived:
                arrays = self._derive(arrays, offsets)
            return self._run(arrays, offsets, budget)

    def _run(self, arrays: Sequence[Array], offsets: Sequence[int], budget: Budget) -> list[Array]:
        sizes, requests, rows = self._bind(arrays)
        rows = rows if rows >= 0 else (offsets[-1] if len(offsets) else 1)
        bounds = list(offsets) if len(offsets) else [0, rows]
        if requests >= 0 and requests != len(bounds) - 1:
            first = next(item for item in self._plan.inputs if item.request and item.rows >= 0)
            raise RowCountError(
                f"input '{first.label or first.name}': expected {len(bounds) - 1} rows, one for each "
                f"request, got {requests}"
            )
        if any(a > b for a, b in pairwise(bounds)) or bounds[0] != 0 or bounds[-1] != rows:
            raise ShapeError(f"offsets must not decrease and must run from 0 to {rows}")
        parts = []
        for request, (begin, end) in enumerate(pairwise(bounds)):
            if begin == end and len(bounds) > 2:
                continue
            parts.append(self._run_exactly(arrays, sizes, request, begin, end, len(bounds) > 2))
            budget.held = sum(map(made_bytes, parts))
        if len(parts) == 1:
            return parts[0]
        return [
            np.concatenate(group, axis=item.axis)
            for item, group in zip(self._plan.outputs, zip(*parts, strict=True), strict=True)
        ]

    def _run_exactly(
        self, arrays: Sequence[Array], sizes: dict[str, int], request: int, begin: int, end: int, many: bool
    ) -> list[Array]:
        try:
            return self._run_request(arrays, sizes, request, begin, end, many)
        except UseAlternativeError:
            if self._alternative is None:
                raise
            return self._alternative._run_exactly(arrays, sizes, request, begin, end, many)

    def _run_request(
        self, arrays: Sequence[Array], sizes: dict[str, int], request: int, begin: int, end: int, many: bool
    ) -> list[Array]:
        if self._few is not None and end - begin < self._plan.few_rows:
            return self._few._run_request(arrays, sizes, request, begin, end, many)
        values: dict[str, Any] = {}
        for item, array in zip(self._plan.inputs, arrays, strict=True):
            part = array
            if item.rows >= 0:
                first, last = (request, request + 1) if item.request else (begin, end)
                part = _rows_of(array, item.rows, first, last, array.shape[item.rows])
                values[item.name] = _checked(item, part, first)
            else:
                values[item.name] = _checked(item, part, request)
        rows = end - begin
        shared = {item.name for item in self._plan.inputs if item.request}
        for index, phase in enumerate(self._plan.phases):
            if phase.kind == "request":
                shared.update(item.value for item in phase.exports)
            self._run_phase(phase, index, values, sizes, rows, request if phase.kind == "request" else begin)
        outputs = []
        for output in self._plan.outputs:
            value = values[output.value]
            if isinstance(value, list):
                raise UnsupportedModelError("a sequence cannot be an output of the model")
            if output.axis < 0 and many:
                raise UnsupportedModelError(
                    "an output that is not by row cannot be given for several requests"
                )
            if output.axis >= 0 and output.value in shared and rows != 1:
                value = _repeat(value, output.axis, rows)
            outputs.append(value)
        # A view may repeat few elements; whoever gets it will want all of them.
        current_budget().require(sum(value.nbytes for value in outputs) - made_bytes(outputs))
        return outputs

    def _run_phase(
        self, phase: Phase, index: int, values: dict[str, Any], sizes: dict[str, int], rows: int, first: int
    ) -> None:
        total = 1 if phase.kind == "request" else rows
        tile = self._tile_rows if phase.kind == "tile" else max(total, 1)
        collected: dict[str, list[Any]] = {item.value: [] for item in phase.exports}
        budget = current_budget()
        held = budget.held
        for begin in range(0, max(total, 1), tile):
            end = min(begin + tile, total)
            local: dict[str, Any] = {
                item.value: self._import(item, values, begin, end, total) for item in phase.imports
            }
            self._run_nodes(phase, index, local, {**sizes, BATCH: end - begin}, first + begin)
            for item in phase.exports:
                collected[item.value].append(local.get(item.value, self._plan.constants.get(item.value)))
            held += made_bytes([parts[-1] for parts in collected.values()])
            budget.held = held
        for item in phase.exports:
            parts = collected[item.value]
            joined = phase.kind == "tile" and item.axis >= 0 and len(parts) > 1
            values[item.value] = np.concatenate(parts, axis=item.axis) if joined else parts[0]

    @staticmethod
    def _import(item: Import, values: Mapping[str, Any], begin: int, end: int, total: int) -> Any:
        value = values[item.value]
        if item.mode == "slice":
            return _rows_of(value, item.axis, begin, end, total)
        return _repeat(value, item.axis, end - begin) if item.mode == "repeat" else value

    def _run_nodes(
        self, phase: Phase, index: int, local: dict[str, Any], sizes: Mapping[str, int], first: int
    ) -> None:
        constants = self._plan.constants
        budget = current_budget()
        for node, evaluate in zip(phase.nodes, self._evaluators[index], strict=True):
            if evaluate is None:
                local[node.outputs[0]] = _sizes(node, sizes)
                continue
            inputs = [
                local[name] if name in local else constants[name] if name else None for name in node.inputs
            ]
            try:
                with np.errstate(all="ignore"):
                    results = evaluate(inputs)
            except PyrecError as error:
                row = error.row if isinstance(error, IdRangeError) else None
                if row is not None:
                    row = first if phase.kind == "request" else first + row
                # The reference of what has a label for each part or column names it itself.
                named = isinstance(error, IdRangeError) and bool(lookup_labels(node, self._plan.sources))
                label = "" if named else node_label(node, self._plan.sources)
                raise reworded(error, node, label, row) from None
            budget.held += made_bytes(results)
            for name, value in zip(node.outputs, results, strict=False):
                if name:
                    local[name] = value


__all__ = ["NumbaExecutor", "runner_of"]
