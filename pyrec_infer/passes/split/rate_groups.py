"""Values whose positions along an axis are known at different rates, and what some positions need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np

from pyrec_infer.ir import Node, Rate, same_size
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.shapes import product, quotient
from pyrec_infer.passes.common.rules import Site
from pyrec_infer.passes.recognise.concatenations import axis_of_concat, widths
from pyrec_infer.passes.recognise.transposes import order_of
from pyrec_infer.passes.recognise.views import viewed

_MAX_POSITIONS = 1 << 16
_MAX_VALUES = 256
"""Values that are followed back from one value."""


def _behind(name: str, axis: int, joins: bool, site: Site) -> tuple[str, int, int] | None:
    """What a view is a view of, an axis of it, and how many positions are one on the other side.

    With ``joins`` a position there became several, else several there became one.
    """
    root = viewed(name, site)
    shape, before = site.shape(name), site.shape(root)
    if root == name or shape is None or before is None:
        return None
    for place in range(len(before)):
        inner = product(shape[axis + 1 :]), product(before[place + 1 :])
        unit = quotient(*(inner[::-1] if joins else inner))
        if same_size(product(shape[:axis]), product(before[:place])) and isinstance(unit, int):
            sizes = (before[place], shape[axis]) if joins else (shape[axis], before[place])
            return (root, place, unit) if same_size(sizes[0] * unit, sizes[1]) else None
    return None


def _below(name: str, axis: int, site: Site) -> tuple[str, int, int] | None:
    """What a view is a view of, where an axis has several positions for one of the view's."""
    return _behind(name, axis, False, site)


def _above(name: str, axis: int, site: Site) -> tuple[str, int, int] | None:
    """What a view is a view of, where an axis has one position for several of the view's."""
    return _behind(name, axis, True, site)


def _parts(name: str, axis: int, site: Site) -> list[tuple[str, int]] | None:
    """The parts of a concatenation along an axis, and their sizes."""
    source = site.source(name, "Concat")
    if source is None or axis_of_concat(source, site) != axis:
        return None
    sizes = widths(source, axis, site)
    return None if sizes is None else list(zip(source.inputs, sizes, strict=True))


def _operand_axis(name: str, axis: int, rank: int, site: Site) -> int | None:
    """The axis of an operand that meets an axis of the broadcast result; None where it is repeated."""
    shape = site.shape(name)
    own = axis - rank + len(shape or ())
    return None if shape is None or own < 0 or same_size(shape[own], 1) else own


def _chosen(node: Node, axis: int, site: Site) -> list[int] | None:
    """The positions of a Gather's data along an axis that its result has there."""
    if node.op != "Gather":
        return None
    shape, places = site.shape(node.inputs[0]), site.known(node.inputs[1])
    if shape is None or places is None or places.ndim != 1 or axis >= len(shape):
        return None
    size = shape[axis]
    if int(node.attribute("axis", 0)) % len(shape) != axis or not isinstance(size, int):
        return None
    inside = bool(((places >= -size) & (places < size)).all())
    return [int(place) % size for place in places] if inside and size > 0 else None


def _looked_up(node: Node, axis: int, site: Site) -> int | None:
    """The axis of the ids that an axis of what a Gather looks up has its positions from."""
    data, ids = (site.infos[name].rank for name in node.inputs[:2]) if node.op == "Gather" else (None, None)
    if not data or ids is None:
        return None
    own = axis - int(node.attribute("axis", 0)) % data
    return own if 0 <= own < ids else None


