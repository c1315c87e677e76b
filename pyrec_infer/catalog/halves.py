"""A model's graph in two: what is worked out of an item alone, and what a score needs besides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pyrec_infer.arguments import Inputs
from pyrec_infer.catalog.part import ModelPart
from pyrec_infer.codecs import require_precision
from pyrec_infer.errors import InputError
from pyrec_infer.ir import BATCH, Array, Dim, Graph
from pyrec_infer.passes import EVERY, Aim, Context, States, Watch, split_graphs
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.record_layout import RECORDS
from pyrec_infer.passes.split.repeat import find_lists
from pyrec_infer.passes.split.separate_items import Separated, same_records


@dataclass(frozen=True)
class Halves:
    """A model's graph in two, for items of some inputs and sizes.

    Attributes
    ----------
    part : ModelPart
    own : frozenset of str
        Inputs of items.
    late : frozenset of str
        Inputs that come with each call, one row for each item.
    asked : Context
        How it was cut: its ``records`` are the precision of what is stored.
    states : States
        What a score needs besides, over records.
    """

    part: ModelPart
    own: frozenset[str]
    late: frozenset[str]
    asked: Context
    states: States

    @property
    def separated(self) -> Separated:
        """What is worked out of an item, and how that lies in a record."""
        separated = self.states[EVERY].context.separated
        assert separated is not None
        return separated

    @property
    def own_names(self) -> tuple[str, ...]:
        """The inputs of items, in the model's order."""
        return tuple(name for name in self.part.signature.infos if name in self.own)


def cut_graph(
    part: ModelPart, items: Inputs, candidates: Iterable[str], precision: str
) -> tuple[Halves, dict[str, Array]]:
    """The halves of a model for a catalogue's first items, and these by the names of the graph's inputs.

    Parameters
    ----------
    part : ModelPart
    items : mapping of str to array_like
        Beside their names only their sizes count.
    candidates : iterable of str
        Inputs that come with each call.
    precision : str
        Of the records.

    Raises
    ------
    InputError
        If an input is no item's, or is given with both.
    """
    require_precision(precision)
    graph, signature = part.graph, part.signature
    given = signature.expand(items)
    late = frozenset(signature.expand_names(candidates))
    both = late & given.keys()
    if both:
        raise InputError(f"input '{min(both)}' is given both with the items and the candidates")
    lists = find_lists(graph)
    for name in sorted(given):
        if name in graph.inputs and signature.infos[name].rows < 0 and name not in lists:
            raise InputError(
                f"input '{name}': expected an input with a row for each item, but the model takes one value "
                "for a whole batch; give it with the request"
            )
    own = {name: signature.array(name, value, None) for name, value in given.items()}
    return _cut(part, frozenset(own), late, sizes_of(graph, own), precision), own


def cut_again(
    part: ModelPart, items: Iterable[str], candidates: Iterable[str], sizes: Mapping[str, int], precision: str
) -> Halves:
    """The halves of a model that was cut before for items of these sizes, which a file tells.

    Raises
    ------
    InputError
        If the model has no such inputs.
    """
    require_precision(precision)
    own, late = frozenset(items), frozenset(candidates)
    unknown = (own | late) - part.signature.infos.keys()
    if unknown or own & late:
        name = min(unknown or own & late)
        raise InputError(f"input '{name}': expected an input of the model, on one side")
    return _cut(part, own, late, sizes, precision)


def _cut(
    part: ModelPart, own: frozenset[str], late: frozenset[str], sizes: Mapping[str, int], precision: str
) -> Halves:
    sides = Sides(frozenset(part.graph.inputs) - own - late, own)
    asked = Context(strict_ids=True, sides=sides, sizes=sizes, records=precision)
    return Halves(part, own, late, asked, separate(part.graph, asked))


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


__all__ = ["Halves", "cut_again", "cut_graph", "separate", "sizes_of", "with_precision"]
