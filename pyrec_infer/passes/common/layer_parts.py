"""Layers that read rows of tables side by side, taken apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrec_infer.ir import Array, Graph, Node
from pyrec_infer.ops.lookup_parts import LookupPart, lookup_parts, make_lookup


def table_parts(node: Node, graph: Graph) -> list[LookupPart] | None:
    """The parts of a lookup in constant float32 tables, and numbers; None where there are others."""
    parts = lookup_parts(node)
    for part in parts:
        if part.codec == "f32" and (part.offset or part.table not in graph.constants):
            return None
        if part.codec not in ("", "f32"):
            return None
    return parts


def layer_of_rest(
    layer: Node, parts: Sequence[LookupPart], rows: Sequence[Array], total: str, constants: dict[str, Array]
) -> list[Node]:
    """A layer whose other parts are summed in ``total``.

    Parameters
    ----------
    layer : Node
        A ``pyrec.Dense`` of a lookup.
    parts : sequence of LookupPart
        What is left of it.
    rows : sequence of ndarray of float32
        The rows of the weights that each of these parts is multiplied by.
    total : str
        The sum of the other parts' products and the bias.
    constants : dict
        Takes the weights that are left.

    Returns
    -------
    list of Node
    """
    rest, weights = f"{total}/rest", f"{total}/weights"
    constants[weights] = np.ascontiguousarray(np.concatenate(rows))
    made: list[Node] = []
    if any(part.table for part in parts):
        made.append(make_lookup("pyrec.Lookup", rest, parts, label=layer.name))
    elif len(parts) == 1:
        rest = parts[0].source
    else:
        sources = tuple(part.source for part in parts)
        made.append(Node("Concat", sources, (rest,), {"axis": 1}, name=layer.name))
    return [
        *made,
        Node("pyrec.Dense", (rest, weights, total), layer.outputs, layer.attributes, name=layer.name),
    ]


__all__ = ["layer_of_rest", "table_parts"]
