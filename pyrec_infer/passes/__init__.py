"""The compiler's passes: functions from graph to graph, in a visible order."""

from pyrec_infer.passes.pipeline import PIPELINE, compile_graph
from pyrec_infer.passes.remove_dead import keep_outputs

__all__ = ["PIPELINE", "compile_graph", "keep_outputs"]
