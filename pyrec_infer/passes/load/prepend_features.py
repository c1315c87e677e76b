"""Let a model's inputs be made of raw values inside its graph."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from pyrec_infer.ir import Graph, Node
from pyrec_infer.passes.common.rewrite import free_name, rename_values


@dataclass(frozen=True, eq=False)
class Front:
    """What stands in front of a model.

    Attributes
    ----------
    graph : Graph
        From raw values to what the model reads.
    feeds : mapping of str to str
        Inputs of the model, and the output of ``graph`` that each is.
    """

    graph: Graph
    feeds: Mapping[str, str]


def prepend_features(graph: Graph, front: Front) -> Graph:
    """Replace the inputs that the front feeds by those that it reads.

    Values inside the model give way to the front's names, and values inside the front to those of the
    model's outputs and other inputs, which stay, after the front's.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Info, Node
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"),), 0)
    >>> model = Graph(("x",), ("y",), (Node("Exp", ("x",), ("y",)),), {}, {"x": info})
    >>> front = Graph(("x",), ("f",), (Node("Neg", ("x",), ("f",)),), {}, {"x": info})
    >>> [(node.op, node.inputs) for node in prepend_features(model, Front(front, {"x": "f"})).nodes]
    [('Neg', ('x',)), ('Exp', ('f',))]
    """
    kept = tuple(name for name in graph.inputs if name not in front.feeds)
    first, feeds = _apart(front, {*kept, *graph.outputs})
    own = {*first.inputs, *first.constants, *first.producers}
    taken = own | {*graph.inputs, *graph.constants, *graph.producers}
    moved: dict[str, str] = {}
    for name in sorted({*graph.constants, *graph.producers} & own):
        moved[name] = free_name(f"{name}/model", taken)
        taken.add(moved[name])
    moved.update(feeds)
    model = rename_values(graph.with_(inputs=kept), moved)
    same = tuple(Node("Identity", (feeds[name],), (name,)) for name in graph.outputs if name in feeds)
    infos = {name: info for name, info in model.infos.items() if name not in feeds.values()}
    return model.with_(
        inputs=(*first.inputs, *kept),
        nodes=(*first.nodes, *model.nodes, *same),
        constants={**first.constants, **model.constants},
        infos={**infos, **first.infos},
    )


def _apart(front: Front, fixed: Set[str]) -> tuple[Graph, Mapping[str, str]]:
    """The front's graph and feeds, whose inner values have none of the names that the model has to keep."""
    inner = {*front.graph.constants, *front.graph.producers}
    taken = {*fixed, *inner, *front.graph.inputs}
    moved: dict[str, str] = {}
    for name in sorted(inner & fixed):
        moved[name] = free_name(f"{name}/front", taken)
        taken.add(moved[name])
    feeds = {name: moved.get(value, value) for name, value in front.feeds.items()}
    return rename_values(front.graph, moved), feeds


__all__ = ["Front", "prepend_features"]
