"""Rewriting of nodes from older opsets to the form of the newest one, and of learned models to plain data.

One rule per operator; a rule gets a node and the opset it was written for and returns the nodes
that mean the same today. Facts are from the operators' changelog in the ONNX specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats.onnx import forests, linear
from pyrec_infer.formats.onnx.maker import Maker, Rule
from pyrec_infer.ir import Node, fault
from pyrec_infer.ops import Trait, with_trait


def _without(attributes: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key not in keys}


def _padded(inputs: Sequence[str], length: int) -> list[str]:
    return [*inputs, *[""] * (length - len(inputs))]


def _attribute_to_input(*moves: tuple[str, int]) -> Rule:
    """Integer-list attributes that became inputs at the given positions."""

    def rule(node: Node, opset: int, make: Maker) -> Sequence[Node]:
        inputs = list(node.inputs)
        for key, position in moves:
            if key in node.attributes:
                inputs = _padded(inputs, position + 1)
                if not inputs[position]:
                    inputs[position] = make.integers(node, key, node.attributes[key])  # type: ignore[arg-type]
        keys = [key for key, _ in moves]
        return [replace(node, inputs=tuple(inputs), attributes=_without(node.attributes, *keys))]

    return rule


def _softmax(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    # Before opset 13 these worked on the input flattened to two axes, by default at axis 1.
    if opset >= 13:
        return [node]
    axis = node.attribute("axis", 1)
    base = node.outputs[0]
    flat, shape, result = f"{base}/flat", f"{base}/shape", f"{base}/rows"
    return [
        Node("Shape", (node.inputs[0],), (shape,), name=node.name),
        Node("Flatten", (node.inputs[0],), (flat,), {"axis": axis}, name=node.name),
        replace(node, inputs=(flat,), outputs=(result,), attributes={"axis": -1}),
        Node("Reshape", (result, shape), (base,), name=node.name),
    ]


def _clip(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    if opset >= 11:
        return [node]
    inputs = [node.inputs[0], "", ""]
    for position, key in ((1, "min"), (2, "max")):
        if key in node.attributes:
            inputs[position] = make.constant(node, key, np.asarray(node.attributes[key], np.float32))
    return [replace(node, inputs=tuple(inputs), attributes={})]


def _pad(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    if opset >= 11:
        return [node]
    pads = make.integers(node, "pads", node.attribute("pads", ()))
    inputs = [node.inputs[0], pads]
    if node.attribute("value"):
        inputs.append(make.constant(node, "value", np.asarray(node.attributes["value"], np.float32)))
    return [replace(node, inputs=tuple(inputs), attributes=_without(node.attributes, "pads", "value"))]


def _top_k(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    if opset >= 10:
        return [node]
    k = make.integers(node, "k", [node.attribute("k", 1)])
    return [replace(node, inputs=(node.inputs[0], k), attributes=_without(node.attributes, "k"))]


def _dft(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    if opset >= 20:
        return [node]
    axis = make.constant(node, "axis", np.asarray(node.attribute("axis", 1), np.int64))
    inputs = (*_padded(node.inputs, 2)[:2], axis)
    return [replace(node, inputs=inputs, attributes=_without(node.attributes, "axis"))]


def _scatter(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    return [replace(node, op="ScatterElements")]


def _training(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    if node.attribute("training_mode", 0):
        raise fault(UnsupportedModelError, node, "is in training mode; export for inference")
    return [replace(node, attributes=_without(node.attributes, "training_mode", "momentum", "spatial"))]


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(with_trait(Trait.REDUCES), _attribute_to_input(("axes", 1))),
    "BatchNormalization": _training,
    "Clip": _clip,
    "DFT": _dft,
    "Hardmax": _softmax,
    "LogSoftmax": _softmax,
    "Pad": _pad,
    "Scatter": _scatter,
    "Slice": _attribute_to_input(("starts", 1), ("ends", 2), ("axes", 3)),
    "Softmax": _softmax,
    "Split": _attribute_to_input(("split", 1)),
    "Squeeze": _attribute_to_input(("axes", 1)),
    "TopK": _top_k,
    "Unsqueeze": _attribute_to_input(("axes", 1)),
    **forests.RULES,
    **linear.RULES,
}


def upgrade(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    """The node in the IR's form; usually itself.

    Raises
    ------
    ModelError
        The node lacks its first input, which every operator with a rule has.
    """
    rule = RULES.get(node.op)
    if rule is None:
        return [node]
    if not node.inputs or not node.inputs[0]:
        raise fault(ModelError, node, "input 0 is missing")
    return rule(node, opset, make)
