"""Linear models: a product with their coefficients, then what classifiers and regressors do to scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrec_infer.errors import DTypeError, ModelError, ShapeError
from pyrec_infer.ir import Array, Info, Linear, Node, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, required
from pyrec_infer.ops.core.traits import CLASSIFIES
from pyrec_infer.ops.scores import apply_transform, labels_info, labels_of, scores_info, second_score

Infos = Sequence[Info | None]
Arrays = Sequence[Array | None]


def linear_of(node: Node) -> Linear:
    """The node's model."""
    linear = node.attribute("linear")
    if not isinstance(linear, Linear):
        raise fault(ModelError, node, "expected a linear model")
    return linear


def _scores(node: Node, inputs: Arrays) -> Array:
    """The linear functions [rows, scores] of the features, before the transform."""
    linear, x = linear_of(node), required(node, inputs, 0)
    if x.ndim not in (1, 2):
        raise fault(ShapeError, node, f"expected rows of features, got {x.ndim} axes")
    if x.dtype.kind not in "fiub":
        raise fault(DTypeError, node, f"takes numbers, got {x.dtype}")
    matrix, width = np.atleast_2d(x).astype(np.float32), linear.coefficients.shape[1]
    if matrix.shape[1] != width:
        raise fault(ShapeError, node, f"expected {width} features, got {matrix.shape[1]}")
    return (matrix @ linear.coefficients.T + linear.intercepts).astype(np.float32)


def _evaluate(node: Node, inputs: Arrays) -> list[Array]:
    return [apply_transform(linear_of(node).transform, _scores(node, inputs))]


def _infer(node: Node, inputs: Infos) -> list[Info]:
    return [scores_info(node, inputs[0], len(linear_of(node).intercepts))]


def _classes(node: Node) -> Array:
    """A label for each score; there may be more labels, and one score may stand for two."""
    return labels_of(node, len(linear_of(node).intercepts))


def _is_pair(node: Node, labels: Array) -> bool:
    """Whether the only score is that of the second of two classes."""
    return len(linear_of(node).intercepts) == 1 and len(labels) == 2


def _classify(node: Node, inputs: Arrays) -> list[Array]:
    labels, scores, transform = _classes(node), _scores(node, inputs), linear_of(node).transform
    if _is_pair(node, labels):
        return [labels[(scores[:, 0] > 0).astype(np.int64)], second_score(transform, scores[:, 0], True)]
    return [labels[scores.argmax(axis=1)], apply_transform(transform, scores)]


def _infer_classes(node: Node, inputs: Infos) -> list[Info]:
    labels = _classes(node)
    columns = 2 if _is_pair(node, labels) else len(linear_of(node).intercepts)
    return [labels_info(node, inputs[0], labels), scores_info(node, inputs[0], columns)]


OPS: tuple[Op, ...] = (
    # Attribute: the linear model.
    Op("pyrec.Linear", _infer, _evaluate, rows.per_row, check=linear_of, given={"linear": Linear}),
    # Attributes: the linear model, a score for each class, and their labels.
    Op(
        "pyrec.LinearClassifier",
        _infer_classes,
        _classify,
        rows.per_row,
        traits=CLASSIFIES,
        check=_classes,
        given={"linear": Linear, "labels": np.ndarray},
    ),
)
