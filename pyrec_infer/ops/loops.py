"""Loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import STRING, Array, Dim, Graph, Info, Node, Rows, Size, bytes_of, fault, holds_strings
from pyrec_infer.limits import current_budget
from pyrec_infer.ops.core.inference import infer_graph
from pyrec_infer.ops.core.interpret import Value, interpret
from pyrec_infer.ops.core.registry import Op, RowFlow, boolean, couples
from pyrec_infer.ops.core.shapes import integers
from pyrec_infer.ops.counting import count_trips
from pyrec_infer.ops.subgraphs import (
    BYTES_OF_OBJECT,
    MAX_ITERATIONS,
    Infos,
    body_rows,
    captures_of,
    closed_body,
    follows_rows,
    merge_info,
    outer_info,
    plain_info,
    same_type,
    stack_arrays,
    stacked_info,
    symbols_of,
    too_deep,
    unknown_outputs,
    without_value,
)

_ROUNDS = 4
_ITERATION = Info(np.dtype(np.int64), ())
_CONDITION = Info(np.dtype(np.bool_), ())


def _carried(node: Node) -> int:
    return len(node.inputs) - 2 - captures_of(node)


def _loop_body(node: Node) -> Graph:
    carried = _carried(node)
    if carried < 0:
        raise fault(ModelError, node, "expected at least 2 inputs")
    body = closed_body(node, len(node.inputs), 1 + carried)
    if len(node.outputs) > len(body.outputs) - 1:
        raise fault(ModelError, node, f"{len(node.outputs)} outputs, its body makes {len(body.outputs) - 1}")
    return body


def _trips(node: Node, body: Graph, inputs: Infos, infos: dict[str, Info]) -> Size | None:
    """The number of iterations where it is known: the trip count, or what a condition counts."""
    trips = (MAX_ITERATIONS,) if inputs[0] is None else integers(inputs[0])
    if trips is None or len(trips) != 1:
        return None
    condition, initial = body.outputs[0], inputs[1]
    started = initial is None or (
        initial.constant is not None and initial.constant.size == 1 and boolean(initial.constant)
    )
    constant = infos[condition].constant
    endless = condition == body.inputs[1] or (
        constant is not None and constant.size == 1 and boolean(constant)
    )
    if not started or (inputs[0] is None and endless):
        return None
    if isinstance(trips[0], Dim):
        return trips[0] if endless else None
    if endless:
        return max(0, trips[0])
    return count_trips(body, _carried(node), max(0, trips[0]), inputs[2:], infos)


def fixpoint(body: Graph, first: int, state: list[Info], fixed: dict[str, Info]) -> dict[str, Info]:
    """Infos inside a body whose inputs from ``first`` on carry what its outputs gave before.

    The carried infos are widened until one more iteration adds nothing; ``state`` is updated.
    """
    offset = 1 if first == 2 else 0  # a Loop's first output is its condition
    names = body.inputs[first : first + len(state)]
    for attempt in range(_ROUNDS + 1):
        infos = infer_graph(body, {**fixed, **dict(zip(names, state, strict=True))})
        results = [infos[name] for name in body.outputs[offset : offset + len(state)]]
        widened = [
            merge_info(before, after, name) for before, after, name in zip(state, results, names, strict=True)
        ]
        if all(map(same_type, widened, state)):
            return infos
        state[:] = widened
        if attempt == _ROUNDS - 1:
            state[:] = [Info(None, None, sequence=info.sequence) for info in state]
    return infos


def _infer_loop(node: Node, inputs: Infos) -> list[Info]:
    body = _loop_body(node)
    if too_deep(node):
        return unknown_outputs(node)
    carried = _carried(node)
    state = [without_value(info) for info in inputs[2 : 2 + carried]]
    captured = [plain_info(info) for info in inputs[2 + carried :]]
    fixed = {body.inputs[0]: _ITERATION, body.inputs[1]: _CONDITION}
    fixed.update(zip(body.inputs[2 + carried :], captured, strict=True))
    infos = fixpoint(body, 2, state, fixed)
    known = symbols_of([*inputs[2:], inputs[0]])
    outputs = [outer_info(node, index, info, known) for index, info in enumerate(state)]
    trips = _trips(node, body, inputs, infos)
    for index, name in enumerate(body.outputs[1 + carried :], start=carried):
        outputs.append(stacked_info(node, index, infos[name], known, trips, 0))
    return outputs[: len(node.outputs)]


def empty_scan(node: Node, body: Graph, name: str, inputs: Sequence[Any], axis: int) -> Array:
    """The scan output of no iterations: sizes that nothing fixes are 0."""
    given = {
        body_input: Info(STRING if holds_strings(value) else value.dtype, value.shape)
        for body_input, value in zip(body.inputs, inputs, strict=True)
        if isinstance(value, np.ndarray)
    }
    info = infer_graph(body, given)[name]
    sizes = [size if isinstance(size, int) else 0 for size in info.shape or ()]
    sizes.insert(axis % (len(sizes) + 1), 0)
    return np.zeros(sizes, dtype=info.dtype or np.float32)


def _iterations(inputs: Sequence[Any]) -> Iterator[int]:
    limit = MAX_ITERATIONS if inputs[0] is None else int(np.asarray(inputs[0]).reshape(()))
    if limit > MAX_ITERATIONS:
        limit = MAX_ITERATIONS
    yield from range(limit)


def _evaluate_loop(node: Node, inputs: Sequence[Any]) -> list[Any]:
    body = _loop_body(node)
    carried = _carried(node)
    state: list[Value] = list(inputs[2 : 2 + carried])
    captured = list(inputs[2 + carried :])
    scans: list[list[Array]] = [[] for _ in body.outputs[1 + carried :]]
    budget = current_budget()
    condition = np.asarray(True) if inputs[1] is None else np.asarray(inputs[1]).reshape(())
    for iteration in _iterations(inputs):
        if not condition:
            break
        results = interpret(body, [np.asarray(iteration, np.int64), condition, *state, *captured])
        condition = np.asarray(results[0]).reshape(())
        state = results[1 : 1 + carried]
        for stack, value in zip(scans, results[1 + carried :], strict=True):
            array = np.asarray(value)
            budget.take(BYTES_OF_OBJECT + bytes_of(array))
            stack.append(array)
    stacked: list[Value] = []
    for name, stack in zip(body.outputs[1 + carried :], scans, strict=True):
        if stack:
            stacked.append(stack_arrays(node, stack, 0))
        else:
            first = [np.asarray(0, np.int64), condition, *inputs[2:]]
            stacked.append(empty_scan(node, body, name, first, 0))
    return [*state, *stacked][: len(node.outputs)]


def _carries_rows(state: Infos, made: Sequence[Info]) -> bool:
    return all(
        before is not None and before.rows == after.rows for before, after in zip(state, made, strict=True)
    )


def _rows_loop(node: Node, inputs: Infos, outputs: Sequence[Info]) -> RowFlow:
    """The same number of iterations for all rows, each of which keeps them apart."""
    carried = _carried(node)
    control = [info for info in inputs[:2] if info is not None]
    settled = all(info.rows == Rows.INVARIANT for info in control)
    if not settled or not all(map(follows_rows, inputs)) or too_deep(node) or len(outputs) < carried:
        return couples(node, inputs, outputs)
    given = inputs[2 : 2 + carried]
    state = [
        replace(after, rows=Rows.INVARIANT if before is None else before.rows)
        for before, after in zip(given, outputs[:carried], strict=True)
    ]
    made = body_rows(_loop_body(node), [_ITERATION, _CONDITION, *state, *inputs[2 + carried :]])
    if made is None or made[0].rows != Rows.INVARIANT or not _carries_rows(state, made[1 : 1 + carried]):
        return couples(node, inputs, outputs)
    stacked = [info.rows + 1 if info.rows >= 0 else info.rows for info in made[1 + carried :]]
    return RowFlow((*(info.rows for info in state), *stacked)[: len(outputs)])


OPS: tuple[Op, ...] = (Op("Loop", _infer_loop, _evaluate_loop, _rows_loop),)
