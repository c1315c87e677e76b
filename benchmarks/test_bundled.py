"""`run`, `score` and `top_k` of the bundled model against onnxruntime, one thread each.

The same work on both sides: onnxruntime gets the user's row repeated for every candidate, made before
the clock starts; for `top_k` it is followed by NumPy's selection. Every pair of answers is compared
before either is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import pyrec_infer as pi
from pyrec_infer.bundled import MODEL, items, users

onnxruntime = pytest.importorskip("onnxruntime")

SIZES = (1, 100, 1000, 10_000)
K = 100
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Work:
    """One user, N candidates, and the two things that can score them."""

    model: pi.Model
    session: Any
    request: Arrays
    candidates: Arrays
    batch: Arrays
    count: int

    def onnxruntime_scores(self) -> np.ndarray:
        return self.session.run(None, self.batch)[0]

    def onnxruntime_top_k(self) -> tuple[np.ndarray, np.ndarray]:
        scores = self.onnxruntime_scores()
        k = min(K, self.count)
        chosen = np.argpartition(scores, self.count - k)[-k:]
        order = chosen[np.argsort(-scores[chosen], kind="stable")]
        return order, scores[order]


@pytest.fixture(scope="module", params=SIZES, ids=lambda count: f"N={count}")
def work(request: pytest.FixtureRequest) -> Work:
    count = request.param
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
    (user,) = users(1, count)
    candidates = {**items(count), "affinity": user.affinity}
    repeated = {name: np.repeat(value, count, axis=0) for name, value in user.request.items()}
    return Work(
        pi.load(MODEL, threads=1), session, user.request, candidates, {**repeated, **candidates}, count
    )


def measure(benchmark: Any, work: Work, method: str, call: Callable[[], object]) -> None:
    benchmark.group = f"{method}, N = {work.count}"
    benchmark(call)
    if benchmark.stats is not None:
        median = benchmark.stats.stats.median
        benchmark.extra_info["candidates_per_second"] = work.count / median


@pytest.mark.parametrize("engine", ["pyrec_infer", "onnxruntime"])
def test_run(benchmark: Any, work: Work, engine: str) -> None:
    ours = work.model.run(work.batch)["click"]
    np.testing.assert_allclose(ours, work.onnxruntime_scores(), rtol=1e-5, atol=1e-7)
    calls = {"pyrec_infer": lambda: work.model.run(work.batch), "onnxruntime": work.onnxruntime_scores}
    measure(benchmark, work, "run", calls[engine])


@pytest.mark.parametrize("engine", ["pyrec_infer", "onnxruntime"])
def test_score(benchmark: Any, work: Work, engine: str) -> None:
    def score() -> np.ndarray:
        return work.model.score(work.request, work.candidates)

    np.testing.assert_allclose(score(), work.onnxruntime_scores(), rtol=1e-5, atol=1e-7)
    measure(benchmark, work, "score", {"pyrec_infer": score, "onnxruntime": work.onnxruntime_scores}[engine])


@pytest.mark.parametrize("engine", ["pyrec_infer", "onnxruntime"])
def test_top_k(benchmark: Any, work: Work, engine: str) -> None:
    def top_k() -> pi.TopK:
        return work.model.top_k(work.request, work.candidates, k=K)

    best = top_k()
    _, expected = work.onnxruntime_top_k()
    assert best.count == len(expected)
    np.testing.assert_allclose(best.scores[: best.count], expected, rtol=1e-5, atol=1e-7)
    measure(benchmark, work, "top_k", {"pyrec_infer": top_k, "onnxruntime": work.onnxruntime_top_k}[engine])