def _same_positions(node: Node, axis: int, site: Site) -> int | None:
    """The axis of an only operand that has the positions of an axis of the result, each for itself.

    A layer, which takes each row by itself, only where nothing else reads it: it would be made twice.
    """
    rank = site.infos[node.outputs[0]].rank or 0
    if node.op == "Transpose":
        order = order_of(node, site)
        return None if order is None else order[axis]
    if node.op not in ("pyrec.Dense", "MatMul") or axis >= rank - 1 or not site.alone(node.outputs[0]):
        return None
    weights, rest = site.known(node.inputs[1]), [site.known(name) for name in node.inputs[2:] if name]
    if weights is None or weights.ndim != 2 or site.infos[node.inputs[0]].rank != rank:
        return None
    return axis if all(value is not None and value.ndim < 2 for value in rest) else None


def position_rates(name: str, axis: int, site: Site) -> list[Rate]:
    """When each position along an axis is known; empty where the size of the axis is not known."""
    return _position_rates(name, axis, site, {})


def _position_rates(name: str, axis: int, site: Site, found: dict[tuple[str, int], list[Rate]]) -> list[Rate]:
    if (name, axis) not in found:
        shape = site.shape(name)
        size = shape[axis] if shape is not None and axis < len(shape) else None
        if not isinstance(size, int) or not 0 < size <= _MAX_POSITIONS:
            return []
        # What lies deeper is taken as a whole.
        found[name, axis] = [site.rate(name)] * size
        if len(found) <= _MAX_VALUES:
            found[name, axis] = _inner_rates(name, axis, size, site, found) or found[name, axis]
    return found[name, axis]


def _inner_rates(
    name: str, axis: int, size: int, site: Site, found: dict[tuple[str, int], list[Rate]]
) -> list[Rate] | None:
    """The rates of the positions by what the value is made of."""
    below, parts = _below(name, axis, site), _parts(name, axis, site)
    if below is not None:
        root, place, unit = below
        rates = _position_rates(root, place, site, found)
        blocks = [rates[first : first + unit] for first in range(0, len(rates), unit)] if unit else []
        return [reduce(Rate.join, block) for block in blocks] if len(blocks) == size else None
    if parts is not None:
        return [rate for part, _ in parts for rate in _position_rates(part, axis, site, found)]
    above = _above(name, axis, site)
    if above is not None:
        root, place, unit = above
        return [rate for rate in _position_rates(root, place, site, found) for _ in range(unit)]
    node = site.source(name)
    if node is None or site.coupled(node):
        return None
    chosen, own = _chosen(node, axis, site), _same_positions(node, axis, site)
    if chosen is not None:
        rates = _position_rates(node.inputs[0], axis, site, found)
        return [rates[place] for place in chosen] if rates else None
    if own is not None:
        return _position_rates(node.inputs[0], own, site, found)
    ids = _looked_up(node, axis, site)
    if ids is not None:
        table = site.rate(node.inputs[0])
        return [rate.join(table) for rate in _position_rates(node.inputs[1], ids, site, found)]
    if not has(node, Trait.ELEMENTWISE):
        return None
    rates = [Rate.MODEL] * size
    rank = site.infos[name].rank or 0
    for item in dict.fromkeys(node.inputs):
        own = _operand_axis(item, axis, rank, site) if item else None
        if own is None:
            given = [site.rate(item) if item else Rate.MODEL] * size
        else:
            given = _position_rates(item, own, site, found)
        if len(given) != size:
            return None
        rates = [one.join(other) for one, other in zip(rates, given, strict=True)]
    return rates


def restricted(name: str, axis: int, positions: Sequence[int], site: Site) -> str | None:
    """The value at some positions along an axis, made of what those positions need alone."""
    return _restricted(name, axis, positions, site, {})


def _restricted(
    name: str, axis: int, positions: Sequence[int], site: Site, found: dict[tuple[object, ...], str | None]
) -> str | None:
    key = (name, axis, *positions)
    if key not in found:
        found[key] = _make_restricted(name, axis, positions, site, found)
    return found[key]


def _taken(value: str, axis: int, there: Sequence[int], wanted: Sequence[int], site: Site) -> str:
    """Of a value that has some positions along an axis, those that are wanted."""
    if list(there) == list(wanted):
        return value
    at = {place: k for k, place in enumerate(there)}
    return site.node("Gather", value, site.constant([at[place] for place in wanted], np.int64), axis=axis)


