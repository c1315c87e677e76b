"""Labels of the classifiers of ai.onnx.ml."""

from __future__ import annotations

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Array, Node, as_texts, fault


def class_labels(node: Node, integers: str) -> Array:
    """The labels of a classifier; ``integers`` is what its operator calls those that are numbers."""
    texts, numbers = node.attribute("classlabels_strings", ()), node.attribute(integers, ())
    if bool(len(texts)) == bool(len(numbers)):
        raise fault(ModelError, node, f"expected either classlabels_strings or {integers}")
    return as_texts(texts) if len(texts) else np.asarray(numbers, np.int64)


__all__ = ["class_labels"]
