"""What a file is that is not the model one hoped for, by its content, and what to do about it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence

from pyrec_infer.errors import ModelError
from pyrec_infer.interrupts import let_interrupts_pass

_HEAD = 1 << 16
"""Bytes in which the words are looked for that tell one kind from another."""

_TORCH = "export the model with torch.onnx.export and load that file"
_KERAS = "export the model with Keras' model.export(path, format='onnx') or tf2onnx and load that file"
_TENSORFLOW = "convert it with tf2onnx (python -m tf2onnx.convert) and load that file"
_XGBOOST = "save the booster with save_model('model.json') and load that file"
_LIGHTGBM = "save the booster with save_model('model.txt') and load that file"
_XGBOOST_BINARY = (
    "an XGBoost model in its old binary format: load it with an XGBoost before 3.1, "
    "save it with save_model('model.json') and load that file"
)
_UNPICKLED = "Unpickling runs code, so it is not opened here; convert the object in it to ONNX and load that"


def _zip(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        let_interrupts_pass(error)
        return "a damaged or truncated zip archive: fetch it again"
    ends = {name.split("/", 1)[-1] for name in names}
    if "constants.pkl" in ends:
        return f"a TorchScript archive: {_TORCH}"
    if "data.pkl" in ends:
        return (
            f"a PyTorch checkpoint (a zip archive with a pickle): make the nn.Module, load it there, {_TORCH}"
        )
    if "archive_format" in ends or "archive_version" in ends:
        return f"a torch.export archive: {_TORCH}"
    if "model.weights.h5" in names and "config.json" in names:
        return f"a Keras model: {_KERAS}"
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive of arrays without a graph: export the whole model to ONNX"
    inside = [name for name in names if name.endswith(".onnx")]
    found = f" with {len(inside)} ONNX files" if inside else ""
    return f"a zip archive{found}: unpack it and load the ONNX file in it"


def _pickle(data: bytes) -> str:
    head = data[:_HEAD]
    for word, name, advice in (
        (b"lightgbm", "a LightGBM model", _LIGHTGBM),
        (b"xgboost", "an XGBoost model", _XGBOOST),
        (b"catboost", "a CatBoost model", "save it with save_model(path, format='onnx') and load that file"),
        (b"sklearn", "a scikit-learn model", "convert it with skl2onnx and load that file"),
        (b"torch", "a PyTorch object", _TORCH),
    ):
        if word in head:
            return f"a Python pickle, perhaps of {name}. Unpickling runs code, so it is not opened: {advice}"
    return f"a Python pickle. {_UNPICKLED}"


def _hdf5(data: bytes) -> str:
    if b"keras_version" in data or b"model_config" in data or b"layer_names" in data:
        return f"a Keras model in HDF5: {_KERAS}"
    return f"an HDF5 file: if it holds a Keras model, {_KERAS}"


def _json(data: bytes) -> str:
    head = data[:_HEAD]
    if b'"nodeid"' in head and b'"leaf"' in head:
        return f"a dump of XGBoost's trees, which lacks what is made of their sums: {_XGBOOST}"
    if b'"oblivious_trees"' in data or b'"features_info"' in head:
        return "a CatBoost model in JSON: save it with save_model(path, format='onnx') and load that file"
    if b'"tree_info"' in data:
        return f"a LightGBM model in JSON: {_LIGHTGBM}"
    return "a JSON file: it holds no ONNX model"


def _markup(data: bytes) -> str:
    head = data[:_HEAD].lower()
    if b"<html" in head or b"<!doctype html" in head:
        return "an HTML page, as a failed download leaves it: fetch the file again, logged in if need be"
    if b"<pmml" in head:
        return "a PMML model: export the model to ONNX"
    if b"<net " in head:
        return "an OpenVINO model: load the ONNX file that it was made from"
    if b"<error>" in head:
        return "an error message of a storage service in place of the file: fetch the file again"
    return "an XML file: it holds no ONNX model"


def _says(text: str) -> Callable[[bytes], str]:
    return lambda data: text


_PREFIXES: tuple[tuple[bytes, Callable[[bytes], str]], ...] = (
    (
        b"version https://git-lfs.github.com/spec/",
        _says("a Git LFS pointer in place of the file: run 'git lfs pull' in its repository"),
    ),
    (b"PK\x03\x04", _zip),
    (b"PK\x05\x06", _zip),
    (
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
        _says(f"a PyTorch checkpoint (a pickle): {_TORCH}"),
    ),
    (b"\x89HDF\r\n\x1a\n", _hdf5),
    (b"binf", _says(_XGBOOST_BINARY)),
    (b"bs64", _says(_XGBOOST_BINARY)),
    (b"CBM1", _says("a CatBoost model: save it with save_model(path, format='onnx') and load that file")),
    (b"GGUF", _says("a GGUF file of a language model, which is not a recommendation model in ONNX")),
    (b"\x93NUMPY", _says("a NumPy array without a graph: export the whole model to ONNX")),
    (b"PAR1", _says("a Parquet table: it holds data and no model")),
    (b"ARROW1", _says("an Arrow table: it holds data and no model")),
    (b"\x1f\x8b", _says("compressed with gzip: unpack it first")),
    (b"BZh", _says("compressed with bzip2: unpack it first")),
    (b"\xfd7zXZ\0", _says("compressed with xz: unpack it first")),
    (b"\x28\xb5\x2f\xfd", _says("compressed with zstd: unpack it first")),
    (b"\x78\x01", _says(f"compressed with zlib, as joblib writes pickles. {_UNPICKLED}")),
    (b"\x78\x9c", _says(f"compressed with zlib, as joblib writes pickles. {_UNPICKLED}")),
    (b"\x78\xda", _says(f"compressed with zlib, as joblib writes pickles. {_UNPICKLED}")),
    (b"<", _markup),
)

_FLATBUFFERS = {
    b"ORTM": "an ONNX Runtime model (.ort): load the ONNX file that it was made from",
    b"TFL3": f"a TensorFlow Lite model: {_TENSORFLOW}, from the model that it was made from",
}


def _is_xgboost_binary(data: bytes) -> bool:
    """Whether the name of a booster stands near the start, behind its length."""
    names = (b"gbtree", b"gblinear", b"dart")
    return any(len(name).to_bytes(8, "little") + name in data[:1024] for name in names)


def _is_safetensors(data: bytes) -> bool:
    length = int.from_bytes(data[:8], "little")
    return len(data) > 8 and data[8:9] == b"{" and 2 <= length < 1 << 32


def _is_saved_model(data: bytes) -> bool:
    words = (b"serving_default", b"saved_model", b"VarHandleOp", b"StatefulPartitionedCall")
    return data[:1] == b"\x08" and any(word in data for word in words)


def _is_graph_def(data: bytes) -> bool:
    return data[:1] == b"\x0a" and b"Placeholder" in data and b"dtype" in data


def describe_content(data: bytes) -> str:
    """What the contents of a file are, to follow "is not an ONNX model, but"; empty if nobody knows.

    Parameters
    ----------
    data : bytes
        The whole file. Nothing in it is run or unpacked.

    Examples
    --------
    >>> describe_content(b"CBM1...").split(":")[0]
    'a CatBoost model'
    >>> describe_content(b"")
    ''
    """
    for prefix, describe in _PREFIXES:
        if data.startswith(prefix):
            return describe(data)
    if data[4:8] in _FLATBUFFERS:
        return _FLATBUFFERS[data[4:8]]
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _pickle(data)
    if data[257:262] == b"ustar":
        return "a tar archive: unpack it and load the ONNX file in it"
    if _is_xgboost_binary(data):
        return _XGBOOST_BINARY
    if _is_safetensors(data):
        return "a safetensors file of weights without a graph: export the whole model to ONNX"
    start = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<"):
        return _markup(data)
    if start.startswith((b"{", b"[")):
        return _json(data)
    if _is_saved_model(data):
        return f"a TensorFlow SavedModel's graph: {_TENSORFLOW}"
    if _is_graph_def(data):
        return f"a TensorFlow graph: {_TENSORFLOW}"
    return ""


def describe_folder(names: Sequence[str]) -> str:
    """What a folder with such entries is, and what to load instead."""
    if "saved_model.pb" in names:
        return f"a TensorFlow SavedModel: {_TENSORFLOW}"
    models = sorted(name for name in names if name.endswith(".onnx"))
    if models:
        return f"a folder: load the file {models[0]!r} in it"
    return "a folder, expected a regular file"


def not_a_model(data: bytes, where: str) -> ModelError:
    """The error for contents that no format takes; says what they are instead, where that is known.

    Parameters
    ----------
    data : bytes
    where : str
        What the file is called in messages.
    """
    found = describe_content(data)
    instead = f", but {found}" if found else ": it holds no graph, or it is truncated"
    return ModelError(f"{where} is not an ONNX model{instead}")


__all__ = ["describe_content", "describe_folder", "not_a_model"]
