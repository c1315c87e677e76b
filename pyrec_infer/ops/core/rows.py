"""What row rules are made of: how the batch axis passes through an operator.

A rule may only say that a node is not coupled if every row of its outputs depends on the same row
of its batched inputs alone, for every batch size. Where a rule cannot prove that, it couples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyrec_infer.ir import Info, Node, RowAxis, Rows, Shape, has_symbol, same_size
from pyrec_infer.ops.core.registry import RowFlow, RowRule, couples, depends_on_batch_size, optional

Inputs = Sequence[Info | None]
Outputs = Sequence[Info]
Rule = Callable[[Node, Inputs, Outputs], RowAxis | None]


def batched(info: Info | None) -> bool:
    """Whether an input has the batch among its axes."""
    return info is not None and info.rows != Rows.INVARIANT


def opaque(outputs: Outputs) -> RowFlow:
    """Nobody can say where the rows are: what comes after runs on the whole batch."""
    return RowFlow((Rows.OPAQUE,) * len(outputs), coupled=True)


def guarded(shape_inputs: tuple[int, ...] = ()) -> Callable[[Rule], RowRule]:
    """Wrap a rule that gives the row axis of all outputs, or None to couple.

    The wrapper settles what is the same for all: nothing batched, something opaque, or the batch
    size used as data. Inputs in ``shape_inputs`` may hold the batch size.
    """

    def wrap(rule: Rule) -> RowRule:
        def settled(node: Node, inputs: Inputs, outputs: Outputs) -> RowFlow:
            if all(info.contents is not None for info in outputs) and not any(map(batched, inputs)):
                return RowFlow((Rows.INVARIANT,) * len(outputs))
            for index, info in enumerate(inputs):
                if info is None:
                    continue
                if info.rows == Rows.OPAQUE:
                    return opaque(outputs)
                if index not in shape_inputs and depends_on_batch_size(info):
                    return opaque(outputs)
            sized = any(depends_on_batch_size(optional(inputs, index)) for index in shape_inputs)
            if not sized and not any(map(batched, inputs)):
                return RowFlow((Rows.INVARIANT,) * len(outputs))
            axis = rule(node, inputs, outputs)
            if axis is None:
                return opaque(outputs)
            return RowFlow((axis,) * len(outputs))

        settled.__name__ = rule.__name__
        settled.__doc__ = rule.__doc__
        return settled

    return wrap


def constant_size(info: Info, from_right: int) -> bool:
    """Whether an unbatched value broadcasts along the axis so far from the right."""
    if info.shape is None:
        return False
    if from_right > len(info.shape):
        return True
    size = info.shape[-from_right]
    return isinstance(size, int) and size == 1


def _aligned(inputs: Inputs) -> int | None:
    """The common distance from the right of the row axes of broadcasting inputs."""
    distance: int | None = None
    reference: Info | None = None
    for info in inputs:
        if info is None or not batched(info):
            continue
        if info.shape is None:
            return None
        here = len(info.shape) - info.rows
        if distance is None:
            distance, reference = here, info
        elif (
            here != distance
            or reference is None
            or reference.shape is None
            or not same_size(info.shape[info.rows], reference.shape[reference.rows])
        ):
            return None
    if distance is None:
        return None
    for info in inputs:
        if info is not None and not batched(info) and not constant_size(info, distance):
            return None
    return distance


@guarded()
def elementwise(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Broadcasting operators: the row axes have to line up from the right."""
    distance = _aligned(inputs)
    ranks = [info.rank for info in inputs if info is not None]
    if distance is None or any(rank is None for rank in ranks):
        return None
    return max(rank for rank in ranks if rank is not None) - distance


def single(inputs: Inputs) -> Info | None:
    """The first input if it alone is batched and its rank is known."""
    first = inputs[0]
    if first is None or first.shape is None or not batched(first):
        return None
    return None if any(batched(info) for info in inputs[1:]) else first


def keeps_unless(axes: Callable[[Node, Inputs, int], Sequence[int] | None]) -> Rule:
    """Rule of operators that keep the rank and mix values along some axes only."""

    def rule(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
        first = single(inputs)
        if first is None or first.rank is None:
            return None
        mixed = axes(node, inputs, first.rank)
        if mixed is None or first.rows in {axis % first.rank for axis in mixed}:
            return None
        return first.rows

    return rule


def in_place(rule: RowRule) -> RowRule:
    """For operators that keep the shape: rows that are mixed still lie where they were."""

    def located(node: Node, inputs: Inputs, outputs: Outputs) -> RowFlow:
        flow = rule(node, inputs, outputs)
        first = single(inputs) if flow.coupled and not any(map(depends_on_batch_size, inputs)) else None
        return flow if first is None or first.rows < 0 else RowFlow((first.rows,), coupled=True)

    return located


outermost: RowRule = guarded()(keeps_unless(lambda node, inputs, rank: range(1, rank)))
"""Rows along axis 0 of operators that mix all other axes."""


def batch_axes(shape: Shape) -> list[int]:
    """The axes whose size depends on the batch."""
    return [axis for axis, size in enumerate(shape) if has_symbol(size)]


def only_batch_axis(shape: Shape | None) -> int | None:
    """That axis, where there is one."""
    if shape is None:
        return None
    axes = batch_axes(shape)
    return axes[0] if len(axes) == 1 else None


def per_row(node: Node, inputs: Inputs, outputs: Outputs) -> RowFlow:
    """Axis 0 is the row in every batched input and in every output."""
    if any(info is not None and batched(info) and info.rows != 0 for info in inputs):
        return opaque(outputs)
    if not any(map(batched, inputs)) or any(map(depends_on_batch_size, inputs)):
        return couples(node, inputs, outputs)
    return RowFlow((0,) * len(outputs))


__all__ = [
    "Inputs",
    "Outputs",
    "Rule",
    "batch_axes",
    "batched",
    "constant_size",
    "elementwise",
    "guarded",
    "in_place",
    "keeps_unless",
    "only_batch_axis",
    "opaque",
    "outermost",
    "per_row",
    "single",
]
