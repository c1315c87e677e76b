"""Every exported model of the shared zoo against the original framework's numbers."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from support.zoo import MODELS, ZOO, ZOO_ROWS, Arrays, Export, row_axes

import pyrec_infer as pi
from pyrec_infer.errors import InputError, UnsupportedModelError
from pyrec_infer.extension import VARIABLE

INVALID = sorted(path.name for path in (ZOO / "invalid").glob("*")) if ZOO.is_dir() else []


def difference(export: Export, actual: Arrays, expected: Arrays) -> float:
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
            made.astype(np.float64), wanted.astype(np.float64), **export.tolerance, err_msg=key
        )
        gap = np.abs(made.astype(np.float64) - wanted.astype(np.float64))
        worst = max(worst, float(np.nanmax(gap, initial=0.0)))
    return worst


def runners(model: pi.Model) -> set[tuple[str, str]]:
    """(runner, operator) of every step of every phase."""
    phases = model.explain().as_dict()["phases"]
    return {(step["runner"], step["operator"]) for phase in phases for step in phase["steps"]}


def test_model_equals_its_framework(export: Export, backend: str) -> None:
    model = export.model
    start = time.perf_counter()
    worst = difference(export, model.run(export.arrays("inputs")), export.arrays("expected"))
    if export.has("inputs_b1"):
        single = model.run(export.arrays("inputs_b1"))
        worst = max(worst, difference(export, single, export.arrays("expected_b1")))
    used = runners(model)
    assert not [operator for runner, operator in used if runner == "onnxruntime"]
    references = sorted(operator for runner, operator in used if runner == "numpy")
    if backend != "numba":
        assert not references, "every step between strings has a C++ form"
    status = "native" if not references else f"{backend} with NumPy's {len(references)} other operators"
    data = model.explain().as_dict()
    if data["prologue"] or data["epilogue"]:
        status += ", strings in Python"
    ZOO_ROWS.append((export.name, status, worst, export.loading + time.perf_counter() - start))


def check_split(export: Export, request: tuple[str, ...], row: int = 3) -> None:
    """Scores with one row of some inputs as the request equal the full batch with that row repeated."""
    model, inputs = export.by_column
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
    except InputError as error:
        # A list apart from what tells the rows' parts in it, or with another row's bounds: also where a file
        # gives lists and bounds the batch's axis.
        if all(key in axes for key in inputs) and "expected a bag whose end" not in str(error):
            raise
        return
    if expected.shape[1:] == (2,) and actual.ndim == 1:
        expected = expected[:, 1]  # the probability of a binary classifier
    np.testing.assert_allclose(
        actual.reshape(expected.shape), expected, **export.tolerance, err_msg=f"request: {request}"
    )


def test_every_split_equals_the_full_batch(export: Export) -> None:
    if VARIABLE in os.environ and export.is_exported_otherwise_too:
        pytest.skip("of two exports, a forced backend splits one")
    if export.twin is not None:
        pytest.skip(f"becomes the graph of {export.twin}")
    axes = row_axes(export.by_column[0])
    if not axes:
        pytest.skip("the file fixes the batch to one row and has a single input")
    names = tuple(axes)
    # A few exports squeeze a batch of one away; those cannot score a request without candidates.
    everything = [names] if export.has("inputs_b1") else []
    splits = [*((key,) for key in names), names[1:], names[:-1], *everything]
    if len(names) > 2 and VARIABLE in os.environ:
        # Passes, which splits are about, know no backend: where one is forced, few splits stand for all.
        splits = [(names[len(names) // 2],), names[:-1], *everything]
    for request in splits:
        if request:
            check_split(export, request)


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
