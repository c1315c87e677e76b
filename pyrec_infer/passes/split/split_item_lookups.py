"""Take the item's parts of lookups apart from those of the request."""

from __future__ import annotations

from collections.abc import Mapping

from pyrec_infer.ir import Graph, Node, Rate
from pyrec_infer.ops.lookup_parts import LOOKUPS, LookupPart, lookup_parts, make_lookup
from pyrec_infer.passes.common.sides import Sides, find_rates


def _is_ready(part: LookupPart, rates: Mapping[str, Rate]) -> bool:
    """Whether a part is known of an item alone."""
    return rates[part.source] == Rate.ITEM and bool(part.table) and rates[part.table] == Rate.MODEL


def split_item_lookups(graph: Graph, sides: Sides) -> Graph:
    """Let lookups of an item and a request read one of the item alone, which can be stored.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(np.dtype(np.int64), (Dim.symbol("N"),), 0)
    >>> parts = [LookupPart(source, "t", -1, 2) for source in ("u", "i")]
    >>> nodes = (make_lookup("pyrec.Lookup", "y", parts),)
    >>> constants = {"t": np.ones((9, 2), np.float32)}
    >>> graph = Graph(("u", "i"), ("y",), nodes, constants, {"u": info, "i": info})
    >>> made = split_item_lookups(graph, Sides(frozenset("u"), frozenset("i")))
    >>> [node.inputs for node in made.nodes]
    [('i', 't'), ('u', 't', 'y/items1', '')]
    """
    rates = find_rates(graph, sides)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op not in LOOKUPS or rates[node.outputs[0]] != Rate.PAIR:
            nodes.append(node)
            continue
        first = int(node.op == "pyrec.LookupSum")
        parts = lookup_parts(node)
        runs: list[list[LookupPart]] = []
        ready = [_is_ready(part, rates) for part in parts]
        if first:
            # Addends may change places.
            order = sorted(range(len(parts)), key=lambda i: ready[i])
            parts, ready = [parts[i] for i in order], [ready[i] for i in order]
        for place, part in enumerate(parts):
            if place and ready[place] and ready[place - 1]:
                runs[-1].append(part)
            else:
                runs.append([part])
        flags = [_is_ready(run[0], rates) for run in runs]
        merged: list[LookupPart] = []
        for number, (run, is_item) in enumerate(zip(runs, flags, strict=True)):
            if not is_item:
                merged += run
                continue
            name = f"{node.outputs[0]}/items{number}"
            nodes.append(make_lookup(node.op, name, run, label=node.name))
            width = run[0].width if first else sum(part.width for part in run)
            merged.append(LookupPart.numbers(name, width))
        bias, activation = node.inputs[0] if first else "", node.attribute("activation", "")
        nodes.append(
            make_lookup(node.op, node.outputs[0], merged, bias=bias, activation=activation, label=node.name)
        )
    return graph.with_(nodes=tuple(nodes))
