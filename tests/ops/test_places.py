"""Where numbers lie among thresholds: as NumPy's search has them, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrec_infer.backends.select import make_executor, make_pool, select_backend
from pyrec_infer.execution.planning import plan_graph
from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.ir import BATCH, Array, Dim, Graph, Info, Node
from pyrec_infer.limits import default_max_bytes
from pyrec_infer.passes import Context

F32 = np.finfo(np.float32)
SPECIAL = [0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 1e-60, -1e-60, 1e-320, float(F32.tiny), float(F32.max)]
SPECIAL += [-float(F32.max), 3.5e38, -3.5e38, 1e300, -1e300, 0.1, float(np.float32(0.1)), 1e-35, 16777217.0]


def places(thresholds: list[Array], strict: list[bool], x: Array) -> Array:
    """What the backend makes of rows, a feature for each scale."""
    attributes = {
        "columns": np.arange(len(thresholds), dtype=np.int32),
        "strict": np.asarray(strict),
        "start": np.concatenate([[0], np.cumsum([len(own) for own in thresholds])]).astype(np.int32),
        "thresholds": np.concatenate(thresholds).astype(np.float64),
    }
    node = Node("pyrec.Places", ("x",), ("y",), attributes)
    info = Info(x.dtype, (Dim.symbol(BATCH), x.shape[1]), 0)
    plan = plan_graph(Graph(("x",), ("y",), (node,), {}, {"x": info}), Context())
    backend = select_backend()
    executor = make_executor(plan, backend, make_pool(backend, 1), {}, default_max_bytes())
    return ReadyPlan(plan, executor).run({"x": x}, (), len(x))["y"]


def expected(thresholds: list[Array], strict: list[bool], x: Array) -> Array:
    columns = []
    for own, includes, values in zip(thresholds, strict, x.astype(np.float64).T, strict=True):
        found = np.searchsorted(own, values, side="right" if includes else "left")
        columns.append(np.where(np.isnan(values), len(own) + 1, found))
    return np.stack(columns, axis=1)


def near(values: Array, kind: Any) -> Array:
    """Numbers, their neighbours among numbers of a kind, and NaN."""
    with np.errstate(all="ignore"):
        own = values.astype(kind)
        up, down = np.nextafter(own, kind(np.inf)), np.nextafter(own, kind(-np.inf))
    return np.concatenate([own, up, down, -own, np.asarray([np.nan, *SPECIAL[:5]], kind)])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 40, 64, 65, 250, 257, 300, 4096, 4097, 20_000])
def test_numbers_near_thresholds(count: int, kind: Any) -> None:
    rng = np.random.default_rng(count)
    wide = rng.standard_normal(2 * count) * 10.0 ** rng.integers(-46, 40, 2 * count)
    close = 1 + 1e-9 * rng.standard_normal(2 * count)  # many between two numbers of float32
    narrow = rng.standard_normal(2 * count).astype(np.float32).astype(np.float64)
    scales, strict = [], []
    for values in (wide, close, narrow):
        for includes in (False, True):
            chosen = np.unique(np.concatenate([rng.permutation(values)[:count], SPECIAL]))
            scales.append(np.sort(rng.permutation(chosen)[:count]))
            strict.append(includes)
    rows = np.stack([rng.choice(near(own, kind), 200) for own in scales], axis=1)
    for part in (rows, rows[:1], rows[:7], rows[:64], rows[:65]):
        np.testing.assert_array_equal(places(scales, strict, part), expected(scales, strict, part))


NUMBERS = st.one_of(
    st.sampled_from(SPECIAL), st.floats(allow_nan=False), st.floats(allow_nan=False, width=32)
)


@settings(max_examples=150, deadline=None)
@given(own=st.lists(NUMBERS, min_size=1, max_size=40), strict=st.booleans(), data=st.data())
def test_any_numbers(own: list[float], strict: bool, data: st.DataObject) -> None:
    thresholds = np.unique(np.asarray(own))
    more = data.draw(st.lists(st.floats(), max_size=10))
    for kind in (np.float32, np.float64):
        x = near(np.asarray([*own, *more], np.float64), kind)[:, np.newaxis]
        np.testing.assert_array_equal(places([thresholds], [strict], x), expected([thresholds], [strict], x))
