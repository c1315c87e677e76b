"""Linear models as plain data, valid once made."""

from __future__ import annotations

from dataclasses import InitVar, dataclass

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir.arrays import Array
from pyrec_infer.ir.transforms import MAX_SCORES, require_transform


@dataclass(frozen=True, eq=False)
class Linear:
    """Linear functions of a row's features, one for each score. Copied, read-only.

    Attributes
    ----------
    coefficients : ndarray of float32, shape (scores, features)
    intercepts : ndarray of float32, shape (scores,)
        Zeros if none are given.
    transform : str
        One of `TRANSFORMS`.

    Parameters
    ----------
    where : str
        What the model is called in messages.

    Raises
    ------
    ModelError
        If a shape or a name does not fit.

    Examples
    --------
    >>> Linear(np.ones((2, 3)), np.asarray([0.5, 1.0])).coefficients.dtype
    dtype('float32')
    """

    coefficients: Array
    intercepts: Array
    transform: str = "NONE"
    where: InitVar[str] = "the linear model"

    def __post_init__(self, where: str) -> None:
        coefficients = np.array(self.coefficients, np.float32, order="C")
        if coefficients.ndim != 2 or not coefficients.size or len(coefficients) > MAX_SCORES:
            raise ModelError(
                f"{where}: expected coefficients for 1 to {MAX_SCORES} outputs and for each feature, "
                f"got shape {list(coefficients.shape)}"
            )
        outputs = len(coefficients)
        given = np.asarray(self.intercepts)
        if given.shape not in ((0,), (outputs,)):
            raise ModelError(f"{where}: expected {outputs} intercepts, got {given.size}")
        intercepts = np.array(given, np.float32) if given.size else np.zeros(outputs, np.float32)
        require_transform(self.transform, where)
        for name, array in (("coefficients", coefficients), ("intercepts", intercepts)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)


__all__ = ["Linear"]
