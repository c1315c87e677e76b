"""The intermediate representation: graphs of ONNX-like nodes with symbolic shapes.

A graph is closed: the body of a control-flow node names every outer value it uses as one of its own
inputs, so a rewrite never has to look outside. Operators carry the meaning of the newest ONNX opset
(`formats.onnx` rewrites older forms), so one rule per operator is enough.
"""

from pyrec_infer.ir.arrays import (
    ELEMENT_TYPES,
    STRING,
    Array,
    as_array_of_strings,
    as_texts,
    blank_of,
    bytes_of,
    holds_strings,
    is_wasteful,
    letters_of,
)
from pyrec_infer.ir.faults import fault, reworded
from pyrec_infer.ir.forest import AGGREGATES, Comparison, Forest, Label
from pyrec_infer.ir.forest_division import ForestDivision, Scale, divide_forest
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
from pyrec_infer.ir.linear import Linear
from pyrec_infer.ir.rates import Rate
from pyrec_infer.ir.secret import Secret
from pyrec_infer.ir.sizes import BATCH, Dim, Shape, Size, Undecidable, has_symbol, same_size
from pyrec_infer.ir.transforms import TRANSFORMS

__all__ = [
    "AGGREGATES",
    "BATCH",
    "ELEMENT_TYPES",
    "FOREIGN",
    "STRING",
    "TRANSFORMS",
    "Array",
    "Attribute",
    "Comparison",
    "Dim",
    "Foreign",
    "Forest",
    "ForestDivision",
    "Graph",
    "Info",
    "Label",
    "Linear",
    "Node",
    "Rate",
    "RowAxis",
    "Rows",
    "Scale",
    "Secret",
    "Shape",
    "Size",
    "Undecidable",
    "as_array_of_strings",
    "as_texts",
    "blank_of",
    "bytes_of",
    "divide_forest",
    "fault",
    "has_symbol",
    "holds_strings",
    "is_wasteful",
    "letters_of",
    "reworded",
    "same_size",
    "topological",
    "verify",
]
