"""What calls are given besides columns: models, names, options and their types."""

from __future__ import annotations

import pydoc
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from support.models import ranker

import pyrec_infer as pi
from pyrec_infer import errors
from pyrec_infer.codecs import PRECISIONS


def pretend(package: str, name: str) -> Any:
    base = type(name, (), {"__module__": f"{package}.deep"})
    return type("Ours", (base,), {"__module__": "ours"})()


@pytest.mark.parametrize(
    ("package", "name", "message"),
    [
        ("torch", "Module", "a PyTorch model.*torch.onnx.export"),
        ("keras", "Model", "a Keras model"),
        ("lightgbm", "Booster", "a LightGBM model.*model_to_string"),
        ("xgboost", "Booster", "an XGBoost model"),
        ("sklearn", "BaseEstimator", "a scikit-learn model.*skl2onnx"),
        ("onnx", "ModelProto", "SerializeToString"),
        ("elsewhere", "Model", "got Ours"),
    ],
)
def test_model_objects_are_told_apart(package: str, name: str, message: str) -> None:
    with pytest.raises(pi.InputError, match=f"^model: expected a path or bytes.*{message}"):
        pi.load(pretend(package, name))


def test_buffers_are_models_and_other_objects_are_not() -> None:
    data = ranker().SerializeToString()
    assert pi.load(bytearray(data)).inputs == pi.load(memoryview(data)).inputs  # type: ignore[arg-type]
    for wrong in (None, 5, [data]):
        with pytest.raises(pi.InputError, match=r"^model: expected a path or bytes"):
            pi.load(wrong)  # type: ignore[arg-type]


def test_every_error_is_at_the_top() -> None:
    for name in errors.__all__:
        assert getattr(pi, name) is getattr(errors, name)
        assert name in pi.__all__


def test_precisions_are_literals() -> None:
    hint, nothing = get_args(get_type_hints(pi.load)["precision"])
    assert get_origin(hint) is Literal
    assert nothing is type(None)
    assert get_args(hint) == PRECISIONS
    assert {"fp32", "bf16", "fp16", "int8"} <= set(PRECISIONS)


def test_help_shows_what_a_model_has() -> None:
    text = pydoc.render_doc(pi.Model, renderer=pydoc.plaintext)
    for name in ("inputs", "outputs", "precision"):
        assert isinstance(getattr(pi.Model, name), property)
        assert f"{name}\n" in text
