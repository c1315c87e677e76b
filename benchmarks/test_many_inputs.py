"""Time of calls of a model with 39 inputs, one for each feature, in every form in which values come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.many_inputs import forms

NAMES = (
    "prepared",
    "score, arrays",
    "score, plain numbers",
    "top_k, arrays",
    "top_k, plain numbers",
    "catalogue's score",
    "catalogue's top_k",
    "onnxruntime",
)


@pytest.fixture(scope="module", params=[1, 10, 100], ids=lambda count: f"N={count}")
def entered(request: pytest.FixtureRequest) -> tuple[int, dict[str, Callable[[], Any]]]:
    """Every form, with compared answers."""
    return request.param, forms(request.param)[0]


@pytest.mark.parametrize("name", NAMES)
def test_many_inputs(benchmark: Any, entered: tuple[int, dict[str, Callable[[], Any]]], name: str) -> None:
    count, runs = entered
    if name not in runs:
        pytest.skip(f"{name} is not installed")
    benchmark.group = f"39 inputs, N = {count}"
    benchmark.pedantic(runs[name], rounds=2000, warmup_rounds=100)
