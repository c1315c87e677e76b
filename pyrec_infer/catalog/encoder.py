"""What makes the records of a catalogue's items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import Inputs, row_of, rows_named
from pyrec_infer.catalog.halves import Halves
from pyrec_infer.catalog.writing import ItemWriter, make_writer
from pyrec_infer.errors import InputError, RowCountError
from pyrec_infer.ir import Array
from pyrec_infer.passes import EVERY
from pyrec_infer.store import Rows64, Store
from pyrec_infer.strings.tensors import take_rows
from pyrec_infer.tables.records import encode

_BLOCK = 1 << 14
"""Items whose part is computed in one run, so that what is between stays small."""


class ItemEncoder:
    """The half of a model that depends on an item alone: it makes the items' records.

    Parameters
    ----------
    halves : Halves
    sample : mapping of str to ndarray
        Ids of the first items: how often they come again says how the others' records are made.

    Attributes
    ----------
    fields : tuple of Field
        What a record holds.
    stride : int
        Bytes of a record.
    precision : str
        Of the records.
    steps : tuple of str
        The operators that run when an item enters.
    """

    def __init__(self, halves: Halves, sample: Mapping[str, Array]) -> None:
        part, separated = halves.part, halves.separated
        stored = halves.states[EVERY].context.stored
        self._signature, self._own, self._own_names = part.signature, halves.own, halves.own_names
        self._derived = [(item, part.once(item.graph)) for item in stored]
        self._labels = {name: label for item in stored for name, label in item.labels.items()}
        """For values derived from items, the inputs that they stand for in messages."""
        self._row_axes = {
            name: (part.signature.infos[name] if name in self._own else separated.items.infos[name]).rows
            for name in self._own | self._labels.keys()
        }
        self.fields, self.stride, self.precision = separated.fields, separated.stride, halves.asked.records
        self.steps = tuple(node.op for node in separated.items.nodes)
        self._inputs, self._outputs = separated.items.inputs, separated.items.outputs
        self.sample, self._items = sample, part.once(separated.items, sample)

    def writer(self, store: Store) -> ItemWriter | None:
        """What puts items into a store; see `make_writer`."""
        if self._derived:
            return None
        infos = {name: self._signature.infos[name] for name in self._own_names}
        fields = dict(zip(self._outputs, self.fields, strict=True))
        return make_writer(self._items, fields, infos, store)

    def block(self, arrays: Mapping[str, Array], chosen: Rows64 | None) -> list[Array]:
        """What the plan of items reads of the chosen ones, of all by default."""
        inputs = self._items.plan.inputs
        found = [arrays[item.name] for item in inputs]
        if chosen is None:
            return found
        axes = [item.rows for item in inputs]
        return [take_rows(array, chosen, axis) for array, axis in zip(found, axes, strict=True)]

    def item_arrays(self, items: Inputs) -> dict[str, Array]:
        """Items as they are given, checked."""
        signature = self._signature
        return self.checked_items(signature.expand(signature.with_fields(items, self._own_names)))

    def checked_items(self, given: Mapping[str, Any]) -> dict[str, Array]:
        """Items by the names of the graph's inputs, checked."""
        signature = self._signature
        for name in given:
            if name not in self._own:
                raise InputError(f"input '{name}' is not part of the items of this catalogue")
        arrays = {name: signature.array(name, value, None) for name, value in given.items()}
        needed = [name for name in self._inputs if name not in self._labels]
        signature.require(
            [*needed, *(name for item, _ in self._derived for name in item.graph.inputs)], arrays
        )
        return self._derive(arrays)

    def _derive(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Items with what is worked out from all of them together, before they are cut into blocks."""
        found = dict(arrays)
        by_row = (array.shape[axis] for name, array in arrays.items() if (axis := self._row_axes[name]) >= 0)
        count = next(by_row, 1)
        for item, ready in self._derived:
            given = {name: arrays[name] for name in item.graph.inputs}
            with self._signature.naming(arrays):
                found.update(ready.run(given, (), count))
        return found

    def count_of(self, arrays: Mapping[str, Array]) -> int:
        """How many items the arrays hold."""
        first, count = "", -1
        for value, array in arrays.items():
            axis, name = self._row_axes[value], self._labels.get(value, value)
            if axis < 0:
                continue
            size = array.shape[axis]
            if count < 0:
                first, count = name, size
            elif size != count:
                raise RowCountError(
                    f"input '{name}': expected {count} rows, as input '{first}' has, got {size}"
                )
        if count < 0:
            raise InputError("items: expected at least one input of the model")
        return count

    def encode(
        self, arrays: Mapping[str, Array], chosen: Rows64 | None, count: int
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """The records of the chosen items, of all ``count`` by default: block by block, each with the
        number of its first. A block is valid until the next."""
        total = count if chosen is None else len(chosen)
        room = np.empty((min(total, _BLOCK), self.stride), np.uint8)
        for begin in range(0, total, _BLOCK):
            end = min(begin + _BLOCK, total)
            block = {}
            for name in self._inputs:
                axis = self._row_axes[name]
                if axis < 0:
                    block[name] = arrays[name]
                else:
                    rows = slice(begin, end) if chosen is None else chosen[begin:end]
                    block[name] = take_rows(arrays[name], rows, axis)
            items = range(begin, end) if chosen is None else chosen[begin:end].tolist()
            made = self._run_block(block, items) if self.fields else {}
            records = room[: end - begin]
            records[...] = 0
            encode(self.fields, [made[name] for name in self._outputs], items, records)
            yield begin, records

    def _run_block(self, block: Mapping[str, Array], items: Sequence[int]) -> dict[str, Array]:
        """The values of some of the items; errors name rows as the items are numbered."""
        rows = rows_named(lambda place: row_of(int(items[place]) if place < len(items) else place))
        with rows, self._signature.naming({}):
            self._items.check_rows(block, len(items), len(items))
            return self._items.run(block, (), len(items))


__all__ = ["ItemEncoder"]
