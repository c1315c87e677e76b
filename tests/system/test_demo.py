"""The demonstration, the command line and the bundled users and items."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyrec_infer as pi
from pyrec_infer import cli, demo
from pyrec_infer.bundled import MODEL, SCHEMA, items, raw_items, raw_user, users


def test_demo_prints_ten_items_for_each_user_and_the_speed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--users", "2", "--candidates", "2000"]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^User (\d)", text, re.MULTILINE) == ["1", "2"]
    assert len(re.findall(r"^ +\d+ +#\d+ +[\d.]+ %$", text, re.MULTILINE)) == 20
    assert re.search(r"^The same model from raw rows.* men/|women/\d+ [\d.]+ %", text, re.MULTILINE)
    assert re.search(r"^  pyrec_infer +[\d.]+ ms +[\d.]+ M candidates/s$", text, re.MULTILINE)


def test_demo_with_fewer_candidates_than_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--users", "1", "--candidates", "3"]) == 0
    assert len(re.findall(r"^ +\d+ +#\d+ ", capsys.readouterr().out, re.MULTILINE)) == 3


def test_demo_shows_onnxruntime_where_it_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    demo.main(user_count=1, candidates=2000)
    text = capsys.readouterr().out
    assert len(re.findall(r"^  onnxruntime .*candidates/s$", text, re.MULTILINE)) == 2


def test_demo_without_onnxruntime(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    demo.main(user_count=1, candidates=100)
    assert "onnxruntime is not installed" in capsys.readouterr().out


def test_module_is_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pyrec_infer", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "numpy" in done.stdout
    assert "backend" in done.stdout


def test_explain_prints_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", str(MODEL)]) == 0
    text = capsys.readouterr().out
    assert "item_feature_1" in text
    assert "click" in text


def test_explain_of_something_else_is_a_message_not_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "notes.onnx"
    other.write_text("not a model")
    assert cli.main(["explain", str(other)]) == 1
    assert cli.main(["explain", str(tmp_path / "absent.onnx")]) == 1
    assert capsys.readouterr().err.count("pyrec-infer: ") == 2


@pytest.mark.parametrize("arguments", [[], ["demo", "--users", "0"], ["demo", "--candidates", "x"]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


def test_bundled_users_and_items_fit_the_model() -> None:
    model = pi.load(MODEL)
    (user,) = users(1, 50)
    given = {**user.request, **items(50), "affinity": user.affinity}
    assert set(given) == {info.name for info in model.inputs}
    scores = model.score(user.request, {**items(50), "affinity": user.affinity})
    assert scores.shape == (50,)
    assert np.all((scores > 0) & (scores < 1))


def test_bundled_users_and_items_are_the_same_each_time() -> None:
    for first, second in ((items(20), items(20)), (users(2, 20)[1].request, users(2, 20)[1].request)):
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name])
    assert items(0)["item_id"].shape == (0,)
    assert users(1, 0)[0].affinity.shape == (0, 1)


def test_bundled_raw_rows_fit_the_bundled_schema() -> None:
    model = pi.load(MODEL, schema=pi.Schema.load(SCHEMA))
    shop, user = raw_items(40), raw_user()
    scores = model.score(user, shop)
    assert scores.shape == (40,)
    assert np.all((scores > 0) & (scores < 1))
    assert model.top_k(user, shop, 3).ids.tolist() == np.argsort(-scores, kind="stable")[:3].tolist()
    clicks = {"affinity": [row["affinity"] for row in shop]}
    catalog = model.catalog([{k: v for k, v in row.items() if k != "affinity"} for row in shop])
    np.testing.assert_allclose(catalog.score(user, candidates=clicks), scores, rtol=1e-5)
    assert (raw_items(3), raw_user(5)) == (raw_items(3), raw_user(5))


def test_bundled_model_is_small() -> None:
    assert MODEL.stat().st_size < 300_000
