"""What a file is that is no ONNX model, and files that are no regular ones, too big or changing."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import socket
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.models import FLOAT, one_node

import pyrec_infer as pi
from pyrec_infer.errors import InputError, ModelError, PyrecError, ResourceLimitError
from pyrec_infer.formats import FORMATS, describe_content, reading

ROWS = {"x": np.ones((2, 3), np.float32)}
WEIGHTS = np.asarray([1, 2, 3], np.float32)


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 40)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.onnx"))
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"

FILES: dict[str, tuple[bytes, str]] = {
    "git_lfs": (LFS, "Git LFS pointer.*git lfs pull"),
    "torch_zip": (zipped("m/data.pkl", "m/data/0", "m/version"), "PyTorch checkpoint.*torch.onnx.export"),
    "torch_script": (
        zipped("m/data.pkl", "m/constants.pkl", "m/code/m.py"),
        "TorchScript.*torch.onnx.export",
    ),
    "torch_export": (zipped("m/archive_format", "m/models/model.json"), "torch.export archive"),
    "torch_legacy": (
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2),
        "PyTorch checkpoint.*torch.onnx.export",
    ),
    "keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "Keras model.*tf2onnx"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 99 + b"keras_version", "Keras model in HDF5.*tf2onnx"),
    "numpy_zip": (zipped("a.npy", "b.npy"), "NumPy archive"),
    "zip": (zipped("folder/model.onnx"), "zip archive with 1 ONNX file.*unpack"),
    "cut_zip": (zipped("folder/model.onnx")[:-30], "truncated zip"),
    "saved_model": (b"\x08\x01\x12\x20\n\x08\n\x05serve\x12\x0fserving_default", "SavedModel.*tf2onnx"),
    "graph_def": (b"\x0a\x20\x0a\x01x\x12\x0bPlaceholder*\x0b\n\x05dtype", "TensorFlow graph.*tf2onnx"),
    "ort": (b"\x20\0\0\0ORTM" + b"\0" * 50, r"ONNX Runtime model \(\.ort\)"),
    "tflite": (b"\x20\0\0\0TFL3" + b"\0" * 50, "TensorFlow Lite"),
    "lightgbm_json": (b'{"name":"tree","tree_info":[]}', "LightGBM model in JSON.*save_model"),
    "xgboost_old": (b"binf" + b"\0" * 60, r"XGBoost model in its old binary.*save_model\('model.json'\)"),
    "xgboost_binary": (
        b"\0" * 136 + b"\x0f\0\0\0\0\0\0\0binary:logistic\x06\0\0\0\0\0\0\0gbtree" + b"\0" * 60,
        "XGBoost model in its old binary",
    ),
    "xgboost_dump": (b'[{"nodeid": 0, "leaf": 0.5}]', "a dump of XGBoost's trees"),
    "catboost": (b"CBM1" + b"\0" * 60, "CatBoost model.*save_model"),
    "catboost_json": (b'{"features_info":{},"oblivious_trees":[]}', "CatBoost model in JSON"),
    "pickle": (pickle.dumps({"a": 1}), "Python pickle.*runs code"),
    "pickled_xgboost": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x0fxgboost.sklearn", "XGBoost.*save_model"),
    "pickled_sklearn": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x0fsklearn.ensemble", "scikit-learn.*skl2onnx"),
    "joblib_zlib": (b"\x78\x9c" + b"\1" * 60, "zlib.*joblib"),
    "safetensors": ((16).to_bytes(8, "little") + b'{"a":{"dtype":"F32"}}', "safetensors"),
    "gzip": (gzip.compress(b"x" * 100), "gzip: unpack"),
    "tar": (tarred(), "tar archive"),
    "html": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "HTML page.*download"),
    "pmml": (b"<?xml version='1.0'?><PMML version='4.4'/>", "PMML"),
    "openvino": (b'<?xml version="1.0"?>\n<net name="m" version="11"/>', "OpenVINO"),
    "json": (b'{"a": 1}', "JSON file"),
    "npy": (b"\x93NUMPY\x01\0", "NumPy array"),
    "parquet": (b"PAR1" + b"\0" * 9, "Parquet"),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_error_says_what_a_file_is_by_its_content(tmp_path: Path, kind: str) -> None:
    data, message = FILES[kind]
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    for given_model in (path, data):
        with pytest.raises(ModelError, match=f"is not an ONNX model, but .*{message}"):
            pi.load(given_model)


def test_files_that_other_libraries_write(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.bin"
    for legacy in (False, True):
        torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(ModelError, match="PyTorch checkpoint"):
            pi.load(path)


def test_objects_in_place_of_files() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"PyTorch model.*torch.onnx.export"):
        pi.load(torch.nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"ONNX model in memory.*SerializeToString"):
        pi.load(onnx.ModelProto())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected a path or bytes of a file, got int"):
        pi.load(3)  # type: ignore[arg-type]


@pytest.mark.once
@given(st.binary(max_size=600), st.sampled_from([data for data, _ in FILES.values()]), st.integers(0, 80))
def test_any_bytes_can_be_described(tail: bytes, start: bytes, kept: int) -> None:
    assert isinstance(describe_content(start[:kept] + tail), str)


@pytest.mark.once
@given(st.binary(max_size=40), st.sampled_from([data for data, _ in FILES.values()]), st.integers(0, 80))
def test_any_bytes_can_be_asked_for_their_kind(tail: bytes, start: bytes, kept: int) -> None:
    assert {kind.identify(start[:kept] + tail) for kind in FORMATS} <= {True, False}


def test_the_kind_of_a_file_is_in_its_content_whatever_comes_before_the_graph() -> None:
    """Fields of a message may come in any order, and names of any length before the graph."""
    proto = one_node("Relu", {"x": (FLOAT, ["N", 3])})
    graph = onnx.ModelProto(graph=proto.graph).SerializeToString()
    proto.ClearField("graph")
    proto.producer_name, proto.doc_string = "p" * 300, "d" * 70000
    head = proto.SerializeToString()
    for data in (head + graph, graph + head):
        np.testing.assert_array_equal(pi.load(data).run(ROWS)["y"], ROWS["x"])
    with pytest.raises(ModelError, match="holds no graph, or it is truncated"):
        pi.load(head)


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder, expected a regular file"):
        pi.load(tmp_path)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ModelError, match=r"load the file 'model.onnx' in it"):
        pi.load(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelError, match=r"SavedModel.*tf2onnx"):
        pi.load(tmp_path)


def special(folder: Path, kind: str) -> str:
    """A path of a file that is no regular one; reading it would hang or never end."""
    path = folder / "special"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    else:
        return "/dev/zero"
    return str(path)


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_files_that_are_no_regular_ones(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ModelError, match=r"expected a regular file|cannot be read"):
        pi.load(special(tmp_path, kind))


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "a/" * 3000])
def test_names_that_no_file_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        pi.load(tmp_path / name)
    with pytest.raises(ModelError, match="external data"):
        pi.load(external(tmp_path / "model", name))


def test_sparse_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ResourceLimitError, match="1099511627776 bytes"):
        pi.load(path)


# External data


def external(folder: Path, location: str = "weights.bin", size: int = 3) -> Path:
    """A model ``y = x * weights`` whose weights are in another file; returns its path."""
    folder.mkdir(exist_ok=True)
    proto = one_node("Mul", {"x": (FLOAT, ["N", size])}, operands=["x", "weights"])
    tensor = onnx.TensorProto(
        name="weights", data_type=FLOAT, dims=[size], data_location=onnx.TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value=location)
    proto.graph.initializer.append(tensor)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_a_model_keeps_its_weights_when_their_file_changes(tmp_path: Path) -> None:
    path = external(tmp_path)
    weights = tmp_path / "weights.bin"
    weights.write_bytes(WEIGHTS.tobytes())
    model = pi.load(path)
    weights.write_bytes((-WEIGHTS).tobytes())
    np.testing.assert_array_equal(model.run(ROWS)["y"], ROWS["x"] * WEIGHTS)
    weights.write_bytes(b"")
    np.testing.assert_array_equal(model.run(ROWS)["y"], ROWS["x"] * WEIGHTS)


def test_a_mapped_file_is_not_copied(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    model = pi.load(path, mmap=True)
    np.testing.assert_array_equal(model.run(ROWS)["y"], ROWS["x"] * WEIGHTS)
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.run(ROWS)["y"], ROWS["x"] * WEIGHTS)


def test_more_than_is_copied_is_refused_unless_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = external(tmp_path)
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    monkeypatch.setattr(reading, "MAX_COPIED_BYTES", 11)
    with pytest.raises(ResourceLimitError, match=r"'weights'.*mmap=True"):
        pi.load(path)
    np.testing.assert_array_equal(pi.load(path, mmap=True).run(ROWS)["y"], ROWS["x"] * WEIGHTS)


def test_sparse_external_data_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = external(tmp_path, size=1 << 38)
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ResourceLimitError, match="'weights'"):
        pi.load(path)


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_external_data_that_are_no_regular_file(tmp_path: Path, kind: str) -> None:
    path = external(tmp_path, "special")
    special(tmp_path, kind)
    with pytest.raises(ModelError, match=r"expected a regular file|cannot be read"):
        pi.load(path)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = external(tmp_path)
    weights = tmp_path / "weights.bin"
    weights.write_bytes(WEIGHTS.tobytes())
    read = os.preadv

    def changing(descriptor: int, buffers: Any, offset: int) -> int:
        if os.fstat(descriptor).st_ino == weights.stat().st_ino:
            weights.write_bytes(b"")
        return read(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", changing)
    with pytest.raises(ModelError, match="became shorter"):
        pi.load(path)


# What a small file asks for


def bomb(op: str, count: int) -> bytes:
    """A small file whose Range is the shape of what follows it."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Range", ["one", "count", "one"], ["shape"]),
        helper.make_node(op, ["shape"] if op == "ConstantOfShape" else ["x", "shape"], ["y"], name="bomb"),
    ]
    numbers = {"one": 1, "count": count}
    graph = helper.make_graph(
        nodes,
        "bomb",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()],
    )
    data: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    return data


