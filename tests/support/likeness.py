"""Whether two graphs say the same, whatever their values are called and how their weights were drawn."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np
from onnx import defs, helper

from pyrec_infer.ir import Graph, Node

_FEW = 8
"""Of so many floats each one may be a number that a formula is known by; more are weights."""


def _plain(value: Any) -> Any:
    """What tells a constant or an attribute from others; of weights, what makes another of a step."""
    if isinstance(value, np.ndarray):
        told = value
        if value.dtype.kind == "f" and value.size > _FEW:
            told = np.stack([value == 0, value == 1, np.isfinite(value)])
        content = repr(told.tolist()).encode() if told.dtype.hasobject else told.tobytes()
        return value.dtype.str, value.shape, hashlib.sha256(content).hexdigest()
    if not isinstance(value, int | float | str | tuple):
        return id(value)
    return repr(value)


@cache
def _defaults(op: str) -> dict[str, Any]:
    domain, _, name = op.rpartition(".")
    if not defs.has(name, domain):
        return {}
    attributes = defs.get_schema(name, domain=domain).attributes
    given = {key: attribute.default_value for key, attribute in attributes.items()}
    return {key: _plain(helper.get_attribute_value(value)) for key, value in given.items() if value.name}


def _attributes(node: Node) -> list[tuple[str, Any]]:
    """Those that are not as they are where nothing is said."""
    said, defaults = {key: _plain(value) for key, value in node.attributes.items()}, _defaults(node.op)
    return sorted((key, value) for key, value in said.items() if defaults.get(key) != value)


def digest(graph: Graph) -> str:
    """Equal for two graphs of equal inputs whose outputs are made of them in the same steps.

    The inputs' names and the outputs' count; what is made, but read by no output, is left out.
    """
    inputs = [(name, graph.infos[name].dtype, graph.infos[name].shape) for name in graph.inputs]
    numbers: dict[str, object] = {name: ("input", i) for i, name in enumerate(graph.inputs)}
    numbers |= {name: ("constant", _plain(value)) for name, value in graph.constants.items()}
    numbers[""] = "absent"
    said: list[object] = [inputs, graph.static_rows]
    made = 0

    def visit(name: str) -> None:
        nonlocal made
        waiting = [name]
        while waiting:
            current = waiting[-1]
            if current in numbers:
                waiting.pop()
                continue
            node = graph.producers[current]
            missing = [source for source in node.inputs if source not in numbers]
            if missing:
                waiting += reversed(missing)
                continue
            sources = [numbers[source] for source in node.inputs]
            said.append((node.op, sources, _attributes(node), [digest(body) for body in node.bodies]))
            numbers.update({output: ("made", made, i) for i, output in enumerate(node.outputs) if output})
            made += 1

    for name in graph.outputs:
        visit(name)
    said.append([numbers[name] for name in graph.outputs])
    return hashlib.sha256(repr(said).encode()).hexdigest()
