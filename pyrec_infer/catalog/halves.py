"""A model's graph in two: what is worked out of an item alone, and what a score needs besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pyrec_infer.catalog.part import ModelPart
from pyrec_infer.ir import BATCH, Array, Dim, Graph
from pyrec_infer.passes import EVERY, Aim, Context, States, Watch, split_graphs
from pyrec_infer.passes.split.record_layout import RECORDS
from pyrec_infer.passes.split.separate_items import same_records


def sizes_of(graph: Graph, arrays: Mapping[str, Array]) -> dict[str, int]:
    """The open sizes other than the batch that items of these arrays have."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        info = graph.infos.get(name)
        if info is not None and info.rows < 0:
            continue  # as long as the items given together need
        for axis, size in enumerate((info and info.shape) or ()):
            plain = isinstance(size, Dim) and size.coefficient == 1 and len(size.symbols) == 1
            if isinstance(size, Dim) and plain and size.symbols != (BATCH,):
                sizes.setdefault(size.symbols[0], array.shape[axis])
    return sizes


def separate(graph: Graph, context: Context, watch: Watch | None = None) -> States:
    """The graph in two."""
    states = split_graphs(graph, context, watch)
    made = [state.context.separated for state in states.values() if state.context.separated is not None]
    # One record has to serve all.
    alike = all(same_records(made[0], other) for other in made[1:])
    return states if alike else {EVERY: states[frozenset({Aim.MANY})]}


def with_precision(states: States, part: ModelPart) -> States:
    """Separated graphs with the precision of the layers that run for each pair."""
    precision = part.precision if RECORDS in states[EVERY].graph.inputs else "fp32"
    return {
        key: replace(state, context=replace(state.context, precision=precision))
        for key, state in states.items()
    }


__all__ = ["separate", "sizes_of", "with_precision"]
