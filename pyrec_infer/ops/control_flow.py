"""If, Loop and Scan over closed bodies.

The attribute ``captures`` is the number of outer values at the end of a node's inputs and of each
body's inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError, ShapeError
from pyrec_infer.ir import Array, Dim, Graph, Info, Node, Rows, Shape, Size, same_size
from pyrec_infer.limits import current_budget
from pyrec_infer.ops.inference import analyze, infer_graph
from pyrec_infer.ops.interpret import Value, interpret
from pyrec_infer.ops.registry import Op, RowFlow, boolean, couples, depends_on_batch_size
from pyrec_infer.ops.shapes import axis_of, fresh, integers

Infos = Sequence[Info | None]
MAX_ITERATIONS = 2**31 - 1
_MAX_NESTING = 4
"""Bodies nested deeper are not looked into: a loop's fixpoint multiplies at each level."""
_ROUNDS = 4
_OBJECT = 128
"""Bytes of an array object beside its elements."""

_ITERATION = Info(np.dtype(np.int64), ())
_CONDITION = Info(np.dtype(np.bool_), ())


def _captures(node: Node) -> int:
    count = node.attribute("captures", 0)
    if not 0 <= count <= len(node.inputs):
        raise ModelError(f"node {node.name!r} ({node.op}): {count} captures, {len(node.inputs)} inputs")
    return int(count)


def _body(node: Node, inputs: int, outputs: int) -> Graph:
    """The only body, checked for the number of its inputs and least number of outputs."""
    if len(node.bodies) != 1:
        raise ModelError(f"node {node.name!r} ({node.op}): expected one body, got {len(node.bodies)}")
    body = node.bodies[0]
    if len(body.inputs) != inputs or len(body.outputs) < outputs:
        raise ModelError(
            f"node {node.name!r} ({node.op}): expected a body with {inputs} inputs and at least {outputs} "
            f"outputs, got {len(body.inputs)} and {len(body.outputs)}"
        )
    return body


def _nesting(graph: Graph) -> int:
    return 1 + max((_nesting(body) for node in graph.nodes for body in node.bodies), default=0)


def _too_deep(node: Node) -> bool:
    return any(_nesting(body) > _MAX_NESTING for body in node.bodies)


def _unknown(node: Node) -> list[Info]:
    return [Info(None, None)] * len(node.outputs)


def _symbols(infos: Infos) -> set[str]:
    """The size names in shapes and contents: those that mean the same inside a body and outside."""
    sizes: list[Any] = []
    for info in infos:
        if info is not None:
            sizes.extend(info.shape or ())
            sizes.extend(() if info.contents is None else info.contents.reshape(-1))
    return {name for size in sizes if isinstance(size, Dim) for name in size.symbols}


def _outside(node: Node, output: int, info: Info, known: set[str], offset: int = 0) -> Info:
    """A body's result as the outside sees it: sizes that only the body knows get a fresh name."""

    def foreign(size: object) -> bool:
        return isinstance(size, Dim) and not known.issuperset(size.symbols)

    contents = info.contents
    if contents is not None and any(map(foreign, contents.reshape(-1))):
        contents = None
    shape = info.shape
    if shape is not None:
        shape = tuple(
            fresh(node, output, axis + offset) if foreign(size) else size for axis, size in enumerate(shape)
        )
    return replace(info, shape=shape, contents=contents)


def _merged(a: Info, b: Info, name: str) -> Info:
    """What holds for a value that is one or the other; sizes that differ are named after ``name``."""
    shape: Shape | None = None
    if a.shape is not None and b.shape is not None and len(a.shape) == len(b.shape):
        shape = tuple(
            x if same_size(x, y) else Dim.symbol(f"{name}:{axis}")
            for axis, (x, y) in enumerate(zip(a.shape, b.shape, strict=True))
        )
    same_type = a.dtype is not None and b.dtype is not None and a.dtype == b.dtype
    return Info(a.dtype if same_type else None, shape, sequence=a.sequence or b.sequence)


def _same(a: Info, b: Info) -> bool:
    """Whether two plain infos (without value) say the same."""
    if (a.shape is None) != (b.shape is None) or (a.dtype is None) != (b.dtype is None):
        return False
    return (
        a.sequence == b.sequence
        and (a.dtype is None or a.dtype == b.dtype)
        and len(a.shape or ()) == len(b.shape or ())
        and all(map(same_size, a.shape or (), b.shape or ()))
    )


def _plain(info: Info | None) -> Info:
    """An input as a body sees it: without rows, which bodies do not follow."""
    return Info(None, None) if info is None else replace(info, rows=Rows.INVARIANT)


# If


def _branch(node: Node, taken: bool) -> Graph:
    return node.bodies[0 if taken else 1]


