"""Row rules: how the batch axis passes through each family of operators.

A rule may only say that a node is not coupled if every row of its outputs depends on the same row
of its batched inputs alone, for every batch size. Where a rule cannot prove that, it couples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyrec_infer.ir import Info, Node, RowAxis, Rows, Shape, has_symbol, same_size
from pyrec_infer.ops.registry import RowFlow, RowRule, couples, depends_on_batch_size
from pyrec_infer.ops.shapes import constant_integers, integers, product

Inputs = Sequence[Info | None]
Outputs = Sequence[Info]
Rule = Callable[[Node, Inputs, Outputs], RowAxis | None]


def _batched(info: Info | None) -> bool:
    return info is not None and info.rows != Rows.INVARIANT


def _at(inputs: Inputs, index: int) -> Info | None:
    return inputs[index] if index < len(inputs) else None


def _opaque(outputs: Outputs) -> RowFlow:
    return RowFlow((Rows.OPAQUE,) * len(outputs), coupled=True)


def _guarded(shape_inputs: tuple[int, ...] = ()) -> Callable[[Rule], RowRule]:
    """Wrap a rule that gives the row axis of all outputs, or None to couple.

    The wrapper settles what is the same for all: nothing batched, something opaque, or the batch
    size used as data. Inputs in ``shape_inputs`` may hold the batch size.
    """

    def wrap(rule: Rule) -> RowRule:
        def guarded(node: Node, inputs: Inputs, outputs: Outputs) -> RowFlow:
            if all(info.contents is not None for info in outputs) and not any(map(_batched, inputs)):
                return RowFlow((Rows.INVARIANT,) * len(outputs))
            for index, info in enumerate(inputs):
                if info is None:
                    continue
                if info.rows == Rows.OPAQUE:
                    return _opaque(outputs)
                if index not in shape_inputs and depends_on_batch_size(info):
                    return _opaque(outputs)
            sized = any(depends_on_batch_size(_at(inputs, index)) for index in shape_inputs)
            if not sized and not any(map(_batched, inputs)):
                return RowFlow((Rows.INVARIANT,) * len(outputs))
            axis = rule(node, inputs, outputs)
            if axis is None:
                return _opaque(outputs)
            return RowFlow((axis,) * len(outputs))

        guarded.__name__ = rule.__name__
        guarded.__doc__ = rule.__doc__
        return guarded

    return wrap


def _constant_size(info: Info, from_right: int) -> bool:
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
        if info is None or not _batched(info):
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
        if info is not None and not _batched(info) and not _constant_size(info, distance):
            return None
    return distance


@_guarded()
def elementwise(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Broadcasting operators: the row axes have to line up from the right."""
    distance = _aligned(inputs)
    ranks = [info.rank for info in inputs if info is not None]
    if distance is None or any(rank is None for rank in ranks):
        return None
    return max(rank for rank in ranks if rank is not None) - distance


def _single(inputs: Inputs) -> Info | None:
    """The first input if it alone is batched and its rank is known."""
    first = inputs[0]
    if first is None or first.shape is None or not _batched(first):
        return None
    return None if any(_batched(info) for info in inputs[1:]) else first


