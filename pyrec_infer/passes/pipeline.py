"""Every step between a file's graph and a plan's, in order."""

from __future__ import annotations

from dataclasses import replace

from pyrec_infer.ir import Graph
from pyrec_infer.passes.clean.fold_constants import fold_constants
from pyrec_infer.passes.clean.merge_duplicates import merge_duplicates
from pyrec_infer.passes.clean.remove_dead import keep_outputs, remove_dead
from pyrec_infer.passes.clean.remove_identities import remove_identities
from pyrec_infer.passes.context import (
    Context,
    adds_inputs,
    asks_for_outputs,
    asks_for_scores,
    computes_scores,
    enters_items,
    fixes_rows,
    has_features,
    is_asked,
    knows_sizes,
    moves_rows,
    names_columns,
    narrows_layers,
    orders_neurons,
    places_rows,
    refuses_ids,
    screens_scores,
    stores_items,
    take_bounds,
    take_items,
    take_screened,
    tells_lists,
)
from pyrec_infer.passes.finish.choose_precision import choose_precision
from pyrec_infer.passes.finish.hand_over_rows import hand_over_rows
from pyrec_infer.passes.finish.keep_products import keep_products
from pyrec_infer.passes.finish.order_neurons import order_neurons
from pyrec_infer.passes.finish.pad_lists import pad_lists
from pyrec_infer.passes.finish.prune_masked import prune_masked
from pyrec_infer.passes.finish.screen_layers import screen_layers
from pyrec_infer.passes.load.expand_composites import expand_composites
from pyrec_infer.passes.load.expand_transforms import expand_transforms
from pyrec_infer.passes.load.expose_products import expose_products
from pyrec_infer.passes.load.fuse_dense import fuse_dense
from pyrec_infer.passes.load.inline_branches import inline_branches
from pyrec_infer.passes.load.open_sequences import open_sequences
from pyrec_infer.passes.load.pick_from_flat import pick_from_flat
from pyrec_infer.passes.load.pick_in_rows import pick_in_rows
from pyrec_infer.passes.load.place_bags import place_bags
from pyrec_infer.passes.load.place_rows import fix_rows, move_rows, name_squeezed_axes
from pyrec_infer.passes.load.prepend_features import prepend_features
from pyrec_infer.passes.load.resolve_sizes import resolve_sizes
from pyrec_infer.passes.load.separate_labels import separate_labels
from pyrec_infer.passes.load.split_columns import split_columns
from pyrec_infer.passes.load.take_from_parts import take_from_parts
from pyrec_infer.passes.load.take_lists import are_lists, presumed_lists, take_lists
from pyrec_infer.passes.load.unflatten_products import unflatten_products
from pyrec_infer.passes.load.unfold_convolutions import unfold_convolutions
from pyrec_infer.passes.load.widen_half import widen_half
from pyrec_infer.passes.recognise import recognise
from pyrec_infer.passes.select.check_ids import check_ids, require_ids
from pyrec_infer.passes.select.drop_inputs import drop_inputs
from pyrec_infer.passes.select.select_scores import add_inputs, select_scores
from pyrec_infer.passes.select.take_columns import take_columns
from pyrec_infer.passes.split.bind_sizes import bind_sizes
from pyrec_infer.passes.split.divide_forests import divide_forests
from pyrec_infer.passes.split.fold_dots import fold_dots
from pyrec_infer.passes.split.fold_products import fold_products
from pyrec_infer.passes.split.fold_tables import fold_tables
from pyrec_infer.passes.split.fuse_lookups import fuse_lookups
from pyrec_infer.passes.split.fuse_multiply_add import fuse_multiply_add
from pyrec_infer.passes.split.fuse_records import fuse_records
from pyrec_infer.passes.split.keep_ids import keep_ids
from pyrec_infer.passes.split.merge_sums import merge_sums
from pyrec_infer.passes.split.pack_matrices import pack_matrices
from pyrec_infer.passes.split.repeat import separate_bounds
from pyrec_infer.passes.split.separate_items import separate_items
from pyrec_infer.passes.split.share_lookups import share_lookups
from pyrec_infer.passes.split.skip_zeros import skip_zeros
from pyrec_infer.passes.split.split_concatenations import split_concatenations
from pyrec_infer.passes.split.split_item_lookups import split_item_lookups
from pyrec_infer.passes.split.split_lookups import split_lookups
from pyrec_infer.passes.split.split_pair_dots import split_pair_dots
from pyrec_infer.passes.split.split_products import split_products
from pyrec_infer.passes.split.split_sums import split_sums
from pyrec_infer.passes.split.tabulate_fields import tabulate_fields
from pyrec_infer.passes.split.take_own_rows import take_own_rows
from pyrec_infer.passes.split.turn_products import turn_products
from pyrec_infer.passes.step import EVERY, Aim, Change, State, States, Step, Watch, run

