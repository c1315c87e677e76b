"""What an operator means, free of the order in which a processor or a BLAS adds float32 numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from pyrec_infer.ir import Array, Node
from pyrec_infer.ops import OPS


def _widened(x: Array | None) -> Array | None:
    return x.astype(np.float64) if x is not None and x.dtype == np.float32 else x


def _rounded(x: Array) -> Array:
    return x.astype(np.float32) if x.dtype == np.float64 else x


def evaluate_in_double(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """The operator's reference of float32 inputs, computed in float64 and rounded once.

    Inputs of other types are given as they are; a float64 input without any float32 one stays unrounded.
    """
    with np.errstate(all="ignore"):
        made = [np.asarray(y) for y in OPS[node.op].evaluate(node, [_widened(x) for x in inputs])]
        single = any(x is not None and x.dtype == np.float32 for x in inputs)
        return [_rounded(y) for y in made] if single else made


def run_reference(model: onnx.ModelProto, inputs: dict[str, Any]) -> Any:
    """A model's first output by ONNX's own evaluator; 0 / 0 and overflows are numbers like others."""
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(model).run(None, inputs)[0]
