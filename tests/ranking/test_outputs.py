"""Which scores a call asks for: columns, several outputs at once, classes, and outputs that are none."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from support.models import FLOAT, INT64, make_model

import pyrec_infer as pi
from pyrec_infer.errors import DTypeError, InputError, ShapeError

WIDTH = 5


def tasks(seed: int = 0, hidden: int = 40) -> onnx.ModelProto:
    """Outputs ``both`` [N, 2], ``wide`` [N, 4] and ``one`` [N, 1] of one network of u [N, 5] and x [N, 5]."""
    generator = np.random.default_rng(seed)
    normal = lambda *shape: generator.normal(0, 0.4, shape).astype(np.float32)  # noqa: E731
    constants = {"w": normal(2 * WIDTH, hidden), "b": normal(hidden), "axis": np.asarray([1])}
    for name, width in (("both", 2), ("wide", 4), ("one", 1)):
        constants.update({f"{name}/w": normal(hidden, width), f"{name}/b": normal(width)})
    nodes = [
        helper.make_node("Concat", ["u", "x"], ["ux"], axis=1),
        helper.make_node("Gemm", ["ux", "w", "b"], ["g"]),
        helper.make_node("Relu", ["g"], ["h"]),
    ]
    for name in ("both", "wide", "one"):
        nodes.append(helper.make_node("Gemm", ["h", f"{name}/w", f"{name}/b"], [f"{name}/g"]))
        nodes.append(helper.make_node("Sigmoid", [f"{name}/g"], [name]))
    inputs = {"u": (FLOAT, ["N", WIDTH]), "x": (FLOAT, ["N", WIDTH])}
    outputs = {"both": (FLOAT, ["N", 2]), "wide": (FLOAT, ["N", 4]), "one": (FLOAT, ["N", 1])}
    return make_model(nodes, inputs, outputs, constants)


def data(rows: int, seed: int = 1) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A request, candidates, and the batch that repeats the request."""
    generator = np.random.default_rng(seed)
    u, x = generator.normal(0, 1, (1, WIDTH)), generator.normal(0, 1, (rows, WIDTH))
    request, candidates = {"u": u.astype(np.float32)}, {"x": x.astype(np.float32)}
    return request, candidates, {"u": np.repeat(request["u"], rows, axis=0), **candidates}


def wanted_of(batch: dict[str, Any], key: Any) -> Any:
    name, column = key if isinstance(key, tuple) else (key, 0)
    return batch[name].reshape(len(batch[name]), -1)[:, column]


keys = st.lists(
    st.sampled_from(
        [("both", 0), ("both", 1), ("both", -1), ("wide", 3), ("wide", 2), "one", ("one", 0), "logit"]
    ),
    min_size=1,
    max_size=6,
    unique=True,
)


def test_a_list_equals_each_alone() -> None:
    model = pi.load(tasks().SerializeToString())
    request, candidates, full = data(33)
    batch = model.run(full)
    items = model.catalog(candidates, output=[("both", 1), "one", ("wide", -2)])

    @settings(max_examples=25, deadline=None)
    @given(keys)
    def check(asked: list[Any]) -> None:
        made = model.score(request, candidates, output=asked)
        assert list(made) == asked
        again = model.score(request, candidates, output=asked)
        call = model.prepare(["u"], ["x"], output=asked)
        prepared = call(request["u"], candidates["x"])
        for key in asked:
            alone = model.score(request, candidates, output=key)
            assert made[key].shape == alone.shape == (33,)
            for other in (made[key], again[key], prepared[key]):  # type: ignore[call-overload]
                np.testing.assert_allclose(other, alone, rtol=1e-5, atol=1e-6)
            if key != "logit":
                np.testing.assert_allclose(alone, wanted_of(batch, key), rtol=1e-5, atol=1e-6)

    check()
    found = items.score(request)
    for key, scores in found.items():
        np.testing.assert_allclose(scores, wanted_of(batch, key), rtol=1e-5, atol=1e-6)
    with pytest.raises(ShapeError, match="one score for each item"):
        items.top_k(request)
    with pytest.raises(InputError, match="'out'"):
        model.prepare(["u"], ["x"], output=["one"])(*request.values(), *candidates.values(), out=np.empty(33))


