"""Real click logs: scores and AUC equal PyTorch's, and whole item sets are ranked for real users.

PyTorch's scores of the held-out impressions are stored in ``tests/data`` by
``python -m benchmarks.obd.train``; their inputs are computed here from the data set.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import pyrec_infer as pi
from benchmarks.obd import features, raw
from pyrec_infer.bundled import MODEL, SCHEMA
from pyrec_infer.errors import UnsupportedModelError
from pyrec_infer.extension import VARIABLE

DATA = Path(__file__).resolve().parents[1] / "data"


@dataclass(frozen=True)
class Case:
    """A trained model and whether it takes the crossed field."""

    path: Path
    cross: bool

    @property
    def reference(self) -> Path:
        return DATA / f"{self.path.stem}_reference.npz"


CASES = [Case(MODEL, cross=False), Case(DATA / "wide_deep_obd.onnx", cross=True)]


@pytest.fixture(params=CASES, ids=lambda case: case.path.stem)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def test_run_equals_pytorch_on_every_held_out_impression(
    logs: features.Logs, held_out: features.Arrays, case: Case
) -> None:
    rows, model = logs.held_out(), pi.load(case.path)
    scores = model.run({item.name: held_out[item.name] for item in model.inputs})["click"]

    with np.load(case.reference) as reference:
        np.testing.assert_allclose(scores, reference["scores"], rtol=1e-5, atol=1e-7)
        clicks = np.array([row.click for row in rows])
        area = features.area_under_curve(clicks, scores)
        expected = reference["scores"].astype(np.float64)
        apart = expected[clicks == 1][:, None] - expected[clicks == 0]
        # Rounding may order, or tie, a pair whose scores are the last places of float32 apart.
        undecided = np.mean((apart != 0) & (np.abs(apart) < 1e-6 * expected[clicks == 1][:, None]))
        assert undecided < 1e-4
        assert abs(area - float(reference["area_under_curve"])) <= 0.5e-6 + undecided


def test_score_of_real_requests_equals_run(logs: features.Logs, case: Case) -> None:
    model = pi.load(case.path)
    rows = logs.held_out()[::500]
    sides = [features.ranking(logs, row, cross=case.cross) for row in rows]
    counts = [len(candidates["item_id"]) for _, candidates in sides]
    joined = {name: np.concatenate([candidates[name] for _, candidates in sides]) for name in sides[0][1]}
    requests = {name: np.concatenate([request[name] for request, _ in sides]) for name in sides[0][0]}
    repeated = {name: np.repeat(value, counts, axis=0) for name, value in requests.items()}
    expected = model.run({**repeated, **joined})["click"]

    one_by_one = [model.score(request, candidates) for request, candidates in sides]
    np.testing.assert_allclose(np.concatenate(one_by_one), expected, rtol=1e-5, atol=1e-7)

    offsets = np.concatenate([[0], np.cumsum(counts)])
    np.testing.assert_allclose(model.score(requests, joined, offsets=offsets), expected, rtol=1e-5, atol=1e-7)


def test_top_k_ranks_the_whole_item_set_for_real_users(logs: features.Logs, case: Case) -> None:
    model = pi.load(case.path)
    for row in logs.held_out()[::500]:
        request, candidates = features.ranking(logs, row, cross=case.cross)
        count = len(candidates["item_id"])
        repeated = {name: np.repeat(value, count, axis=0) for name, value in request.items()}
        expected = model.run({**repeated, **candidates})["click"]

        best = model.top_k(request, candidates, k=10)

        assert best.count == 10
        np.testing.assert_allclose(best.scores, np.sort(expected)[::-1][:10], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(best.scores, expected[best.ids], rtol=1e-5, atol=1e-7)
        everything = model.top_k(request, candidates, k=count)
        order = np.argsort(-model.score(request, candidates), kind="stable")
        np.testing.assert_array_equal(everything.ids, order)
        np.testing.assert_array_equal(best.ids, order[:10])


def test_training_and_held_out_impressions_do_not_overlap_in_time(logs: features.Logs) -> None:
    training, held_out = logs.training(), logs.held_out()
    assert len(training) + len(held_out) == 40_000
    assert max(row.time for row in training) < min(row.time for row in held_out)


def test_missing_values_are_id_zero_and_no_other_value_is() -> None:
    for field, buckets in features.FIELDS.items():
        assert features.bucket(field, "", buckets) == 0
        ids = [features.bucket(field, str(value), buckets) for value in range(2000)]
        assert min(ids) >= 1
        assert max(ids) < buckets


@pytest.mark.once
def test_the_bundled_schema_is_that_of_the_logs() -> None:
    stored = pi.Schema.load(SCHEMA)
    assert pi.Schema([*stored.fields, *stored.combinations]) == raw.schema(cross=False)


def test_the_bundled_schema_has_golden_rows_as_training_encodes_them() -> None:
    stored = pi.Schema.load(SCHEMA)
    assert stored.golden is not None
    assert not stored.uncovered
    columns = stored.golden.rows(stored.fields)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    bare = pi.Schema([*stored.fields, *stored.combinations])
    assert pi.check_features(bare, columns, raw.encode(rows)).same


def test_raw_rows_score_as_those_that_training_encoded(logs: features.Logs, case: Case) -> None:
    # Encoding knows no backend: where one is forced, an eighth of the rows is enough.
    rows = logs.impressions[:: 8 if VARIABLE in os.environ else 1]
    schema, encoded = raw.schema(case.cross), features.encode(logs, rows, cross=case.cross)
    given = raw.rows(logs, rows)
    report = pi.check_features(schema, given, encoded)
    assert report.same, report
    scores = pi.load(case.path, schema=schema).run(given)["click"]
    np.testing.assert_allclose(scores, pi.load(case.path).run(encoded)["click"], rtol=1e-5, atol=1e-7)


def test_raw_rows_of_a_request_and_its_candidates(logs: features.Logs, case: Case) -> None:
    schema = raw.schema(case.cross)
    model, plain = pi.load(case.path, schema=schema), pi.load(case.path)
    row = logs.held_out()[0]
    shown = [replace(row, item=item) for item in logs.items[row.policy, row.campaign]]
    given = raw.rows(logs, shown)
    own = {"time", "campaign", "position", "affinity_sum", *(f"user_feature_{i}" for i in range(4))}
    request = {name: values[0] for name, values in given.items() if name in own}
    candidates = {name: values for name, values in given.items() if name not in own}
    expected = plain.score(*features.ranking(logs, row, cross=case.cross))
    np.testing.assert_allclose(model.score(request, candidates), expected, rtol=1e-5, atol=1e-7)
    late = {"affinity": candidates.pop("affinity")}
    if case.cross:
        # A catalogue holds no strings that meet those of a request.
        with pytest.raises(UnsupportedModelError, match="strings 'item_id'"):
            model.catalog(candidates)
        return
    catalog = model.catalog(candidates, ids=candidates["item_id"], candidates=["affinity"])
    np.testing.assert_allclose(catalog.score(request, candidates=late), expected, rtol=1e-5, atol=1e-7)
