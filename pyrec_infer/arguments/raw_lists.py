"""One field of lists as the inputs of a graph: cut, and padded or one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrec_infer.arguments.raw_values import Lists, Values, filled, read_lists
from pyrec_infer.arguments.row_names import row_of
from pyrec_infer.errors import InputError
from pyrec_infer.features.fields import ListField
from pyrec_infer.features.lower import count_input, offset_input
from pyrec_infer.ir import Array, blank_of


@dataclass(frozen=True, eq=False)
class ListColumns:
    """The inputs that a field of lists feeds, and how many values each row has and keeps."""

    inputs: dict[str, Array]
    sizes: Array
    kept: Array


def list_columns(item: ListField, value: Any) -> ListColumns:
    """The lists of a column as inputs.

    Raises
    ------
    InputError
        A list is longer than allowed, or holds what is missing where that is an error; names the field and
        the row, as does what `read_lists` raises.
    """
    label = f"field '{item.name}'"
    lists = read_lists(label, value, item)
    sizes = np.diff(lists.bounds)
    if item.most and sizes.size and sizes.max() > item.most:
        row = int(np.argmax(sizes > item.most))
        raise InputError(f"{label}: expected at most {item.most} values, got {sizes[row]}{row_of(row)}")
    if lists.values.missing is not None and item.missing != "default":
        row = int(np.searchsorted(lists.bounds, np.flatnonzero(lists.values.missing)[0], "right")) - 1
        raise InputError(f"{label}: expected values in the list, got a missing one{row_of(row)}")
    array, _ = filled(label, lists.values, item)
    lists = Lists(Values(array), lists.bounds)
    kept = np.minimum(sizes, item.length) if item.length else sizes
    made = {item.name: _flat(lists, kept, item) if item.ragged else _padded(lists, kept, item)}
    if item.offsets_to:
        bounds = np.concatenate(([0], np.cumsum(kept, dtype=np.int64)))
        made[offset_input(item.name)] = bounds if item.ends else bounds[:-1]
    if item.lengths_to or not item.ragged:
        made[count_input(item.name)] = kept.astype(np.int64)
    return ListColumns(made, sizes, kept)


def _begins(lists: Lists, kept: Array, item: ListField) -> Array:
    """Where the kept part of each list begins."""
    begins: Array = lists.bounds[1:] - kept if item.keep == "last" else lists.bounds[:-1]
    return begins


def _flat(lists: Lists, kept: Array, item: ListField) -> Array:
    """The kept values of all lists one after another; borrowed where that is all."""
    flat = lists.values.array
    if kept.sum() == len(flat):
        return flat
    own = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    chosen: Array = flat[np.repeat(_begins(lists, kept, item), kept) + own]
    return chosen


def _padded(lists: Lists, kept: Array, item: ListField) -> Array:
    """A row of ``length`` places for each list; places without a value have one of no meaning."""
    places = np.arange(item.length)
    if item.pad == "left":
        places = places - (item.length - kept[:, None])
    chosen = _begins(lists, kept, item)[:, None] + places
    there = np.broadcast_to((places >= 0) & (places < kept[:, None]), chosen.shape)
    flat = lists.values.array
    made = np.full(chosen.shape, blank_of(flat), flat.dtype)
    made[there] = flat[chosen[there]]
    return made


__all__ = ["ListColumns", "list_columns"]
