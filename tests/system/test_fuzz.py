"""The fuzzer itself, and what it once found."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from fuzz.campaign import Finding, Report, make_trial, minimise, read_find, signature
from fuzz.exercise import FindingError, exercise
from fuzz.rows import exercise_rows
from fuzz.seeds import BUILDERS, Seeds
from fuzz.threads import Shop, run
from fuzz.values import fitting
from fuzz.worker import Trial, Verdict, Worker
from onnx import helper
from support.models import FLOAT, ITEMS, STRING, make_model, one_node, ranker

import pyrec_infer as pi
from pyrec_infer.errors import DTypeError, InputError, PyrecError, ShapeError

FINDS = sorted((Path(__file__).resolve().parents[1] / "fuzz" / "finds").glob("*.onnx"))


# Past finds


@pytest.mark.parametrize("path", FINDS, ids=lambda path: path.stem)
def test_past_finds(path: Path) -> None:
    assert path.stat().st_size < 10_000
    trial = read_find(path)
    exercise(trial.model, trial.calls)


def sides() -> tuple[dict[str, Any], dict[str, Any]]:
    candidates = {"item": np.arange(4), "dense": np.ones((4, 3), np.float32)}
    return {"user": np.asarray([2])}, candidates


@pytest.fixture(scope="module")
def model() -> pi.Model:
    return pi.load(ranker().SerializeToString())


NOT_ARRAYS: tuple[Any, ...] = (None, 3, 2.5, "user", [1, 2], object(), np.asarray(None), np.zeros(3))


@pytest.mark.parametrize("value", NOT_ARRAYS, ids=repr)
def test_what_is_no_mapping_is_refused(model: pi.Model, value: Any) -> None:
    request, candidates = sides()
    for call in (
        lambda: model.run(value),
        lambda: model.score(value, candidates),
        lambda: model.score(request, value),
        lambda: model.top_k(request, value),
        lambda: model.catalog(value),
    ):
        with pytest.raises(DTypeError, match="by the inputs' names"):
            call()


@pytest.fixture(scope="module")
def catalog(model: pi.Model) -> pi.Catalog:
    return model.catalog({"item": np.arange(4)}, ids=[5, 6, 7, 8], candidates=["dense"])


@pytest.mark.parametrize("value", NOT_ARRAYS, ids=repr)
def test_catalogues_refuse_what_is_no_mapping(catalog: pi.Catalog, value: Any) -> None:
    request, candidates = {"user": np.asarray([2])}, {"dense": np.ones((4, 3), np.float32)}
    calls = [
        lambda: catalog.score(value, [5, 6, 7, 8], candidates),
        lambda: catalog.top_k(value, candidates=candidates),
        lambda: catalog.upsert(value, [5]),
    ]
    if value is not None:
        calls.append(lambda: catalog.score(request, None, value))
    for call in calls:
        with pytest.raises(DTypeError, match="by the inputs' names"):
            call()


@pytest.mark.parametrize(
    "value", [3, None, object(), [[1], [2, 3]], ["a", 1], np.asarray(None), 1j], ids=repr
)
def test_catalogues_refuse_what_are_no_ids(catalog: pi.Catalog, value: Any) -> None:
    request, candidates = {"user": np.asarray([2])}, {"dense": np.ones((4, 3), np.float32)}
    with pytest.raises(InputError, match="ids"):
        catalog.upsert({"item": np.arange(4)}, value)
    with pytest.raises(InputError, match="ids"):
        catalog.remove(value)
    if value is not None:
        with pytest.raises(InputError, match="ids"):
            catalog.score(request, value, candidates)
    assert value not in catalog


def test_catalogues_refuse_counts_and_names_that_are_none(catalog: pi.Catalog) -> None:
    request, candidates = {"user": np.asarray([2])}, {"dense": np.ones((4, 3), np.float32)}
    assert catalog.top_k(request, 2**63, candidates=candidates).count == 4
    with pytest.raises(DTypeError, match="k: expected a whole number"):
        catalog.top_k(request, "3", candidates=candidates)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="max_rows: expected a whole number"):
        catalog.prepare(["user"], ["dense"], max_rows="x")  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="request_names"):
        catalog.prepare("user", ["dense"])


@pytest.mark.parametrize("value", ["user", b"user", 3, None, [3], np.asarray(None), np.asarray(3)], ids=repr)
def test_what_are_no_names_is_refused(model: pi.Model, value: Any) -> None:
    with pytest.raises(DTypeError, match="request_names"):
        model.prepare(value, ["item", "dense"])
    with pytest.raises(DTypeError, match="candidate_names"):
        model.prepare(["user"], value)
    with pytest.raises(DTypeError, match="expected several names"):
        model.explain(value)


@pytest.mark.parametrize("value", ["3", 2.5, None, [1], np.zeros(2)], ids=repr)
def test_what_is_no_count_is_refused(model: pi.Model, value: Any) -> None:
    with pytest.raises(DTypeError, match="k: expected a whole number"):
        model.top_k(*sides(), k=value)
    with pytest.raises(DTypeError, match="threads: expected a whole number"):
        pi.load(ranker().SerializeToString(), threads=value)


def test_more_results_than_any_array_has(model: pi.Model) -> None:
    assert model.top_k(*sides(), k=2**63).count == 4
    with pytest.raises(InputError, match="threads: expected at most"):
        pi.load(ranker().SerializeToString(), threads=2**16)


@pytest.mark.parametrize("out", [[0.0] * 4, True, "scores", np.float32(1)], ids=repr)
def test_what_is_no_place_for_scores_is_refused(model: pi.Model, out: Any) -> None:
    request, candidates = sides()
    call = model.prepare([*request], [*candidates])
    with pytest.raises(DTypeError, match="out"):
        call(*request.values(), *candidates.values(), out=out)


@pytest.mark.parametrize("value", [None, True, "text", [1.0], {}], ids=repr)
def test_prepared_calls_take_arrays_only(model: pi.Model, value: Any) -> None:
    request, candidates = sides()
    call = model.prepare([*request], [*candidates])
    with pytest.raises(DTypeError, match="'user': expected an array"):
        call(value, *candidates.values())
    with pytest.raises(DTypeError, match="'dense': expected an array"):
        call(*request.values(), candidates["item"], value)


def test_prepared_calls_count_the_rows_of_inputs_that_the_output_does_not_need() -> None:
    nodes = [helper.make_node("Relu", ["u"], ["y"]), helper.make_node("Relu", ["v"], ["z"])]
    shape = (FLOAT, ["N", 2])
    proto = make_model(nodes, {"u": shape, "v": shape}, {"y": (0, None), "z": (0, None)})
    model = pi.load(proto.SerializeToString())
    u, v = np.asarray([[1, -1]], np.float32), np.ones((5, 2), np.float32)
    call = model.prepare(["u"], ["v"], output="y")
    np.testing.assert_array_equal(call(u, v), model.score({"u": u}, {"v": v}, output="y"))
    assert call(u, v).shape == (5, 2)
    with pytest.raises(InputError, match="at most 4"):
        model.prepare(["u"], ["v"], output="y", max_rows=4)(u, v)


def test_the_best_of_an_output_with_two_rows_for_each_candidate() -> None:
    shape = np.asarray([-1])
    proto = make_model(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        {"x": (FLOAT, ["N", 2])},
        {"y": (0, None)},
        {"shape": shape},
    )
    model, items = pi.load(proto.SerializeToString()), {"x": np.ones((3, 2), np.float32)}
    with pytest.raises(ShapeError, match=r"one score for each of 3 candidates.*\[6\]"):
        model.top_k({}, items)
    with pytest.raises(PyrecError):
        model.catalog(items).top_k({})


def test_strings_are_no_scores() -> None:
    proto = one_node("StringNormalizer", {"s": (STRING, ["N"])}, case_change_action="UPPER")
    with pytest.raises(DTypeError, match="holds strings"):
        pi.load(proto.SerializeToString()).score({}, {"s": ["kept-secret-71", "b"]})


# The fuzzer


def test_a_trial_follows_from_its_number() -> None:
    first, second = Seeds(), Seeds()
    assert [make_trial(first, seed) for seed in range(30)] == [make_trial(second, seed) for seed in range(30)]


@pytest.mark.parametrize("name", BUILDERS)
def test_models_to_start_from_are_valid(name: str) -> None:
    model = pi.load(BUILDERS[name]().SerializeToString())
    assert {*model.run(fitting(Random(1), model.inputs, 5))} == {info.name for info in model.outputs}


@pytest.mark.parametrize("fault", ["raises", "prints", "differs"])
def test_faults_are_found(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    score = pi.Model.score

    def faulty(self: pi.Model, request: Any, candidates: Any, **options: Any) -> Any:
        if fault == "raises":
            raise KeyError("x")
        if fault == "prints":
            raise InputError("expected no kept-secret-71")
        return score(self, request, candidates, **options) + np.float32(1)

    monkeypatch.setattr(pi.Model, "score", faulty)
    kind = {"raises": "raw exception score", "prints": "disclosure score", "differs": "property"}
    relu = one_node("Relu", {"x": (FLOAT, ["N", 3])}).SerializeToString()
    with pytest.raises(FindingError, match=kind[fault]):
        exercise(relu, 3)


@pytest.mark.parametrize("seed", range(8))
def test_rows_of_random_schemas(seed: int) -> None:
    assert exercise_rows(seed)


@pytest.mark.parametrize("fault", ["raises", "prints", "differs", "accepts"])
def test_faults_with_rows_are_found(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    score = pi.Model.score

    def faulty(self: pi.Model, request: Any, candidates: Any, **options: Any) -> Any:
        if fault == "raises":
            raise KeyError("x")
        if fault == "prints":
            raise InputError("expected no kept-secret-71")
        try:
            return score(self, request, candidates, **options) + np.float32(isinstance(candidates, list))
        except PyrecError:
            if fault == "accepts":
                return np.zeros(len(candidates), np.float32)
            raise

    monkeypatch.setattr(pi.Model, "score", faulty)
    kind = {"raises": "raw exception score", "prints": "disclosure score"}
    with pytest.raises(FindingError, match=kind.get(fault, "property")):
        list(map(exercise_rows, range(9)))


def test_findings_with_rows_are_kept(tmp_path: Path) -> None:
    trial = make_trial(Seeds(), 19)
    kept = Finding("property tensor", trial, Verdict("property tensor", "", {})).save(tmp_path)
    assert read_find(kept) == trial == Trial(b"", 19)


def test_findings_are_made_small_and_kept(tmp_path: Path) -> None:
    def faulty(trial: Trial) -> Verdict:
        operators = [node.op_type for node in onnx.ModelProto.FromString(trial.model).graph.node]
        return Verdict("crash -11" if "Gemm" in operators else "", "", {})

    start = Trial(ranker().SerializeToString(), 7)
    found = minimise(Finding(signature(faulty(start)), start, faulty(start)), faulty)
    kept = read_find(found.save(tmp_path))
    graph = onnx.ModelProto.FromString(kept.model).graph
    assert [node.op_type for node in graph.node] == ["Gemm"]
    assert not graph.initializer
    assert kept.calls == 7
    assert "1 x crash -11" in str(Report(0, findings={"crash -11": found}))


def test_a_worker_survives_what_ends_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    good = Trial(ranker().SerializeToString(), 1)
    try:
        assert worker.try_one(good).kind == ""
        worker.end()
        assert worker.try_one(good).kind == "crash -9"
        assert worker.try_one(good).kind == ""
        monkeypatch.setattr("fuzz.worker.SECONDS", -1.0)
        monkeypatch.setattr("fuzz.worker.PAUSE", 0.0)
        assert worker.try_one(good).kind == "timeout"
    finally:
        worker.close()


def test_threads_score_and_change_one_catalogue() -> None:
    shop = Shop(ranker().SerializeToString(), ITEMS)
    assert run(shop, 2.0) > 20
    assert shop.faults == []
