"""Give a model's logit instead of its probability."""

from __future__ import annotations

from dataclasses import replace

from pyrec_infer.errors import InputError
from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops import Trait, has
from pyrec_infer.passes.remove_dead import remove_dead


def _keeps_value(node: Node) -> bool:
    """Whether a node gives the score that it reads, in another shape or type."""
    return has(node, Trait.VIEW) or node.op == "Cast" or (node.op == "Concat" and len(node.inputs) == 1)


def bypass_sigmoid(graph: Graph) -> Graph:
    """Replace the last sigmoid in front of the only output by an identity.

    Raises
    ------
    InputError
        If the output is not a sigmoid's, seen through reshapes.
    """
    name = graph.outputs[0]
    node = graph.producers.get(name)
    while node is not None and _keeps_value(node):
        node = graph.producers.get(node.inputs[0])
    if node is not None and node.op == "pyrec.Dense" and node.attribute("activation", "") == "Sigmoid":
        plain = replace(node, attributes={**node.attributes, "activation": ""})
    elif node is not None and node.op == "Sigmoid":
        plain = Node("Identity", node.inputs, node.outputs, name=node.name)
    else:
        raise InputError(f"output 'logit': output '{name}' does not end in a sigmoid")
    found = node
    nodes = tuple(plain if item is found else item for item in graph.nodes)
    return remove_dead(replace(graph, nodes=nodes))
