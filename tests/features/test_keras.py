"""Preprocessing layers of saved Keras models as schemas.

The expected tensors are those of Keras 3.15 with TensorFlow, for a model that was saved with the same layers.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer.errors import SchemaError

INPUTS = {"city": "string", "shop": "int64", "price": "float32", "age": "float32"}
LOOKUP = {"invert": False, "mask_token": None, "output_mode": "int", "oov_method": "floormod", "salt": None}
LAYERS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "city_lookup": ("StringLookup", {**LOOKUP, "num_oov_indices": 1, "vocabulary": None}, ["city"]),
    "shop_lookup": ("IntegerLookup", {**LOOKUP, "num_oov_indices": 2, "vocabulary": None}, ["shop"]),
    "price_norm": (
        "Normalization",
        {"mean": [[2.3333332538604736]], "variance": [[1.5555555820465088]], "invert": False},
        ["price"],
    ),
    "age_bins": ("Discretization", {"bin_boundaries": [18.0, 30.0], "output_mode": "int"}, ["age"]),
    "city_hash": ("Hashing", {"num_bins": 10, "mask_value": None, "salt": None}, ["city"]),
    "cross": ("HashedCrossing", {"num_bins": 20, "output_mode": "int"}, ["city", "shop"]),
    "embedding": ("Embedding", {"input_dim": 10}, ["city_hash"]),
}
VOCABULARIES = {"string_lookup": "[UNK]\nrome\noslo", "integer_lookup": "-1\n-1\n3\n7"}
ROWS = {"city": ["rome", "oslo", "kyiv", ""], "shop": [3, 7, 9, -4]}
ROWS |= {"price": [1.0, 2.0, 9.0, 0.0], "age": [18.0, 17.9, 30.0, 99.0]}
EXPECTED = {
    "city_lookup": np.asarray([[1], [2], [0], [0]]),
    "shop_lookup": np.asarray([[2], [3], [1], [0]]),
    "price_norm": np.asarray(
        [[-1.0690449476242065], [-0.26726117730140686], [5.3452253341674805], [-1.8708287477493286]],
        np.float32,
    ),
    "age_bins": np.asarray([[1], [0], [2], [2]], np.int32),
    "city_hash": np.asarray([[2], [8], [8], [3]]),
    "cross": np.asarray([[14], [2], [8], [11]]),
}


def tensor(name: str) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


def saved(
    layers: Mapping[str, tuple[str, dict[str, Any], list[str]]] = LAYERS,
    files: Mapping[str, str] | None = None,
    weights: bytes | None = None,
    sizes: Mapping[str, int] | None = None,
) -> bytes:
    """A ``.keras`` file; ``sizes`` says how many values some inputs have in a row."""
    given: list[Any] = [
        {
            "class_name": "InputLayer",
            "name": name,
            "config": {"name": name, "dtype": dtype, "batch_shape": [None, (sizes or {}).get(name, 1)]},
            "inbound_nodes": [],
        }
        for name, dtype in INPUTS.items()
    ]
    for name, (kind, config, reads) in layers.items():
        tensors = [tensor(one) for one in reads]
        args: Any = [tensors] if kind == "HashedCrossing" else tensors
        calls = [{"args": args, "kwargs": {}}]
        given.append(
            {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": calls}
        )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Functional", "config": {"layers": given}}))
        for folder, text in (VOCABULARIES if files is None else files).items():
            archive.writestr(f"assets/layers/{folder}/vocabulary.txt", text)
        if weights is not None:
            archive.writestr("model.weights.h5", weights)
    return out.getvalue()


def test_layers_make_what_keras_makes() -> None:
    schema = pi.Schema.from_keras(saved(), sides={"city": "request"})
    report = pi.check_features(schema, ROWS, EXPECTED)
    assert report.same, report
    assert len(report.checks) == len(EXPECTED)
    assert {field.name: field.side for field in schema.fields}["city"] == "request"
    assert pi.Schema.from_json(schema.to_json()) == schema


MASKED = {**LOOKUP, "num_oov_indices": 1, "vocabulary": ["a", "b", "c"], "mask_token": ""}


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
def test_a_mask_has_no_column(mode: str) -> None:
    made = saved({"kinds": ("StringLookup", {**MASKED, "output_mode": mode}, ["city"])})
    schema, values = pi.Schema.from_keras(made), ["a", "", "z", "c"]
    expected = np.asarray([[0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    assert pi.check_features(schema, {"city": values}, {"kinds": expected}).same
    node, kind = helper.make_node("Identity", ["kinds"], ["y"]), (TensorProto.INT64, ["N", 4])
    model = pi.load(make_model([node], {"kinds": kind}, {"y": kind}).SerializeToString(), schema=schema)
    np.testing.assert_array_equal(model.run({"city": values})["y"], expected)


def test_inputs_of_several_values_are_lists() -> None:
    layers = {"kinds": ("StringLookup", MASKED, ["city"])}
    schema = pi.Schema.from_keras(saved(layers, sizes={"city": 3}))
    rows = {"city": [["a", "b", "c"], ["a", "a", ""], ["z", "b", "z"]]}
    assert pi.check_features(schema, rows, {"kinds": np.asarray([[2, 3, 4], [2, 2, 0], [1, 3, 1]])}).same
    spread = {"kinds": ("StringLookup", {**MASKED, "output_mode": "one_hot"}, ["city"])}
    for wrong in (spread, {**layers, "more": layers["kinds"]}):
        with pytest.raises(SchemaError, match=r"layer 'city' .* has lists that"):
            pi.Schema.from_keras(saved(wrong, sizes={"city": 3}))


WORDS = [["a", "b", "b", ""], ["c", "a", "z", "z"], ["b", "", "", ""], ["q", "a", "a", "a"]]
FILES = {"string_lookup": "[UNK]\n[UNK]\nb\na\nz\nc\nq"}
COUNTED: dict[str, tuple[dict[str, Any], dict[str, str], list[float]]] = {
    "multi_hot": (
        {"num_oov_indices": 2, "mask_token": "", "output_mode": "multi_hot", "vocabulary": None},
        FILES,
        [0, 0, 0, 1, 1, 1, 0],
    ),
    "count": (
        {"num_oov_indices": 2, "mask_token": "", "output_mode": "count", "vocabulary": None},
        FILES,
        [0, 0, 0, 1, 2, 1, 0],
    ),
    "padded": (
        {
            "num_oov_indices": 1,
            "output_mode": "count",
            "vocabulary": ["a", "b"],
            "max_tokens": 5,
            "pad_to_max_tokens": True,
        },
        {},
        [3, 1, 0, 0, 0],
    ),
    "tf_idf": (
        {
            "num_oov_indices": 1,
            "output_mode": "tf_idf",
            "vocabulary": ["a", "b", "c"],
            "idf_weights": [0.5, 1.0, 2.0],
        },
        {},
        [2.3333332538604736, 0.5, 0.0, 2.0],
    ),
}


@pytest.mark.parametrize("case", COUNTED)
def test_lists_are_counted_as_keras_counts_them(case: str) -> None:
    config, files, second = COUNTED[case]
    layers = {"kinds": ("StringLookup", {**LOOKUP, **config}, ["city"])}
    schema = pi.Schema.from_keras(saved(layers, files, sizes={"city": 4}))
    (made,) = pi.check_features(
        schema, {"city": WORDS[1:2]}, {"kinds": np.asarray([second], np.float32)}
    ).checks
    assert made.differ == 0
    assert pi.Schema.from_json(schema.to_json()) == schema


def test_weights_of_counts_are_read_from_the_weights() -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    out = io.BytesIO()
    with h5py.File(out, "w") as stored:
        stored["layers/string_lookup/vars/idf_weights"] = np.asarray([0.9, 0.5, 2.0], np.float32)
    config = {**LOOKUP, "num_oov_indices": 1, "output_mode": "tf_idf", "vocabulary": None}
    layers = {"kinds": ("StringLookup", config, ["city"])}
    files = {"string_lookup": "[UNK]\na\nb"}
    schema = pi.Schema.from_keras(saved(layers, files, out.getvalue(), {"city": 4}))
    expected = np.asarray([[1.8, 1.0, 0.0], [2.7, 0.5, 0.0]], np.float32)
    assert pi.check_features(schema, {"city": [["a", "a", "z", ""], WORDS[1]]}, {"kinds": expected}).same
    short = {**files, "string_lookup": "[UNK]\na"}
    with pytest.raises(SchemaError, match=r"kinds.*expected 2 weights, one for each id, got 3"):
        pi.Schema.from_keras(saved(layers, short, out.getvalue(), {"city": 4}))


def test_layers_feed_the_inputs_that_they_are_given() -> None:
    schema = pi.Schema.from_keras(saved(), to={"age_bins": "bins"})
    assert pi.check_features(schema, ROWS, {"bins": EXPECTED["age_bins"]}).same


def test_numbers_that_a_layer_has_learnt_are_read_from_the_weights() -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    out = io.BytesIO()
    with h5py.File(out, "w") as stored:
        stored["layers/normalization/vars/0"] = np.asarray([2.3333332538604736])
        stored["layers/normalization/vars/1"] = np.asarray([1.5555555820465088])
    layers = {"price_norm": ("Normalization", {"mean": None, "variance": None}, ["price"])}
    schema = pi.Schema.from_keras(saved(layers, weights=out.getvalue()))
    assert pi.check_features(schema, {"price": ROWS["price"]}, {"price_norm": EXPECTED["price_norm"]}).same
    with pytest.raises(SchemaError, match=r"price_norm.*(cannot be read|h5py)"):
        pi.Schema.from_keras(saved(layers, weights=b"no weights"))


def test_one_hot_encodings() -> None:
    ids = ("StringLookup", {**LOOKUP, "num_oov_indices": 1, "output_mode": "one_hot"}, ["city"])
    made = pi.Schema.from_keras(saved({"city_lookup": ids}))
    expected = np.asarray([[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]], np.float32)
    assert pi.check_features(made, {"city": ROWS["city"]}, {"city_lookup": expected}).same
    coded = {
        "bins": LAYERS["age_bins"],
        "code": ("CategoryEncoding", {"num_tokens": 3, "output_mode": "one_hot"}, ["bins"]),
    }
    made = pi.Schema.from_keras(saved(coded))
    expected = np.asarray([[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]], np.float32)
    assert pi.check_features(made, {"age": ROWS["age"]}, {"code": expected}).same


BAD: dict[str, tuple[bytes, str]] = {
    "no archive": (b"PK no", "no zip archive"),
    "no configuration": (b"PK\x05\x06" + bytes(18), "without config.json"),
    "no vocabulary": (saved(files={}), "city_lookup.*adapt it"),
    "a vocabulary of words for numbers": (
        saved(files={**VOCABULARIES, "integer_lookup": "-1\n-1\nx"}),
        "shop_lookup.*no whole number",
    ),
    "no number of bins": (
        saved({"h": ("Hashing", {}, ["city"])}),
        r"layer 'h' \(Hashing\): its configuration",
    ),
    "a layer that is not known": (
        saved({"n": ("RandomRotation", {}, ["age"]), "b": (*LAYERS["age_bins"][:2], ["n"])}),
        "'n'.*layers that are known",
    ),
    "ids back to words": (
        saved({"c": ("StringLookup", {**LOOKUP, "invert": True}, ["city"])}),
        "turns ids back",
    ),
    "counts": (
        saved({"c": ("Hashing", {"num_bins": 3, "output_mode": "tf_idf"}, ["city"])}),
        "output_mode 'tf_idf'",
    ),
    "a matrix of numbers": (
        saved({"n": ("Normalization", {"mean": [1, 2], "variance": [1, 2]}, ["age"])}),
        "one number in each row",
    ),
    "a crossing of what is no input": (
        saved({"a": LAYERS["age_bins"], "x": ("HashedCrossing", {"num_bins": 4}, ["a", "city"])}),
        "'x'.*crosses what is no input",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_cannot_be_read(name: str) -> None:
    data, message = BAD[name]
    with pytest.raises(SchemaError, match=f"(?s){message}"):
        pi.Schema.from_keras(data)
