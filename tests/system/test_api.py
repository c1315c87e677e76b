"""The public interface on the bundled model and on small ones."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper
from support.models import FLOAT, INT32, INT64, ITEMS, STRING, USERS, make_model, ranker

import pyrec_infer as pi
from pyrec_infer.bundled import MODEL, items, users
from pyrec_infer.errors import (
    DTypeError,
    InputError,
    MissingInputError,
    ModelError,
    RowCountError,
    ShapeError,
)

Arrays = dict[str, NDArray[Any]]
REQUESTS, CANDIDATES = ["user"], ["item", "dense"]


@pytest.fixture(scope="module")
def model() -> pi.Model:
    return pi.load(ranker().SerializeToString())


@pytest.fixture(scope="module")
def bundled() -> pi.Model:
    return pi.load(MODEL)


def sides(count: int, seed: int = 0) -> tuple[Arrays, Arrays]:
    """A request and candidates of `ranker`."""
    generator = np.random.default_rng(seed)
    request = {"user": generator.integers(0, USERS, 1)}
    dense = generator.standard_normal((count, 3), np.float32)
    return request, {"item": generator.integers(0, ITEMS, count), "dense": dense}


def bundled_sides(count: int) -> tuple[Arrays, Arrays]:
    (user,) = users(1, count)
    return user.request, {**items(count), "affinity": user.affinity}


def several() -> pi.Model:
    """Outputs of several kinds: a score, two values for each row, and whole numbers."""
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["score"]),
        helper.make_node("Concat", ["x", "score"], ["both"], axis=1),
        helper.make_node("Cast", ["x"], ["whole"], to=INT64),
        helper.make_node("Cast", ["x"], ["wide"], to=11),
    ]
    outputs: Any = {
        "whole": (INT64, ["N", 1]),
        "score": (FLOAT, ["N", 1]),
        "both": (FLOAT, ["N", 2]),
        "wide": (11, ["N", 1]),
    }
    return pi.load(make_model(nodes, {"x": (FLOAT, ["N", 1])}, outputs).SerializeToString())


def run_of(model: pi.Model, request: Arrays, candidates: Arrays) -> NDArray[Any]:
    """The first output of `Model.run` with the request repeated."""
    rows = len(next(iter(candidates.values())))
    repeated = {name: np.repeat(np.atleast_1d(value), rows, axis=0) for name, value in request.items()}
    return next(iter(model.run({**repeated, **candidates}).values()))


@pytest.mark.parametrize("count", [1, 2, 257, 1000])
def test_score_is_run_with_the_request_repeated(model: pi.Model, bundled: pi.Model, count: int) -> None:
    for one, (request, candidates) in ((model, sides(count)), (bundled, bundled_sides(count))):
        expected = run_of(one, request, candidates).reshape(-1)
        scores = one.score(request, candidates)
        assert scores.shape == (count,)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_any_input_may_be_on_either_side(model: pi.Model) -> None:
    request, candidates = sides(9)
    expected = model.score(request, candidates)
    everything = {"user": np.repeat(request["user"], 9), **candidates}
    np.testing.assert_allclose(model.score({}, everything), expected, rtol=1e-5)
    fixed = {"user": request["user"], "dense": candidates["dense"][:1]}
    same = {
        "user": everything["user"],
        "item": candidates["item"],
        "dense": np.repeat(fixed["dense"], 9, axis=0),
    }
    np.testing.assert_allclose(
        model.score(fixed, {"item": candidates["item"]}), model.score({}, same), rtol=1e-5
    )


def test_everything_on_the_request_side_is_one_candidate(model: pi.Model) -> None:
    request, candidates = sides(1)
    np.testing.assert_allclose(
        model.score({**request, **candidates}, {}), model.score(request, candidates), rtol=1e-5
    )


def test_scalars_and_columns_are_accepted(model: pi.Model, bundled: pi.Model) -> None:
    request, candidates = sides(5)
    expected = model.score(request, candidates)
    for user in (
        int(request["user"][0]),
        request["user"][0],
        request["user"][None, :],
        request["user"].tolist(),
    ):
        np.testing.assert_array_equal(model.score({"user": user}, candidates), expected)
    column = {**candidates, "item": candidates["item"][:, None]}
    np.testing.assert_array_equal(model.score(request, column), expected)
    own, others = bundled_sides(5)
    flat = {name: value.reshape(-1) for name, value in others.items()}
    scalars = {name: value.reshape(-1)[0] for name, value in own.items()}
    np.testing.assert_array_equal(bundled.score(scalars, flat), bundled.score(own, others))


@pytest.mark.parametrize("integers", [np.int8, np.int32, np.uint16, np.uint64, np.float32, np.float64])
@pytest.mark.parametrize("floats", [np.float64, np.float16])
def test_other_element_types_are_converted(model: pi.Model, integers: Any, floats: Any) -> None:
    request, candidates = sides(300)
    candidates["dense"] = candidates["dense"].astype(np.float16).astype(np.float32)
    expected = model.score(request, candidates)
    given = {"item": candidates["item"].astype(integers), "dense": candidates["dense"].astype(floats)}
    np.testing.assert_array_equal(model.score({"user": request["user"].astype(integers)}, given), expected)


def test_int32_models_take_int64() -> None:
    model = pi.load(ranker(INT32).SerializeToString())
    request, candidates = sides(7)
    expected = pi.load(ranker().SerializeToString()).score(request, candidates)
    np.testing.assert_array_equal(model.score(request, candidates), expected)


def test_memory_may_lie_anyhow(model: pi.Model) -> None:
    request, candidates = sides(40)
    expected = model.score(request, candidates)
    frozen = {name: value.copy() for name, value in candidates.items()}
    for value in frozen.values():
        value.flags.writeable = False
    np.testing.assert_array_equal(model.score(request, frozen), expected)
    strided = {"item": np.repeat(candidates["item"], 3)[::3], "dense": np.asfortranarray(candidates["dense"])}
    np.testing.assert_array_equal(model.score(request, strided), expected)
    backwards = {name: value[::-1] for name, value in candidates.items()}
    np.testing.assert_array_equal(model.score(request, backwards), expected[::-1])
    swapped = {"item": candidates["item"].astype(">i8"), "dense": candidates["dense"].astype(">f4")}
    np.testing.assert_array_equal(model.score(request, swapped), expected)
    raw = np.zeros(40 * 12 + 1, np.uint8)
    unaligned = raw[1:].view(np.float32).reshape(40, 3)
    unaligned[:] = candidates["dense"]
    np.testing.assert_array_equal(model.score(request, {**candidates, "dense": unaligned}), expected)


def test_inputs_are_not_modified(model: pi.Model) -> None:
    request, candidates = sides(64)
    before = {name: value.copy() for name, value in (request | candidates).items()}
    model.score(request, candidates)
    for name, value in (request | candidates).items():
        np.testing.assert_array_equal(value, before[name])


def test_offsets_are_requests_in_turn(model: pi.Model) -> None:
    _, candidates = sides(50)
    people, bounds = np.asarray([3, 1, 4, 1]), [0, 7, 7, 30, 50]
    scores = model.score({"user": people}, candidates, offsets=bounds)
    for user, begin, end in zip(people, bounds, bounds[1:], strict=False):
        if begin < end:
            part = {name: value[begin:end] for name, value in candidates.items()}
            np.testing.assert_array_equal(scores[begin:end], model.score({"user": user}, part))
    for wrong in (
        [0, 7],
        [1, 2, 3, 4, 50],
        [0, 9, 7, 30, 50],
        [0, 7, 7, 30, 49],
        [[0, 50]],
        [0.0, 7, 7, 30, 50],
    ):
        with pytest.raises(InputError):
            model.score({"user": people}, candidates, offsets=wrong)


def test_no_candidates(model: pi.Model, bundled: pi.Model) -> None:
    for one, (request, candidates) in ((model, sides(0)), (bundled, bundled_sides(0))):
        assert one.score(request, candidates).shape == (0,)
        assert one.top_k(request, candidates).count == 0
        assert one.prepare(list(request), list(candidates))(
            *request.values(), *candidates.values()
        ).shape == (0,)
    assert model.score({"user": np.empty(0, int)}, sides(0)[1], offsets=[0]).shape == (0,)
    assert several().score({}, {"x": np.empty((0, 1), np.float32)}, output="both").shape == (0, 2)


def test_no_candidates_where_the_width_is_only_known_at_run_time() -> None:
    nodes = [
        helper.make_node("Shape", ["other"], ["size"]),
        helper.make_node("Expand", ["x", "size"], ["y"]),
        helper.make_node("ReduceSum", ["y", "last"], ["total"]),
    ]
    proto = make_model(
        nodes,
        {"x": (FLOAT, ["N", 1]), "other": (FLOAT, ["N", "M"])},
        {"y": (FLOAT, None)},
        {"last": np.asarray([1])},
    )
    model = pi.load(proto.SerializeToString())
    given = {"x": np.empty((0, 1), np.float32), "other": np.empty((0, 4), np.float32)}
    assert model.score({}, given).shape[0] == 0
    call = model.prepare([], ["x", "other"])
    assert call(given["x"], given["other"]).shape[0] == 0
    x, other = np.ones((3, 1), np.float32), np.ones((3, 4), np.float32)
    assert model.score({}, {"x": x, "other": other}).shape == (3, 4)
    assert call(x, other).shape == (3, 4)


def test_output_by_name() -> None:
    model = several()
    x = np.float32([[-1.5], [0], [2.5]])
    made = model.run({"x": x})
    assert list(made) == ["whole", "score", "both", "wide"]
    assert [value.dtype.name for value in made.values()] == ["int64", "float32", "float32", "float64"]
    for name, value in made.items():
        scores = model.score({}, {"x": x}, output=name)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, value if name == "both" else value[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(model.score({}, {"x": x}), model.score({}, {"x": x}, output="score"))
    with pytest.raises(InputError, match="no such output"):
        model.score({}, {"x": x}, output="other")
    with pytest.raises(ShapeError, match="one score"):
        model.top_k({}, {"x": x}, output="both")
    assert model.top_k({}, {"x": x}, k=1, output="whole").ids.tolist() == [2]


def test_logit_is_the_score_without_the_sigmoid(model: pi.Model, bundled: pi.Model) -> None:
    for one, (request, candidates) in ((model, sides(20)), (bundled, bundled_sides(20))):
        logit = one.score(request, candidates, output="logit").astype(np.float64)
        np.testing.assert_allclose(1 / (1 + np.exp(-logit)), one.score(request, candidates), rtol=1e-5)


@pytest.mark.parametrize("output", [None, "logit"])
def test_prepared_calls_equal_score(model: pi.Model, bundled: pi.Model, output: str | None) -> None:
    for one, make in ((model, sides), (bundled, bundled_sides)):
        request, candidates = make(1)
        call = one.prepare(list(request), list(candidates), output=output)
        backwards = one.prepare(list(request)[::-1], list(candidates)[::-1], output=output)
        for count in (1, 3, 300, 2):
            request, candidates = make(count)
            expected = one.score(request, candidates, output=output)
            np.testing.assert_array_equal(call(*request.values(), *candidates.values()), expected)
            mirrored = (*list(request.values())[::-1], *list(candidates.values())[::-1])
            np.testing.assert_array_equal(backwards(*mirrored), expected)
            out = np.full(count, 7, np.float32)
            assert call(*request.values(), *candidates.values(), out=out) is out
            np.testing.assert_array_equal(out, expected)
            sparse = np.full(2 * count, 7, np.float32)
            call(*request.values(), *candidates.values(), out=sparse[::2])
            np.testing.assert_array_equal(sparse[::2], expected)
            assert (sparse[1::2] == 7).all()


@pytest.mark.parametrize("output", ["whole", "score", "both", "wide"])
def test_prepared_calls_for_any_output(output: str) -> None:
    model = several()
    x = np.float32([[-1.5], [0], [2.5]])
    expected = model.score({}, {"x": x}, output=output)
    call = model.prepare([], ["x"], output=output)
    np.testing.assert_array_equal(call(x), expected)
    out = np.empty_like(expected)
    assert call(x, out=out) is out
    np.testing.assert_array_equal(out, expected)
    with pytest.raises(ShapeError, match="out"):
        call(x, out=np.empty(4, np.float32))


def test_prepared_calls_with_strings() -> None:
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["word"],
            ["value"],
            domain="ai.onnx.ml",
            keys_strings=["a", "b"],
            values_floats=[1.5, 2.5],
        ),
        helper.make_node("Add", ["value", "x"], ["y"]),
    ]
    proto = make_model(
        nodes,
        {"word": (STRING, ["N"]), "x": (FLOAT, ["N"])},
        {"y": (FLOAT, ["N"])},
        domains={"ai.onnx.ml": 4},
    )
    model = pi.load(proto.SerializeToString())
    words, x = np.asarray(["b", "a", "b"]), np.float32([1, 2, 3])
    assert model.prepare([], ["word", "x"])(words, x).tolist() == [3.5, 3.5, 5.5]
    assert model.prepare(["word"], ["x"])(words[:1], x).tolist() == [3.5, 4.5, 5.5]
    with pytest.raises(RowCountError):
        model.prepare([], ["word", "x"])(words[:2], x)


def test_prepared_calls_refuse_what_does_not_fit(model: pi.Model) -> None:
    request, candidates = sides(5)
    arrays = [*request.values(), *candidates.values()]
    call = model.prepare(REQUESTS, CANDIDATES, max_rows=5)
    with pytest.raises(InputError, match="3 arrays"):
        call(*arrays[:2])
    with pytest.raises(ShapeError, match="at most 5"):
        call(*request.values(), *sides(6)[1].values())
    with pytest.raises(ShapeError, match="dense"):
        call(*arrays[:2], candidates["dense"][:, :2])
    with pytest.raises(DTypeError, match="item"):
        call(arrays[0], 3, arrays[2])
    with pytest.raises(ShapeError, match="item"):
        call(arrays[0], np.asarray(3), arrays[2])
    with pytest.raises(RowCountError):
        call(*arrays[:2], candidates["dense"][:4])
    with pytest.raises(InputError):
        call(*arrays[:2], "text")
    for out in (np.empty(4, np.float32), np.empty((5, 1), np.float32)):
        with pytest.raises(ShapeError, match="out"):
            call(*arrays, out=out)
    with pytest.raises(DTypeError, match="out"):
        call(*arrays, out=np.empty(5, np.float64))
    frozen = np.empty(5, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(InputError, match="writable"):
        call(*arrays, out=frozen)
    with pytest.raises(MissingInputError):
        model.prepare(REQUESTS, ["item"])
    with pytest.raises(InputError, match="both"):
        model.prepare(["user", "item"], CANDIDATES)
    np.testing.assert_array_equal(call(*arrays), model.score(request, candidates))


def test_one_line(model: pi.Model, tmp_path: Path) -> None:
    request, candidates = sides(6)
    expected = model.score(request, candidates)
    path = tmp_path / "model.onnx"
    path.write_bytes(ranker().SerializeToString())
    for source in (model, path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(pi.score(source, request, candidates), expected)
    np.testing.assert_array_equal(pi.score(path, request, candidates, threads=2), expected)
    logits = pi.score(path, request, candidates, output="logit")
    np.testing.assert_array_equal(logits, model.score(request, candidates, output="logit"))


def test_inputs_outputs_and_text(model: pi.Model) -> None:
    assert [(one.name, one.dtype) for one in model.inputs] == [
        ("user", "int64"),
        ("item", "int64"),
        ("dense", "float32"),
    ]
    assert model.inputs[2].shape == ("N", 3)
    (output,) = model.outputs
    assert (output.name, output.dtype, output.shape) == ("score", "float32", ("N", 1))
    text = repr(model)
    assert "user" in text
    assert "score" in text


def test_pickle_by_bytes_and_by_path(
    model: pi.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, candidates = sides(8)
    expected = model.score(request, candidates)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).score(request, candidates), expected)
    (tmp_path / "model.onnx").write_bytes(ranker().SerializeToString())
    monkeypatch.chdir(tmp_path)
    stored = pickle.dumps(pi.load("model.onnx", threads=2))
    assert len(stored) < 1000
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(pickle.loads(stored).score(request, candidates), expected)


def test_explain_says_what_is_done_once(model: pi.Model, bundled: pi.Model) -> None:
    explanation = model.explain(REQUESTS)
    assert isinstance(explanation.as_dict(), dict)
    text = str(explanation)
    assert "user" in text
    assert "Gather" in text
    assert str(model.explain()) != text
    assert "Sigmoid" not in str(model.explain(REQUESTS, output="logit"))
    assert str(bundled.explain(list(bundled_sides(1)[0])))
    with pytest.raises(InputError):
        model.explain(["nobody"])


def test_wrong_arguments(model: pi.Model, tmp_path: Path) -> None:
    request, candidates = sides(4)
    with pytest.raises(InputError, match="threads"):
        pi.load(MODEL, threads=0)
    with pytest.raises(ModelError):
        pi.load(b"no model")
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        pi.load(tmp_path / "absent.onnx")
    with pytest.raises(MissingInputError, match="dense"):
        model.score(request, {"item": candidates["item"]})
    with pytest.raises(InputError, match="both"):
        model.score({**request, **candidates}, candidates)