def steps_of(model: pi.Model, output: Any) -> list[dict[str, Any]]:
    phases = model.explain(["u"], output=output).as_dict()["phases"]
    return [step for phase in phases for step in phase["steps"]]


def test_several_outputs_are_computed_in_one_call() -> None:
    model = pi.load(tasks().SerializeToString())
    products = [step["operator"] for step in steps_of(model, [("both", 1), ("wide", 0), "one"])]
    alone = [step["operator"] for step in steps_of(model, "one")]
    # The hidden layer, shared, and a last layer for each.
    assert products.count("pyrec.Dense") == alone.count("pyrec.Dense") + 2


def test_dead_columns_are_not_computed() -> None:
    model = pi.load(tasks().SerializeToString())
    one = [step["operator"] for step in steps_of(model, ("wide", 2))]
    all_of_them = [step["operator"] for step in steps_of(model, "wide")]
    assert "Gather" not in one
    assert one.count("pyrec.Dense") == all_of_them.count("pyrec.Dense")


def test_top_k_needs_one_score() -> None:
    model = pi.load(tasks().SerializeToString())
    request, candidates, full = data(20)
    batch = model.run(full)
    best = model.top_k(request, candidates, k=3, output=("wide", 1))
    assert best.ids.tolist() == np.argsort(-batch["wide"][:, 1], kind="stable")[:3].tolist()
    with pytest.raises(ShapeError, match=r'output \'wide\' has shape \[N, 4\].*output=\("wide", 0\)'):
        model.top_k(request, candidates, output="wide")
    with pytest.raises(InputError, match="got a list"):
        model.top_k(request, candidates, output=["one"])  # type: ignore[arg-type]
    assert (
        model.top_k(request, candidates, k=3).ids.tolist()
        == model.top_k(request, candidates, k=3, output="one").ids.tolist()
    )


@pytest.mark.parametrize(
    ("output", "error", "reason"),
    [
        ("none", InputError, "no such output"),
        (("none", 0), InputError, "no such output"),
        (("wide", 4), InputError, "no column 4"),
        (("wide", -5), InputError, "no column -5"),
        (("wide", 1.0), DTypeError, "number of a column"),
        (("wide", True), DTypeError, "number of a column"),
        (("wide", 0, 1), DTypeError, "a name, a"),
        (3, DTypeError, "a name, a"),
        ({}, DTypeError, "a name, a"),
        ([], InputError, "1 to 64"),
        (["wide"], ShapeError, "name a column"),
        (["one", "one"], InputError, "twice"),
        ([["one"]], DTypeError, "a name, a"),
    ],
)
def test_what_is_no_output(output: Any, error: type[Exception], reason: str) -> None:
    model = pi.load(tasks().SerializeToString())
    request, candidates, _ = data(4)
    for call in (
        lambda: model.score(request, candidates, output=output),
        lambda: model.prepare(["u"], ["x"], output=output),
        lambda: model.catalog(candidates, output=output),
        lambda: model.explain(["u"], output=output),
    ):
        with pytest.raises(error, match=reason):
            call()


def classes(count: int, spelling: str) -> onnx.ModelProto:
    """Probabilities of classes as different exporters write them."""
    generator = np.random.default_rng(count)
    constants = {"w": generator.normal(0, 1, (WIDTH, count)).astype(np.float32), "one": np.float32([1])}
    outputs: dict[str, Any] = {"p": (FLOAT, ["N", count])}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["g"])]
    domains = {}
    if spelling == "softmax":
        nodes += [
            helper.make_node("Softmax", ["g"], ["s"], axis=-1),
            helper.make_node("Mul", ["s", "one"], ["p"]),
        ]
    elif spelling == "labelled":
        nodes += [
            helper.make_node("Exp", ["g"], ["e"]),
            helper.make_node("Identity", ["e"], ["p"]),
            helper.make_node("ArgMax", ["e"], ["label"], axis=1, keepdims=0),
        ]
        outputs = {"label": (INT64, ["N"]), **outputs}
    elif spelling == "complement":
        constants["w"] = constants["w"][:, :1]
        nodes += [
            helper.make_node("Sigmoid", ["g"], ["s"]),
            helper.make_node("Sub", ["one", "s"], ["q"]),
            helper.make_node("Concat", ["q", "s"], ["p"], axis=1),
        ]
    else:
        domains = {"ai.onnx.ml": 3}
        nodes = [
            helper.make_node(
                "LinearClassifier",
                ["x"],
                ["label", "z"],
                domain="ai.onnx.ml",
                coefficients=constants["w"].T.reshape(-1).tolist(),
                intercepts=[0.1] * count,
                classlabels_ints=list(range(count)),
                post_transform="SOFTMAX",
            ),
            helper.make_node("Normalizer", ["z"], ["p"], domain="ai.onnx.ml", norm="L1"),
        ]
        outputs = {"label": (INT64, ["N"]), **outputs}
    return make_model(nodes, {"x": (FLOAT, ["N", WIDTH])}, outputs, constants, domains=domains)


