"""The compiler's passes: functions from graph to graph, in a visible order."""

from pyrec_infer.passes.pipeline import (
    PIPELINE,
    SPLIT_PIPELINE,
    compile_graph,
    finish_graph,
    prune_graph,
    split_graph,
    split_graphs,
)
from pyrec_infer.passes.remove_dead import keep_outputs

__all__ = [
    "PIPELINE",
    "SPLIT_PIPELINE",
    "compile_graph",
    "finish_graph",
    "keep_outputs",
    "prune_graph",
    "split_graph",
    "split_graphs",
]
