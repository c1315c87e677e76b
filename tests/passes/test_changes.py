"""`explain(passes=True)`: what each step changed, as it was when the model was compiled."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from support.dot_models import dlrm, sides
from support.models import COLUMNS, FLOAT, listwise, make_model, matrix_ranker, ranker

import pyrec_infer as pi
from pyrec_infer import cli
from pyrec_infer.bundled import MODEL, items, users
from pyrec_infer.errors import ModelError
from pyrec_infer.formats import origin

BUNDLED = list(users(1, 1)[0].request)


def wide(width: int = 64) -> onnx.ModelProto:
    """Dense layers that are worth another precision."""
    nodes = [
        helper.make_node("MatMul", ["u", "a"], ["x"]),
        helper.make_node("MatMul", ["i", "b"], ["z"]),
        helper.make_node("Add", ["x", "z"], ["s"]),
        helper.make_node("Relu", ["s"], ["h"]),
        helper.make_node("MatMul", ["h", "c"], ["g"]),
        helper.make_node("Relu", ["g"], ["r"]),
        helper.make_node("MatMul", ["r", "d"], ["p"]),
    ]
    rng = np.random.default_rng(1)
    constants = {
        name: rng.normal(0, 1, (width, 1 if name == "d" else width)).astype(np.float32) for name in "abcd"
    }
    inputs = {"u": (FLOAT, ["N", width]), "i": (FLOAT, ["N", width])}
    return make_model(nodes, inputs, {"p": (FLOAT, ["N", 1])}, constants)


def loaded(made: onnx.ModelProto, **options: Any) -> pi.Model:
    return pi.load(made.SerializeToString(), **options)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "logit": (lambda: pi.load(MODEL), {"request": BUNDLED, "output": "logit"}),
    "whole": (lambda: loaded(ranker()), {}),
    "columns": (lambda: loaded(matrix_ranker(), columns={"X": COLUMNS}), {"request": ["user", "city"]}),
    "further inputs": (lambda: loaded(ranker()), {"request": ["user"], "by": "score * price"}),
    "narrow layers": (lambda: loaded(wide(), precision="int8"), {"request": ["u"], "output": "p"}),
    "moved rows": (lambda: loaded(listwise("B", False)), {"request": ["u"], "output": "p"}),
}


@pytest.mark.parametrize("name", CASES)
def test_changes_lead_from_the_file_to_the_plan(name: str) -> None:
    make, options = CASES[name]
    model = make()
    plain, made = model.explain(**options), model.explain(**options, passes=True)
    data = made.as_dict()
    steps = [step for step in data.pop("passes") if not step["calls"]]
    assert data == plain.as_dict()
    assert str(made).startswith(str(plain))
    assert len({step["stage"] for step in steps}) > 1
    for before, after in pairwise(steps):
        assert after["before"]["nodes"] == before["after"]["nodes"]
    work = {rate: work["flops"] for rate, work in data["work"].items()}
    assert {rate: steps[-1]["after"][rate] for rate in work} == work


CATALOGUES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "bundled": (lambda: pi.load(MODEL), tuple(items(1))),
    "narrow layers": (lambda: loaded(wide(), precision="int8"), ("i",)),
    "folded dots": (lambda: pi.load(dlrm()), tuple(sides(1)[1])),
}


@pytest.mark.parametrize("name", CATALOGUES)
def test_changes_lead_from_the_model_to_a_catalogues_plan(name: str) -> None:
    make, own = CATALOGUES[name]
    model = make()
    rows = {
        item.name: np.zeros([size if isinstance(size, int) else 2 for size in item.shape or ()], item.dtype)
        for item in model.inputs
        if item.name in own
    }
    catalog = model.catalog(rows)
    plain, made = catalog.explain(), catalog.explain(passes=True)
    data = made.as_dict()
    steps = [step for step in data.pop("passes") if not step["calls"]]
    assert data == plain.as_dict()
    assert str(made).startswith(str(plain))
    assert "separate_items" in [step["step"] for step in steps]
    for before, after in pairwise(steps):
        assert after["before"]["nodes"] == before["after"]["nodes"]
    work = {rate: work["flops"] for rate, work in data["work"].items()}
    assert {rate: steps[-1]["after"][rate] for rate in work} == work


@pytest.mark.parametrize(("name", "step"), [("columns", "split_columns"), ("further inputs", "add_inputs")])
def test_what_callers_add_is_a_step(name: str, step: str) -> None:
    make, options = CASES[name]
    assert step in [item["step"] for item in make().explain(**options, passes=True).as_dict()["passes"]]


def test_steps_of_calls_that_are_spared_others_are_listed() -> None:
    explanation = pi.load(dlrm()).explain(sides(1)[0], output="score", passes=True)
    made = explanation.as_dict()
    (folded,) = [step for step in made["passes"] if step["step"] == "fold_dots"]
    (few, *_) = [step for step in made["passes"] if step["calls"]]
    assert (folded["calls"], few["calls"]) == ([], ["few candidates"])
    assert few["before"]["pair"] == folded["before"]["pair"] > folded["after"]["pair"]
    assert "for few candidates" in str(explanation)


def test_nothing_is_compiled_again_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(ranker())

    def refuse(*given: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(origin, "import_model", refuse)
    assert "passes" not in model.explain().as_dict()
    with pytest.raises(AssertionError, match="read again"):
        model.explain(passes=True)


def test_a_file_that_has_changed_is_not_explained(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(ranker().SerializeToString())
    model = pi.load(path)
    assert model.explain(passes=True)
    for other in (wide(), wide(32)):
        path.write_bytes(other.SerializeToString())
        with pytest.raises(ModelError, match="has changed since it was loaded"):
            model.explain(passes=True)
        model = pi.load(path)


def test_the_command_line_lists_passes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(ranker().SerializeToString())
    assert cli.main(["explain", str(path), "--passes", "--request", "user"]) == 0
    text = capsys.readouterr().out
    assert "fuse_dense" in text[text.index("Passes: ") :]
    assert cli.main(["explain", str(path)]) == 0
    assert "Passes: " not in capsys.readouterr().out
