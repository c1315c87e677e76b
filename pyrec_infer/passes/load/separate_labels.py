"""Let classifiers with string labels give label positions, and look the strings up afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Array, Graph, Node, holds_strings
from pyrec_infer.ops import Trait, has


def separate_labels(graph: Graph) -> Graph:
    """Strings never reach the kernels, so a classifier's scores must not depend on its label's type.

    Examples
    --------
    >>> from pyrec_infer.ir import Info, Linear
    >>> model = {"linear": Linear(np.ones((2, 2)), np.zeros(2)), "labels": np.asarray(["a", "b"])}
    >>> node = Node("pyrec.LinearClassifier", ("x",), ("label", "p"), model)
    >>> graph = Graph(("x",), ("label", "p"), (node,), {}, {"x": Info(np.dtype(np.float32), (1, 2))})
    >>> [node.op for node in separate_labels(graph).nodes]
    ['pyrec.LinearClassifier', 'Gather']
    """
    nodes: list[Node] = []
    constants: dict[str, Array] = dict(graph.constants)
    for node in graph.nodes:
        labels = node.attribute("labels") if has(node, Trait.CLASSIFIES) else None
        if labels is None or not holds_strings(labels):
            nodes.append(node)
            continue
        label = node.outputs[0]
        base = label or node.outputs[1]
        positions, strings = f"{base}/position", f"{base}/labels"
        attributes = {**node.attributes, "labels": np.arange(len(labels))}
        nodes.append(replace(node, outputs=(positions, *node.outputs[1:]), attributes=attributes))
        if label:
            constants[strings] = labels
            nodes.append(Node("Gather", (strings, positions), (label,), {"axis": 0}, name=node.name))
    return graph.with_(nodes=tuple(nodes), constants=constants)
