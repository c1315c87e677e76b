"""Records of vectors as the extension writes them, beside those that NumPy makes."""

from __future__ import annotations

import numpy as np
import pytest

from pyrec_infer import extension
from pyrec_infer.retrieval.vectors import METRICS, Metric, VectorForm

pytestmark = pytest.mark.once


def hostile(width: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Zeros, the smallest and the largest numbers, one number alone, ties between codes, and plain ones."""
    rng = np.random.default_rng(width)
    vectors = rng.standard_normal((120, width)).astype(np.float32)
    vectors[:4] = [[0], [-0.0], [1e-42], [2.0**59 / width]]
    vectors[4] *= np.float32(1e-30)
    vectors[5] *= rng.pareto(0.7, width).astype(np.float32)
    vectors[6, 0] = 1e10
    vectors[7] = np.arange(width) == width - 1
    vectors[10:60] = rng.integers(-4, 5, (50, width))
    return vectors


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("width", [1, 7, 8, 9, 16, 17, 64, 100])
def test_records_are_those_of_numpy(metric: Metric, coded: bool, width: int) -> None:
    native = pytest.importorskip("pyrec_infer._native")
    form, vectors = VectorForm(metric, width, coded), hostile(width)
    made = native.records_of_vectors(vectors, metric == "cosine", form.biased, coded)
    assert made.shape == (len(vectors), sum(form.strides))
    np.testing.assert_array_equal(made, form._records("vectors", vectors, 0))
    squares = np.square(vectors, dtype=np.float64).sum(axis=1)
    np.testing.assert_allclose(native.squares_of_vectors(vectors), squares, rtol=1e-13)


def test_what_cannot_be_searched_is_no_square_that_passes() -> None:
    native = pytest.importorskip("pyrec_infer._native")
    vectors = np.ones((4, 9), np.float32)
    vectors[1, 8], vectors[2, 0], vectors[3, 3] = np.nan, np.inf, 3e38
    squares = native.squares_of_vectors(vectors)
    assert squares[0] == 9
    assert not (squares[1:] <= 2.0**120).any()


def test_matrices_alone_are_vectors() -> None:
    native = pytest.importorskip("pyrec_infer._native")
    for wrong in (np.ones(3, np.float32), np.ones((3, 0), np.float32), np.ones((2, 2, 2), np.float32)):
        with pytest.raises(Exception, match="expected vectors"):
            native.squares_of_vectors(wrong)
        with pytest.raises(Exception, match="expected vectors"):
            native.records_of_vectors(wrong, False, False, True)


def test_without_the_extension_numpy_makes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyrec_infer._native")
    form, vectors = VectorForm("cosine", 9, True), hostile(9)
    chosen = np.arange(0, 120, 7)
    (made,) = form.encode("vectors", vectors, chosen)
    monkeypatch.setenv(extension.VARIABLE, "numba")
    (own,) = form.encode("vectors", vectors, chosen)
    assert made[0] == own[0] == 0
    np.testing.assert_array_equal(made[1], own[1])