@pytest.mark.parametrize("op", ["ConstantOfShape", "Expand", "Reshape", "Tile"])
@pytest.mark.parametrize("count", [18, 10**6, 10**12])
def test_axes_are_counted_before_they_are_built(op: str, count: int) -> None:
    with pytest.raises(PyrecError, match=r"bomb.*at most 8 axes"):
        pi.load(bomb(op, count))


LOADING = """
import resource, sys, time
import pyrec_infer as pi
from pyrec_infer.errors import PyrecError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
try:
    pi.load(sys.stdin.buffer.read())
except PyrecError:
    pass
print(time.process_time() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def filled(count: int, nodes: int = 1) -> bytes:
    """A small file of tensors with so many elements each, of which the sum is added to the input."""
    helper = onnx.helper
    made = [helper.make_node("Identity", ["x"], ["sum0"])]
    for i in range(nodes):
        made.append(helper.make_node("ConstantOfShape", ["count"], [f"all{i}"]))
        made.append(helper.make_node("Neg", [f"all{i}"], [f"negative{i}"]))
        made.append(helper.make_node("ReduceSum", [f"negative{i}"], [f"one{i}"], keepdims=0))
        made.append(helper.make_node("Add", [f"sum{i}", f"one{i}"], [f"sum{i + 1}"]))
    graph = helper.make_graph(
        made,
        "filled",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 1])],
        [helper.make_tensor_value_info(f"sum{nodes}", FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray([count]), "count")],
    )
    data: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    return data


@pytest.mark.once
@pytest.mark.parametrize(
    "data",
    [filled(300_000_000), filled(10**12), filled(250_000, 1000), bomb("Expand", 10**6)],
    ids=["300 M elements", "10^12 elements", "1,000 tensors", "10^6 axes"],
)
def test_small_files_load_in_little_time_and_memory(data: bytes) -> None:
    command = [sys.executable, "-c", LOADING]
    done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=120)
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 10
    assert megabytes < 400


LITTLE_MEMORY = """
import resource, sys
import numpy as np
import pyrec_infer as pi
from pyrec_infer.errors import PyrecError
rows = np.ones((1, 1), np.float32)
pi.load(sys.argv[1]).run({"x": rows})
model = pi.load(sys.argv[2])
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (200 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    model.run({"x": rows})
except PyrecError as error:
    print(type(error).__name__)
"""


@pytest.mark.once
@pytest.mark.skipif(
    sys.platform != "linux", reason="limits of address space, and where to read how much is used"
)
def test_too_little_memory_is_a_typed_error(tmp_path: Path) -> None:
    small, big = tmp_path / "small.onnx", tmp_path / "big.onnx"
    small.write_bytes(filled(10))
    big.write_bytes(filled(200_000_000))
    command = [sys.executable, "-c", LITTLE_MEMORY, str(small), str(big)]
    done = subprocess.run(command, capture_output=True, timeout=300, text=True)
    assert done.stdout.strip() in ("ResourceLimitError", "UnsupportedModelError"), done.stderr
