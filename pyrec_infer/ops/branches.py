"""If."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyrec_infer.errors import ModelError, ShapeError
from pyrec_infer.ir import Graph, Info, Node, Rows, fault
from pyrec_infer.ops.core.inference import infer_graph
from pyrec_infer.ops.core.interpret import interpret
from pyrec_infer.ops.core.registry import Op, RowFlow, boolean, couples
from pyrec_infer.ops.subgraphs import (
    Infos,
    body_rows,
    follows_rows,
    merge_info,
    outer_info,
    plain_info,
    symbols_of,
    too_deep,
    unknown_outputs,
)


def _branch(node: Node, taken: bool) -> Graph:
    return node.bodies[0 if taken else 1]


def _check_if(node: Node) -> None:
    if len(node.bodies) != 2 or len(node.inputs) < 1:
        raise fault(ModelError, node, "expected a condition and two bodies")
    for body in node.bodies:
        if len(body.inputs) != len(node.inputs) - 1 or len(body.outputs) != len(node.outputs):
            raise fault(ModelError, node, "a body's inputs or outputs do not fit the node")


def _infer_if(node: Node, inputs: Infos) -> list[Info]:
    _check_if(node)
    if too_deep(node):
        return unknown_outputs(node)
    captured = [plain_info(info) for info in inputs[1:]]
    known = symbols_of(captured)
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
        found.append([outer_info(node, index, infos[name], known) for index, name in enumerate(body.outputs)])
    if not found:
        raise failure or fault(ModelError, node, "has no body")
    if len(found) == 1:
        return found[0]
    return [merge_info(a, b, node.outputs[index]) for index, (a, b) in enumerate(zip(*found, strict=True))]


def _evaluate_if(node: Node, inputs: Sequence[Any]) -> list[Any]:
    _check_if(node)
    if inputs[0] is None or inputs[0].size != 1:
        raise ShapeError("If: expected a condition of one element")
    return interpret(_branch(node, boolean(inputs[0])), inputs[1:])


def _rows_if(node: Node, inputs: Infos, outputs: Sequence[Info]) -> RowFlow:
    """Rows pass through both branches alike, and the condition is the same for all of them."""
    condition = inputs[0]
    settled = condition is not None and condition.rows == Rows.INVARIANT
    if not settled or not all(map(follows_rows, inputs)) or too_deep(node):
        return couples(node, inputs, outputs)
    branches = [body_rows(body, inputs[1:]) for body in node.bodies]
    first, second = branches
    if first is None or second is None or [a.rows for a in first] != [b.rows for b in second]:
        return couples(node, inputs, outputs)
    return RowFlow(tuple(info.rows for info in first))


OPS: tuple[Op, ...] = (Op("If", _infer_if, _evaluate_if, _rows_if),)
