"""Bags of several fields whose lengths are a matrix."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Node
from pyrec_infer.ops.core.registry import with_trait
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.ops.core.traits import Trait
from pyrec_infer.passes.bags.parts import emptiness
from pyrec_infer.passes.common.rules import Rules, Site

_VIEWS = with_trait(Trait.VIEW)
_MOST_FIELDS = 1024


def _matrix(name: str, site: Site) -> str:
    """The matrix whose elements, one row after another, a vector of lengths holds; else nothing."""
    while (node := site.source(name, *_VIEWS)) is not None and site.infos[name].rank != 2:
        name = node.inputs[0]
    return name if site.infos[name].rank == 2 and site.infos[name].rows in (0, 1) else ""


def _unviewed(name: str, site: Site) -> str:
    while (node := site.source(name, *_VIEWS)) is not None:
        name = node.inputs[0]
    return name


def _guarded(name: str, site: Site) -> tuple[Node | None, str]:
    """Bags, and the number that empty ones are, if that is none of their own."""
    node = site.source(name, "Where")
    bag = site.source(name if node is None else node.inputs[2], "pyrec.EmbeddingBag")
    bounds = None if bag is None else site.source(bag.inputs[2], "pyrec.BagBoundsOfLengths")
    if node is None:
        return bag, ""
    number, asked = site.known(node.inputs[1]), site.source(_unviewed(node.inputs[0], site), "Equal")
    if number is None or number.size != 1 or bounds is None or asked is None:
        return None, ""
    same = _unviewed(asked.inputs[0], site) == _unviewed(bounds.inputs[0], site)
    return (bag, node.inputs[1]) if same and site.integers(asked.inputs[1]) == (0,) else (None, "")


def bags_of_fields(node: Node, site: Site) -> str | None:
    """Bags of all fields and rows, told apart by a view: bags of each field.

    Lengths [F, B] give bags [F, B, D], and [B, F] give [B, F, D] or [B, F * D].
    """
    bag, empty = _guarded(node.inputs[0], site)
    bounds = None if bag is None else site.source(bag.inputs[2], "pyrec.BagBoundsOfLengths")
    matrix = "" if bounds is None else _matrix(bounds.inputs[0], site)
    if bag is None or bounds is None or not matrix:
        return None
    lengths, width = site.shape(matrix), site.shape(bag.outputs[0])
    axis = int(site.infos[matrix].rows)
    if lengths is None or width is None or not isinstance(width[1], int):
        return None
    fields, shape = lengths[1 - axis], site.shape(node.outputs[0])
    if not isinstance(fields, int) or not 0 < fields <= _MOST_FIELDS:
        return None
    flat = axis == 0 and same_shape(shape, (lengths[0], fields * width[1]))
    if not flat and not same_shape(shape, (*lengths, width[1])):
        return None
    full = {key: value for key, value in bounds.attributes.items() if key == "full"}
    places = site.node("pyrec.BagBoundsOfFields", matrix, bounds.inputs[1], axis=axis, **full)
    found = []
    for field in range(fields):
        own = site.node("Gather", places, site.constant(field, np.int64), axis=1)
        made = site.node("pyrec.EmbeddingBag", *bag.inputs[:2], own, *bag.inputs[3:], **bag.attributes)
        if empty:
            made = site.node("Where", emptiness(own, site), empty, made)
        found.append(made if flat else site.node("Unsqueeze", made, site.constant([1 - axis], np.int64)))
    return site.concat(found, 1 if flat else 1 - axis)


RULES: Rules = {"Reshape": (bags_of_fields,)}
