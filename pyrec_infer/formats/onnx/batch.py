"""Which sizes of a model's inputs are the batch, and which are other symbols."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyrec_infer.ir import BATCH, Dim, RowAxis, Rows, Shape

# Names that exporters make up when the user gave none.
_ANONYMOUS = re.compile(r"^(unk_.*|.*dynamic_axes_\d+|\?|None|-1|)$")

DeclaredShape = Sequence[int | str | None]


@dataclass(frozen=True, slots=True)
class Batch:
    """The symbolic shape of every input and where its rows are.

    Attributes
    ----------
    shapes, rows : mapping of str
    static_rows : bool
        Whether everything has a first axis of size 1.
    fixed_rows : int
        The size, above 1, that the first axes of all outputs and of an input have; 0 if there is none.
    presumed : mapping of str to str
        The inputs whose first axis is taken for the batch because nothing says which axis is, each with
        the name that the axis would have else.
    """

    shapes: Mapping[str, Shape]
    rows: Mapping[str, RowAxis]
    static_rows: bool
    fixed_rows: int = 0
    presumed: Mapping[str, str] = field(default_factory=dict)


def _anonymous(size: int | str | None) -> bool:
    return size is None or (isinstance(size, str) and _ANONYMOUS.match(size) is not None)


def _shared(inputs: Mapping[str, DeclaredShape]) -> set[str]:
    """The name that more first axes of inputs have than any other, and more than one."""
    first = [shape[0] for shape in inputs.values() if shape and not isinstance(shape[0], int)]
    counts = Counter(name for name in first if isinstance(name, str) and not _anonymous(name))
    ranked = counts.most_common(2)
    if not ranked or ranked[0][1] < 2 or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return set()
    return {ranked[0][0]}


def find_batch(inputs: Mapping[str, DeclaredShape], outputs: Mapping[str, DeclaredShape]) -> Batch:
    """Read the batch axis off the declared shapes.

    The first axis of the outputs names the batch. A size of that name is the batch wherever it
    stands; a first axis without a name of its own is the batch too. Where the outputs name nothing
    that an input has, the batch's name is the one that several first axes of the inputs have, and
    more than any other name; failing that, every symbolic first axis of the inputs is the batch.
    """
    named = {
        shape[0]
        for shape in outputs.values()
        if shape and isinstance(shape[0], str) and not _anonymous(shape[0])
    }
    present = {size for shape in inputs.values() for size in shape if isinstance(size, str)}
    batch_names = named & present or _shared(inputs)
    # Another size may have the name that rows have in graphs.
    other = BATCH
    while other in present:
        other += "'"
    shapes: dict[str, Shape] = {}
    rows: dict[str, RowAxis] = {}
    presumed: dict[str, str] = {}
    for name, declared in inputs.items():
        sizes: list[int | Dim] = []
        row_axis: RowAxis = Rows.INVARIANT
        for axis, size in enumerate(declared):
            if isinstance(size, int):
                sizes.append(size)
                continue
            anonymous = _anonymous(size)
            first = axis == 0 and (anonymous or not batch_names)
            label = f"{name}:{axis}" if anonymous or size in batch_names else str(size)
            label = other if label == BATCH else label
            if row_axis == Rows.INVARIANT and (size in batch_names or first):
                row_axis = axis
                sizes.append(Dim.symbol(BATCH))
                if first:
                    presumed[name] = label
            else:
                sizes.append(Dim.symbol(label))
        shapes[name] = tuple(sizes)
        rows[name] = row_axis
    everything = [*inputs.values(), *outputs.values()]
    static = bool(inputs) and all(len(shape) > 0 and shape[0] == 1 for shape in everything)
    placed = dict.fromkeys(rows, 0) if static else rows
    return Batch(shapes, placed, static, _fixed(inputs, outputs), presumed)


def _fixed(inputs: Mapping[str, DeclaredShape], outputs: Mapping[str, DeclaredShape]) -> int:
    """The number of rows, above 1, that a file without open first axes fixes its batch to."""
    sizes = {shape[0] if shape else None for shape in outputs.values()}
    first = {shape[0] for shape in inputs.values() if shape}
    if len(sizes) != 1 or not all(isinstance(size, int) for size in first):
        return 0
    (size,) = sizes
    return size if isinstance(size, int) and size > 1 and size in first else 0