@pytest.mark.parametrize("spelling", ["softmax", "labelled", "complement", "classifier"])
def test_two_classes_mean_the_second(spelling: str) -> None:
    model = pi.load(classes(2, spelling).SerializeToString())
    _, candidates, _ = data(9)
    expected = model.run(candidates)["p"][:, 1]
    for output in (None, "p", ("p", 1), ("p", -1)):
        scores = model.score({}, candidates, output=output)
        np.testing.assert_allclose(scores, expected, rtol=1e-6)
        assert scores.shape == (9,)
        assert model.prepare([], ["x"], output=output)(candidates["x"]).shape == (9,)
        assert model.catalog(candidates, output=output).top_k({}, 1).ids[0] == expected.argmax()
    first = model.score({}, candidates, output=("p", 0))
    if spelling != "labelled":
        np.testing.assert_allclose(first, 1 - expected, rtol=1e-5, atol=1e-6)
    best = model.top_k({}, candidates, k=1, by="1 - p")
    assert best.ids[0] == expected.argmin()


@pytest.mark.parametrize("spelling", ["softmax", "labelled", "classifier"])
def test_more_classes_need_a_column(spelling: str) -> None:
    model = pi.load(classes(3, spelling).SerializeToString())
    _, candidates, _ = data(9)
    for call in (
        lambda: model.score({}, candidates),
        lambda: model.top_k({}, candidates, output="p"),
        lambda: model.prepare([], ["x"]),
        lambda: model.catalog(candidates),
    ):
        with pytest.raises(ShapeError, match=r'\[N, 3\], a column for each of 3 classes.*output=\("p", 0\)'):
            call()
    np.testing.assert_allclose(
        model.score({}, candidates, output=("p", 2)), model.run(candidates)["p"][:, 2], rtol=1e-6
    )


def test_two_tasks_are_no_classes() -> None:
    model = pi.load(tasks().SerializeToString())
    request, candidates, full = data(6)
    np.testing.assert_allclose(
        model.score(request, candidates, output="both"), model.run(full)["both"], rtol=1e-5
    )


def without_rows() -> pi.Model:
    nodes = [
        helper.make_node("Identity", ["stored"], ["constant"]),
        helper.make_node("ReduceMean", ["x", "first"], ["mean"], keepdims=0),
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=1),
        helper.make_node("ReduceSum", ["x", "last"], ["score"], keepdims=0),
    ]
    proto = make_model(
        nodes,
        {"x": (FLOAT, ["N", WIDTH])},
        dict.fromkeys(("constant", "mean", "total", "score"), (FLOAT, None)),
        {"stored": np.arange(7, dtype=np.float32), "first": np.asarray([0]), "last": np.asarray([1])},
    )
    return pi.load(proto.SerializeToString())


@pytest.mark.parametrize(("name", "shape"), [("constant", "[7]"), ("mean", "[5]"), ("total", "[1, 1]")])
@pytest.mark.parametrize("rows", [1, 3, 5, 7])
def test_an_output_that_is_not_by_row_is_no_score(name: str, shape: str, rows: int) -> None:
    model = without_rows()
    _, candidates, _ = data(rows)
    for call in (
        lambda: model.score({}, candidates, output=name),
        lambda: model.score({}, candidates, output=(name, 0)),
        lambda: model.score({}, candidates, output=["score", name]),
        lambda: model.top_k({}, candidates, output=name),
        lambda: model.top_k({}, candidates, by=f"score * {name}"),
        lambda: model.prepare([], ["x"], output=name),
        lambda: model.catalog(candidates, output=name),
    ):
        with pytest.raises(ShapeError) as caught:
            call()
        assert f"output '{name}' has shape {shape}" in str(caught.value)
    assert str(list(model.run(candidates)[name].shape)) == shape
    assert model.score({}, candidates).shape == (rows,)


