"""One way to split a model's inputs, and the rate that every value has in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyrec_infer.ir import Graph, Node, Rate, Rows
from pyrec_infer.ops.core.inference import analyze


@dataclass(frozen=True)
class Sides:
    """Which inputs are known when.

    Attributes
    ----------
    request : frozenset of str
        Inputs that come once with a request.
    items : frozenset of str
        Inputs that are known when an item enters a catalogue. All others come with each candidate.
    """

    request: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()


def find_rates(graph: Graph, sides: Sides) -> dict[str, Rate]:
    """The rate of every value; without a catalogue nothing is known of an item before its request.

    Rows that are run one by one, as a file with its batch fixed to 1 has them, are not coupled.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Info, Node
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"),), 0)
    >>> graph = Graph(("u", "i"), ("y",), (Node("Add", ("u", "i"), ("y",)),), {}, {"u": info, "i": info})
    >>> [rate.name for rate in find_rates(graph, Sides(frozenset("u"), frozenset("i"))).values()]
    ['REQUEST', 'ITEM', 'PAIR']
    """
    analysis = analyze(graph)
    rates = dict.fromkeys(graph.constants, Rate.MODEL)
    for name in graph.inputs:
        shared = analysis.infos[name].rows == Rows.INVARIANT and name not in sides.items
        on_request = name in sides.request or shared
        rates[name] = Rate.REQUEST if on_request else Rate.ITEM if name in sides.items else Rate.PAIR
    coupled = frozenset() if graph.static_rows else analysis.coupled
    for node in graph.nodes:
        rate = rate_of(node, rates, node in coupled)
        rates.update((name, rate) for name in node.outputs if name)
    return rates


def rate_of(node: Node, rates: Mapping[str, Rate], coupled: bool) -> Rate:
    """When a node can run, by the rates of its inputs; all rows have to be there for a coupled one."""
    return Rate.PAIR if coupled else Rate.MODEL.join(*[rates[name] for name in node.inputs if name])
