"""Ids as ids: what `score` refuses and `run` does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node
from pyrec_infer.ops import Trait, has, ids_place
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.ops.lookup_parts import LOOKUPS

_CHOICES = frozenset({"Clip", "Mod", "Where"})
_EXTREMES = frozenset({"Max", "Min"})


def _moves(node: Node) -> bool:
    return has(node, Trait.MOVES) or node.op == "Cast"


def _keeps(node: Node) -> bool:
    """Whether ids stay the ids that they were; a sum may be a position, as a history's last one is."""
    return _moves(node) or node.op in _CHOICES or node.op in _EXTREMES


def _takes_ids(node: Node) -> bool:
    return ids_place(node) is not None or node.op in LOOKUPS


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
    shifts, given = _shifts(graph, infos), _given(graph, _keeps)
    views = _given(graph, lambda node: _moves(node) or node in shifts)
    reach: set[str] = set()
    for node in reversed(graph.nodes):
        if _reads(node) in graph.constants:
            reach.add(node.inputs[1])
        elif (_moves(node) or node.op in ("Add", "Sub")) and any(name in reach for name in node.outputs):
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


@dataclass(frozen=True)
class _Shift:
    """An addition of the model's own whole numbers to ids.

    Attributes
    ----------
    ids : str
    values : ndarray
        What is added; the negative of what is subtracted.
    varies : bool
        Whether different columns of ids get different numbers, as fields of one table do.
    """

    ids: str
    values: Array
    varies: bool

    @property
    def ends(self) -> tuple[int, int]:
        """Where the first and the last field begin."""
        first = int(self.values.min())
        return first, int(self.values.max()) if self.varies else first


def _shift(node: Node, infos: Mapping[str, Info], given: set[str]) -> _Shift | None:
    if node.op not in ("Add", "Sub"):
        return None
    for ids, offsets in (node.inputs, node.inputs[::-1])[: 2 if node.op == "Add" else 1]:
        values = infos[offsets].constant
        if ids not in given or values is None or not values.size or values.dtype.kind not in "if":
            continue
        if not (np.isfinite(values) & (values == np.floor(values))).all():
            continue
        shape, different = infos[ids].shape, int(values.min()) != int(values.max())
        # One column of ids with several numbers added is a window of positions.
        window = shape is not None and same_shape(shape[-1:], (1,))
        return _Shift(ids, -values if node.op == "Sub" else values, different and not window)
    return None


def _shifts(graph: Graph, infos: Mapping[str, Info]) -> dict[Node, _Shift]:
    given = _given(graph, lambda node: _keeps(node) or node.op in ("Add", "Sub"))
    found = ((node, _shift(node, infos, given)) for node in graph.nodes)
    return {node: shift for node, shift in found if shift is not None}


@dataclass(frozen=True)
class _Ways:
    """What is added to ids on the ways from inputs to a value.

    Attributes
    ----------
    begin, end : int
        What is added in all for the first field of any way, and for the last.
    fields : frozenset of Node
        The shifts on these ways that vary.
    largest : frozenset of Node or None
        Of each way without such a shift the largest one, None where nothing is added.
    """

    begin: int
    end: int
    fields: frozenset[Node]
    largest: frozenset[Node | None]


def _merged(ways: Sequence[_Ways]) -> _Ways:
    return _Ways(
        min(way.begin for way in ways),
        max(way.end for way in ways),
        frozenset().union(*(way.fields for way in ways)),
        frozenset().union(*(way.largest for way in ways)),
    )


def _behind(node: Node, shifts: Mapping[Node, _Shift], ways: _Ways) -> _Ways:
    """The ways of ids behind a shift."""
    shift = shifts[node]
    begin, end = ways.begin + shift.ends[0], ways.end + shift.ends[1]
    if shift.varies:
        return _Ways(begin, end, ways.fields | {node}, frozenset())
    largest = frozenset(
        old if old is not None and shifts[old].ends > shift.ends else node for old in ways.largest
    )
    return _Ways(begin, end, ways.fields, largest)


def _ways(graph: Graph, shifts: Mapping[Node, _Shift]) -> dict[str, _Ways]:
    """The ways to every value that ids of inputs flow to.

    What a model chooses by a condition is followed no further: it may have looked at the id.
    """
    found = {name: _Ways(0, 0, frozenset(), frozenset({None})) for name in graph.inputs}
    for node in graph.nodes:
        made: _Ways | None = None
        if node in shifts:
            before = found.get(shifts[node].ids)
            made = None if before is None else _behind(node, shifts, before)
        elif _keeps(node) and node.op != "Where":
            every = node.op == "Concat" or node.op in _EXTREMES
            flowing = [found[name] for name in node.inputs[: None if every else 1] if name in found]
            made = _merged(flowing) if flowing else None
        if made is not None:
            found.update((name, made) for name in node.outputs if name)
    return found


def _fields(graph: Graph, shifts: Mapping[Node, _Shift]) -> set[Node]:
    """The shifts that put ids of a field behind the rows of another one."""
    ways, tables = _ways(graph, shifts), dict[str, list[_Ways]]()
    for node in graph.nodes:
        table = _reads(node)
        if table in graph.constants and node.inputs[1] in ways:
            tables.setdefault(table, []).append(ways[node.inputs[1]])
    found: set[Node] = set()
    for read in map(_merged, tables.values()):
        found |= read.fields
        # A row in front for what is missing may be kept by one field and not by another.
        if read.end - read.begin > 1:
            found.update(node for node in read.largest if node is not None)
    return found


def _with_offsets(graph: Graph) -> Graph:
    """Have the shifts of fields that share a table refuse what would be rows of the field before."""
    shifts = _shifts(graph, analyze(graph).infos)
    chosen = _fields(graph, shifts) if shifts else set()
    nodes, constants = [], dict(graph.constants)
    for node in graph.nodes:
        if node in chosen:
            offsets = f"{node.outputs[0]}/offsets"
            constants[offsets] = shifts[node].values
            node = Node("pyrec.OffsetIds", (shifts[node].ids, offsets), node.outputs, name=node.name)
        nodes.append(node)
    return graph.with_(nodes=tuple(nodes), constants=constants) if chosen else graph


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
