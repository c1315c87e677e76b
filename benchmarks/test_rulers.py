"""Throughput of the rulers R1 to R5, for ours and the peers: 1000 candidates on one thread, 10,000 on two.

The answers are compared before anything is timed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rulers import compare
from benchmarks.rulers.contestants import OURS, PEERS, Unavailable, forget, make_work
from benchmarks.rulers.inputs import RULERS
from benchmarks.rulers.make import ensure

pytest.importorskip("torch")

EVERYBODY = (*OURS, *PEERS)


@pytest.fixture(scope="session")
def folder() -> Path:
    """Where the rulers' models are."""
    return ensure()


@pytest.fixture(
    scope="module",
    params=[(ruler, count, threads) for count, threads in ((1000, 1), (10_000, 2)) for ruler in RULERS],
    ids=lambda value: f"{value[0]}-N={value[1]}-threads={value[2]}",
)
def entered(request: pytest.FixtureRequest, folder: Path) -> Iterator[compare.Field]:
    """Everybody, with compared answers."""
    ruler, count, threads = request.param
    yield compare.assemble(make_work(ruler, folder, count, threads), EVERYBODY)
    forget()


@pytest.mark.parametrize("name", [item.name for item in EVERYBODY])
def test_throughput(benchmark: Any, entered: compare.Field, name: str) -> None:
    try:
        calls = entered.calls_of(name)
    except Unavailable as error:
        pytest.skip(str(error))
    work = entered.work
    benchmark.group = f"{RULERS[work.ruler]}, N = {work.count}, {work.threads} thread(s), {len(calls)} calls"

    def score_all() -> None:
        for call in calls:
            call()

    benchmark.pedantic(score_all, rounds=11, warmup_rounds=1)
    answer = entered.answers[name]
    benchmark.extra_info.update(error=answer.error, overlap=answer.overlap)
    if benchmark.stats is not None:
        rate = work.count * len(calls) / benchmark.stats.stats.median
        benchmark.extra_info["candidates_per_second"] = rate
