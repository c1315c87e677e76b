"""The list of passes that every model goes through."""

from __future__ import annotations

from collections.abc import Callable

from pyrec_infer.errors import ModelError, PyrecError
from pyrec_infer.ir import Graph, verify
from pyrec_infer.passes.expand_composites import expand_composites
from pyrec_infer.passes.fold_constants import fold_constants
from pyrec_infer.passes.fuse_dense import fuse_dense
from pyrec_infer.passes.inline_branches import inline_branches
from pyrec_infer.passes.merge_duplicates import merge_duplicates
from pyrec_infer.passes.pick_in_rows import pick_in_rows
from pyrec_infer.passes.remove_dead import remove_dead
from pyrec_infer.passes.remove_identities import remove_identities
from pyrec_infer.passes.resolve_sizes import resolve_sizes
from pyrec_infer.passes.separate_labels import separate_labels
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
    remove_dead,
)


def compile_graph(graph: Graph) -> Graph:
    """Run the pipeline, with the verifier after each pass.

    Raises
    ------
    ModelError
        If a pass leaves a graph that breaks a rule, or fails on a damaged one; the message names the
        pass.
    """
    for step in PIPELINE:
        try:
            graph = step(graph)
        except PyrecError:
            raise
        except Exception as error:
            raise ModelError(f"in {step.__name__}: the model is inconsistent: {error}") from error
        verify(graph, step.__name__)
    return graph