LOAD: tuple[Step, ...] = (
    Step(prepend_features, ("front",), has_features),
    Step(take_lists, ("presumed", "lists"), tells_lists),
    Step(split_columns, ("columns",), names_columns),
    Step(fix_rows, ("fixed_rows",), fixes_rows),
    Step(name_squeezed_axes, when=places_rows),
    Step(move_rows, ("along",), moves_rows),
    # Another axis is the rows' now, and that of the batch has size 1.
    Step(name_squeezed_axes, when=moves_rows),
    Step(expand_composites),
    # Of composites no shape was known.
    Step(name_squeezed_axes, when=places_rows),
    Step(separate_labels),
    Step(widen_half),
    Step(fold_constants),
    Step(inline_branches),
    # Branches that were chosen by a constant have constants of their own.
    Step(fold_constants),
    Step(open_sequences),
    Step(resolve_sizes),
    Step(expand_transforms),
    Step(unfold_convolutions),
    Step(take_from_parts),
    Step(pick_from_flat),
    Step(pick_in_rows),
    Step(expose_products),
    # Of what rounding stood between.
    Step(remove_dead),
    Step(unflatten_products),
    # Rows of what was flat before are known now.
    Step(pick_from_flat),
    Step(pick_in_rows),
    Step(remove_identities),
    Step(merge_duplicates),
    Step(fuse_dense),
    Step(recognise),
    # Patterns leave views and copies of what they matched, which hide layers from each other.
    Step(remove_identities),
    Step(merge_duplicates),
    Step(fuse_dense),
    # Patterns that are made of layers, or of other patterns.
    Step(recognise),
    Step(fuse_dense),
    Step(remove_identities),
    Step(merge_duplicates),
    Step(remove_dead),
    Step(place_bags),
)
"""Once for a model, and for each axis along which its candidates are given."""

SELECT: tuple[Step, ...] = (
    Step(add_inputs, ("further",), adds_inputs),
    Step(keep_outputs, ("outputs",), asks_for_outputs),
    Step(select_scores, ("scores",), asks_for_scores),
    Step(take_columns, when=computes_scores),
    Step(remove_identities, when=computes_scores),
    Step(merge_duplicates, when=computes_scores),
    Step(remove_dead, when=computes_scores),
    Step(check_ids, when=refuses_ids),
    Step(drop_inputs, when=is_asked),
)
"""Once for what calls ask for, whatever the sides of their inputs."""

BY_SIDE = ("sides",)