def test_by_in_models_and_catalogues() -> None:
    model = pi.load(tasks().SerializeToString())
    request, candidates, full = data(40)
    batch = model.run(full)
    price = np.random.default_rng(3).lognormal(0, 1, 40).astype(np.float32)
    expected = batch["one"][:, 0] * batch["wide"][:, 1] ** 0.5 * price + request["u"][0, 2]
    by = "one * wide[1] ** 0.5 * price + u[2]"
    order = np.argsort(-expected, kind="stable")[:5]
    best = model.top_k(request, {**candidates, "price": price}, k=5, by=by)
    assert best.ids.tolist() == order.tolist()
    np.testing.assert_allclose(best.scores, expected[order], rtol=1e-5)
    stored = model.catalog({**candidates, "price": price}, by=by)
    np.testing.assert_allclose(stored.score(request), expected, rtol=1e-5)
    late = model.catalog(candidates, candidates=["price"], by=by)
    np.testing.assert_allclose(
        late.top_k(request, 5, candidates={"price": price}).scores, expected[order], rtol=1e-5
    )
    asked = model.top_k({**request, "factor": 2.0}, candidates, k=1, by="one * factor")
    np.testing.assert_allclose(asked.scores, 2 * batch["one"].max(), rtol=1e-5)
    assert "Pow" in str(model.explain(["u"], by=by))


def test_names_of_hidden_values_are_free() -> None:
    model = pi.load(tasks().SerializeToString())
    request, candidates, full = data(10)
    weights = np.arange(10, dtype=np.float32)
    best = model.top_k(request, {**candidates, "h": weights, "w": weights}, k=10, by="one * h + w")
    expected = model.run(full)["one"][:, 0] * weights + weights
    np.testing.assert_allclose(best.scores, np.sort(expected)[::-1], rtol=1e-5)


def test_nan_ranks_last() -> None:
    model = pi.load(tasks().SerializeToString())
    request, candidates, _ = data(10)
    price = np.where(np.arange(10) % 2, np.float32(1), np.float32(np.nan))
    best = model.top_k(request, {**candidates, "price": price}, k=10, by="one * price")
    assert not np.isnan(best.scores[:5]).any()
    assert np.isnan(best.scores[5:]).all()


def test_every_order_of_names_is_one_call() -> None:
    model = pi.load(tasks().SerializeToString())
    request, candidates, _ = data(5)
    names = [("both", 0), ("wide", 1), "one"]
    Random(0).shuffle(names)
    first = model.score(request, candidates, output=names)
    second = model.score(request, candidates, output=names[::-1])
    assert {key: value.tolist() for key, value in first.items()} == {
        key: value.tolist() for key, value in second.items()
    }


@pytest.mark.filterwarnings("ignore:these operators run in onnxruntime")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_no_label_is_taken_for_a_score(precision: Any) -> None:
    """What onnxruntime alone can run does not say what it makes."""
    attributes = {
        "domain": "ai.onnx.ml",
        "kernel_type": "LINEAR",
        "kernel_params": [0.0, 0.0, 0.0],
        "coefficients": [0.5] * WIDTH + [-0.5] * WIDTH,
        "classlabels_ints": [0, 1],
        "rho": [0.0],
    }
    node = helper.make_node("SVMClassifier", ["x"], ["label", "margins"], **attributes)
    outputs = {"label": (INT64, ["N"]), "margins": (FLOAT, ["N", 2])}
    proto = make_model([node], {"x": (FLOAT, ["N", WIDTH])}, outputs, domains={"ai.onnx.ml": 1})
    model = pi.load(proto.SerializeToString(), precision=precision)
    x = data(3)[1]
    with pytest.raises(InputError, match=r"output: expected one by name.*'label', 'margins'"):
        model.score({}, x)
    assert np.array_equal(model.score({}, x, output="margins"), model.run(x)["margins"])
