"""The intermediate representation: graphs of ONNX-like nodes with symbolic shapes.

A graph is closed: the body of a control-flow node names every outer value it uses as one of its own
inputs, so a rewrite never has to look outside. Operators carry the meaning of the newest ONNX opset
(`formats.onnx` rewrites older forms), so one rule per operator is enough.
"""

from pyrec_infer.ir.arrays import STRING, Array
from pyrec_infer.ir.graph import (
    FOREIGN,
    Attribute,
    Foreign,
    Graph,
    Info,
    Node,
    RowAxis,
    Rows,
    topological,
    verify,
)
from pyrec_infer.ir.rates import Rate
from pyrec_infer.ir.sizes import BATCH, Dim, Shape, Size, Undecidable, has_symbol, same_size

__all__ = [
    "BATCH",
    "FOREIGN",
    "STRING",
    "Array",
    "Attribute",
    "Dim",
    "Foreign",
    "Graph",
    "Info",
    "Node",
    "Rate",
    "RowAxis",
    "Rows",
    "Shape",
    "Size",
    "Undecidable",
    "has_symbol",
    "same_size",
    "topological",
    "verify",
]
