"""What classifiers and regressors do to their scores at the end, by name."""

from __future__ import annotations

from pyrec_infer.errors import ModelError

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
"""As ai.onnx.ml calls them; `pyrec_infer.ops.scores` says what they are."""

MAX_SCORES = 1 << 24
"""Scores of a row that a model may have."""


def require_transform(name: str, where: str) -> None:
    """Refuse a name that is no transform's."""
    if name not in TRANSFORMS:
        raise ModelError(f"{where}: unknown post_transform {name!r}")
