"""Ids as ids: what `score` refuses and `run` does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.inference import analyze
from pyrec_infer.sources import IDS

_CHOICES = frozenset({"Clip", "Mod", "Where"})
_EXTREMES = frozenset({"Max", "Min"})

_LOOKUPS = frozenset({*IDS, "pyrec.Lookup", "pyrec.LookupSum"})


def _moves(node: Node) -> bool:
    return has(node, Trait.MOVES) or node.op == "Cast"


def _keeps(node: Node) -> bool:
    """Whether ids stay the ids that they were; a sum may be a position, as a history's last one is."""
    return _moves(node) or node.op in _CHOICES or node.op in _EXTREMES


def _given(graph: Graph, through: Callable[[Node], bool]) -> set[str]:
    """The values that are made of inputs by some operators alone."""
    found = set(graph.inputs)
    for node in graph.nodes:
        if through(node) and any(name in found for name in node.inputs):
            found.update(node.outputs)
    return found


def check_ids(graph: Graph) -> Graph:
    """Mark what depends on how ids were given, while the graph is as the file has it.

    Casts from float inputs to ids get ``require_integral``, so that they refuse what is not a whole
    number. Lookups whose negative positions are meant, because they are worked out and read no table,
    get ``wraps``; see `require_ids`.
    """
    infos = analyze(graph).infos
    views, given = _given(graph, _moves), _given(graph, _keeps)
    reach: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op.startswith("Gather") and node.inputs[0] in graph.constants:
            reach.add(node.inputs[1])
        elif (_moves(node) or node.op == "Add") and any(name in reach for name in node.outputs):
            reach.update(name for name in node.inputs if name)
    nodes = []
    for node in graph.nodes:
        if (
            node.op in IDS
            and node.inputs[0] not in graph.constants
            and node.inputs[IDS[node.op]] not in given
        ):
            node = replace(node, attributes={**node.attributes, "wraps": 1})
        elif node.op == "Cast" and node.outputs[0] in reach and node.inputs[0] in views:
            before, after = (infos[name].dtype for name in (node.inputs[0], node.outputs[0]))
            if before is not None and before.kind == "f" and after is not None and after.kind in "iu":
                node = replace(node, attributes={**node.attributes, "require_integral": 1})
        nodes.append(node)
    return graph.with_(nodes=tuple(nodes))


def require_ids(graph: Graph) -> Graph:
    """Mark the lookups, bodies included, that refuse negative ids with ``strict``; see `check_ids`."""
    return _require_ids(graph, analyze(graph).infos, frozenset(graph.constants))


def _require_ids(graph: Graph, infos: Mapping[str, Info], constants: frozenset[str]) -> Graph:
    nodes = []
    for node in graph.nodes:
        if node.bodies:
            node = replace(node, bodies=tuple(_in_body(body, constants) for body in node.bodies))
        elif node.op in _LOOKUPS and not node.attribute("wraps") and not _known(node, infos, constants):
            node = replace(node, attributes={**node.attributes, "strict": 1})
        nodes.append(node)
    return graph.with_(nodes=tuple(nodes))


def _in_body(body: Graph, constants: frozenset[str]) -> Graph:
    """Inside control flow only reads of tables are known to be by id."""
    tables = frozenset(body.constants) | (constants & set(body.inputs))
    nodes = []
    for inner in body.nodes:
        if inner.bodies:
            inner = replace(inner, bodies=tuple(_in_body(deeper, tables) for deeper in inner.bodies))
        elif inner.op in IDS and inner.inputs[0] in tables and inner.inputs[IDS[inner.op]] not in tables:
            inner = replace(inner, attributes={**inner.attributes, "strict": 1})
        nodes.append(inner)
    return body.with_(nodes=tuple(nodes))


def _known(node: Node, infos: Mapping[str, Info], constants: frozenset[str]) -> bool:
    """Whether the positions are the model's own numbers or sizes, which may count from the end."""
    if node.op not in IDS:
        return False
    name = node.inputs[IDS[node.op]]
    return name in constants or infos[name].constant is not None or infos[name].contents is not None


__all__ = ["check_ids", "require_ids"]
