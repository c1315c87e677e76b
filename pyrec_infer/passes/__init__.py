"""The compiler's passes: functions from graph to graph, in a visible order."""

from pyrec_infer.passes.context import Context
from pyrec_infer.passes.pipeline import (
    FINISH,
    LOAD,
    SELECT,
    SPLIT,
    compile_graph,
    finish_graphs,
    select_graph,
    split_graphs,
)
from pyrec_infer.passes.step import EVERY, Aim, Change, State, States, Watch

__all__ = [
    "EVERY",
    "FINISH",
    "LOAD",
    "SELECT",
    "SPLIT",
    "Aim",
    "Change",
    "Context",
    "State",
    "States",
    "Watch",
    "compile_graph",
    "finish_graphs",
    "select_graph",
    "split_graphs",
]