SPLIT: tuple[Step, ...] = (
    Step(separate_bounds, ("request", "items"), cut=take_bounds),
    Step(bind_sizes, ("sizes",), knows_sizes),
    # What was a size is a constant now.
    Step(fold_constants, when=knows_sizes),
    Step(split_lookups, BY_SIDE, clean=True),
    Step(split_sums, BY_SIDE, clean=True),
    Step(split_pair_dots, BY_SIDE, clean=True),
    Step(divide_forests, BY_SIDE, stores_items, clean=True),
    # Records are the same for few and for many candidates.
    Step(divide_forests, BY_SIDE, aim=Aim.MANY, clean=True),
    Step(turn_products, BY_SIDE, clean=True),
    Step(split_products, BY_SIDE, clean=True),
    Step(fold_dots, BY_SIDE, aim=Aim.MANY, clean=True),
    Step(fold_products, BY_SIDE, stores_items, clean=True),
    Step(fold_products, BY_SIDE, aim=Aim.MANY, clean=True),
    Step(pack_matrices, BY_SIDE, clean=True),
    Step(fuse_lookups, BY_SIDE, clean=True),
    Step(take_own_rows, when=refuses_ids, clean=True),
    Step(fold_tables, BY_SIDE, clean=True),
    Step(merge_sums, BY_SIDE, clean=True),
    Step(split_concatenations, BY_SIDE, clean=True),
    Step(share_lookups, BY_SIDE, clean=True),
    Step(fuse_multiply_add, BY_SIDE, clean=True),
    Step(keep_ids, BY_SIDE, stores_items),
    Step(tabulate_fields, BY_SIDE, aim=Aim.MANY, clean=True),
    Step(skip_zeros),
    Step(split_item_lookups, BY_SIDE, stores_items),
    Step(separate_items, ("sides", "records"), stores_items, cut=take_items),
    Step(fuse_records, when=stores_items),
)
"""For each way to split the inputs into sides: moves work to the earliest rate."""

FINISH: tuple[Step, ...] = (
    Step(choose_precision, ("sides", "precision"), narrows_layers),
    Step(screen_layers, BY_SIDE, screens_scores, cut=take_screened, clean=True),
    Step(prune_masked, BY_SIDE, aim=Aim.HIDDEN, clean=True),
    Step(order_neurons, BY_SIDE, orders_neurons, aim=Aim.MANY, clean=True),
    Step(hand_over_rows, BY_SIDE, clean=True),
    Step(keep_products, ("sample",), enters_items, clean=True),
    Step(require_ids, when=refuses_ids),
    Step(pad_lists, clean=True),
)
"""For each graph that becomes a plan."""

CLEAN_UP: tuple[Step, ...] = (
    Step(remove_identities),
    Step(merge_duplicates),
    Step(remove_dead),
)
"""What follows steps that leave something behind, so that the next sees who really reads a value."""


def compile_graph(graph: Graph, context: Context | None = None, watch: Watch | None = None) -> Graph:
    """Run `LOAD` on a graph as it was imported; see `run`.

    Where the file does not say which inputs have rows, it is run for both readings of what may be lists.
    """
    context = context or Context()
    changes: list[Change] = []
    made = _load(graph, context, changes)
    lists = presumed_lists(graph, context.presumed)
    if lists:
        others: list[Change] = []
        other = _load(graph, replace(context, lists=lists), others)
        if are_lists(other, made, lists):
            made, changes = other, others
    if watch is not None:
        for change in changes:
            watch(change)
    return made


def _load(graph: Graph, context: Context, changes: list[Change]) -> Graph:
    return run(LOAD, {EVERY: State(graph, context)}, CLEAN_UP, "load", changes.append)[EVERY].graph


def select_graph(graph: Graph, context: Context, watch: Watch | None = None) -> Graph:
    """Run `SELECT` on a compiled graph; see `run`."""
    return run(SELECT, {EVERY: State(graph, context)}, CLEAN_UP, "select", watch)[EVERY].graph


def split_graphs(graph: Graph, context: Context, watch: Watch | None = None) -> States:
    """Run `SPLIT` on a compiled graph, or the part of it that is asked for; see `run`."""
    return run(SPLIT, {EVERY: State(graph, context)}, CLEAN_UP, "split", watch)


def finish_graphs(states: States, watch: Watch | None = None) -> States:
    """Run `FINISH` on what `split_graphs` has made; see `run`."""
    return run(FINISH, states, CLEAN_UP, "finish", watch)