def _reduced_axes(node: Node, inputs: Inputs, rank: int) -> tuple[int, ...] | None:
    axes_input = _at(inputs, 1)
    if axes_input is None:
        return () if node.attribute("noop_with_empty_axes", 0) else tuple(range(rank))
    axes = constant_integers(axes_input)
    if axes is None:
        return None
    if not axes:
        return () if node.attribute("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(axis % rank for axis in axes) if rank else ()


@_guarded()
def reduce(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Reductions over axes that do not hold the rows."""
    first = _single(inputs)
    if first is None or first.rank is None:
        return None
    axes = _reduced_axes(node, inputs, first.rank)
    if axes is None or first.rows in axes:
        return None
    if node.attribute("keepdims", 1):
        return first.rows
    return first.rows - sum(axis < first.rows for axis in set(axes))


@_guarded()
def arg_reduce(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """ArgMax and ArgMin."""
    first = _single(inputs)
    if first is None or not first.rank:
        return None
    axis = node.attribute("axis", 0) % first.rank
    if axis == first.rows:
        return None
    return first.rows - int(not node.attribute("keepdims", 1) and axis < first.rows)


def _keeps_unless(axes: Callable[[Node, Inputs, int], Sequence[int] | None]) -> Rule:
    """Rule of operators that keep the rank and mix values along some axes only."""

    def rule(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
        first = _single(inputs)
        if first is None or first.rank is None:
            return None
        mixed = axes(node, inputs, first.rank)
        if mixed is None or first.rows in {axis % first.rank for axis in mixed}:
            return None
        return first.rows

    return rule


def _in_place(rule: RowRule) -> RowRule:
    """For operators that keep the shape: rows that are mixed still lie where they were."""

    def located(node: Node, inputs: Inputs, outputs: Outputs) -> RowFlow:
        flow = rule(node, inputs, outputs)
        first = _single(inputs) if flow.coupled and not any(map(depends_on_batch_size, inputs)) else None
        return flow if first is None or first.rows < 0 else RowFlow((first.rows,), coupled=True)

    return located


topk: RowRule = _guarded()(_keeps_unless(lambda node, inputs, rank: [node.attribute("axis", -1)]))
softmax: RowRule = _in_place(topk)
split: RowRule = _guarded()(_keeps_unless(lambda node, inputs, rank: [node.attribute("axis", 0)]))
layer_normalization: RowRule = _guarded()(
    _keeps_unless(lambda node, inputs, rank: range(node.attribute("axis", -1) % rank, rank))
)
cumsum: RowRule = _in_place(
    _guarded()(_keeps_unless(lambda node, inputs, rank: constant_integers(_at(inputs, 1))))
)
batch_normalization: RowRule = _guarded()(_keeps_unless(lambda node, inputs, rank: [1]))
trilu: RowRule = _guarded()(_keeps_unless(lambda node, inputs, rank: [rank - 2, rank - 1]))
pool: RowRule = _guarded()(_keeps_unless(lambda node, inputs, rank: range(1, rank)))
conv: RowRule = pool


def _padded_axes(node: Node, inputs: Inputs, rank: int) -> list[int] | None:
    pads = constant_integers(_at(inputs, 1))
    chosen = _at(inputs, 3)
    axes = tuple(range(rank)) if chosen is None else constant_integers(chosen)
    if pads is None or axes is None or len(pads) != 2 * len(axes):
        return None
    return [axis for i, axis in enumerate(axes) if pads[i] or pads[i + len(axes)]]


pad: RowRule = _guarded()(_keeps_unless(_padded_axes))


@_guarded()
def concat(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """All inputs carry the rows at the same axis, and another axis is joined."""
    axes = {info.rows for info in inputs if info is not None}
    ranks = {info.rank for info in inputs if info is not None}
    if len(axes) != 1 or len(ranks) != 1 or None in ranks:
        return None
    (axis,), (rank,) = axes, ranks
    if rank is None or node.attribute("axis", 0) % rank == axis:
        return None
    return axis


@_guarded(shape_inputs=(1, 2))
def slice_(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Slices of other axes, or all of the row axis."""
    first = _single(inputs)
    if first is None or first.shape is None:
        return None
    starts, ends = integers(_at(inputs, 1)), integers(_at(inputs, 2))
    axes_input, steps_input = _at(inputs, 3), _at(inputs, 4)
    if starts is None or ends is None:
        return None
    axes = tuple(range(len(starts))) if axes_input is None else constant_integers(axes_input)
    steps = (1,) * len(starts) if steps_input is None else constant_integers(steps_input)
    if axes is None or steps is None:
        return None
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=False):
        if axis % len(first.shape) != first.rows:
            if has_symbol(start) or has_symbol(end):
                return None
            continue
        whole = same_size(end, first.shape[first.rows]) or (isinstance(end, int) and end >= 2**31 - 1)
        if not (isinstance(start, int) and start == 0 and step == 1 and whole):
            return None
    return first.rows


@_guarded()
def gather(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Batched ids into a table, or fixed positions of a batched value."""
    data, indices = inputs[0], inputs[1]
    if data is None or indices is None or not data.rank or indices.rank is None:
        return None
    axis = node.attribute("axis", 0) % data.rank
    if _batched(indices):
        return None if _batched(data) else axis + indices.rows
    if axis == data.rows:
        return None
    return data.rows if data.rows < axis else data.rows + indices.rank - 1


@_guarded()
def gather_elements(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """GatherElements along another axis, or with batched ids along the table's axis."""
    data, indices = inputs[0], inputs[1]
    if data is None or indices is None or not data.rank:
        return None
    axis = node.attribute("axis", 0) % data.rank
    if _batched(data) and _batched(indices):
        return data.rows if data.rows == indices.rows != axis else None
    return indices.rows if indices.rows == axis and not _batched(data) else None


@_guarded()
def scatter_elements(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Everything batched at one axis, scattered along another."""
    axes = {info.rows for info in inputs if info is not None}
    data = inputs[0]
    if len(axes) != 1 or data is None or not data.rank:
        return None
    (axis,) = axes
    return None if node.attribute("axis", 0) % data.rank == axis else axis


@_guarded()
def gather_nd(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """GatherND whose coordinates do not run over the row axis."""
    data, indices = inputs[0], inputs[1]
    if data is None or indices is None or indices.shape is None or data.rank is None:
        return None
    batch_dims = node.attribute("batch_dims", 0)
    if _batched(data) and _batched(indices):
        return data.rows if data.rows == indices.rows < batch_dims else None
    if batch_dims:
        return None
    last = len(indices.shape) - 1
    if _batched(indices):
        return indices.rows if indices.rows < last else None
    width = indices.shape[-1]
    if not isinstance(width, int) or data.rows < width:
        return None
    return last + data.rows - width


@_guarded()
def one_hot(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Batched indices; the new axis may be in front of the rows."""
    first = _single(inputs)
    if first is None or first.rank is None:
        return None
    axis = node.attribute("axis", -1) % (first.rank + 1)
    return first.rows + int(axis <= first.rows)


def _matmul_distance(a: Info, b: Info) -> int | None:
    """Distance of the output's row axis from the right of an output of full rank (>= 2)."""
    if a.rank is None or b.rank is None or a.rank == 0 or b.rank == 0:
        return None
    from_right_a = a.rank - a.rows if _batched(a) else None
    from_right_b = b.rank - b.rows if _batched(b) else None
    if from_right_a == 1 or (from_right_b == 2 or (from_right_b == 1 and b.rank == 1)):
        return None  # the rows are summed over
    if from_right_a is not None and from_right_b is not None:
        if from_right_a != from_right_b or from_right_a < 3 or a.shape is None or b.shape is None:
            return None
        return from_right_a if same_size(a.shape[a.rows], b.shape[b.rows]) else None
    if from_right_a is not None:
        return from_right_a if from_right_a == 2 or _constant_size(b, from_right_a) else None
    if from_right_b is not None:
        return from_right_b if from_right_b == 1 or _constant_size(a, from_right_b) else None
    return None


@_guarded()
def matmul(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Matrix products whose rows, columns or leading axes are the batch; operands 0 and 1."""
    a, b = inputs[0], inputs[1]
    if a is None or b is None or a.rank is None or b.rank is None or any(map(_batched, inputs[2:])):
        return None
    distance = _matmul_distance(a, b)
    if distance is None:
        return None
    full_rank = max(a.rank, b.rank, 2)
    axis = full_rank - distance
    # A vector operand's axis is dropped from the output: the last for B, the one before for A.
    if a.rank == 1 and axis > full_rank - 2:
        axis -= 1
    return axis


@_guarded()
def gemm(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Gemm with the batch as the rows of A or the columns of B."""
    a, b, c = inputs[0], inputs[1], _at(inputs, 2)
    if a is None or b is None:
        return None
    if _batched(a) and not _batched(b):
        axis = 0 if a.rows == int(bool(node.attribute("transA", 0))) else None
    elif _batched(b) and not _batched(a):
        axis = 1 if b.rows == int(not node.attribute("transB", 0)) else None
    else:
        axis = None
    if axis is None or c is None:
        return axis
    if _batched(c):
        return axis if c.rank is not None and c.rank - c.rows == 2 - axis else None
    return axis if _constant_size(c, 2 - axis) else None


def _spelled_out(equation: str, ranks: Sequence[int]) -> tuple[list[str], str] | None:
    """The terms and the result of an Einsum equation with a character for every axis."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    hidden = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=False)]
    if not arrow or len(terms) != len(ranks) or min(hidden, default=0) < 0:
        return None
    # Axes under "..." line up from the right; digits are no letters of an equation.
    most = max((count for term, count in zip(terms, hidden, strict=True) if "..." in term), default=0)
    if most > 9 or any(count and "..." not in term for term, count in zip(terms, hidden, strict=True)):
        return None
    digits = "123456789"[:most]
    spelled = [term.replace("...", digits[most - count :]) for term, count in zip(terms, hidden, strict=True)]
    return spelled, right.replace("...", digits)


@_guarded()
def einsum(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Einsum where the letter of the batch is kept."""
    ranks = [info.rank for info in inputs if info is not None and info.rank is not None]
    if len(ranks) != len(inputs):
        return None
    spelled = _spelled_out(str(node.attribute("equation", "")), ranks)
    if spelled is None:
        return None
    terms, right = spelled
    letters = {
        term[info.rows]
        for term, info in zip(terms, inputs, strict=True)
        if info is not None and _batched(info)
    }
    if len(letters) != 1:
        return None
    (letter,) = letters
    for term, info in zip(terms, inputs, strict=True):
        if term.count(letter) > 1:
            return None
        if letter in term and info is not None and not _batched(info):
            hidden = letter.isdigit() and _constant_size(info, len(term) - term.index(letter))
            if not hidden:
                return None
    return right.index(letter) if right.count(letter) == 1 else None


@_guarded()
def transpose(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """The row axis moves with the permutation."""
    first = _single(inputs)
    if first is None or first.rank is None:
        return None
    order = node.attribute("perm") or tuple(reversed(range(first.rank)))
    return tuple(order).index(first.rows) if first.rows in order else None


def _batch_axes(shape: Shape) -> list[int]:
    return [axis for axis, size in enumerate(shape) if has_symbol(size)]


@_guarded(shape_inputs=(1,))
def reshape(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Reshapes that keep the rows outermost among what follows the same leading sizes."""
    first = _single(inputs)
    target = outputs[0].shape
    if first is None or first.shape is None or target is None:
        return None
    if first.rows == 0 and target and same_size(first.shape[0], target[0]):
        return 0
    axes = _batch_axes(target)
    if len(axes) != 1 or _batch_axes(first.shape) != [first.rows]:
        return None
    (axis,) = axes
    if not same_size(product(first.shape[: first.rows]), product(target[:axis])):
        return None
    return axis


@_guarded()
def squeeze(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Squeezes of named axes; without names the rank would depend on the batch size."""
    first = _single(inputs)
    axes = constant_integers(_at(inputs, 1))
    if first is None or not first.rank or axes is None:
        return None
    dropped = {axis % first.rank for axis in axes}
    if first.rows in dropped:
        return None
    return first.rows - sum(axis < first.rows for axis in dropped)


@_guarded()
def unsqueeze(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """New axes in front of the rows move them."""
    first = _single(inputs)
    axes = constant_integers(_at(inputs, 1))
    if first is None or first.rank is None or axes is None:
        return None
    rank = first.rank + len(axes)
    added = {axis % rank for axis in axes}
    kept = [axis for axis in range(rank) if axis not in added]
    return kept[first.rows] if first.rows < len(kept) else None


def _only_batch_axis(shape: Shape | None) -> int | None:
    if shape is None:
        return None
    axes = _batch_axes(shape)
    return axes[0] if len(axes) == 1 else None


@_guarded(shape_inputs=(1,))
def expand(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Broadcasting to a shape that may name the batch; the rows of a constant are all alike."""
    first, target = inputs[0], outputs[0].shape
    axis = _only_batch_axis(target)
    if first is None or first.shape is None or target is None or axis is None or _batched(_at(inputs, 1)):
        return None
    if _batched(first):
        moved = first.rows + len(target) - len(first.shape)
        return axis if moved == axis and same_size(first.shape[first.rows], target[axis]) else None
    return axis if _constant_size(first, len(target) - axis) else None


@_guarded(shape_inputs=(1,))
def tile(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """Tiling of other axes, or of a constant along the batch."""
    first, repeats = inputs[0], integers(_at(inputs, 1))
    if first is None or first.shape is None or repeats is None or len(repeats) != len(first.shape):
        return None
    sized = [axis for axis, repeat in enumerate(repeats) if has_symbol(repeat)]
    if _batched(first):
        repeat = repeats[first.rows]
        return first.rows if not sized and isinstance(repeat, int) and repeat == 1 else None
    return sized[0] if len(sized) == 1 else None


@_guarded(shape_inputs=(0,))
def constant_of_shape(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """A fill whose rows are all alike."""
    return _only_batch_axis(outputs[0].shape)


def shape_of(node: Node, inputs: Inputs, outputs: Outputs) -> RowFlow:
    """Shape and Size: not data of any row, as long as the sizes are known symbolically."""
    if outputs[0].contents is not None or outputs[0].constant is not None:
        return RowFlow((Rows.INVARIANT,) * len(outputs))
    return couples(node, inputs, outputs)


def recurrent(node: Node, inputs: Inputs, outputs: Outputs) -> RowFlow:
    """RNN, GRU and LSTM, both layouts."""
    first = inputs[0]
    time_major = not node.attribute("layout", 0)
    axis = 1 if time_major else 0
    expected = {0: axis, 4: 0, 5: axis, 6: axis}
    batched = any(map(_batched, inputs))
    fits = first is not None and all(
        info is None or info.rows == expected.get(index, Rows.INVARIANT) for index, info in enumerate(inputs)
    )
    if not batched or not fits:
        return couples(node, inputs, outputs)
    return RowFlow(((2, 1, 1) if time_major else (0, 0, 0))[: len(outputs)])


def per_row(node: Node, inputs: Inputs, outputs: Outputs) -> RowFlow:
    """Axis 0 is the row in every batched input and in every output."""
    if any(info is not None and _batched(info) and info.rows != 0 for info in inputs):
        return _opaque(outputs)
    if not any(map(_batched, inputs)) or any(map(depends_on_batch_size, inputs)):
        return couples(node, inputs, outputs)
    return RowFlow((0,) * len(outputs))


@_guarded()
def feature_extractor(node: Node, inputs: Inputs, outputs: Outputs) -> RowAxis | None:
    """ArrayFeatureExtractor: columns of batched rows, or batched positions in a constant."""
    data, positions = inputs[0], inputs[1]
    if data is None or positions is None or data.rank is None or outputs[0].rank is None:
        return None
    if _batched(data):
        return data.rows if not _batched(positions) and data.rows < data.rank - 1 else None
    # The positions are read as one list: a row's are adjacent in it.
    if positions.shape is None or not same_size(product(positions.shape[: positions.rows]), 1):
        return None
    return outputs[0].rank - 1


def dynamic_quantize(node: Node, inputs: Inputs, outputs: Outputs) -> RowFlow:
    """The scale and zero point come from all rows; the quantised values still lie row by row."""
    first = inputs[0]
    if first is None or first.rows < 0:
        return couples(node, inputs, outputs)
    return RowFlow((first.rows, Rows.INVARIANT, Rows.INVARIANT)[: len(outputs)], coupled=True)


__all__ = [
    "arg_reduce",
    "batch_normalization",
    "concat",
    "constant_of_shape",
    "conv",
    "couples",
    "cumsum",
    "dynamic_quantize",
    "einsum",
    "elementwise",
    "expand",
    "feature_extractor",
    "gather",
    "gather_elements",
    "gather_nd",
    "gemm",
    "layer_normalization",
    "matmul",
    "one_hot",
    "pad",
    "per_row",
    "pool",
    "recurrent",
    "reduce",
    "reshape",
    "scatter_elements",
    "shape_of",
    "slice_",
    "softmax",
    "split",
    "squeeze",
    "tile",
    "topk",
    "transpose",
    "trilu",
    "unsqueeze",
]
