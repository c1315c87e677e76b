"""Scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError, ShapeError
from pyrec_infer.ir import Array, Graph, Info, Node, Size, bytes_of, fault
from pyrec_infer.limits import current_budget
from pyrec_infer.ops.core.interpret import Value, interpret
from pyrec_infer.ops.core.registry import Op
from pyrec_infer.ops.core.shapes import axis_of
from pyrec_infer.ops.loops import empty_scan, fixpoint
from pyrec_infer.ops.subgraphs import (
    BYTES_OF_OBJECT,
    Infos,
    captures_of,
    closed_body,
    outer_info,
    plain_info,
    stack_arrays,
    stacked_info,
    symbols_of,
    too_deep,
    unknown_outputs,
    without_value,
)


def _scan_setting(node: Node, key: str, count: int) -> tuple[int, ...]:
    values = tuple(node.attribute(key, ())) or (0,) * count
    if len(values) != count:
        raise fault(ModelError, node, f"expected {count} values of {key}, got {len(values)}")
    return values


def _scan_parts(node: Node) -> tuple[Graph, int, int]:
    """The body, the number of state values and the number of scan inputs."""
    scanned = node.attribute("num_scan_inputs", 0)
    states = len(node.inputs) - scanned - captures_of(node)
    if scanned < 1 or states < 0:
        raise fault(ModelError, node, f"num_scan_inputs is {scanned}")
    body = closed_body(node, len(node.inputs), states)
    if len(body.outputs) != len(node.outputs):
        raise fault(ModelError, node, "a body's outputs do not fit the node")
    return body, states, scanned


def _infer_scan(node: Node, inputs: Infos) -> list[Info]:
    body, states, scanned = _scan_parts(node)
    if too_deep(node):
        return unknown_outputs(node)
    axes = _scan_setting(node, "scan_input_axes", scanned)
    state = [without_value(info) for info in inputs[:states]]
    length: Size | None = None
    fixed: dict[str, Info] = {}
    for offset, axis in enumerate(axes):
        info = without_value(inputs[states + offset])
        if info.shape is not None:
            at = axis_of(node, axis, len(info.shape))
            length = info.shape[at] if length is None else length
            info = replace(info, shape=(*info.shape[:at], *info.shape[at + 1 :]))
        fixed[body.inputs[states + offset]] = info
    captured = [plain_info(info) for info in inputs[states + scanned :]]
    fixed.update(zip(body.inputs[states + scanned :], captured, strict=True))
    infos = fixpoint(body, 0, state, fixed)
    known = symbols_of(inputs)
    outputs = [outer_info(node, index, info, known) for index, info in enumerate(state)]
    output_axes = _scan_setting(node, "scan_output_axes", len(body.outputs) - states)
    for index, (name, axis) in enumerate(zip(body.outputs[states:], output_axes, strict=True), start=states):
        outputs.append(stacked_info(node, index, infos[name], known, length, axis))
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
        results = interpret(body, [*state, *(value[step, ...] for value in rows_of), *captured])
        state = results[:states]
        for stack, value in zip(scans, results[states:], strict=True):
            array = np.asarray(value)
            budget.take(BYTES_OF_OBJECT + bytes_of(array))
            stack.append(array)
    stacked: list[Value] = []
    settings = zip(body.outputs[states:], scans, output_axes, output_reverse, strict=True)
    for name, stack, axis, backward in settings:
        if stack:
            stacked.append(stack_arrays(node, stack[::-1] if backward else stack, axis))
        else:
            first = [*inputs[:states], *(np.empty(v.shape[1:], v.dtype) for v in rows_of), *captured]
            stacked.append(empty_scan(node, body, name, first, axis))
    return [*state, *stacked]


def scan_attributes(node: Node, outputs: Sequence[Info]) -> dict[str, tuple[str, ...] | tuple[int, ...]]:
    """What the native Loop and Scan need to make a scan output of no iterations.

    ``scan_dtypes`` is the element type of each scan output; ``scan_shape_<i>`` its shape, with 0 for
    the new axis and for sizes that nothing fixes.
    """
    inputs = len(node.inputs) - captures_of(node)
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


OPS: tuple[Op, ...] = (Op("Scan", _infer_scan, _evaluate_scan),)
