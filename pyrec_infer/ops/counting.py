"""How often a loop runs whose condition depends on whole numbers that it counts itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node
from pyrec_infer.ops.core.interpret import interpret
from pyrec_infer.ops.core.registry import boolean

_MAX_STEPS = 4096
"""Nodes that are evaluated to count one loop: it is counted wherever its graph is looked at."""
_MAX_NODES = 32
_MAX_ELEMENTS = 16


@dataclass(frozen=True)
class _Counters:
    """The part of a body that its condition needs.

    Attributes
    ----------
    graph : Graph
        Inputs are the iteration, the condition, counters and captured constants; outputs are the
        next condition and the next values of the counters.
    counters : tuple of ndarray
        What the counters start from.
    captured : tuple of ndarray
    """

    graph: Graph
    counters: tuple[Array, ...]
    captured: tuple[Array, ...]


def _is_small(value: Array | None) -> bool:
    return value is not None and value.size <= _MAX_ELEMENTS and value.dtype.kind in "biuf"


def _is_exact(node: Node, infos: Mapping[str, Info]) -> bool:
    """Whether every backend makes the same of it: whole numbers, and floats cast from those."""
    made = [infos[name].dtype for name in node.outputs if name]
    return not node.bodies and all(
        dtype is not None and (dtype.kind in "biu" or node.op == "Cast") for dtype in made
    )


def _needed(body: Graph, outputs: Sequence[str]) -> tuple[list[Node], set[str]]:
    """The nodes behind some outputs of a body, in order, and the inputs that they read."""
    names, nodes = set(outputs), []
    for node in reversed(body.nodes):
        if names.intersection(node.outputs):
            nodes.append(node)
            names.update(node.inputs)
    nodes.reverse()
    return nodes, names.intersection(body.inputs)


def _counters(
    body: Graph, carried: int, given: Sequence[Info | None], infos: Mapping[str, Info]
) -> _Counters | None:
    """What the condition depends on, if that is known before the loop runs."""
    outputs = [body.outputs[0]]
    states = dict(zip(body.inputs[2 : 2 + carried], body.outputs[1 : 1 + carried], strict=True))
    while True:
        nodes, read = _needed(body, outputs)
        if len(nodes) > _MAX_NODES:
            return None
        further = [states[name] for name in body.inputs if name in read and name in states]
        if len(further) > _MAX_NODES:
            return None
        if set(further) <= set(outputs[1:]):
            break
        outputs[1:] = further
    inputs = [name for name in body.inputs[2:] if name in read]
    values = {
        name: info.constant for name, info in zip(body.inputs[2:], given, strict=True) if info is not None
    }
    if not all(_is_small(values.get(name)) for name in inputs) or not all(_is_exact(n, infos) for n in nodes):
        return None
    counters = [name for name in inputs if name in states]
    captured = [name for name in inputs if name not in states]
    graph = body.with_(
        nodes=tuple(nodes),
        inputs=(*body.inputs[:2], *counters, *captured),
        outputs=(body.outputs[0], *(states[name] for name in counters)),
    )
    return _Counters(
        graph,
        tuple(np.asarray(values[name]) for name in counters),
        tuple(np.asarray(values[name]) for name in captured),
    )


def count_trips(
    body: Graph, carried: int, limit: int, given: Sequence[Info | None], infos: Mapping[str, Info]
) -> int | None:
    """The number of iterations that a counting condition allows, found by counting.

    Parameters
    ----------
    body : Graph
        Of a Loop whose condition is true at first.
    carried : int
        How many of its inputs from the third on are carried from one iteration to the next.
    limit : int
        The most iterations.
    given : sequence of Info or None
        What is known of the first carried values and of the captured ones.
    infos : mapping of str to Info
        What is known of the body's values in any iteration.

    Returns
    -------
    int or None
        None where the condition depends on more than small whole numbers known beforehand, or where
        to count takes more than a few thousand steps.
    """
    found = _counters(body, carried, given, infos)
    if found is None:
        return None
    condition, state = np.asarray(True), list(found.counters)
    most = _MAX_STEPS // max(len(found.graph.nodes), 1)
    for iteration in range(min(limit, most)):
        results = interpret(
            found.graph, [np.asarray(iteration, np.int64), condition, *state, *found.captured]
        )
        condition, state = np.asarray(results[0]), [np.asarray(value) for value in results[1:]]
        if condition.size != 1:
            return None
        condition = condition.reshape(())
        if not boolean(condition):
            return iteration + 1
    return limit if limit <= most else None
