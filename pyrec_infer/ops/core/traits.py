"""What passes may know of an operator without knowing its name, and how much arithmetic it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TypeAlias

from pyrec_infer.ir import Node, Shape


class Trait(Enum):
    """A property that holds for every node of an operator, whatever its attributes and inputs are.

    Attributes
    ----------
    ELEMENTWISE
        One result; each of its elements depends on the elements at its own place in the inputs, which
        broadcast to the result's shape.
    VIEW
        The elements of the first input in their order, in another shape.
    MOVES
        Every element of the results is one of an input's: some are left out, repeated or put elsewhere,
        none is computed. Views move too.
    DISCONTINUOUS
        Rounding a float operand can turn the result over, as it can a comparison's.
    VARIADIC
        Takes any number of inputs; of one alone the result is that input.
    AFFINE
        With the other inputs constant, each element of an input is multiplied with a number and another
        number is added; of a quotient and a normalisation this holds for the first input.
    REDUCES
        Combines the elements of the first input along the axes that the second one names.
    FILLS
        Work of one pass: each element of the result is written at once, most of them the same, and no row
        is read twice.
    CLASSIFIES
        The first result is a label for each row, out of the attribute ``labels``, an array; the last one
        has a column for each class.
    """

    ELEMENTWISE = "elementwise"
    VIEW = "view"
    MOVES = "moves"
    DISCONTINUOUS = "discontinuous"
    REDUCES = "reduces"
    VARIADIC = "variadic"
    AFFINE = "affine"
    CLASSIFIES = "classifies"
    FILLS = "fills"


ELEMENTWISE = frozenset({Trait.ELEMENTWISE})
COMPARISON = frozenset({Trait.ELEMENTWISE, Trait.DISCONTINUOUS})
VARIADIC = frozenset({Trait.VARIADIC})
AFFINE = frozenset({Trait.ELEMENTWISE, Trait.AFFINE})
REDUCES = frozenset({Trait.REDUCES})
DISCONTINUOUS = frozenset({Trait.DISCONTINUOUS})
MOVES = frozenset({Trait.MOVES})
VIEW = frozenset({Trait.VIEW, Trait.MOVES})
CLASSIFIES = frozenset({Trait.CLASSIFIES})
FILLS = frozenset({Trait.FILLS})
"""The traits that operators have together."""


Count: TypeAlias = Callable[[Shape | None], int]
"""Elements of a shape for one row."""

Flops: TypeAlias = Callable[[Node, Sequence[Shape | None], int, Count], int]
"""``flops(node, shapes, made, count)``: floating-point operations for one row, by the shapes of the
inputs and the number of elements made; a multiplication and an addition are two."""


def no_flops(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    return 0


def one_each(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """One for each number that is made, as activations, comparisons and other functions count."""
    return made


def two_each(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    return 2 * made


def one_each_read(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """One for each number that is read, as reductions count."""
    return max(made, count(shapes[0] if shapes else None))


def of_product(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """Two for each number and each of the axis that is summed over; an activation is one more."""
    shape = shapes[0] if shapes else None
    inner = shape[0 if node.attribute("transA", 0) else -1] if shape else 1
    return 2 * made * count((inner,)) + (made if node.attribute("activation", "") else 0)


def of_last_axis(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """Two for each number and each of the first input's last axis, as dot products count."""
    last = shapes[0][-1] if shapes and shapes[0] else 1
    return 2 * made * (last if isinstance(last, int) else 1)