def _check_if(node: Node) -> None:
    if len(node.bodies) != 2 or len(node.inputs) < 1:
        raise ModelError(f"node {node.name!r} (If): expected a condition and two bodies")
    for body in node.bodies:
        if len(body.inputs) != len(node.inputs) - 1 or len(body.outputs) != len(node.outputs):
            raise ModelError(f"node {node.name!r} (If): a body's inputs or outputs do not fit the node")


def _infer_if(node: Node, inputs: Infos) -> list[Info]:
    _check_if(node)
    if _too_deep(node):
        return _unknown(node)
    captured = [_plain(info) for info in inputs[1:]]
    known = _symbols(captured)
    condition = inputs[0]
    decided = condition is not None and condition.constant is not None and condition.constant.size == 1
    bodies = node.bodies
    if decided and condition is not None:
        bodies = (_branch(node, boolean(condition.constant)),)
    found: list[list[Info]] = []
    failure: ModelError | None = None
    for body in bodies:
        try:
            infos = infer_graph(body, dict(zip(body.inputs, captured, strict=True)))
        except ModelError as error:  # a branch that can never run says nothing about the outputs
            failure = error
            continue
        found.append([_outside(node, index, infos[name], known) for index, name in enumerate(body.outputs)])
    if not found:
        raise failure or ModelError(f"node {node.name!r} (If) has no body")
    if len(found) == 1:
        return found[0]
    return [_merged(a, b, node.outputs[index]) for index, (a, b) in enumerate(zip(*found, strict=True))]


def _evaluate_if(node: Node, inputs: Sequence[Any]) -> list[Any]:
    _check_if(node)
    if inputs[0] is None or inputs[0].size != 1:
        raise ShapeError("If: expected a condition of one element")
    return interpret(_branch(node, boolean(inputs[0])), inputs[1:])


# Loop


def _carried(node: Node) -> int:
    return len(node.inputs) - 2 - _captures(node)


def _loop_body(node: Node) -> Graph:
    carried = _carried(node)
    if carried < 0:
        raise ModelError(f"node {node.name!r} (Loop): expected at least 2 inputs")
    body = _body(node, len(node.inputs), 1 + carried)
    if len(node.outputs) > len(body.outputs) - 1:
        raise ModelError(
            f"node {node.name!r} (Loop): {len(node.outputs)} outputs, its body makes {len(body.outputs) - 1}"
        )
    return body


def _trips(node: Node, body: Graph, inputs: Infos, infos: dict[str, Info]) -> Size | None:
    """The number of iterations where it is sure to be the trip count."""
    trips = integers(inputs[0])
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
    if not started or not endless:
        return None
    return trips[0] if isinstance(trips[0], Dim) else max(0, trips[0])


def _fixpoint(body: Graph, first: int, state: list[Info], fixed: dict[str, Info]) -> dict[str, Info]:
    """Infos inside a body whose inputs from ``first`` on carry what its outputs gave before.

    The carried infos are widened until one more iteration adds nothing; ``state`` is updated.
    """
    offset = 1 if first == 2 else 0  # a Loop's first output is its condition
    names = body.inputs[first : first + len(state)]
    for attempt in range(_ROUNDS + 1):
        infos = infer_graph(body, {**fixed, **dict(zip(names, state, strict=True))})
        results = [infos[name] for name in body.outputs[offset : offset + len(state)]]
        widened = [
            _merged(before, after, name) for before, after, name in zip(state, results, names, strict=True)
        ]
        if all(map(_same, widened, state)):
            return infos
        state[:] = widened
        if attempt == _ROUNDS - 1:
            state[:] = [Info(None, None, sequence=info.sequence) for info in state]
    return infos


def _infer_loop(node: Node, inputs: Infos) -> list[Info]:
    body = _loop_body(node)
    if _too_deep(node):
        return _unknown(node)
    carried = _carried(node)
    state = [_without_value(info) for info in inputs[2 : 2 + carried]]
    captured = [_plain(info) for info in inputs[2 + carried :]]
    fixed = {body.inputs[0]: _ITERATION, body.inputs[1]: _CONDITION}
    fixed.update(zip(body.inputs[2 + carried :], captured, strict=True))
    infos = _fixpoint(body, 2, state, fixed)
    known = _symbols([*inputs[2:], inputs[0]])
    outputs = [_outside(node, index, info, known) for index, info in enumerate(state)]
    trips = _trips(node, body, inputs, infos)
    for index, name in enumerate(body.outputs[1 + carried :], start=carried):
        outputs.append(_stacked(node, index, infos[name], known, trips, 0))
    return outputs[: len(node.outputs)]


def _without_value(info: Info | None) -> Info:
    return replace(_plain(info), constant=None, contents=None)


