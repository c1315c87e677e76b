"""Take the item's parts of lookups apart from those of the request."""

from __future__ import annotations

from pyrec_infer.ir import Graph, Node, Rate
from pyrec_infer.ops.fused import parts_of
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.lookup_parts import LookupPart, make_lookup


def split_item_lookups(graph: Graph, sides: Sides) -> Graph:
    """Let lookups of an item and a request read one of the item alone, which can be stored.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(np.dtype(np.int64), (Dim.symbol("N"),), 0)
    >>> parts = {"columns": (-1, -1), "offsets": (0, 0), "widths": (2, 2), "codecs": ("f32", "f32")}
    >>> nodes = (Node("pyrec.Lookup", ("u", "t", "i", "t"), ("y",), parts),)
    >>> constants = {"t": np.ones((9, 2), np.float32)}
    >>> graph = Graph(("u", "i"), ("y",), nodes, constants, {"u": info, "i": info})
    >>> made = split_item_lookups(graph, Sides(frozenset("u"), frozenset("i")))
    >>> [node.inputs for node in made.nodes]
    [('i', 't'), ('u', 't', 'y/items1', '')]
    """
    rates = find_rates(graph, sides)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op not in ("pyrec.Lookup", "pyrec.LookupSum") or rates[node.outputs[0]] != Rate.PAIR:
            nodes.append(node)
            continue
        first = int(node.op == "pyrec.LookupSum")
        parts = list(zip(node.inputs[first::2], node.inputs[first + 1 :: 2], parts_of(node), strict=True))
        runs: list[list[LookupPart]] = []
        ready = [rates[source] == Rate.ITEM and bool(table) for source, table, _ in parts]
        if first:
            # Addends may change places.
            order = sorted(range(len(parts)), key=lambda i: ready[i])
            parts, ready = [parts[i] for i in order], [ready[i] for i in order]
        for place, part in enumerate(parts):
            if place and ready[place] and ready[place - 1]:
                runs[-1].append(part)
            else:
                runs.append([part])
        flags = [rates[run[0][0]] == Rate.ITEM and bool(run[0][1]) for run in runs]
        merged: list[LookupPart] = []
        for number, (run, is_item) in enumerate(zip(runs, flags, strict=True)):
            if not is_item:
                merged += run
                continue
            name = f"{node.outputs[0]}/items{number}"
            nodes.append(make_lookup(node.op, name, run, bias="", attributes={}, label=node.name))
            width = run[0][2][2] if first else sum(part[2][2] for part in run)
            merged.append((name, "", (-1, 0, width, "")))
        kept = {key: value for key, value in node.attributes.items() if key == "activation"}
        bias = node.inputs[0] if first else ""
        nodes.append(make_lookup(node.op, node.outputs[0], merged, bias, kept, node.name))
    return graph.with_(nodes=tuple(nodes))