def _restricted_view(
    name: str, axis: int, positions: Sequence[int], site: Site, found: dict[tuple[object, ...], str | None]
) -> str | None:
    """Of a view; with axes of size 1 positions are both finer and coarser ones."""
    shape = site.shape(name) or ()
    below, above = _below(name, axis, site), _above(name, axis, site)
    ways: list[tuple[str, int, list[int], list[int]]] = []
    if below is not None:
        root, place, unit = below
        spread = [position * unit + k for position in positions for k in range(unit)]
        ways.append((root, place, spread, list(positions)))
    if above is not None:
        root, place, unit = above
        groups = sorted({position // unit for position in positions})
        ways.append((root, place, groups, [group * unit + k for group in groups for k in range(unit)]))
    for root, place, needed, there in ways:
        made = _restricted(root, place, needed, site, found)
        whole = None if made is None else site.reshape(made, (*shape[:axis], len(there), *shape[axis + 1 :]))
        if whole is not None:
            return _taken(whole, axis, there, positions, site)
    return None


def _make_restricted(
    name: str, axis: int, positions: Sequence[int], site: Site, found: dict[tuple[object, ...], str | None]
) -> str | None:
    shape = site.shape(name)
    if shape is None or len(found) > _MAX_VALUES:
        return None
    if isinstance(shape[axis], int) and list(positions) == list(range(shape[axis])):
        return name
    value = site.known(name)
    if value is not None:
        return site.constant(np.take(value, positions, axis))
    if _below(name, axis, site) or _above(name, axis, site):
        return _restricted_view(name, axis, positions, site, found)
    parts = _parts(name, axis, site)
    if parts is not None:
        chosen, first = [], 0
        for part, count in parts:
            inside = [place - first for place in positions if first <= place < first + count]
            first += count
            if inside:
                piece = _restricted(part, axis, inside, site, found)
                if piece is None:
                    return None
                chosen.append(piece)
        return site.concat(chosen, axis) if chosen else None
    node = site.source(name)
    if node is None:
        # An input.
        return site.node("Gather", name, site.constant(positions, np.int64), axis=axis)
    places, same = _chosen(node, axis, site), _same_positions(node, axis, site)
    if places is not None:
        taken = [places[position] for position in positions]
        needed = sorted(set(taken))
        made = _restricted(node.inputs[0], axis, needed, site, found)
        return None if made is None else _taken(made, axis, needed, taken, site)
    if same is not None:
        made = _restricted(node.inputs[0], same, positions, site, found)
        return None if made is None else site.node(node.op, made, *node.inputs[1:], **node.attributes)
    ids = _looked_up(node, axis, site)
    if ids is not None:
        made = _restricted(node.inputs[1], ids, positions, site, found)
        return None if made is None else site.node("Gather", node.inputs[0], made, **node.attributes)
    if not has(node, Trait.ELEMENTWISE):
        return None
    inputs = []
    for item in node.inputs:
        own = _operand_axis(item, axis, len(shape), site) if item else None
        made = item if own is None else _restricted(item, own, positions, site, found)
        if made is None:
            return None
        inputs.append(made)
    return site.node(node.op, *inputs, **node.attributes)


def by_rate(rates: Sequence[Rate]) -> Mapping[Rate, list[int]]:
    """The positions of each rate, earliest rate first; constants are known with the request.

    >>> by_rate([Rate.PAIR, Rate.MODEL, Rate.REQUEST])[Rate.REQUEST]
    [1, 2]
    """
    groups: dict[Rate, list[int]] = {}
    for place, rate in enumerate(rates):
        groups.setdefault(rate.in_call, []).append(place)
    return dict(sorted(groups.items(), key=lambda item: item[0].order))