def _stacked(node: Node, output: int, info: Info, known: set[str], trips: Size | None, axis: int) -> Info:
    """A scan output: what each iteration makes, stacked along a new axis."""
    one = _without_value(_outside(node, output, info, known, offset=1))
    if one.shape is None:
        return Info(one.dtype, None)
    count = fresh(node, output, 0) if trips is None else trips
    at = axis_of(node, axis, len(one.shape) + 1)
    return Info(one.dtype, (*one.shape[:at], count, *one.shape[at:]))


def _empty_scan(node: Node, body: Graph, name: str, inputs: Sequence[Any], axis: int) -> Array:
    """The scan output of no iterations: sizes that nothing fixes are 0."""
    given = {
        body_input: Info(value.dtype, value.shape)
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
            budget.take(_OBJECT + np.asarray(value).nbytes)
            stack.append(np.asarray(value))
    stacked: list[Value] = []
    for name, stack in zip(body.outputs[1 + carried :], scans, strict=True):
        if stack:
            stacked.append(_stack(node, stack, 0))
        else:
            first = [np.asarray(0, np.int64), condition, *inputs[2:]]
            stacked.append(_empty_scan(node, body, name, first, 0))
    return [*state, *stacked][: len(node.outputs)]


def _stack(node: Node, arrays: list[Array], axis: int) -> Array:
    if any(array.shape != arrays[0].shape for array in arrays):
        raise ShapeError(f"{node.op}: a scan output changes its shape from one iteration to another")
    return np.stack(arrays, axis=axis)


# Scan


def _scan_setting(node: Node, key: str, count: int) -> tuple[int, ...]:
    values = tuple(node.attribute(key, ())) or (0,) * count
    if len(values) != count:
        raise ModelError(f"node {node.name!r} (Scan): expected {count} values of {key}, got {len(values)}")
    return values


def _scan_parts(node: Node) -> tuple[Graph, int, int]:
    """The body, the number of state values and the number of scan inputs."""
    scanned = node.attribute("num_scan_inputs", 0)
    states = len(node.inputs) - scanned - _captures(node)
    if scanned < 1 or states < 0:
        raise ModelError(f"node {node.name!r} (Scan): num_scan_inputs is {scanned}")
    body = _body(node, len(node.inputs), states)
    if len(body.outputs) != len(node.outputs):
        raise ModelError(f"node {node.name!r} (Scan): a body's outputs do not fit the node")
    return body, states, scanned


def _infer_scan(node: Node, inputs: Infos) -> list[Info]:
    body, states, scanned = _scan_parts(node)
    if _too_deep(node):
        return _unknown(node)
    axes = _scan_setting(node, "scan_input_axes", scanned)
    state = [_without_value(info) for info in inputs[:states]]
    length: Size | None = None
    fixed: dict[str, Info] = {}
    for offset, axis in enumerate(axes):
        info = _without_value(inputs[states + offset])
        if info.shape is not None:
            at = axis_of(node, axis, len(info.shape))
            length = info.shape[at] if length is None else length
            info = replace(info, shape=(*info.shape[:at], *info.shape[at + 1 :]))
        fixed[body.inputs[states + offset]] = info
    captured = [_plain(info) for info in inputs[states + scanned :]]
    fixed.update(zip(body.inputs[states + scanned :], captured, strict=True))
    infos = _fixpoint(body, 0, state, fixed)
    known = _symbols(inputs)
    outputs = [_outside(node, index, info, known) for index, info in enumerate(state)]
    output_axes = _scan_setting(node, "scan_output_axes", len(body.outputs) - states)
    for index, (name, axis) in enumerate(zip(body.outputs[states:], output_axes, strict=True), start=states):
        outputs.append(_stacked(node, index, infos[name], known, length, axis))
    return outputs


def _evaluate_scan(node: Node, inputs: Sequence[Any]) -> list[Any]:
    body, states, scanned = _scan_parts(node)
    axes = _scan_setting(node, "scan_input_axes", scanned)
    reverse = _scan_setting(node, "scan_input_directions", scanned)
    output_count = len(body.outputs) - states
    output_axes = _scan_setting(node, "scan_output_axes", output_count)
    output_reverse = _scan_setting(node, "scan_output_directions", output_count)
    rows_of = []
    for value, axis, backward in zip(inputs[states : states + scanned], axes, reverse, strict=True):
        moved = np.moveaxis(value, axis_of(node, axis, value.ndim), 0)
        rows_of.append(moved[::-1] if backward else moved)
    length = len(rows_of[0])
    if any(len(value) != length for value in rows_of):
        raise ShapeError("Scan: the scan inputs have different lengths")
    state: list[Value] = list(inputs[:states])
    captured = list(inputs[states + scanned :])
    scans: list[list[Array]] = [[] for _ in range(output_count)]
    budget = current_budget()
    for step in range(length):
        results = interpret(body, [*state, *(value[step] for value in rows_of), *captured])
        state = results[:states]
        for stack, value in zip(scans, results[states:], strict=True):
            budget.take(_OBJECT + np.asarray(value).nbytes)
            stack.append(np.asarray(value))
    stacked: list[Value] = []
    settings = zip(body.outputs[states:], scans, output_axes, output_reverse, strict=True)
    for name, stack, axis, backward in settings:
        if stack:
            stacked.append(_stack(node, stack[::-1] if backward else stack, axis))
        else:
            first = [*inputs[:states], *(np.empty(v.shape[1:], v.dtype) for v in rows_of), *captured]
            stacked.append(_empty_scan(node, body, name, first, axis))
    return [*state, *stacked]


def scan_attributes(node: Node, outputs: Sequence[Info]) -> dict[str, tuple[str, ...] | tuple[int, ...]]:
    """What the native Loop and Scan need to make a scan output of no iterations.

    ``scan_dtypes`` is the element type of each scan output; ``scan_shape_<i>`` its shape, with 0 for
    the new axis and for sizes that nothing fixes.
    """
    inputs = len(node.inputs) - _captures(node)
    first = inputs - 2 if node.op == "Loop" else inputs - node.attribute("num_scan_inputs", 0)
    found: dict[str, tuple[str, ...] | tuple[int, ...]] = {}
    scans = outputs[first:]
    found["scan_dtypes"] = tuple("float32" if info.dtype is None else info.dtype.name for info in scans)
    axes = node.attribute("scan_output_axes", ()) or (0,) * len(scans)
    for index, (info, axis) in enumerate(zip(scans, axes, strict=True)):
        if info.shape is not None:
            sizes = [size if isinstance(size, int) else 0 for size in info.shape]
            sizes[axis] = 0
            found[f"scan_shape_{index}"] = tuple(sizes)
    return found


# Rows


def _follows_rows(info: Info | None) -> bool:
    return info is None or (info.rows != Rows.OPAQUE and not depends_on_batch_size(info))


def _body_rows(body: Graph, inputs: Infos) -> list[Info] | None:
    """What a body's outputs hold if it keeps the rows of its inputs apart, else None."""
    known = {name: info for name, info in zip(body.inputs, inputs, strict=True) if info is not None}
    analysis = analyze(body, known)
    made = [analysis.infos[name] for name in body.outputs]
    return None if analysis.coupled or not all(map(_follows_rows, made)) else made


def _rows_if(node: Node, inputs: Infos, outputs: Sequence[Info]) -> RowFlow:
    """Rows pass through both branches alike, and the condition is the same for all of them."""
    condition = inputs[0]
    settled = condition is not None and condition.rows == Rows.INVARIANT
    if not settled or not all(map(_follows_rows, inputs)) or _too_deep(node):
        return couples(node, inputs, outputs)
    branches = [_body_rows(body, inputs[1:]) for body in node.bodies]
    first, second = branches
    if first is None or second is None or [a.rows for a in first] != [b.rows for b in second]:
        return couples(node, inputs, outputs)
    return RowFlow(tuple(info.rows for info in first))


def _carries_rows(state: Infos, made: Sequence[Info]) -> bool:
    return all(
        before is not None and before.rows == after.rows for before, after in zip(state, made, strict=True)
    )


def _rows_loop(node: Node, inputs: Infos, outputs: Sequence[Info]) -> RowFlow:
    """The same number of iterations for all rows, each of which keeps them apart."""
    carried = _carried(node)
    control = [info for info in inputs[:2] if info is not None]
    settled = all(info.rows == Rows.INVARIANT for info in control)
    if not settled or not all(map(_follows_rows, inputs)) or _too_deep(node) or len(outputs) < carried:
        return couples(node, inputs, outputs)
    given = inputs[2 : 2 + carried]
    state = [
        replace(after, rows=Rows.INVARIANT if before is None else before.rows)
        for before, after in zip(given, outputs[:carried], strict=True)
    ]
    made = _body_rows(_loop_body(node), [_ITERATION, _CONDITION, *state, *inputs[2 + carried :]])
    if made is None or made[0].rows != Rows.INVARIANT or not _carries_rows(state, made[1 : 1 + carried]):
        return couples(node, inputs, outputs)
    stacked = [info.rows + 1 if info.rows >= 0 else info.rows for info in made[1 + carried :]]
    return RowFlow((*(info.rows for info in state), *stacked)[: len(outputs)])


OPS: tuple[Op, ...] = (
    Op("If", _infer_if, _evaluate_if, _rows_if),
    Op("Loop", _infer_loop, _evaluate_loop, _rows_loop),
    Op("Scan", _infer_scan, _evaluate_scan),
)
