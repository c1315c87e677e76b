"""Ids as ids: what `score` refuses and `run` does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.ops import Trait, has, ids_place
from pyrec_infer.ops.inference import analyze

_CHOICES = frozenset({"Clip", "Mod", "Where"})
_EXTREMES = frozenset({"Max", "Min"})

_FUSED = frozenset({"pyrec.Lookup", "pyrec.LookupSum"})


def _moves(node: Node) -> bool:
    return has(node, Trait.MOVES) or node.op == "Cast"


def _keeps(node: Node) -> bool:
    """Whether ids stay the ids that they were; a sum may be a position, as a history's last one is."""
    return _moves(node) or node.op in _CHOICES or node.op in _EXTREMES


def _takes_ids(node: Node) -> bool:
    return ids_place(node) is not None or node.op in _FUSED


def _reads(node: Node) -> str:
    """What a node takes by ids, which are its second input then."""
    return node.inputs[0] if ids_place(node) == 1 else ""


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
    get ``wraps``; see `require_ids`. Sums of ids and the first rows of fields in a table that several
    fields share become ``pyrec.OffsetIds``, which refuse what would be a row of the field before.
    """
    infos = analyze(graph).infos
    views, given = _given(graph, _moves), _given(graph, _keeps)
    reach: set[str] = set()
    for node in reversed(graph.nodes):
        if _reads(node) in graph.constants:
            reach.add(node.inputs[1])
        elif (_moves(node) or node.op == "Add") and any(name in reach for name in node.outputs):
            reach.update(name for name in node.inputs if name)
    nodes = []
    for node in graph.nodes:
        if (
            (place := ids_place(node)) is not None
            and node.inputs[0] not in graph.constants
            and node.inputs[place] not in given
        ):
            node = replace(node, attributes={**node.attributes, "wraps": 1})
        elif node.op == "Cast" and node.outputs[0] in reach and node.inputs[0] in views:
            before, after = (infos[name].dtype for name in (node.inputs[0], node.outputs[0]))
            if before is not None and before.kind == "f" and after is not None and after.kind in "iu":
                node = replace(node, attributes={**node.attributes, "require_integral": 1})
        nodes.append(node)
    return _with_offsets(graph.with_(nodes=tuple(nodes)))


def _flowing(node: Node) -> tuple[str, ...]:
    """The inputs whose elements can be a node's ids."""
    if node.op == "Where":
        return node.inputs[1:]
    return node.inputs if node.op == "Concat" or node.op in _EXTREMES else node.inputs[:1]


def _addition(node: Node, infos: Mapping[str, Info], given: set[str]) -> tuple[str, str] | None:
    """The ids and the numbers that are added to them."""
    if node.op != "Add":
        return None
    for ids, offsets in (node.inputs, node.inputs[::-1]):
        constant = infos[offsets].constant
        if ids in given and constant is not None and constant.size and constant.dtype.kind in "iuf":
            return ids, offsets
    return None


def _shifts(
    table: str, graph: Graph, added: Mapping[Node, tuple[str, int, int]]
) -> list[tuple[Node | None, int, int]]:
    """How ids become rows of a table: the first addition to them, if any, and what is added in all, at least
    and at most.
    """
    found: dict[tuple[Node | None, int, int], None] = {}
    reads = [node.inputs[1] for node in graph.nodes if _reads(node) == table]
    seen: set[tuple[str, Node | None, int, int]] = {(name, None, 0, 0) for name in reads}
    stack = list(seen)
    while stack:
        name, first, least, most = stack.pop()
        node = graph.producers.get(name)
        following: tuple[str, ...] = ()
        if node is not None and node in added:
            ids, low, high = added[node]
            first, least, most, following = node, least + low, most + high, (ids,)
        elif node is not None and _keeps(node):
            following = _flowing(node)
        elif name in graph.inputs:
            found[first, least, most] = None
        steps = {(name, first, least, most) for name in following if name} - seen
        seen |= steps
        stack += steps
    return list(found)


def _with_offsets(graph: Graph) -> Graph:
    """Have additions refuse ids that would be rows of another field of the table.

    The first field of a table begins with the smallest number that is added to any ids of that table,
    and so less than its negative is no id of any field.
    """
    infos = analyze(graph).infos
    given = _given(graph, lambda node: _keeps(node) or node.op == "Add")
    added: dict[Node, tuple[str, int, int]] = {}
    for node in graph.nodes:
        found = _addition(node, infos, given)
        if found is not None:
            values = infos[found[1]].constant
            assert values is not None
            added[node] = found[0], int(values.min()), int(values.max())
    if not added:
        return graph
    least: dict[Node, int] = {}
    for table in dict.fromkeys(map(_reads, graph.nodes)):
        if table not in graph.constants:
            continue
        shifts = _shifts(table, graph, added)
        begin = min((low for _, low, _ in shifts), default=0)
        for first, _, most in shifts:
            if first is not None and most > begin:
                least[first] = max(-begin, least.get(first, -begin))
    return graph.with_(
        nodes=tuple(
            replace(
                node,
                op="pyrec.OffsetIds",
                inputs=_addition(node, infos, given) or node.inputs,
                attributes={**node.attributes, "least": least[node]},
            )
            if node in least
            else node
            for node in graph.nodes
        )
    )


def require_ids(graph: Graph) -> Graph:
    """Mark the lookups, bodies included, that refuse negative ids with ``strict``; see `check_ids`."""
    return _require_ids(graph, analyze(graph).infos, frozenset(graph.constants))


def _require_ids(graph: Graph, infos: Mapping[str, Info], constants: frozenset[str]) -> Graph:
    nodes = []
    for node in graph.nodes:
        if node.bodies:
            node = replace(node, bodies=tuple(_in_body(body, constants) for body in node.bodies))
        elif _takes_ids(node) and not node.attribute("wraps") and not _known(node, infos, constants):
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
        elif _reads(inner) in tables and inner.inputs[1] not in tables:
            inner = replace(inner, attributes={**inner.attributes, "strict": 1})
        nodes.append(inner)
    return body.with_(nodes=tuple(nodes))


def _known(node: Node, infos: Mapping[str, Info], constants: frozenset[str]) -> bool:
    """Whether the positions are the model's own numbers or sizes, which may count from the end."""
    place = ids_place(node)
    if place is None:
        return False
    name = node.inputs[place]
    return name in constants or infos[name].constant is not None or infos[name].contents is not None


__all__ = ["check_ids", "require_ids"]
