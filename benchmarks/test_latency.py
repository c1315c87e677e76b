"""Time of one call of R1 with 1, 10 and 100 candidates; ``extra_info`` has the 50th and 99th percentile."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from benchmarks.rulers import compare
from benchmarks.rulers.contestants import PEERS, PREPARED, Unavailable, forget, make_work, named
from benchmarks.rulers.make import ensure

pytest.importorskip("torch")

EVERYBODY = (*named("score fp32", "catalogue fp32"), *PREPARED, *PEERS)


@pytest.fixture(scope="module", params=[1, 10, 100], ids=lambda count: f"N={count}")
def entered(request: pytest.FixtureRequest) -> Iterator[compare.Field]:
    """Everybody, with compared answers."""
    yield compare.assemble(make_work("r1", ensure(rulers=("r1",)), request.param, threads=1), EVERYBODY)
    forget()


@pytest.mark.parametrize("name", [item.name for item in EVERYBODY])
def test_latency(benchmark: Any, entered: compare.Field, name: str) -> None:
    try:
        calls = cycle(entered.calls_of(name))
    except Unavailable as error:
        pytest.skip(str(error))
    benchmark.group = f"R1, N = {entered.work.count}"
    benchmark.pedantic(lambda: next(calls)(), rounds=2000, warmup_rounds=100)
    if benchmark.stats is not None:
        middle, high = np.percentile(benchmark.stats.stats.data, [50, 99])
        benchmark.extra_info.update(p50=middle, p99=high)
