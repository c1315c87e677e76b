"""The reference interpreter: runs a closed graph node by node through `Op.evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from pyrec_infer.errors import ModelError, PyrecError, UnsupportedModelError
from pyrec_infer.ir import Array, Graph, fault
from pyrec_infer.ops.core.bounds import require_room
from pyrec_infer.ops.core.registry import lookup

Value: TypeAlias = Array | list[Array]
"""A tensor, or a sequence of tensors."""


def _release_lists(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """For each node the values that nothing reads after it."""
    found: tuple[tuple[str, ...], ...] | None = graph.findings.get(_release_lists)
    if found is None:
        kept = set(graph.outputs)
        lists: list[tuple[str, ...]] = []
        for node in reversed(graph.nodes):
            names = tuple(name for name in {*node.inputs, *node.outputs} if name and name not in kept)
            kept.update(names)
            lists.append(names)
        found = tuple(reversed(lists))
        graph.findings[_release_lists] = found
    return found


def interpret(graph: Graph, inputs: Sequence[Value | None]) -> list[Value]:
    """Run a closed graph.

    Parameters
    ----------
    graph : Graph
        A graph whose every operator is known.
    inputs : sequence of arrays or lists of arrays
        One for each of ``graph.inputs``; None is an optional that is absent.

    Returns
    -------
    list
        One for each of ``graph.outputs``. They may share memory with the inputs.

    Raises
    ------
    UnsupportedModelError
        If an operator is not known.
    """
    if len(inputs) != len(graph.inputs):
        raise ModelError(f"expected {len(graph.inputs)} inputs of a graph, got {len(inputs)}")
    values: dict[str, Value | None] = dict(graph.constants)
    values.update(zip(graph.inputs, inputs, strict=True))
    for node, release in zip(graph.nodes, _release_lists(graph), strict=True):
        op = lookup(node.op)
        if op is None:
            raise fault(UnsupportedModelError, node, "the operator is not supported")
        arguments = [values[name] if name else None for name in node.inputs]
        require_room(node, arguments)
        try:
            results = op.evaluate(node, arguments)  # type: ignore[arg-type]
        except PyrecError as error:
            error.add_note(f"in {node.title}")
            raise
        for name, value in zip(node.outputs, results, strict=True):
            if name:
                values[name] = value
        for name in release:
            values.pop(name, None)
    made = [values[name] for name in graph.outputs]
    if any(value is None for value in made):
        raise ModelError("an output of a graph is an optional that is absent")
    return [value for value in made if value is not None]
