"""Which of a model's inputs a value is made from, for error messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.ops import Trait, has, ids_place
from pyrec_infer.ops.core.shapes import constant_integers
from pyrec_infer.ops.lookup_parts import LOOKUPS, NO_ID, lookup_parts

Source: TypeAlias = tuple[str, int]
"""An input and one of its columns, -1 if it is not known which, `_PLACE` for places of its values in a
list, which has some of them only."""

Origin: TypeAlias = tuple[frozenset[Source], ...]
"""What the columns of a value, those of its last axis, are made from; one entry stands for all."""

_NOTHING: Origin = (frozenset(),)
_PLACE = -2
NOT_IN_VOCABULARY = "expected a value of its vocabulary, got an unknown one"
_MOST_COLUMNS = 4096
_MOST_NAMED = 3

_PLACED = frozenset({"Cast", "Identity", "ai.onnx.ml.LabelEncoder"})
_SIZES = frozenset({"Shape", "Size", "pyrec.DimValues"})


def _width(info: Info) -> int | None:
    """The size of the last axis, if it is known and not too large to look at each column."""
    last = info.shape[-1] if info.shape else None
    return last if isinstance(last, int) and 0 < last <= _MOST_COLUMNS else None


def _all_of(origin: Iterable[frozenset[Source]]) -> frozenset[Source]:
    return frozenset().union(*origin)


def _side_by_side(origins: Sequence[Origin], width: int | None) -> Origin:
    """What the columns of an elementwise result are made from."""
    if width is None or not any(len(origin) == width for origin in origins):
        return (_all_of(_all_of(origin) for origin in origins),)
    spread = [origin if len(origin) == width else (_all_of(origin),) * width for origin in origins]
    return tuple(_all_of(column) for column in zip(*spread, strict=True))


def _marked(sources: frozenset[Source], column: int) -> frozenset[Source]:
    return frozenset((source, column) for source, _ in sources)


class Sources:
    """The inputs, with their columns, that the values of a graph are made from.

    Values that only hold sizes are made from nothing. Of a choice (``Where``, ``Gather``, padding) only
    what is chosen counts, if that comes from an input at all.
    """

    def __init__(self, graph: Graph | None = None, infos: Mapping[str, Info] | None = None) -> None:
        self._found: dict[str, Origin] = {}
        self._widths: dict[str, int] = {}
        self._names: dict[str, str] = {}
        if graph is None or infos is None:
            return
        self._infos = infos
        for name in graph.inputs:
            width = _width(infos[name])
            matrix = infos[name].rank == 2 and width is not None and width > 1
            self._found[name] = _NOTHING
            if matrix and width is not None:
                self._widths[name] = width
                self._found[name] = tuple(frozenset({(name, column)}) for column in range(width))
            else:
                self._found[name] = (frozenset({(name, -1)}),)
        for node in graph.nodes:
            for place, name in enumerate(node.outputs):
                if name:
                    self._found[name] = self._made(node, place)

    def renamed(self, inputs: Mapping[str, str]) -> Sources:
        """The same with other names for some inputs."""
        found = Sources()
        found.__dict__.update(self.__dict__)
        found._names = {**self._names, **inputs}
        return found

    def of(self, name: str, column: int = -1) -> frozenset[Source]:
        """What a value, or one of its columns, is made from."""
        origin = self._found.get(name, _NOTHING)
        return origin[column] if 0 <= column < len(origin) else _all_of(origin)

    def label(self, name: str, column: int = -1, ids: bool = False) -> str | None:
        """The same in words; None if it is made from no input. Of ``ids`` it says why one may be wrong."""
        columns: dict[str, set[int]] = {}
        for source, number in sorted(self.of(name, column)):
            columns.setdefault(source, set()).add(number)
        if ids and list(columns.values()) == [{_PLACE}]:
            (source,) = columns
            return f"field '{self._names.get(source, source)}': {NOT_IN_VOCABULARY}"
        named = [self._named(source, numbers) for source, numbers in columns.items()]
        if not named:
            return None
        if len(named) > _MOST_NAMED:
            named[_MOST_NAMED:] = [f"{len(named) - _MOST_NAMED} more"]
        return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)

    def by_column(self, name: str) -> tuple[str, ...]:
        """The same for each column of a value, or nothing where one entry stands for all."""
        count = len(self._found.get(name, _NOTHING))
        labels = [self.label(name, column, ids=True) or "" for column in range(count)]
        return tuple(labels) if count > 1 and all(labels) else ()

    def _named(self, name: str, columns: set[int]) -> str:
        known, shown = sorted(columns), self._names.get(name, name)
        if known[0] < 0 or len(known) == self._widths.get(name):
            return f"input '{shown}'"
        if len(known) == 1:
            return f"input '{shown}' column {known[0]}"
        if known[-1] - known[0] == len(known) - 1:
            return f"input '{shown}' columns {known[0]} to {known[-1]}"
        listed = ", ".join(map(str, known[:8])) + (", ..." if len(known) > 8 else "")
        return f"input '{shown}' columns {listed}"

    def _origins(self, names: Iterable[str]) -> list[Origin]:
        found = [self._found.get(name, _NOTHING) for name in names if name]
        return [origin for origin in found if any(origin)]

    def _made(self, node: Node, place: int) -> Origin:
        if node.op in _SIZES or not node.inputs:
            return _NOTHING
        width = _width(self._infos[node.outputs[place]])
        if node.op == "ai.onnx.ml.LabelEncoder" and node.attribute("default_int64") == NO_ID:
            return tuple(_marked(column, _PLACE) for column in self._found.get(node.inputs[0], _NOTHING))
        if has(node, Trait.ELEMENTWISE) or node.op in _PLACED:
            chosen = self._origins(node.inputs[1:]) if node.op == "Where" else []
            return _side_by_side(chosen or self._origins(node.inputs), width)
        first = self._found.get(node.inputs[0], _NOTHING)
        if (has(node, Trait.VIEW) or node.op in ("Expand", "Tile", "pyrec.PadLists")) and any(first):
            return first if len(first) in (1, width) else (_all_of(first),)
        if len(first) > 1:
            picked = self._picked(node, place, len(first))
            if picked is not None:
                return tuple(first[column] for column in picked)
        if node.op == "Concat":
            return self._joined(node, width)
        names = node.inputs[:1] if node.op.startswith("Gather") and any(first) else node.inputs
        made = _all_of(_all_of(origin) for origin in self._origins(names))
        # What has been looked up is no place any more.
        return (frozenset((source, max(column, -1)) for source, column in made),)

    def _joined(self, node: Node, width: int | None) -> Origin:
        rank = self._infos[node.outputs[0]].rank
        origins = [self._found.get(name, _NOTHING) for name in node.inputs]
        sizes = [_width(self._infos[name]) for name in node.inputs]
        if rank is None or node.attribute("axis", 0) % rank != rank - 1 or None in sizes:
            return _side_by_side(origins, width)
        spread = [
            origin if len(origin) == size else (_all_of(origin),) * (size or 0)
            for origin, size in zip(origins, sizes, strict=True)
        ]
        return tuple(column for origin in spread for column in origin)

    def _picked(self, node: Node, place: int, width: int) -> Sequence[int] | None:
        """The columns of its first input that a node takes."""
        info = self._infos[node.inputs[0]]
        rank = info.rank
        if rank is None:
            return None
        if node.op == "Gather" and node.attribute("axis", 0) % rank == rank - 1:
            chosen = constant_integers(self._infos[node.inputs[1]])
            if chosen is None or any(not -width <= column < width for column in chosen):
                return None
            return [column % width for column in chosen] or None
        if node.op == "Split" and node.attribute("axis", 0) % rank == rank - 1:
            sizes = [_width(self._infos[name]) if name else None for name in node.outputs]
            own = sizes[place]
            before = [size for size in sizes[:place] if size is not None]
            if own is None or len(before) != place:
                return None
            return range(sum(before), min(sum(before) + own, width)) or None
        return self._sliced(node, rank, width) if node.op == "Slice" else None

    def _sliced(self, node: Node, rank: int, width: int) -> Sequence[int] | None:
        operands = [constant_integers(self._infos[name]) if name else None for name in node.inputs[1:]]
        operands += [None] * (4 - len(operands))
        starts, ends, axes, steps = operands
        if starts is None or ends is None or (axes is None and len(node.inputs) > 3 and node.inputs[3]):
            return None
        if steps is None and len(node.inputs) > 4 and node.inputs[4]:
            return None
        axes = axes if axes is not None else tuple(range(len(starts)))
        columns: Sequence[int] = range(width)
        for i, axis in enumerate(axes):
            if axis % rank == rank - 1:
                columns = columns[slice(starts[i], ends[i], 1 if steps is None else steps[i])]
        return columns or None


def lookup_labels(node: Node, sources: Sources) -> tuple[str, ...]:
    """For error messages: what each part of a lookup, or column of ids, reads; or nothing for other nodes."""
    if node.op == "pyrec.OffsetIds":
        return sources.by_column(node.inputs[0])
    if node.op not in LOOKUPS:
        return ()
    return tuple(
        sources.label(part.source, part.column, ids=True) or node.title for part in lookup_parts(node)
    )


def node_label(node: Node, sources: Sources) -> str:
    """For error messages: what a node reads, its ids where it has them."""
    ids = ids_place(node)
    place = ids or 0
    name = node.inputs[place] if place < len(node.inputs) else ""
    return sources.label(name, ids=ids is not None) or node.title


__all__ = ["NOT_IN_VOCABULARY", "Sources", "lookup_labels", "node_label"]
