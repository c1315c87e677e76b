"""What steps of the pipeline need beside the graph, and the conditions under which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from pyrec_infer.ir import Array, Graph
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.finish.screen_layers import Screened
from pyrec_infer.passes.load.prepend_features import Front
from pyrec_infer.passes.select.select_scores import Column, Score
from pyrec_infer.passes.split.repeat import Derived, Ragged
from pyrec_infer.passes.split.separate_items import Separated


@dataclass(frozen=True)
class Context:
    """What steps need beside the graph.

    Attributes
    ----------
    front : Front, optional
        What stands in front of the model; see `prepend_features`.
    columns : mapping of str to sequence of str
        See `split_columns`.
    fixed_rows : int
        The number of rows that the file fixes its batch to, if that is more than one; else 0.
    presumed : mapping of str to str
        The inputs whose first axis the file does not name as it names the batch, each with the name that
        the axis has where it is none.
    lists : frozenset of str
        Those of them that are taken for lists without rows; see `take_lists`.
    placed : bool
        Whether the candidates lie along the model's batch, or along ``along``; not so in `Model.run`.
    along : str
        The named size along which the candidates lie, where that is not the batch.
    further : tuple of str
        Inputs that an expression names and the model does not have.
    outputs : tuple of str
        Outputs that are asked for as they are.
    scores : tuple of Column and Expression
        What is asked for instead of outputs.
    strict_ids : bool
        Whether an id is an id, so that a negative one is refused.
    sides : Sides
    sizes : mapping of str to int
        Named sizes that the items of a catalogue have.
    records : str
        The precision in which a catalogue stores items; empty without one.
    precision : str
        Of the layers that run for each candidate.
    skips_groups : bool
        Whether the backend skips successive zeros faster than it multiplies them.
    derived, stored : tuple of Derived
        What `separate_bounds` took out: made for a call, or when items enter a catalogue.
    one_request : str
        See `Ragged`.
    separated : Separated, optional
        The item's part of the graph, once it is taken out.
    sample : mapping of str to ndarray, optional
        Of a graph that makes items' records: some items, to see which ids come again.
    screens : bool
        Whether scores need only be near those in float32, with a bound that can be worked out.
    screened : Screened, optional
        What such scores are made of, once that is known.
    """

    front: Front | None = None
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fixed_rows: int = 0
    presumed: Mapping[str, str] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()
    placed: bool = False
    along: str = ""
    further: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    strict_ids: bool = False
    sides: Sides = field(default_factory=Sides)
    sizes: Mapping[str, int] = field(default_factory=dict)
    records: str = ""
    precision: str = "fp32"
    skips_groups: bool = False
    derived: tuple[Derived, ...] = ()
    stored: tuple[Derived, ...] = ()
    one_request: str = ""
    separated: Separated | None = None
    sample: Mapping[str, Array] | None = None
    screens: bool = False
    screened: Screened | None = None

    @property
    def request(self) -> frozenset[str]:
        return self.sides.request

    @property
    def items(self) -> frozenset[str]:
        return self.sides.items


Condition: TypeAlias = Callable[[Graph, Context], bool]


def always(graph: Graph, context: Context) -> bool:
    return True


def has_features(graph: Graph, context: Context) -> bool:
    """Raw values stand in front of the model."""
    return context.front is not None


def names_columns(graph: Graph, context: Context) -> bool:
    """The caller has named columns of matrix inputs."""
    return bool(context.columns)


def tells_lists(graph: Graph, context: Context) -> bool:
    """Some inputs without a named batch are taken for lists."""
    return bool(context.lists)


def fixes_rows(graph: Graph, context: Context) -> bool:
    """The graph is for calls with candidates, of a file that fixes the batch to several rows."""
    return context.placed and context.fixed_rows > 1


def places_rows(graph: Graph, context: Context) -> bool:
    """The graph is for calls with candidates, whose axis is known."""
    return context.placed


def moves_rows(graph: Graph, context: Context) -> bool:
    """The candidates lie along another size than the model's batch."""
    return bool(context.along)


def adds_inputs(graph: Graph, context: Context) -> bool:
    """An expression names inputs that the model does not have."""
    return bool(context.further)


def asks_for_outputs(graph: Graph, context: Context) -> bool:
    """Some of the model's outputs are asked for as they are."""
    return bool(context.outputs)


def asks_for_scores(graph: Graph, context: Context) -> bool:
    """Columns, logits or expressions of outputs are asked for, or one output by row."""
    return bool(context.scores)


def computes_scores(graph: Graph, context: Context) -> bool:
    """The score is none of the model's outputs, but made of them."""
    return bool(context.scores) and graph.outputs != tuple(
        score.output for score in context.scores if isinstance(score, Column)
    )


def is_asked(graph: Graph, context: Context) -> bool:
    """Something is asked for, and what it does not need can go."""
    return asks_for_outputs(graph, context) or asks_for_scores(graph, context)


def refuses_ids(graph: Graph, context: Context) -> bool:
    """An id is an id, which `Model.run` does not ask for."""
    return context.strict_ids


def knows_sizes(graph: Graph, context: Context) -> bool:
    """Items of a catalogue have told named sizes."""
    return bool(context.sizes)


def stores_items(graph: Graph, context: Context) -> bool:
    """The graph is for a catalogue."""
    return bool(context.records)


def narrows_layers(graph: Graph, context: Context) -> bool:
    """The caller has chosen another precision than float32."""
    return context.precision != "fp32"


def enters_items(graph: Graph, context: Context) -> bool:
    """Records of items are made."""
    return context.sample is not None


def screens_scores(graph: Graph, context: Context) -> bool:
    """The scores are to be bounded."""
    return context.screens


def orders_neurons(graph: Graph, context: Context) -> bool:
    """A request gives an order, and the backend gains by it."""
    return context.skips_groups and bool(context.request)


def take_bounds(made: Ragged, context: Context) -> tuple[Graph, Context]:
    """The graph whose bounds are inputs, and how they are made."""
    sides = Sides(made.request, made.items)
    return made.graph, replace(context, sides=sides, derived=made.derived, one_request=made.one_request)


def take_items(made: Separated, context: Context) -> tuple[Graph, Context]:
    """The pair's graph, and the item's."""
    stored = tuple(part for part in context.derived if context.items.issuperset(part.labels))
    called = tuple(part for part in context.derived if part not in stored)
    sides = Sides(context.request)
    return made.pairs, replace(context, sides=sides, derived=called, stored=stored, separated=made)


def take_screened(made: Screened, context: Context) -> tuple[Graph, Context]:
    """The graph of near scores, and what bounds them."""
    return made.graph, replace(context, screened=made)
