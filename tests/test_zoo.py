"""Every exported model of the shared zoo against the original framework's numbers."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ZOO_ROWS, shared_folder

import pyrec_infer as pi
from pyrec_infer.errors import InputError, UnsupportedModelError

ZOO = shared_folder() / "zoo"
MODELS = sorted(path.name for path in (ZOO / "models").glob("*")) if ZOO.is_dir() else []
INVALID = sorted(path.name for path in (ZOO / "invalid").glob("*")) if ZOO.is_dir() else []

Arrays = dict[str, np.ndarray[Any, Any]]

# Another order of operations may round a float16 to its neighbour: two units in the last place at 1.
FLOAT16 = {"rtol": 0.0, "atol": 2 * 2.0**-11}


def tolerance_of(name: str) -> dict[str, float]:
    """1e-5 relative, and the absolute error that the zoo names for a model of these outputs."""
    if "fp16" in name:
        return FLOAT16
    meta = json.loads((ZOO / "models" / name / "meta.json").read_text())
    return {"rtol": 1e-5, "atol": min(meta["suggest_atol"], 1e-3)}


def arrays_of(name: str, kind: str) -> Arrays:
    path = ZOO / "models" / name / f"{kind}.npz"
    with np.load(path) as stored:
        return {key: stored[key] for key in stored.files}


def difference(name: str, actual: Arrays, expected: Arrays) -> float:
    """Check that all expected outputs are there and equal; the largest difference."""
    worst = 0.0
    for key, wanted in expected.items():
        if key.endswith("__zipmap_keys"):
            continue
        made = actual[key.removesuffix("__zipmap_values")]
        assert made.shape == wanted.shape, key
        if wanted.dtype.kind == "U":
            np.testing.assert_array_equal(made, wanted)
            continue
        np.testing.assert_allclose(
            made.astype(np.float64), wanted.astype(np.float64), **tolerance_of(name), err_msg=key
        )
        gap = np.abs(made.astype(np.float64) - wanted.astype(np.float64))
        worst = max(worst, float(np.nanmax(gap, initial=0.0)))
    return worst


def runners(model: pi.Model) -> set[tuple[str, str]]:
    """(runner, operator) of every step of every phase."""
    phases = model.explain().as_dict()["phases"]
    return {(step["runner"], step["operator"]) for phase in phases for step in phase["steps"]}


@pytest.mark.skipif(not MODELS, reason=f"no zoo at {ZOO} (set PYREC_INFER_SHARED)")
@pytest.mark.parametrize("name", MODELS or ["none"])
def test_model_equals_its_framework(name: str, backend: str) -> None:
    start = time.perf_counter()
    model = pi.load(ZOO / "models" / name / "model.onnx")
    worst = difference(name, model.run(arrays_of(name, "inputs")), arrays_of(name, "expected"))
    if (ZOO / "models" / name / "inputs_b1.npz").exists():
        single = model.run(arrays_of(name, "inputs_b1"))
        worst = max(worst, difference(name, single, arrays_of(name, "expected_b1")))
    used = runners(model)
    assert not [operator for runner, operator in used if runner == "onnxruntime"]
    references = sorted(operator for runner, operator in used if runner == "numpy")
    if backend != "numba":
        assert not references, "every step between strings has a C++ form"
    status = "native" if not references else f"{backend} with NumPy's {len(references)} other operators"
    data = model.explain().as_dict()
    if data["prologue"] or data["epilogue"]:
        status += ", strings in Python"
    ZOO_ROWS.append((name, status, worst, time.perf_counter() - start))


def row_axes(model: pi.Model) -> dict[str, int]:
    return {item.name: item.shape.index("N") for item in model.inputs if "N" in item.shape}


def check_split(name: str, model: pi.Model, inputs: Arrays, request: tuple[str, ...], row: int = 3) -> None:
    """Scores with one row of some inputs as the request equal the full batch with that row repeated."""
    axes = row_axes(model)
    count = next(inputs[key].shape[axis] for key, axis in axes.items())
    own = {key: np.take(inputs[key], [row], axis=axes[key]) for key in request}
    others = {key: value for key, value in inputs.items() if key not in request}
    if not any(key in axes for key in others):
        if others:
            return  # what is left has lengths of its own, so nothing tells the number of candidates
        count = 1
    full = {**others, **{key: np.repeat(value, count, axis=axes[key]) for key, value in own.items()}}
    output = next(
        (item.name for item in model.outputs if item.dtype.startswith("float")), model.outputs[0].name
    )
    try:
        expected = model.run(full)[output].astype(np.float32)
        actual = model.score(own, others, output=output)
    except InputError:
        # A list apart from what tells the rows' parts in it, or with another row's bounds.
        if all(key in axes for key in inputs):
            raise
        return
    if expected.shape[1:] == (2,) and actual.ndim == 1:
        expected = expected[:, 1]  # the probability of a binary classifier
    np.testing.assert_allclose(
        actual.reshape(expected.shape), expected, **tolerance_of(name), err_msg=f"request: {request}"
    )


def load_by_column(name: str) -> tuple[pi.Model, Arrays]:
    """A model and its inputs; a matrix that is its only input comes apart, so that each column has a side."""
    path = ZOO / "models" / name / "model.onnx"
    model = pi.load(path)
    inputs = arrays_of(name, "inputs")
    matrix = next(
        (item for item in model.inputs if len(item.shape) == 2 and isinstance(item.shape[1], int)), None
    )
    if len(model.inputs) == 1 and matrix is not None and matrix.shape[1] != 1:
        labels = [f"column {i}" for i in range(int(matrix.shape[1]))]
        model = pi.load(path, columns={matrix.name: labels})
        inputs = {label: inputs[matrix.name][:, i] for i, label in enumerate(labels)}
    return model, inputs


@pytest.mark.skipif(not MODELS, reason=f"no zoo at {ZOO} (set PYREC_INFER_SHARED)")
@pytest.mark.parametrize("name", MODELS or ["none"])
def test_every_split_equals_the_full_batch(name: str) -> None:
    model, inputs = load_by_column(name)
    axes = row_axes(model)
    if not axes:
        pytest.skip("the file fixes the batch to one row and has a single input")
    names = tuple(axes)
    # Passes, which splits are about, know no backend: where one is forced, the ends and the middle stand for
    # the single inputs.
    every = len(names) <= 3 or "PYREC_INFER_BACKEND" not in os.environ
    single = names if every else (names[0], names[len(names) // 2], names[-1])
    # A few exports squeeze a batch of one away; those cannot score a request without candidates.
    everything = [names] if (ZOO / "models" / name / "inputs_b1.npz").exists() else []
    for request in [*((key,) for key in single), names[1:], names[:-1], *everything]:
        if request:
            check_split(name, model, inputs, request)


@pytest.mark.skipif(not INVALID, reason=f"no zoo at {ZOO} (set PYREC_INFER_SHARED)")
@pytest.mark.parametrize("name", INVALID or ["none"])
def test_invalid_export_is_refused_with_advice(name: str) -> None:
    with pytest.raises(UnsupportedModelError, match=r"(?s)operators?: \w+.*(outside the graph|export)"):
        pi.load(ZOO / "invalid" / name / "model.onnx")


def test_zoo_is_complete() -> None:
    if not ZOO.is_dir():
        pytest.skip(f"no zoo at {ZOO} (set PYREC_INFER_SHARED)")
    listed = {json.loads((ZOO / "models" / name / "meta.json").read_text())["name"] for name in MODELS}
    assert listed == set(MODELS)
    assert all(Path(ZOO / "models" / name / "expected.npz").exists() for name in MODELS)
