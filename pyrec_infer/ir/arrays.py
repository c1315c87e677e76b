"""What constants and results are held in."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

STRING = np.dtype(str)
"""Element type of string tensors; arrays of it have any NumPy ``U`` width."""
