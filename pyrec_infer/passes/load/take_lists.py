"""Take inputs that the file names no batch for as lists, where bags read them as such."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, Rows, Shape, same_size
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.inference import analyze, analyze_node
from pyrec_infer.passes.load.place_bags import unfit
from pyrec_infer.passes.split.repeat import find_lists

_SIZES = frozenset({"Shape", "Size"})
_SPELT_WITH = frozenset({"Loop", "ScatterElements", "ScatterND"})
"""Operators of which every exporter's bags have one."""


def presumed_lists(graph: Graph, presumed: Mapping[str, str]) -> frozenset[str]:
    """The inputs that may be lists: those that nodes read which couple rows.

    Parameters
    ----------
    graph : Graph
        As it was imported.
    presumed : mapping of str to str
        See `Context`.

    Examples
    --------
    >>> import numpy as np
    >>> rows = Info(np.dtype(np.float32), (Dim.symbol(BATCH), 2), 0)
    >>> nodes = (Node("ScatterND", ("w", "i", "a"), ("s",)), Node("Add", ("s", "b"), ("y",)))
    >>> constants = {"w": np.zeros((9, 2), np.float32), "i": np.zeros((1, 1), np.int64)}
    >>> graph = Graph(("a", "b"), ("y",), nodes, constants, {"a": rows, "b": rows})
    >>> sorted(presumed_lists(graph, {"a": "a:0", "b": "b:0"}))
    ['a']
    """
    bags = any(node.op in _SPELT_WITH for node in graph.nodes)
    if not presumed or not bags or graph.static_rows:
        return frozenset()
    analysis = analyze(graph)
    sources: dict[str, frozenset[str]] = {name: frozenset((name,)) for name in presumed}
    found: set[str] = set()
    for node in graph.nodes:
        if node.op in _SIZES:
            continue
        read = frozenset[str]().union(*(sources.get(name, ()) for name in node.inputs))
        if node in analysis.coupled:
            if not _couples_rows(node, analysis.infos):
                continue
            found |= read
        sources.update((name, read) for name in node.outputs if name)
    while found and (more := _meeting(graph, presumed, frozenset(found), sources)):
        found |= more
    return frozenset(found)


def _meeting(
    graph: Graph, presumed: Mapping[str, str], lists: frozenset[str], sources: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    """The inputs that are joined with lists element by element."""
    labels = frozenset(presumed[name] for name in lists)
    found: set[str] = set()
    for joined in _joined(take_lists(graph, presumed, lists)):
        if labels.intersection(joined.values()):
            found.update(*(sources.get(name, ()) for name, label in joined.items() if label == BATCH))
    return frozenset(found) - lists


def _couples_rows(node: Node, infos: Mapping[str, Info]) -> bool:
    """Whether a node couples rows of its own accord, and not only because its inputs are of coupled rows."""

    def with_rows(info: Info) -> Info:
        if info.rows != Rows.OPAQUE or not info.shape:
            return info
        return replace(info, shape=(Dim.symbol(BATCH), *info.shape[1:]), rows=0)

    if node.bodies:
        return True
    placed = {name: with_rows(infos[name]) for name in node.inputs if name}
    if any(info.rows == Rows.OPAQUE for info in placed.values()):
        return False
    return analyze_node(replace(node), placed)[1]


def take_lists(graph: Graph, presumed: Mapping[str, str], lists: frozenset[str]) -> Graph:
    """The graph whose inputs of these names are lists without rows, each as long as those that it meets.

    Examples
    --------
    >>> import numpy as np
    >>> rows = Info(np.dtype(np.float32), (Dim.symbol(BATCH), 2), 0)
    >>> nodes = (Node("Mul", ("a", "b"), ("c",)), Node("CumSum", ("c", "axis"), ("y",)))
    >>> graph = Graph(("a", "b"), ("y",), nodes, {"axis": np.asarray(0)}, {"a": rows, "b": rows})
    >>> taken = take_lists(graph, {"a": "a:0", "b": "b:0"}, frozenset("ab"))
    >>> [(taken.infos[name].shape, taken.infos[name].rows) for name in "ab"]
    [((a:0, 2), <Rows.INVARIANT: -1>), ((a:0, 2), <Rows.INVARIANT: -1>)]
    """
    names = {name: presumed[name] for name in sorted(lists)}
    while True:
        graph = graph.with_(infos={**graph.infos, **_without_rows(graph, names)})
        met = _met(graph, frozenset(names.values()))
        if met is None:
            return graph
        names = {name: met[0] if label == met[1] else label for name, label in names.items()}


def _without_rows(graph: Graph, names: Mapping[str, str]) -> dict[str, Info]:
    found = {}
    for name, label in names.items():
        shape = graph.infos[name].shape or ()
        found[name] = replace(graph.infos[name], shape=(Dim.symbol(label), *shape[1:]), rows=Rows.INVARIANT)
    return found


def _met(graph: Graph, labels: frozenset[str]) -> tuple[str, str] | None:
    """Two names of lengths that one node joins element by element."""
    for joined in _joined(graph):
        whole = labels.intersection(joined.values())
        if len(whole) > 1:
            first, second, *_ = sorted(whole)
            return first, second
    return None


def _joined(graph: Graph) -> Iterator[Mapping[str, str]]:
    """For each node that joins values element by element, these with the names of their first axes."""

    def label(shape: Shape) -> str:
        size = shape[0] if shape else 0
        return (
            size.symbols[0] if isinstance(size, Dim) and same_size(size, Dim.symbol(size.symbols[0])) else ""
        )

    infos = analyze(graph).infos
    for node in graph.nodes:
        if has(node, Trait.ELEMENTWISE):
            shapes = {name: infos[name].shape or () for name in node.inputs if name}
            rank = max(map(len, shapes.values()), default=0)
            yield {name: label(shape) for name, shape in shapes.items() if len(shape) == rank}


def are_lists(graph: Graph, other: Graph, lists: frozenset[str]) -> bool:
    """Whether bags read all these lists of a graph, and keep rows apart that the other graph ties together.

    Both are as `compile_graph` makes them, with and without `take_lists`.
    """
    return lists <= find_lists(graph) and unfit(graph) < unfit(other)


__all__ = ["are_lists", "presumed_lists", "take_lists"]
