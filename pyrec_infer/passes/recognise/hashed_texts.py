"""A text in front of strings that are hashed."""

from __future__ import annotations

from pyrec_infer.ir import Node
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.common.rules import Site


def hash_behind(node: Node, site: Site) -> str | None:
    """The hash of a constant text followed by a string: the text is an attribute of the hash.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import STRING, Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> hashed = {"scheme": "crc32", "buckets": 97, "mask": "city=none"}
    >>> nodes = (Node("StringConcat", ("front", "x"), ("a",)),
    ...          Node("pyrec.HashBucket", ("a",), ("y",), hashed))
    >>> given = {"x": Info(STRING, (Dim.symbol("N"),), 0)}
    >>> graph = Graph(("x",), ("y",), nodes, {"front": np.asarray("city=", object)}, given)
    >>> (node,) = apply_rules(graph, RULES).nodes
    >>> node.op, node.attribute("before"), node.attribute("mask")
    ('pyrec.HashBucket', 'city=', 'none')
    """
    joined = site.source(node.inputs[0], "StringConcat")
    front = None if joined is None else site.known(joined.inputs[0])
    if joined is None or front is None or front.size != 1:
        return None
    if not same_shape(site.shape(joined.inputs[1]), site.shape(node.inputs[0])):
        return None
    text = str(front.reshape(-1)[0])
    attributes = dict(node.attributes)
    mask = attributes.pop("mask", None)
    if isinstance(mask, str) and mask.startswith(text):
        attributes["mask"] = mask[len(text) :]
    attributes["before"] = str(node.attribute("before", "")) + text
    return site.node(node.op, joined.inputs[1], **attributes)


RULES = {"pyrec.HashBucket": (hash_behind,)}
