"""What a model object of another package is, and what to do with it."""

from __future__ import annotations

import os
from typing import Any

from pyrec_infer.errors import InputError

_ONNX = "export it to ONNX and give the file's path or its bytes"

_KINDS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    ("torch", ("Module", "ScriptModule", "ExportedProgram"), "a PyTorch model", "torch.onnx.export"),
    ("keras", ("Model", "Layer"), "a Keras model", "model.export(path, format='onnx') or tf2onnx"),
    ("tensorflow", ("Module",), "a TensorFlow model", "tf2onnx"),
    ("tf_keras", ("Model", "Layer"), "a Keras model", "tf2onnx"),
    ("lightgbm", ("Booster", "LGBMModel"), "a LightGBM model", ""),
    ("xgboost", ("Booster", "XGBModel"), "an XGBoost model", ""),
    ("catboost", ("CatBoost",), "a CatBoost model", "model.save_model(path, format='onnx')"),
    ("sklearn", ("BaseEstimator",), "a scikit-learn model", "skl2onnx.to_onnx"),
    ("onnxruntime", ("InferenceSession",), "a session of onnxruntime", ""),
    ("onnx", ("ModelProto",), "an ONNX model in memory", ""),
)
"""Package, names of base classes, what it is, what exports it to ONNX."""

_GIVE = {
    "xgboost": "give its save_raw('json') (of a scikit-learn estimator, that of get_booster())",
    "lightgbm": "give its model_to_string().encode() (of a scikit-learn estimator, that of booster_)",
    "onnx": "give model.SerializeToString()",
    "onnxruntime": "give the file that it was made from",
}
"""What can be given in place of objects that need no export."""


def _of_package(kind: type[Any], package: str, names: tuple[str, ...]) -> bool:
    return any(
        base.__name__ in names and base.__module__.partition(".")[0] == package for base in kind.__mro__
    )


def model_source(model: Any) -> str | os.PathLike[str] | bytes:
    """A path or bytes as they are, other buffers as bytes.

    Raises
    ------
    InputError
        For anything else; it says what the object is and how to get a file of it.
    """
    if isinstance(model, (str, os.PathLike, bytes)):
        return model
    if isinstance(model, (bytearray, memoryview)):
        return bytes(model)
    expected = "model: expected a path or bytes of a file"
    for package, names, what, tool in _KINDS:
        if _of_package(type(model), package, names):
            advice = _GIVE.get(package, f"{_ONNX} (with {tool})")
            raise InputError(f"{expected}, got {what}: {advice}")
    if callable(getattr(model, "read", None)):
        raise InputError(f"{expected}, got an open file: give its path, or what read() returns")
    raise InputError(f"{expected}, got {type(model).__name__}")


__all__ = ["model_source"]
