"""Bags of several fields whose lengths are a matrix."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Node, same_size
from pyrec_infer.ops.core.registry import with_trait
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.ops.core.traits import Trait
from pyrec_infer.passes.common.rules import Rules, Site

_VIEWS = with_trait(Trait.VIEW)
_MOST_FIELDS = 1024


def _matrix(name: str, site: Site) -> str:
    """The matrix whose elements, one row after another, a vector of lengths holds; else nothing."""
    while (node := site.source(name, *_VIEWS)) is not None and site.infos[name].rank != 2:
        name = node.inputs[0]
    return name if site.infos[name].rank == 2 and site.infos[name].rows in (0, 1) else ""


def _fields(bag: Node, axis: int, site: Site) -> tuple[Node, str] | None:
    """The bounds of bags of all fields and rows, and the matrix of their lengths with rows along an axis."""
    bounds = site.source(bag.inputs[2], "pyrec.BagBoundsOfLengths")
    matrix = "" if bounds is None else _matrix(bounds.inputs[0], site)
    lengths = site.shape(matrix) if matrix else None
    if bounds is None or lengths is None or site.infos[matrix].rows != axis:
        return None
    count = lengths[1 - axis]
    return (bounds, matrix) if isinstance(count, int) and 0 < count <= _MOST_FIELDS else None


def _bags_of_each(bag: Node, bounds: Node, matrix: str, axis: int, site: Site) -> list[str]:
    """The bags of each field."""
    full = {key: value for key, value in bounds.attributes.items() if key == "full"}
    places = site.node("pyrec.BagBoundsOfFields", matrix, bounds.inputs[1], axis=axis, **full)
    lengths, found = site.shape(matrix) or (), []
    count = lengths[1 - axis]
    for field in range(count if isinstance(count, int) else 0):
        own = site.node("Gather", places, site.constant(field, np.int64), axis=1)
        found.append(site.node("pyrec.EmbeddingBag", *bag.inputs[:2], own, *bag.inputs[3:], **bag.attributes))
    return found


def bags_of_fields(node: Node, site: Site) -> str | None:
    """Bags of all fields and rows are bags of each field, for lengths [B, F] side by side in a row.

    For lengths [F, B] they are one after another; then nothing is by row before a view [F, B, D].
    """
    width = site.infos[node.inputs[0]].shape
    if width is None or not isinstance(width[1], int) or node.attribute("codec") is not None:
        return None
    for axis in (0, 1):
        found = _fields(node, axis, site)
        if found is None:
            continue
        made = _bags_of_each(node, *found, axis, site)
        if axis:
            made = [site.node("Unsqueeze", bags, site.constant([0], np.int64)) for bags in made]
        whole = site.concat(made, 1 - axis)
        return site.node("Reshape", whole, site.constant([-1, width[1]], np.int64), allowzero=0)
    return None


def guarded_bags(node: Node, site: Site) -> str | None:
    """A number for empty bags of all fields and rows is one for those of each field."""
    asked, bags = (site.source(node.inputs[place], "Reshape") for place in (0, 2))
    number = site.known(node.inputs[1])
    if asked is None or bags is None or number is None or number.size != 1:
        return None
    each, lengths, flat = (site.shape(name) for name in (bags.inputs[0], asked.inputs[0], node.inputs[2]))
    if each is None or lengths is None or flat is None or (len(each), len(flat)) != (3, 2):
        return None
    column = site.shape(node.inputs[0])
    if not same_shape(each[:2], lengths) or not same_shape(each[2:], flat[1:]):
        return None
    if column is None or len(column) != 2 or not same_size(column[1], 1) or not isinstance(flat[1], int):
        return None
    condition = site.node("Unsqueeze", asked.inputs[0], site.constant([2], np.int64))
    made = site.node("Where", condition, node.inputs[1], bags.inputs[0])
    return site.node("Reshape", made, site.constant([-1, flat[1]], np.int64), allowzero=0)


RULES: Rules = {"pyrec.EmbeddingBag": (bags_of_fields,), "Where": (guarded_bags,)}
