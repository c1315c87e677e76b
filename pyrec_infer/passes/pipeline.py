"""The passes that every model goes through, and those for one split of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pyrec_infer.errors import ModelError, PyrecError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Graph, verify
from pyrec_infer.passes.expand_composites import expand_composites
from pyrec_infer.passes.fold_constants import fold_constants
from pyrec_infer.passes.fold_dots import fold_dots
from pyrec_infer.passes.fold_tables import fold_tables
from pyrec_infer.passes.fuse_dense import fuse_dense
from pyrec_infer.passes.fuse_lookups import fuse_lookups
from pyrec_infer.passes.fuse_multiply_add import fuse_multiply_add
from pyrec_infer.passes.hand_over_rows import hand_over_rows
from pyrec_infer.passes.inline_branches import inline_branches
from pyrec_infer.passes.merge_duplicates import merge_duplicates
from pyrec_infer.passes.merge_sums import merge_sums
from pyrec_infer.passes.order_neurons import order_neurons
from pyrec_infer.passes.pack_matrices import pack_matrices
from pyrec_infer.passes.pick_in_rows import pick_in_rows
from pyrec_infer.passes.place_bags import place_bags
from pyrec_infer.passes.prune_masked import prune_masked
from pyrec_infer.passes.recognise import recognise
from pyrec_infer.passes.remove_dead import remove_dead
from pyrec_infer.passes.remove_identities import remove_identities
from pyrec_infer.passes.resolve_sizes import resolve_sizes
from pyrec_infer.passes.separate_labels import separate_labels
from pyrec_infer.passes.share_lookups import share_lookups
from pyrec_infer.passes.skip_zeros import skip_zeros
from pyrec_infer.passes.split import Sides
from pyrec_infer.passes.split_concatenations import split_concatenations
from pyrec_infer.passes.split_lookups import split_lookups
from pyrec_infer.passes.split_pair_dots import split_pair_dots
from pyrec_infer.passes.split_products import split_products
from pyrec_infer.passes.split_sums import split_sums
from pyrec_infer.passes.take_from_parts import take_from_parts
from pyrec_infer.passes.unflatten_products import unflatten_products
from pyrec_infer.passes.widen_half import widen_half

PIPELINE: tuple[Callable[[Graph], Graph], ...] = (
    expand_composites,
    separate_labels,
    widen_half,
    fold_constants,
    inline_branches,
    fold_constants,
    resolve_sizes,
    take_from_parts,
    pick_in_rows,
    unflatten_products,
    remove_identities,
    merge_duplicates,
    fuse_dense,
    recognise,
    remove_identities,
    merge_duplicates,
    fuse_dense,
    recognise,
    fuse_dense,
    remove_identities,
    merge_duplicates,
    remove_dead,
    place_bags,
)


SPLIT_PIPELINE: tuple[Callable[[Graph, Sides], Graph], ...] = (
    split_lookups,
    split_sums,
    split_pair_dots,
    split_products,
    fold_dots,
    pack_matrices,
    fuse_lookups,
    fold_tables,
    merge_sums,
    split_concatenations,
    share_lookups,
    fuse_multiply_add,
)

FOR_MANY = frozenset({fold_dots})
"""Passes of a split that do more for a request in order to do less for each candidate."""

CLEAN_UP: tuple[Callable[[Graph], Graph], ...] = (
    remove_identities,
    merge_duplicates,
    remove_dead,
)
"""What follows each pass of a split, so that the next sees who really reads a value."""


def _same(a: Graph, b: Graph) -> bool:
    """Whether a pass has left a graph as it was."""
    constants = a.constants
    kept = len(constants) == len(b.constants) and all(
        constants.get(name) is value for name, value in b.constants.items()
    )
    return kept and (a.nodes, a.inputs, a.outputs) == (b.nodes, b.inputs, b.outputs)


def _run(graph: Graph, name: str, step: Callable[[Graph], Graph]) -> Graph:
    """One pass, with the verifier after it; the graph itself if the pass has changed nothing."""
    try:
        made = step(graph)
    except (PyrecError, MemoryError):
        raise
    except Exception as error:
        let_interrupts_pass(error)
        raise ModelError(f"in {name}: the model is inconsistent: {error}") from error
    if _same(made, graph):
        return graph
    verify(made, name)
    return made


def compile_graph(graph: Graph) -> Graph:
    """Run the pipeline, with the verifier after each pass.

    Raises
    ------
    ModelError
        If a pass leaves a graph that breaks a rule, or fails on a damaged one; the message names the
        pass.
    """
    for step in PIPELINE:
        graph = _run(graph, step.__name__, step)
    return graph


def _split(graph: Graph, step: Callable[[Graph, Sides], Graph], sides: Sides) -> Graph:
    """One pass of a split, and what follows each."""
    made = _run(graph, step.__name__, lambda before: step(before, sides))
    if made is not graph:
        for clean in CLEAN_UP:
            made = _run(made, clean.__name__, clean)
    return made


def split_graphs(
    graph: Graph, request: Iterable[str], items: Iterable[str] = ()
) -> tuple[Graph, Graph | None]:
    """Run the passes that move work to the earliest rate, with the verifier after each.

    Parameters
    ----------
    graph : Graph
        As `compile_graph` leaves it.
    request, items : iterable of str
        See `Sides`.

    Returns
    -------
    many : Graph
        For a request with so many candidates that what is done for it alone hardly counts.
    few : Graph, optional
        Without the passes `FOR_MANY`, where these change anything.
    """
    sides = Sides(frozenset(request), frozenset(items))
    few: Graph | None = None
    for step in SPLIT_PIPELINE:
        made = _split(graph, step, sides)
        if step not in FOR_MANY:
            few = None if few is None else _split(few, step, sides)
        elif made is not graph and few is None:
            few = graph
        graph = made
    return (
        _run(graph, skip_zeros.__name__, skip_zeros),
        None if few is None else _run(few, skip_zeros.__name__, skip_zeros),
    )


def split_graph(graph: Graph, request: Iterable[str], items: Iterable[str] = ()) -> Graph:
    """The graph for a request with many candidates; see `split_graphs`."""
    return split_graphs(graph, request, items)[0]


def prune_graph(graph: Graph, request: Iterable[str]) -> Graph:
    """The graph without work for hidden positions, or the graph itself; see `prune_masked`.

    Parameters
    ----------
    graph : Graph
        Ready for a plan.
    request : iterable of str
        See `Sides`.
    """
    return _split(graph, prune_masked, Sides(frozenset(request)))


def finish_graph(graph: Graph, request: Iterable[str], ordered: bool = False) -> Graph:
    """The graph with marks for backends that hand values on in a form of their own; see `hand_over_rows`.

    Parameters
    ----------
    graph : Graph
        With the precision of its layers chosen.
    request : iterable of str
        See `Sides`.
    ordered : bool
        Whether layers multiply in the order that suits the request; see `order_neurons`.
    """
    sides = Sides(frozenset(request))
    if ordered:
        graph = _split(graph, order_neurons, sides)
    return _split(graph, hand_over_rows, sides)
