"""Matrix products: MatMul, Gemm and Einsum."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Info, Node, RowAxis, Shape, Size, fault, same_size
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, boolean, optional, required
from pyrec_infer.ops.core.shapes import broadcast, broadcast_sizes, dtype_of
from pyrec_infer.ops.core.traits import Count, of_product
from pyrec_infer.ops.elementwise import NUMBERS, check_kind, check_same, widened


def _check_inner(node: Node, a: Size, b: Size) -> None:
    if isinstance(a, int) and isinstance(b, int) and a != b:
        raise fault(ModelError, node, f"inner sizes {a} and {b}")


def matmul_shape(node: Node, a: Shape | None, b: Shape | None) -> Shape | None:
    """The shape of NumPy's matmul of two operands."""
    if a is None or b is None:
        return None
    if not a or not b:
        raise fault(ModelError, node, "an operand has no axes")
    _check_inner(node, a[-1], b[-2] if len(b) > 1 else b[0])
    batch = broadcast([a[:-2], b[:-2]])
    if batch is None:
        return None
    return (*batch, *(a[-2:-1]), *(b[-1:] if len(b) > 1 else ()))


def _infer_matmul(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    a, b = required(node, inputs, 0), required(node, inputs, 1)
    check_same(node, [a, b])
    check_kind(node, dtype_of([a, b]), NUMBERS)
    return [Info(dtype_of([a, b]), matmul_shape(node, a.shape, b.shape))]


def _matmul(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, b = required(node, inputs, 0), required(node, inputs, 1)
    check_same(node, [a, b])
    matmul_shape(node, a.shape, b.shape)
    return [widened(np.matmul, np.float32, a, b)]


def _infer_gemm(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    a, b, c = required(node, inputs, 0), required(node, inputs, 1), optional(inputs, 2)
    check_same(node, [a, b, c])
    dtype = dtype_of([a, b, c])
    check_kind(node, dtype, NUMBERS)
    if a.shape is None or b.shape is None:
        return [Info(dtype, None)]
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise fault(ModelError, node, f"takes matrices, got {a.shape} and {b.shape}")
    rows_of_a, inner_a = a.shape[::-1] if boolean(node.attribute("transA", 0)) else a.shape
    inner_b, columns = b.shape[::-1] if boolean(node.attribute("transB", 0)) else b.shape
    _check_inner(node, inner_a, inner_b)
    return [Info(dtype, (rows_of_a, columns))]


def _gemm(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, b, c = required(node, inputs, 0), required(node, inputs, 1), optional(inputs, 2)
    _infer_gemm(node, [None if x is None else Info(x.dtype, x.shape) for x in (a, b, c)])
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)

    def product(a: Array, b: Array, *addend: Array) -> Array:
        a = a.T if boolean(node.attribute("transA", 0)) else a
        b = b.T if boolean(node.attribute("transB", 0)) else b
        y: Array = np.matmul(a, b)
        if alpha != 1.0:
            y = y * y.dtype.type(alpha)
        for c in addend:
            y = y + (c if beta == 1.0 else c * c.dtype.type(beta))
        return y

    return [widened(product, np.float32, a, b, *([] if c is None or beta == 0.0 else [c]))]


def parse_einsum(node: Node, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The terms and the result of an equation; the axes of an ellipsis become the signs \\x00, \\x01, ...

    Raises
    ------
    ModelError
        If the equation is not well formed or does not fit the operands' ranks.
    """

    def fail() -> ModelError:
        return fault(ModelError, node, "the equation does not fit its operands")

    equation = str(node.attribute("equation", "")).replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise fail()
    extra = []
    for term, rank in zip(terms, ranks, strict=True):
        letters = term.replace("...", "", 1)
        if not all(letter.isascii() and letter.isalpha() for letter in letters):
            raise fail()
        extra.append(rank - len(letters))
        if extra[-1] < 0 or (extra[-1] > 0 and "..." not in term):
            raise fail()
    width = max(extra, default=0)
    if not arrow:
        everything = left.replace("...", "").replace(",", "")
        right = ("..." if "..." in left else "") + "".join(
            letter for letter in sorted(set(everything)) if everything.count(letter) == 1
        )
    if "..." in right and "..." not in left:
        raise fail()
    signs = "".join(chr(i) for i in reversed(range(width)))
    expanded = [term.replace("...", signs[width - count :]) for term, count in zip(terms, extra, strict=True)]
    result = right.replace("...", signs, 1)
    if len(set(result)) != len(result) or not set(result) <= set("".join(expanded)) | set(signs):
        raise fail()
    return expanded, result


def _infer_einsum(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    operands = [required(node, inputs, i) for i in range(max(1, len(inputs)))]
    check_same(node, operands)
    dtype = dtype_of(operands)
    shapes = [info.shape for info in operands if info.shape is not None]
    if len(shapes) != len(operands):
        return [Info(dtype, None)]
    terms, result = parse_einsum(node, [len(shape) for shape in shapes])
    sizes: dict[str, Size | None] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, size in zip(term, shape, strict=True):
            known = sizes.get(label, 1)
            sizes[label] = None if known is None else broadcast_sizes(known, size)
    found = [sizes[label] for label in result]
    known_sizes = tuple(size for size in found if size is not None)
    return [Info(dtype, known_sizes if len(known_sizes) == len(found) else None)]


def _einsum(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    operands = [required(node, inputs, i) for i in range(max(1, len(inputs)))]
    check_same(node, operands)
    terms, result = parse_einsum(node, [x.ndim for x in operands])
    numbers = {label: i for i, label in enumerate(dict.fromkeys("".join(terms)))}

    def contract(*arrays: Array) -> Array:
        arguments: list[object] = []
        for x, term in zip(arrays, terms, strict=True):
            arguments += [x, [numbers[label] for label in term]]
        return np.asarray(np.einsum(*arguments, [numbers[label] for label in result]))  # type: ignore[call-overload]

    try:
        return [widened(contract, np.float32, *operands)]
    except ValueError as error:
        let_interrupts_pass(error)
        raise fault(ModelError, node, "the operands' shapes do not fit") from error


def _einsum_flops(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """Two for each combination of the labels' places."""
    labels: dict[str, int] = {}
    terms = str(node.attribute("equation", "")).replace(" ", "").split("->")[0].split(",")
    for term, shape in zip(terms, shapes, strict=False):
        for label, size in zip(term, shape or (), strict=False):
            labels[label] = max(labels.get(label, 1), count((size,)))
    return 2 * math.prod(labels.values())


def _matmul_distance(a: Info, b: Info) -> int | None:
    """Distance of the output's row axis from the right of an output of full rank (>= 2)."""
    if a.rank is None or b.rank is None or a.rank == 0 or b.rank == 0:
        return None
    from_right_a = a.rank - a.rows if rows.batched(a) else None
    from_right_b = b.rank - b.rows if rows.batched(b) else None
    if from_right_a == 1 or (from_right_b == 2 or (from_right_b == 1 and b.rank == 1)):
        return None  # the rows are summed over
    if from_right_a is not None and from_right_b is not None:
        if from_right_a != from_right_b or from_right_a < 3 or a.shape is None or b.shape is None:
            return None
        return from_right_a if same_size(a.shape[a.rows], b.shape[b.rows]) else None
    if from_right_a is not None:
        return from_right_a if from_right_a == 2 or rows.constant_size(b, from_right_a) else None
    if from_right_b is not None:
        return from_right_b if from_right_b == 1 or rows.constant_size(a, from_right_b) else None
    return None


@rows.guarded()
def rows_of_matmul(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Matrix products whose rows, columns or leading axes are the batch; operands 0 and 1."""
    a, b = inputs[0], inputs[1]
    if a is None or b is None or a.rank is None or b.rank is None or any(map(rows.batched, inputs[2:])):
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


@rows.guarded()
def rows_of_gemm(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Gemm with the batch as the rows of A or the columns of B."""
    a, b, c = inputs[0], inputs[1], optional(inputs, 2)
    if a is None or b is None:
        return None
    if rows.batched(a) and not rows.batched(b):
        axis = 0 if a.rows == int(bool(node.attribute("transA", 0))) else None
    elif rows.batched(b) and not rows.batched(a):
        axis = 1 if b.rows == int(not node.attribute("transB", 0)) else None
    else:
        axis = None
    if axis is None or c is None:
        return axis
    if rows.batched(c):
        return axis if c.rank is not None and c.rank - c.rows == 2 - axis else None
    return axis if rows.constant_size(c, 2 - axis) else None


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


@rows.guarded()
def _rows_of_einsum(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
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
        if info is not None and rows.batched(info)
    }
    if len(letters) != 1:
        return None
    (letter,) = letters
    for term, info in zip(terms, inputs, strict=True):
        if term.count(letter) > 1:
            return None
        if letter in term and info is not None and not rows.batched(info):
            hidden = letter.isdigit() and rows.constant_size(info, len(term) - term.index(letter))
            if not hidden:
                return None
    return right.index(letter) if right.count(letter) == 1 else None


OPS = (
    Op("MatMul", _infer_matmul, _matmul, rows_of_matmul, flops=of_product),
    Op("Gemm", _infer_gemm, _gemm, rows_of_gemm, flops=of_product),
    Op("Einsum", _infer_einsum, _einsum, _rows_of_einsum, flops=_einsum_flops),
)
