"""Putting items into a store without Python in the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.ir import Array, Info
from pyrec_infer.passes.split.record_layout import Field
from pyrec_infer.store import Store


class ItemWriter(Protocol):
    """What a backend has for changes of items."""

    def write(self, batch: Any, arrays: list[Array]) -> bool:
        """Compute the records of a batch from the arrays that the plan of items reads.

        False where something is wrong: who does the same step by step finds what.
        """
        ...

    def put(self, arrays: list[Any], ids: object, rest: NDArray[np.uint8] | None) -> bool:
        """Do all of a change with nothing unusual; else False, and nothing has changed.

        ``rest`` has for each item what stands in its record behind the first part.
        """
        ...


def make_writer(
    items: ReadyPlan, fields: Mapping[str, Field], infos: Mapping[str, Info], store: Store
) -> ItemWriter | None:
    """What puts items into a store.

    Parameters
    ----------
    items : ReadyPlan
    fields : mapping of str to Field
        By the plan's outputs.
    infos : mapping of str to Info
        The arrays that come with items, in their order.
    store : Store

    Returns
    -------
    ItemWriter or None
        None where Python has to see the items, or the backend cannot.
    """
    plan, make = items.plan, getattr(items.executor, "writer", None)
    steps = (*plan.prologue, *plan.epilogue, *plan.coupled)
    axes = [*(item.rows for item in plan.inputs), *(info.rows for info in infos.values())]
    if make is None or steps or plan.static_rows or min(axes, default=0) < 0 or not fields:
        return None
    if fields.keys() != {item.value for item in plan.outputs}:
        return None
    places = {item.name: place for place, item in enumerate(plan.inputs)}
    stored = [fields[item.value] for item in plan.outputs]
    layout = [(field.dtype.name, field.axis, field.width, field.offset, field.codec) for field in stored]
    inputs = []
    for name, info in infos.items():
        if info.dtype is None or info.dtype.kind == "O" or info.rank is None:
            return None
        inputs.append((info.dtype.name, info.rank, info.rows, places.get(name, -1)))
    writer: ItemWriter = make(store, layout, inputs)
    return writer


__all__ = ["ItemWriter", "make_writer"]
