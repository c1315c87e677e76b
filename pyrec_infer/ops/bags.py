"""Embedding bags: sums, means and maxima of table rows over ranges of a list of ids.

A batch of bags is one list of ids [M] and for each bag the start and the end of its ids in that list,
bounds [B, 2]. Bags may share ids, leave ids out and be empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pyrec_infer.codecs import decode, find_codec
from pyrec_infer.errors import ModelError, ShapeError
from pyrec_infer.ir import BATCH, Array, Dim, Info, Node, Rows, Size, fault
from pyrec_infer.ops.core.registry import Op, RowFlow, couples, depends_on_batch_size, optional, required
from pyrec_infer.ops.core.shapes import fresh, integers
from pyrec_infer.ops.core.traits import no_flops
from pyrec_infer.ops.fused import F32
from pyrec_infer.ops.indexing import checked_ids
from pyrec_infer.ops.layout import INT64

MODES = ("sum", "mean", "max")
"""What a bag makes of its rows."""

_MOST_IDS = 1 << 48
"""More than any list holds."""


BOUNDS = frozenset(
    {
        "pyrec.BagBounds",
        "pyrec.BagBoundsOfLengths",
        "pyrec.BagBoundsOfFields",
        "pyrec.BagsOfPairs",
        "pyrec.OrderOfPairs",
    }
)
"""Operators that read all rows of one side, before any row is repeated or cut out."""


# Bounds


def check_bounds(bounds: Array, ids: int, fields: int = 1) -> None:
    """Refuse bags that do not lie within so many ids; the error names the row, never an offset.

    A row has as many bags as it has fields.
    """
    starts, ends = bounds[:, 0], bounds[:, 1]
    wrong = (starts < 0) | (ends < starts) | (ends > ids)
    if np.any(wrong):
        row = int(np.argmax(wrong))
        if starts[row] < 0:
            expected, got = "that starts at 0 or later", "one that starts before"
        elif ends[row] < starts[row]:
            expected, got = "whose end is not before its start", "one whose end is"
        else:
            expected, got = f"that ends within {ids} ids", "one that ends after them"
        raise ShapeError(f"expected a bag {expected}, got {got} (row {row // fields})")


def _require_end(node: Node, bounds: Array, ids: int) -> None:
    """Refuse a last bag that does not end with the ids where the node asks for that."""
    if node.attribute("full", 0) and len(bounds) and bounds[-1, 1] != ids:
        raise ShapeError(
            f"expected a last bag that ends after {ids} ids, got one that ends before (row {len(bounds) - 1})"
        )


def _offsets(node: Node, offsets: Array) -> Array:
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu":
        raise fault(
            ShapeError,
            node,
            f"expected a vector of whole numbers, got {offsets.dtype} of shape {list(offsets.shape)}",
        )
    return offsets.astype(INT64, copy=False)


def _infer_bounds(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    offsets = required(node, inputs, 0)
    if offsets.rank not in (None, 1):
        raise fault(ModelError, node, f"offsets of rank {offsets.rank}, expected 1")
    count: Size = fresh(node, 0, 0) if offsets.shape is None else offsets.shape[0]
    if node.attribute("last", 0):
        if isinstance(count, int) and count < 1:
            raise fault(ModelError, node, "no offsets, expected at least one")
        count = count - 1 if isinstance(count, int) else fresh(node, 0, 0)
    if node.attribute("by_row", 0):
        count = Dim.symbol(BATCH)
    return [Info(INT64, (count, 2))]


def _bounds(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    offsets, ids = _offsets(node, required(node, inputs, 0)), required(node, inputs, 1)
    ends = offsets[1:]
    if not node.attribute("last", 0):
        ends = np.append(ends, INT64.type(len(ids))) if len(offsets) else offsets
    elif not len(offsets):
        raise ShapeError("expected at least one offset, got none")
    bounds = np.stack([offsets[: len(ends)], ends], axis=1)
    check_bounds(bounds, len(ids))
    _require_end(node, bounds, len(ids))
    return [bounds]


def _consecutive(lengths: Array, ids: int) -> Array:
    """The bounds of bags of these lengths; those of a wrong length are wrong, whatever that is."""
    ends = np.cumsum(np.clip(lengths, -1, ids + 1), dtype=INT64)
    return np.stack([np.append(INT64.type(0), ends)[:-1], ends], axis=1)


def _bounds_of_lengths(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    lengths, ids = _offsets(node, required(node, inputs, 0)), required(node, inputs, 1)
    bounds = _consecutive(lengths, len(ids))
    check_bounds(bounds, len(ids))
    _require_end(node, bounds, len(ids))
    return [bounds]


def _infer_fields(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    lengths, axis = required(node, inputs, 0), int(node.attribute("axis"))
    if lengths.rank not in (None, 2):
        raise fault(ModelError, node, f"lengths of rank {lengths.rank}, expected 2")
    shape = (fresh(node, 0, 0), fresh(node, 0, 1)) if lengths.shape is None else lengths.shape
    return [Info(INT64, (shape[axis], shape[1 - axis], 2))]


def _bounds_of_fields(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    lengths, ids = required(node, inputs, 0), required(node, inputs, 1)
    if lengths.ndim != 2:
        raise ShapeError(f"expected a matrix of lengths, got shape {list(lengths.shape)}")
    flat = _consecutive(_offsets(node, lengths.reshape(-1)), len(ids))
    bounds = flat.reshape(*lengths.shape, 2)
    bounds = np.ascontiguousarray(bounds.swapaxes(0, 1)) if node.attribute("axis") else bounds
    check_bounds(bounds.reshape(-1, 2), len(ids), max(1, bounds.shape[1]))
    if bounds.size:
        _require_end(node, bounds[:, -1], len(ids))
    return [bounds]


def _fields_rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    """Where a bag lies is read off the lengths of all bags before."""
    lengths = inputs[0]
    placed = lengths is not None and lengths.rows == node.attribute("axis")
    shared = all(info is None or info.rows == Rows.INVARIANT for info in inputs[1:])
    return RowFlow((0,), coupled=True) if placed and shared else couples(node, inputs, outputs)


def _bounds_rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    """A bag's bounds are read off its neighbour's offset, but lie where its own offset lies."""
    if node.attribute("by_row", 0):
        return RowFlow((0,), coupled=True)
    flow, offsets = couples(node, inputs, outputs), inputs[0]
    placed = offsets is not None and offsets.rows == 0 and not node.attribute("last", 0)
    return RowFlow((0,), coupled=True) if flow.coupled and placed else flow


# Pairs


def _infer_pairs(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    found = integers(optional(inputs, 1))
    count: Size = fresh(node, 0, 0) if found is None or len(found) != 1 else found[0]
    return [Info(INT64, (Dim.symbol(BATCH) if node.attribute("by_row", 0) else count, 2))]


def _rows_of_pairs(node: Node, inputs: Sequence[Array | None]) -> tuple[Array, int]:
    """The row of each pair, and how many rows there are."""
    rows, count = _offsets(node, required(node, inputs, 0)), optional(inputs, 1)
    total = int(rows.max(initial=-1)) + 1 if count is None else int(count)
    return checked_ids(node, rows, total, np.arange(len(rows))), total


def _pairs(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    rows, count = _rows_of_pairs(node, inputs)
    lengths = np.bincount(rows, minlength=count)
    ends = np.cumsum(lengths, dtype=INT64)
    return [np.stack([ends - lengths, ends], axis=1)]


def _infer_order(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    return [Info(INT64, required(node, inputs, 0).shape)]


def _order(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.argsort(_rows_of_pairs(node, inputs)[0], kind="stable").astype(INT64)]


def _pairs_rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    """Which rows there are is read off all pairs."""
    first = inputs[0]
    if first is None or first.rows != Rows.INVARIANT:
        return couples(node, inputs, outputs)
    counted = len(inputs) > 1 or node.attribute("by_row", 0)
    if node.op == "pyrec.OrderOfPairs" or not counted:
        return RowFlow((Rows.INVARIANT,), coupled=bool(counted))
    return RowFlow((0,), coupled=True)


# Rows


def _infer_lengths_of_offsets(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    offsets = required(node, inputs, 0)
    known = offsets.shape[0] if offsets.shape is not None and len(offsets.shape) == 1 else None
    return [Info(INT64, (max(known - 1, 0) if isinstance(known, int) else fresh(node, 0, 0),))]


def _lengths_of_offsets(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.diff(_offsets(node, required(node, inputs, 0)))]


def _infer_rows_of_lengths(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    return [Info(INT64, (fresh(node, 0, 0),))]


def _rows_of_lengths(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    lengths = _offsets(node, required(node, inputs, 0))
    if np.any(lengths < 0):
        raise ShapeError(f"expected no negative length, got one (row {int(np.argmax(lengths < 0))})")
    too_many = lengths.cumsum(dtype=np.float64) > _MOST_IDS
    if np.any(too_many):
        row = int(np.argmax(too_many))
        raise ShapeError(f"expected at most {_MOST_IDS} ids by all lengths, got more (row {row})")
    return [np.repeat(np.arange(len(lengths), dtype=INT64), lengths)]


# Bags


def mode_of(node: Node) -> str:
    """What the bag makes of its rows."""
    mode = str(node.attribute("mode", "sum"))
    if mode not in MODES:
        raise fault(ModelError, node, f"mode {mode!r}, expected one of {list(MODES)}")
    return mode


def table_part(node: Node) -> tuple[int, int, str]:
    """Byte offset, width and codec of the part of a record table's rows that the bag reads.

    Raises
    ------
    UnsupportedModelError
        There is no such codec.
    """
    offset, width = int(node.attribute("offset", 0)), int(node.attribute("width", -1))
    return offset, width, find_codec(str(node.attribute("codec", "f32"))).name


def _infer_bag(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    table, ids, bounds = (required(node, inputs, i) for i in range(3))
    for info, name, rank in (
        (table, "a table", 2),
        (ids, "ids", 1),
        (bounds, "bounds", 2),
        (optional(inputs, 3), "weights", 1),
    ):
        if info is not None and info.rank not in (None, rank):
            raise fault(ModelError, node, f"{name} of rank {info.rank}, expected {rank}")
    if mode_of(node) == "max" and optional(inputs, 3) is not None:
        raise fault(ModelError, node, "weights of a maximum")
    count: Size = fresh(node, 0, 0) if bounds.shape is None else bounds.shape[0]
    _, own_width, _ = table_part(node)
    width: Size = own_width
    if table.dtype is None or table.dtype.kind == "f":
        width = fresh(node, 0, 1) if table.shape is None else table.shape[1]
    return [Info(F32, (count, width))]


def check_bags(node: Node, inputs: Sequence[Array | None]) -> None:
    """Refuse ids, bounds and weights that do not fit together."""
    ids, bounds, weights = required(node, inputs, 1), required(node, inputs, 2), optional(inputs, 3)
    if ids.dtype.kind not in "iu":
        raise fault(ModelError, node, f"ids of type {ids.dtype}")
    if ids.ndim != 1 or bounds.ndim != 2 or bounds.shape[1] != 2:
        got = f"{list(ids.shape)} and {list(bounds.shape)}"
        raise ShapeError(f"expected ids [M] and bounds [B, 2], got {got}")
    if weights is not None and weights.shape != ids.shape:
        raise ShapeError(f"expected {len(ids)} weights, one for each id, got shape {list(weights.shape)}")
    check_bounds(bounds, len(ids))


def paddings(node: Node, rows: int) -> tuple[int, int] | None:
    """The ids that are left out: the padding, and what else means its row of a table with so many."""
    padding = node.attribute("padding")
    if padding is None:
        return None
    wraps = node.attribute("padding_wraps", 0) and not node.attribute("strict", 0)
    return int(padding), int(padding) - rows if wraps else int(padding)


def _kept(node: Node, ids: Array, bounds: Array, rows: int) -> tuple[Array, Array]:
    """For every id of every bag but the padding, bag by bag: its place, and its bag."""
    lengths = bounds[:, 1] - bounds[:, 0]
    bags = np.repeat(np.arange(len(bounds)), lengths)
    first = np.cumsum(lengths) - lengths
    places = np.arange(len(bags)) + (bounds[:, 0] - first)[bags]
    left_out = paddings(node, rows)
    kept = np.ones(len(places), np.bool_) if left_out is None else ~np.isin(ids[places], left_out)
    return places[kept], bags[kept]


def _bag(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    table, ids, bounds = (required(node, inputs, i) for i in range(3))
    check_bags(node, inputs)
    places, bags = _kept(node, ids, bounds, len(table))
    rows = table[checked_ids(node, ids[places], len(table), places)]
    numbers = rows.astype(F32, copy=False) if table.dtype.kind == "f" else decode(rows, *table_part(node))
    weights = optional(inputs, 3)
    factors = np.ones(len(places), F32) if weights is None else weights[places]
    out = np.zeros((len(bounds), numbers.shape[1]), F32)
    mode = mode_of(node)
    _FILL[mode](out, bags, numbers, factors)
    if mode == "mean":
        counted = factors if node.attribute("weighted_mean", 0) else np.ones(len(places))
        total = np.bincount(bags, counted, len(bounds)).astype(F32)
        filled = np.bincount(bags, minlength=len(bounds)) > 0
        out[filled] /= total[filled, None]
    return [out]


def _add(out: Array, bags: Array, numbers: Array, weights: Array) -> None:
    np.add.at(out, bags, numbers * weights[:, None])


def _take_larger(out: Array, bags: Array, numbers: Array, weights: Array) -> None:
    out[bags] = -np.inf
    np.maximum.at(out, bags, numbers)


_FILL: Mapping[str, Callable[[Array, Array, Array, Array], None]] = {
    "sum": _add,
    "mean": _add,
    "max": _take_larger,
}


def _bag_rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    """Each row of the bounds makes its own bag out of ids that are the same for all rows."""
    bounds = inputs[2]
    shared = all(info is None or info.rows == Rows.INVARIANT for i, info in enumerate(inputs) if i != 2)
    shared = shared and not any(map(depends_on_batch_size, inputs))
    if bounds is not None and shared and bounds.rows in (0, Rows.INVARIANT):
        return RowFlow((bounds.rows,))
    return RowFlow((Rows.OPAQUE,), coupled=True)


OPS = (
    # Inputs offsets [B], whole numbers that never fall, of which each is the place of its bag's first id,
    # and the ids [M], of which only the number is read. The result [B, 2] int64 is the start and the end of
    # each bag; the last one ends with the ids. With `last` (int, 0 or 1) the offsets are [B + 1], the last
    # of them the last bag's end. With `by_row` (int) each bag is a row of the batch. With `full` (int) the
    # last bag has to end with the ids.
    Op("pyrec.BagBounds", _infer_bounds, _bounds, _bounds_rows, flops=no_flops),
    # The same of the bags' lengths [B], which follow each other from the first id on.
    Op("pyrec.BagBoundsOfLengths", _infer_bounds, _bounds_of_lengths, _bounds_rows, flops=no_flops),
    # The same of lengths of which each row has one for each field, [B, F] with `axis` 0 and [F, B] with 1.
    # Bags follow each other as the lengths do in memory. The result is [B, F, 2].
    Op("pyrec.BagBoundsOfFields", _infer_fields, _bounds_of_fields, _fields_rows, flops=no_flops),
    # Inputs the rows [M] that a list of ids belongs to, in any order, and the number of rows B (optional,
    # else they end with the last that is named). The first is the bounds [B, 2] of the rows' bags in the
    # list once it is put in order, the second that order [M]; equal rows stay as they were. Rows count from
    # the end where negative, unless that is refused by `strict` (int). `by_row` is as above.
    Op("pyrec.BagsOfPairs", _infer_pairs, _pairs, _pairs_rows, flops=no_flops, ids=0),
    Op("pyrec.OrderOfPairs", _infer_order, _order, _pairs_rows, flops=no_flops, ids=0),
    # Input offsets [B + 1]; the result [B] is what each is less than the next.
    Op("pyrec.LengthsOfOffsets", _infer_lengths_of_offsets, _lengths_of_offsets, couples, flops=no_flops),
    # Input the lengths [B] of rows' lists that follow each other; the result [M] int64 is each place's row.
    Op("pyrec.RowsOfLengths", _infer_rows_of_lengths, _rows_of_lengths, couples, flops=no_flops),
    # Inputs a table [R, D], ids [M], bounds [B, 2] and weights [M] (optional). Row b of the result [B, D] is
    # what `mode` (sum, mean or max) makes of the rows of ids bounds[b, 0] to bounds[b, 1], each times its
    # weight; zeros for a bag without ids. Ids count from the end where negative. Attributes: padding (int,
    # optional), an id, as it is given, that is left out, also of a mean's count; padding_wraps (int), whether
    # the padding is a row that negative ids may mean too, where these are not refused; weighted_mean (int),
    # whether a mean divides by the sum of the weights and not by their number. The table is float32 or
    # float16, or bytes as in pyrec.Lookup, then with attributes offset, width and codec. NaN in a row gives
    # NaN.
    Op("pyrec.EmbeddingBag", _infer_bag, _bag, _bag_rows, ids=1),
)
