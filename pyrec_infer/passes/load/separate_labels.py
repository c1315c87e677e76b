"""Let classifiers with string labels give label positions, and look the strings up afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Array, Graph, Node

_CLASSIFIERS = ("ai.onnx.ml.TreeEnsembleClassifier", "ai.onnx.ml.LinearClassifier")


def separate_labels(graph: Graph) -> Graph:
    """Strings never reach the kernels, so a classifier's scores must not depend on its label's type.

    Examples
    --------
    >>> from pyrec_infer.ir import Info
    >>> names = {"classlabels_strings": ("a", "b")}
    >>> node = Node("ai.onnx.ml.LinearClassifier", ("x",), ("label", "p"), names)
    >>> graph = Graph(("x",), ("label", "p"), (node,), {}, {"x": Info(np.dtype(np.float32), (1, 2))})
    >>> [node.op for node in separate_labels(graph).nodes]
    ['ai.onnx.ml.LinearClassifier', 'Gather']
    """
    nodes: list[Node] = []
    constants: dict[str, Array] = dict(graph.constants)
    for node in graph.nodes:
        labels = node.attribute("classlabels_strings", ()) if node.op in _CLASSIFIERS else ()
        if not labels:
            nodes.append(node)
            continue
        label = node.outputs[0]
        base = label or node.outputs[1]
        positions, strings = f"{base}/position", f"{base}/labels"
        attributes = {**node.attributes, "labels_as_positions": 1}
        nodes.append(replace(node, outputs=(positions, *node.outputs[1:]), attributes=attributes))
        if label:
            constants[strings] = np.asarray(labels, str)
            nodes.append(Node("Gather", (strings, positions), (label,), {"axis": 0}, name=node.name))
    return graph.with_(nodes=tuple(nodes), constants=constants)
