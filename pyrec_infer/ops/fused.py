"""Operators that exist only inside plans: dense layers, lookups and dot products in one step each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pyrec_infer.codecs import decode
from pyrec_infer.errors import IdRangeError, ModelError
from pyrec_infer.ir import Array, Info, Node, RowAxis, Rows, Shape, Size, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowFlow, element_type, optional, required
from pyrec_infer.ops.core.shapes import broadcast, fresh
from pyrec_infer.ops.core.traits import ELEMENTWISE, Count, no_flops, of_last_axis, of_product, two_each
from pyrec_infer.ops.indexing import checked_ids
from pyrec_infer.ops.linear_algebra import matmul_shape, rows_of_matmul
from pyrec_infer.ops.lookup_parts import LOOKUPS, lookup_operands, lookup_parts
from pyrec_infer.ops.scores import logistic

F32 = np.dtype(np.float32)

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "": lambda x: x,
    "Relu": lambda x: np.maximum(x, 0, dtype=x.dtype),
    "Sigmoid": logistic,
    "Tanh": np.tanh,
}
"""What a dense layer or a sum of lookups may end with."""


def activate(node: Node, x: Array) -> Array:
    """The node's activation of x."""
    function = ACTIVATIONS.get(str(node.attribute("activation", "")))
    if function is None:
        raise fault(ModelError, node, "unknown activation")
    return function(x)


