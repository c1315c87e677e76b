"""Every small case of the shared folder: `run` against its framework, `score` against its split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.shared import shared_folder

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError

pytestmark = pytest.mark.filterwarnings("ignore:the file fixes the batch:RuntimeWarning")

CASES = shared_folder() / "cases"
NAMES = sorted(path.parent.name for path in CASES.glob("*/model.onnx"))

Arrays = dict[str, NDArray[Any]]


def stored(name: str, kind: str) -> Arrays | None:
    path = CASES / name / f"{kind}.npz"
    if not path.exists():
        return None
    with np.load(path) as found:
        return {key: found[key] for key in found.files}


def meta_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CASES / name / "meta.json").read_text())
    return found


def tolerance_of(name: str) -> dict[str, float]:
    meta = meta_of(name)
    return {"rtol": meta["rtol"], "atol": meta["atol"]}


def model_of(name: str) -> Path:
    return CASES / name / "model.onnx"


def split_of(name: str) -> tuple[Arrays, Arrays]:
    """The stored split, or row 0 of the request's inputs beside all rows of the others."""
    request, candidates = stored(name, "request"), stored(name, "candidates")
    if request is not None and candidates is not None:
        return request, candidates
    meta, given = meta_of(name), stored(name, "inputs")
    assert given is not None
    for matrix, labels in meta.get("columns", {}).items():
        values = given.pop(matrix)
        given.update((label, values[:, i]) for i, label in enumerate(labels))
    own = {key: value[:1] for key, value in given.items() if key in meta["request"]}
    return own, {key: value for key, value in given.items() if key not in own}


def load_split(name: str) -> pi.Model:
    return pi.load(model_of(name), columns=meta_of(name).get("columns"))


@pytest.mark.skipif(not NAMES, reason=f"no cases at {CASES} (set PYREC_INFER_SHARED)")
@pytest.mark.parametrize("name", NAMES or ["none"])
def test_run_equals_the_framework(name: str) -> None:
    inputs, expected = stored(name, "inputs"), stored(name, "expected")
    assert inputs is not None
    assert expected
    made = pi.load(model_of(name)).run(inputs)
    for key, wanted in expected.items():
        assert made[key].shape == wanted.shape
        np.testing.assert_allclose(made[key], wanted, **tolerance_of(name))


SPLIT = [name for name in NAMES if (CASES / name / "expected_split.npz").exists()]
REFUSED = ["negative_id_score"]
"""Whose request or candidates hold an id that is not one."""


@pytest.mark.skipif(not NAMES, reason=f"no cases at {CASES} (set PYREC_INFER_SHARED)")
@pytest.mark.parametrize("name", [name for name in SPLIT if name not in REFUSED] or ["none"])
def test_score_equals_the_repeated_request(name: str) -> None:
    expected = stored(name, "expected_split")
    assert expected is not None
    request, candidates = split_of(name)
    output = meta_of(name)["output"]
    scores = load_split(name).score(request, candidates, output=output)
    wanted = expected["score"]
    assert scores.shape == wanted.shape
    np.testing.assert_allclose(scores, wanted, **tolerance_of(name))


@pytest.mark.skipif(not NAMES, reason=f"no cases at {CASES} (set PYREC_INFER_SHARED)")
@pytest.mark.parametrize("name", REFUSED)
def test_score_refuses_ids_that_are_none(name: str) -> None:
    request, candidates = split_of(name)
    first = next(iter(candidates))
    candidates[first] = np.where(np.arange(len(candidates[first])) == 1, -1, candidates[first])
    with pytest.raises(IdRangeError, match=rf"'{first}'.*row 1"):
        load_split(name).score(request, candidates)
