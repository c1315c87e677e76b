"""The plan that ``benchmarks.bags`` times sums what it says."""

from __future__ import annotations

import numpy as np

from benchmarks.bags import make_table, ours


def test_sums_are_those_of_the_rows() -> None:
    table = make_table(1000)
    ids = np.random.default_rng(0).integers(0, len(table), 60)
    offsets = np.arange(0, 60, 20)
    expected = table[ids].reshape(3, 20, -1).sum(axis=1)
    np.testing.assert_allclose(ours(table)(ids, offsets), expected, rtol=1e-5, atol=1e-5)