def _infer_dense(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x, weights, bias = required(node, inputs, 0), required(node, inputs, 1), optional(inputs, 2)
    shape = matmul_shape(node, x.shape, weights.shape)
    if shape is not None and bias is not None:
        shape = None if bias.shape is None else broadcast([shape, bias.shape])
    return [Info(F32, shape)]


def _dense(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, weights, bias = required(node, inputs, 0), required(node, inputs, 1), optional(inputs, 2)
    y = np.matmul(x, weights)
    return [activate(node, y if bias is None else y + bias)]


def _dense_rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    """A product, then a broadcasting addition."""
    product = rows_of_matmul(node, inputs[:2], outputs)
    if product.coupled or len(inputs) < 3 or inputs[2] is None:
        return product
    x, weights = inputs[0], inputs[1]
    shape = None if x is None or weights is None else matmul_shape(node, x.shape, weights.shape)
    return rows.elementwise(node, [Info(F32, shape, product.rows[0]), inputs[2]], outputs)


def _infer_pack(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    matrices = required(node, inputs, 0)
    return [Info(matrices.dtype, matrices.shape)]


def _invariant(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    """The same for all rows, whatever the rows of the inputs."""
    return RowFlow((Rows.INVARIANT,))


def lookup_rows(node: Node, inputs: Sequence[Array | None], first: int) -> list[tuple[Array, Array | None]]:
    """The table and the row numbers of each part; for a part without a table its numbers and None."""
    found: list[tuple[Array, Array | None]] = []
    labels = node.attribute("labels", ())
    for i, part in enumerate(lookup_parts(node)):
        source, table = required(node, inputs, first + 2 * i), optional(inputs, first + 2 * i + 1)
        if table is None:
            found.append((source.reshape(len(source), part.width), None))
            continue
        ids = source[:, part.column] if part.column >= 0 else source.reshape(-1)
        own = table.ndim == 3  # a table for each row
        try:
            rows = checked_ids(node, ids, table.shape[1] if own else len(table))
        except IdRangeError as error:
            if i < len(labels) and labels[i]:
                raise IdRangeError(f"{labels[i]}: {error.message}", error.row) from None
            raise
        if own:
            count, size, width = table.shape
            rows = rows + np.arange(count) * size
            table = np.ascontiguousarray(table).reshape(count * size, width)
        found.append((table, rows))
    return found


def _operands(node: Node, inputs: Sequence[Array | None], first: int) -> list[Array]:
    return [
        table if rows is None else decode(table[rows], part.offset, part.width, part.codec)
        for (table, rows), part in zip(lookup_rows(node, inputs, first), lookup_parts(node), strict=True)
    ]


def _lookup_rows(node: Node, inputs: Sequence[Info | None], first: int) -> Size:
    for info in inputs[first::2]:
        if info is not None and info.shape:
            return info.shape[0]
    return fresh(node, 0, 0)


def _infer_lookup(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    width = sum(part.width for part in lookup_parts(node))
    return [Info(F32, (_lookup_rows(node, inputs, 0), width))]


def _lookup(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.concatenate(_operands(node, inputs, 0), axis=1).astype(F32, copy=False)]


def _infer_lookup_exact(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    dtype = element_type(node, "to")
    return [Info(dtype, (_lookup_rows(node, inputs, 0), int(node.attribute("width", 0))))]


def _lookup_exact(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    source, table = required(node, inputs, 0), required(node, inputs, 1)
    dtype = element_type(node, "to")
    offset, width = int(node.attribute("offset", 0)), int(node.attribute("width", 0))
    rows = table[checked_ids(node, source.reshape(-1), len(table))][
        :, offset : offset + width * dtype.itemsize
    ]
    return [np.ascontiguousarray(rows).view(dtype).reshape(len(rows), width)]


def _infer_lookup_sum(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    widths = {part.width for part in lookup_parts(node)}
    if len(widths) != 1:
        raise fault(ModelError, node, "expected parts of one width")
    return [Info(F32, (_lookup_rows(node, inputs, 1), *widths))]


def _lookup_sum(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    total = np.sum(_operands(node, inputs, 1), axis=0, dtype=F32)
    bias = optional(inputs, 0)
    return [activate(node, np.asarray(total if bias is None else total + bias))]


def _infer_product_sum(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    width, multiplied = int(node.attribute("width", -1)), node.attribute("multiplied", ())
    for i, part in enumerate(lookup_parts(node)):
        if i not in multiplied and part.width != width:
            raise fault(ModelError, node, "expected parts of one width")
    return [Info(F32, (_lookup_rows(node, inputs[: _weights_of(node)], 1), width))]


def _weights_of(node: Node) -> int:
    """The place of the first matrix of weights among the inputs of a ``pyrec.ProductSum``."""
    return LOOKUPS[node.op] + len(lookup_operands(node))


def _product_sum(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    first = _weights_of(node)
    rows = _operands(node, inputs[:first], 1)
    for i, part in enumerate(node.attribute("multiplied", ())):
        rows[part] = np.matmul(rows[part], required(node, inputs, first + i))
    total, bias = np.sum(rows, axis=0, dtype=F32), optional(inputs, 0)
    return [activate(node, np.asarray(total if bias is None else total + bias))]


def _product_sum_rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    first = _weights_of(node)
    if any(info is not None and info.rows != Rows.INVARIANT for info in inputs[first:]):
        return RowFlow((Rows.OPAQUE,), coupled=True)
    return _by_row(1)(node, inputs[:first], outputs)


def _by_row(first: int) -> Callable[[Node, Sequence[Info | None], Sequence[Info]], RowFlow]:
    """Sources hold the rows at axis 0, tables none, or one of three axes at axis 0 too; a bias is a row for
    all or one for each."""

    def rule(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
        axes: set[RowAxis] = {info.rows for info in inputs[first::2] if info is not None}
        given = [info for info in inputs[first + 1 :: 2] if info is not None]
        own = [info for info in given if info.rows == 0 and info.rank == 3]
        tables = {info.rows for info in given if info not in own}
        axes.update(info.rows for info in own)
        bias = inputs[0] if first else None
        fits = bias is None or bias.rows == 0 or (bias.rows == Rows.INVARIANT and bool(bias.shape))
        if axes == {Rows.INVARIANT} and (bias is None or bias.rows == Rows.INVARIANT):
            return RowFlow((Rows.INVARIANT,))
        if axes == {0} and tables <= {Rows.INVARIANT} and fits:
            return RowFlow((0,))
        return RowFlow((Rows.OPAQUE,), coupled=True)

    return rule


def _infer_field_tables(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    matrices, tables = (
        required(node, inputs, 0),
        [required(node, inputs, i + 1) for i in range(len(inputs) - 1)],
    )
    if len(node.attribute("firsts", ())) != len(node.outputs) or len(tables) != len(node.outputs):
        raise fault(ModelError, node, "expected a place for each table")
    known = matrices.shape is not None and len(matrices.shape) == 3
    return [
        Info(F32, (matrices.shape[0], table.shape[0], matrices.shape[2]))
        if known and matrices.shape is not None and table.shape is not None and len(table.shape) == 2
        else Info(F32, None)
        for table in tables
    ]


def _field_tables(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    matrices, firsts = required(node, inputs, 0), node.attribute("firsts", ())
    tables = [required(node, inputs, i + 1) for i in range(len(inputs) - 1)]
    if any(
        first < 0 or first + table.shape[1] > matrices.shape[1]
        for first, table in zip(firsts, tables, strict=True)
    ):
        raise fault(ModelError, node, "a table beyond the matrices")
    return [
        np.matmul(table, matrices[:, first : first + table.shape[1]])
        for first, table in zip(firsts, tables, strict=True)
    ]


def _field_tables_rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    matrices = required(node, inputs, 0)
    constant = all(info is not None and info.rows == Rows.INVARIANT for info in inputs[1:])
    if not constant or matrices.rows not in (0, Rows.INVARIANT):
        return RowFlow((Rows.OPAQUE,) * len(outputs), coupled=True)
    return RowFlow((matrices.rows,) * len(outputs))


def _field_tables_flops(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """Two for each number of a result and each of a vector."""
    columns = (shapes[0] or (1,))[-1]
    return (
        2 * sum(count(shape or (0,)) for shape in shapes[1:]) * (columns if isinstance(columns, int) else 1)
    )


def _infer_pair_dots(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    a, left = required(node, inputs, 0), required(node, inputs, 2)
    if a.shape is None or len(a.shape) != 3 or left.shape is None or len(left.shape) != 1:
        return [Info(F32, None)]
    return [Info(F32, (a.shape[0], left.shape[0]))]


def _pair_dots(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, b, left, right = (required(node, inputs, i) for i in range(4))
    return [np.einsum("npd,npd->np", a[:, left], b[:, right])]


def _pair_dots_rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    axes = {info.rows for info in inputs[:2] if info is not None}
    if axes == {Rows.INVARIANT}:
        return RowFlow((Rows.INVARIANT,))
    return RowFlow((0,)) if axes == {0} else RowFlow((Rows.OPAQUE,), coupled=True)


def _infer_multiply_add(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    shapes = [required(node, inputs, i).shape for i in range(3)]
    return [Info(F32, None if any(shape is None for shape in shapes) else broadcast(shapes))]


def _multiply_add(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, b, c = (required(node, inputs, i) for i in range(3))
    return [np.asarray(a * b + c)]


def _infer_fold_dots(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    a, weights, below = required(node, inputs, 0), required(node, inputs, 1), optional(inputs, 5)
    if a.shape is None or len(a.shape) != 3 or weights.shape is None or len(weights.shape) != 2:
        return [Info(F32, None)]
    width, more = a.shape[2], (0,) if below is None else below.shape
    rows: Size = fresh(node, 0, 1)
    if isinstance(width, int) and more and isinstance(more[0], int):
        rows = int(node.attribute("fields", 0)) * width + more[0]
    return [Info(F32, (a.shape[0], rows, weights.shape[1]))]


def _fold_dots(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, weights, left, right = (required(node, inputs, i) for i in range(4))
    base, below = optional(inputs, 4), optional(inputs, 5)
    fields = int(node.attribute("fields", 0))
    count, _, width = a.shape
    more = 0 if below is None else len(below)
    matrix = np.zeros((count, fields * width + more, weights.shape[1]), F32)
    matrix[:, : fields * width] = 0 if base is None else base
    matrix[:, fields * width :] = 0 if below is None else below
    places = np.where(right < 0, right + fields, right)
    for field in range(fields):
        chosen = np.flatnonzero(places == field)
        block = np.matmul(a[:, left[chosen]].transpose(0, 2, 1), weights[chosen])
        matrix[:, field * width : (field + 1) * width] += block
    return [matrix]


def _fold_dots_rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    vectors = required(node, inputs, 0)
    if any(info is not None and info.rows != Rows.INVARIANT for info in inputs[1:]):
        return RowFlow((Rows.OPAQUE,), coupled=True)
    if vectors.rows in (0, Rows.INVARIANT):
        return RowFlow((vectors.rows,))
    return RowFlow((Rows.OPAQUE,), coupled=True)


def _lookup_sum_flops(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """One for each number that is added."""
    return made * (len(node.inputs) // 2)


def _product_sum_flops(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """Those of a sum, and two for each row's number and each column of the weights."""
    widths, first = node.attribute("widths", ()), _weights_of(node)
    return made * (first // 2 + 2 * sum(int(widths[part]) for part in node.attribute("multiplied", ())))


def _fold_dots_flops(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """Two for each number of the weights and each of a vector."""
    width = (shapes[0] or (1,))[-1]
    return 2 * count(shapes[1] or (0,)) * (width if isinstance(width, int) else 1)


OPS = (
    # act(x W + b): NumPy's matmul, then a broadcasting bias. Attributes: activation (see ACTIVATIONS);
    # columns (int), present where W comes out of pyrec.Pack: its last size, or that for each of the
    # positions that are input 3; skip_zeros (int) where many elements of x are zero. Of layers of lower
    # precision and of pyrec.LookupSum also marks for backends, which change no number: rows (str) where
    # only layers of that precision read the result, ordered (int) where these have pyrec.PackInOrder of
    # the bias; features (int), the size of x where that is such a result.
    Op("pyrec.Dense", _infer_dense, _dense, _dense_rows, flops=of_product),
    # Lays matrices [..., K, H] out for a dense layer, its only reader; the same numbers. Attributes:
    # precision of the layer, fp32 (the default), bf16 or int8.
    Op(
        "pyrec.Pack",
        _infer_pack,
        lambda node, inputs: [required(node, inputs, 0)],
        rows.elementwise,
        flops=no_flops,
    ),
    # Constant weights W [K, H] laid out for a layer of lower precision whose input comes in the order of a
    # row [1, K] of the request: inputs W and the row. The same numbers as W. Attributes: precision.
    Op(
        "pyrec.PackInOrder",
        _infer_pack,
        lambda node, inputs: [required(node, inputs, 0)],
        _invariant,
        flops=no_flops,
    ),
    # Inputs source_0, table_0, source_1, table_1, ... A part with a table is its rows of the ids in
    # the source: column `columns[i]` of a matrix, or with -1 all of a vector [N] or [N, 1]. Ids count
    # from the end where negative. A table [N, V, W] is one for each row. A part without a table is the
    # source's own float32 numbers [N, width].
    # The result is the concatenation of all parts. Attributes, one for each part: columns, offsets
    # (bytes into a table's row), widths, codecs (see `pyrec_infer.codecs`); labels, which backends add:
    # for errors, what each source is.
    Op("pyrec.Lookup", _infer_lookup, _lookup, _by_row(0), flops=no_flops),
    # The same with all widths alike, summed: act(bias + sum of parts). Inputs bias (absent, [H], [1, H]
    # or [N, H]), source_0, table_0, ...
    Op("pyrec.LookupSum", _infer_lookup_sum, _lookup_sum, _by_row(1), flops=_lookup_sum_flops),
    # The same where parts `multiplied[i]` are multiplied by weights W_i [width of the part, H] first, all of
    # constant tables: inputs as before, then W_0, W_1, ... Backends may keep products for ids that come
    # again. Attributes also: width (int), which is H.
    Op("pyrec.ProductSum", _infer_product_sum, _product_sum, _product_sum_rows, flops=_product_sum_flops),
    # Inputs rows and a record table: `width` elements of ONNX type `to` at byte `offset` of each of the
    # rows, exactly.
    Op("pyrec.LookupExact", _infer_lookup_exact, _lookup_exact, _by_row(0), flops=no_flops),
    # a * b + c, float32 and broadcast against each other.
    Op(
        "pyrec.MultiplyAdd",
        _infer_multiply_add,
        _multiply_add,
        rows.elementwise,
        traits=ELEMENTWISE,
        flops=two_each,
    ),
    # y[n, p] = sum over d of a[n, left[p], d] * b[n, right[p], d]; left and right are constant int64.
    Op("pyrec.PairDots", _infer_pair_dots, _pair_dots, _pair_dots_rows, flops=of_last_axis),
    # Matrices M with PairDots(a, b, left, right) W = b M, where b [N, fields, D] is seen as [N, fields * D]:
    # M[n, right[p] * D + d] = base[right[p] * D + d] + sum over p of a[n, left[p], d] * W[p].
    # Below these are further rows. Inputs a [N, F, D], and constants W [P, H], left [P], right [P], base
    # (optional) [fields * D, H] and below (optional) [R, H]. Attributes: fields (int).
    Op("pyrec.FoldDots", _infer_fold_dots, _fold_dots, _fold_dots_rows, flops=_fold_dots_flops),
    # Tables E_0, E_1, ... [V, D] times their rows of matrices M [N, K, H], each a result [N, V, H]: E_0 with
    # those from `firsts[0]` on. Inputs M and the tables. Attributes: firsts (ints).
    Op(
        "pyrec.FieldTables",
        _infer_field_tables,
        _field_tables,
        _field_tables_rows,
        flops=_field_tables_flops,
    ),
)
