"""Formulas that passes write, against the numbers of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import N
from support.random_graphs import evaluate

from pyrec_infer.ir import Graph, Info
from pyrec_infer.passes.common.formulas import log1p
from pyrec_infer.passes.common.writer import Writer

pytestmark = pytest.mark.once


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log1p_is_exact_near_zero_and_at_the_ends(dtype: Any) -> None:
    writer = Writer("y", "the test")
    made = log1p(writer, "x", dtype)
    graph = Graph(
        ("x",), (made,), tuple(writer.nodes), writer.constants, {"x": Info(np.dtype(dtype), (N,), 0)}
    )
    least, most = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    given = [
        0.0,
        -0.0,
        least,
        -least,
        1e-20,
        -1e-9,
        1e-4,
        0.5,
        -0.5,
        1,
        7,
        1e20,
        most,
        -1,
        -2,
        np.inf,
        np.nan,
    ]
    x = np.asarray(given, dtype)
    (found,) = evaluate(graph, {"x": x}, len(x)).values()
    with np.errstate(all="ignore"):
        expected = np.log1p(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(np.signbit(found[:2]), [False, True])
