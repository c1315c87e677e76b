"""Linear models of ai.onnx.ml as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.formats.onnx.labels import class_labels
from pyrec_infer.formats.onnx.maker import Maker, Rule
from pyrec_infer.ir import Array, Linear, Node, fault


def _floats(node: Node, key: str) -> Array:
    return np.asarray(node.attribute(key, ()), np.float32)


def _linear(node: Node, outputs: int) -> Linear:
    coefficients = _floats(node, "coefficients")
    if outputs < 1 or not coefficients.size or coefficients.size % outputs:
        raise fault(ModelError, node, f"{coefficients.size} coefficients for {outputs} outputs")
    return Linear(
        coefficients.reshape(outputs, -1),
        _floats(node, "intercepts"),
        str(node.attribute("post_transform", "NONE")),
        node.title,
    )


def _regressor(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    linear = _linear(node, int(node.attribute("targets", 1)))
    return [replace(node, op="pyrec.Linear", attributes={"linear": linear})]


def _classifier(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    labels = class_labels(node, "classlabels_ints")
    count = len(node.attribute("intercepts", ())) or len(labels)
    if count > len(labels):
        raise fault(ModelError, node, f"{count} intercepts for {len(labels)} classes")
    linear = _linear(node, count)
    return [replace(node, op="pyrec.LinearClassifier", attributes={"linear": linear, "labels": labels})]


RULES: Mapping[str, Rule] = {
    "ai.onnx.ml.LinearClassifier": _classifier,
    "ai.onnx.ml.LinearRegressor": _regressor,
}

__all__ = ["RULES"]
