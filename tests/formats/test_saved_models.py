"""Saved models: the same graph, the same bits, and hostile files that are refused by the same rules."""

from __future__ import annotations

import dataclasses
import os
import pickle
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.models import FLOAT, INT64, make_model, matrix_ranker, matrix_rows, ranker
from support.random_graphs import random_model
from support.saved import damage, put_together, taken_apart
from support.zoo import MODELS as ZOO_MODELS
from support.zoo import ZOO

import pyrec_infer as pi
from pyrec_infer import features
from pyrec_infer.bundled import MODEL, SCHEMA, items, raw_items, raw_user, users
from pyrec_infer.errors import (
    InputError,
    ModelError,
    PyrecError,
    SaveError,
    SchemaError,
    UnsupportedModelError,
)
from pyrec_infer.formats import import_model, save_model
from pyrec_infer.ir import Graph, Rows

TREES = Path(__file__).parent / "trees" / "models"
FOREIGN_DOMAIN = "com.somebody"


def same(a: Any, b: Any) -> bool:
    """Whether two values of graphs are equal to the last bit."""
    if isinstance(a, Rows) or isinstance(b, Rows):
        return bool(a == b)
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if a.dtype.hasobject:
            return a.shape == b.shape and a.tolist() == b.tolist()
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, Mapping):
        return [*a] == [*b] and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if dataclasses.is_dataclass(a):
        kept = [item.name for item in dataclasses.fields(a) if item.name not in ("findings", "stamps")]
        return all(same(getattr(a, name), getattr(b, name)) for name in kept)
    return repr(a) == repr(b)


def bits(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.tolist() if value.dtype.hasobject else value.tobytes() for name, value in arrays.items()
    }


def foreign_model() -> bytes:
    """A model with a node that only another runtime knows."""
    node = helper.make_node("Op", ["x"], ["y"], "it", domain=FOREIGN_DOMAIN, number=3, real=0.5, texts=["a"])
    proto = make_model([node], {"x": (FLOAT, ["N"])}, {"y": (FLOAT, ["N"])})
    proto.opset_import.append(helper.make_opsetid(FOREIGN_DOMAIN, 2))
    return proto.SerializeToString()


def looping() -> bytes:
    """A branch whose bodies read values from outside, constants and long lists of strings."""
    inner = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["a"])],
        "a",
        [],
        [helper.make_tensor_value_info("a", FLOAT, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Mul", ["x", "one"], ["b"])],
        "b",
        [],
        [helper.make_tensor_value_info("b", FLOAT, None)],
    )
    words = [f"straße {number}" for number in range(50)]
    nodes = [
        helper.make_node("If", ["flag"], ["y"], then_branch=inner, else_branch=other),
        helper.make_node(
            "LabelEncoder",
            ["word"],
            ["z"],
            domain="ai.onnx.ml",
            keys_strings=words,
            values_floats=[number / 3 for number in range(50)],
            default_float=float("nan"),
        ),
    ]
    proto = make_model(
        nodes,
        {"x": (FLOAT, ["N"]), "word": (TensorProto.STRING, ["N"])},
        {"y": (FLOAT, ["N"]), "z": (FLOAT, ["N"])},
        {"one": np.ones(1, np.float32), "flag": np.asarray(True)},
    )
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return proto.SerializeToString()


SOURCES: dict[str, Callable[[], bytes]] = {
    "ranker": lambda: ranker().SerializeToString(),
    "matrix": lambda: matrix_ranker().SerializeToString(),
    "foreign": foreign_model,
    "bodies": looping,
    "lightgbm": lambda: (TREES / "lightgbm_multiclass.txt").read_bytes(),
    "categories": lambda: (TREES / "lightgbm_binary.txt").read_bytes(),
    "xgboost": lambda: (TREES / "xgboost_softmax_3.2.0.json").read_bytes(),
}


@pytest.mark.once
@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("mmap", [False, True])
def test_a_saved_graph_is_the_graph(name: str, mmap: bool, tmp_path: Path) -> None:
    imported, path = import_model(SOURCES[name]()), tmp_path / "model.pyrec"
    save_model(imported, path)
    again = import_model(path, mmap)
    assert same(again, imported)
    save_model(again, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    assert same(import_model(path.read_bytes()), imported)
    pi.verify(path)


@pytest.mark.once
@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_saved_graphs_of_random_models_are_their_graphs(random: Random) -> None:
    source = random_model(random).proto.SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pyrec")
        save_model(import_model(source), path)
        assert same(import_model(path), import_model(source))


@pytest.mark.once
@pytest.mark.skipif(not ZOO_MODELS, reason="no zoo (set PYREC_INFER_SHARED)")
def test_saved_graphs_of_the_zoo_are_their_graphs(tmp_path: Path) -> None:
    for name in ZOO_MODELS[::6]:
        imported = import_model(ZOO / "models" / name / "model.onnx")
        save_model(imported, tmp_path / "model.pyrec")
        assert same(import_model(tmp_path / "model.pyrec", mmap=True), imported), name


def ranked(model: pi.Model) -> list[Any]:
    user, shop = users(1, 200)[0], items(200)
    candidates = {**shop, "affinity": user.affinity}
    catalog = model.catalog(shop, candidates=["affinity"])
    best = [
        model.top_k(user.request, candidates, k=20),
        catalog.top_k(user.request, 20, candidates={"affinity": user.affinity}),
    ]
    return [
        model.score(user.request, candidates).tobytes(),
        bits(model.run({**{k: np.repeat(v, 200, axis=0) for k, v in user.request.items()}, **candidates})),
        *((part.ids.tobytes(), part.scores.tobytes()) for part in best),
    ]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_loaded_model_gives_the_same_bits(precision: Any, tmp_path: Path) -> None:
    model = pi.load(MODEL, precision=precision)
    model.save(tmp_path / "model.pyrec")
    again = pi.load(tmp_path / "model.pyrec", mmap=precision == "fp32")
    assert again.precision.precision == precision
    assert str(again.explain()) == str(model.explain())
    assert ranked(again) == ranked(model)


def test_a_saved_model_is_loaded_in_every_way(tmp_path: Path) -> None:
    path, rows = tmp_path / "model.pyrec", matrix_rows(50)
    model = pi.load(matrix_ranker().SerializeToString(), precision="bf16")
    (only,) = model.inputs
    model.save(path)
    expected = bits(model.run({only.name: rows}))
    mapped = pi.load(path, mmap=True)
    mapped.save(path)
    ways = (mapped, pi.load(path), pi.load(path.read_bytes()), pickle.loads(pickle.dumps(mapped)))
    for place, way in enumerate(ways):
        assert way.precision.precision == "bf16"
        assert bits(way.run({only.name: rows})) == expected, place
    assert pi.load(path, precision="fp16").precision.precision == "fp16"


@pytest.mark.parametrize(
    "case", ["lightgbm_binary.txt", "lightgbm_multiclass.txt", "xgboost_logistic_3.2.0.json"]
)
def test_loaded_trees_give_the_same_bits(case: str, tmp_path: Path) -> None:
    model = pi.load(TREES / case)
    model.save(tmp_path / "model.pyrec")
    again = pi.load(tmp_path / "model.pyrec")
    rows = np.random.default_rng(3).normal(size=(300, len(model.inputs)))
    given = {item.name: rows[:, place] for place, item in enumerate(model.inputs)}
    assert bits(again.run(given)) == bits(model.run(given))
    if len(model.inputs) > 1:
        assert bits(again.run({"X": rows})) == bits(model.run({"X": rows})), "the matrix is known too"


def test_names_of_columns_are_kept(tmp_path: Path) -> None:
    names = [f"column {place}" for place in range(matrix_rows(1).shape[1])]
    source = matrix_ranker().SerializeToString()
    (only,) = pi.load(source).inputs
    model = pi.load(source, columns={only.name: names})
    model.save(tmp_path / "model.pyrec")
    again = pi.load(tmp_path / "model.pyrec")
    assert [str(item) for item in again.inputs] == [str(item) for item in model.inputs]
    assert again.explain(passes=True).as_dict() == model.explain(passes=True).as_dict()
    rows = dict(zip(names, matrix_rows(50).T, strict=True))
    assert bits(again.run(rows)) == bits(model.run(rows))
    assert [item.name for item in pi.load(tmp_path / "model.pyrec", columns={}).inputs] == [only.name]


def test_a_schema_is_kept_with_its_golden_rows(tmp_path: Path) -> None:
    model = pi.load(MODEL, schema=pi.Schema.load(SCHEMA))
    model.save(tmp_path / "model.pyrec")
    again = pi.load(tmp_path / "model.pyrec")
    shop, user = raw_items(300), raw_user()
    assert again.score(user, shop).tobytes() == model.score(user, shop).tobytes()
    header, body = taken_apart((tmp_path / "model.pyrec").read_bytes())
    begin, end = header["schema"]["data_offsets"]
    assert pi.Schema.from_json(body[begin:end]) == pi.Schema.load(SCHEMA)
    assert b'"golden": {' in body[begin:end]
    changed = body[begin:end].replace(b'"women"', b'"WOMEN"')
    with pytest.raises(SchemaError):
        pi.load(put_together(header, body[:begin] + changed + body[end:]))


def test_a_secret_key_is_not_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = bytes(range(65, 81))
    monkeypatch.setenv("PYREC_TEST_KEY", key.hex())
    node = helper.make_node("Identity", ["x"], ["y"])
    source = make_model([node], {"x": (INT64, ["N"])}, {"y": (INT64, ["N"])}).SerializeToString()
    transforms = [features.Pseudonym(key="env:PYREC_TEST_KEY")]
    schema = pi.Schema([features.Field("f", "item", to="x", transforms=transforms)])
    model = pi.load(source, schema=schema)
    model.save(tmp_path / "model.pyrec")
    data = (tmp_path / "model.pyrec").read_bytes()
    assert key not in data
    assert key.hex().encode() not in data
    rows = {"f": ["anna", "bert"]}
    assert bits(pi.load(data).run(rows)) == bits(model.run(rows))
    monkeypatch.delenv("PYREC_TEST_KEY")
    with pytest.raises(SchemaError, match="PYREC_TEST_KEY"):
        pi.load(data)


def test_a_model_whose_file_has_changed_is_not_saved(tmp_path: Path) -> None:
    path, saved = tmp_path / "model.onnx", tmp_path / "model.pyrec"
    path.write_bytes(ranker().SerializeToString())
    model = pi.load(path)
    os.utime(path, ns=(0, 0))
    with pytest.raises(ModelError, match="has changed since it was loaded"):
        model.save(saved)
    path.unlink()
    with pytest.raises(ModelError, match="No such file"):
        model.save(saved)
    assert not saved.exists()
    with pytest.raises(SaveError, match="cannot be written"):
        pi.load(ranker().SerializeToString()).save(tmp_path / "nowhere" / "model")


def test_other_files_say_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "model.pyrec"
    pi.load(ranker().SerializeToString()).save(path)
    header, body = taken_apart(path.read_bytes())
    header["__metadata__"]["kind"] = "retriever"
    with pytest.raises(ModelError, match="expected a model, it holds a retriever"):
        pi.load(put_together(header, body))
    header, body = taken_apart(path.read_bytes())
    header["__metadata__"]["content"]["precision"] = "fp8"
    with pytest.raises(InputError, match="precision"):
        pi.load(put_together(header, body))


def _node(place: int, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda graph: graph["nodes"][place].__setitem__(key, value)


def _attribute(value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda graph: graph["nodes"][0]["attributes"].__setitem__("axis", value)


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], None], type[ModelError], str]] = {
    "operator": (_node(0, "op", "Nothing"), ModelError, "unknown operator"),
    "own": (_node(0, "op", "pyrec.Dense"), ModelError, "no file may hold"),
    "inputs": (_node(0, "inputs", ["a"] * 9), ModelError, "inputs, got 9"),
    "outputs": (_node(0, "outputs", ["a", "b"]), ModelError, "outputs, got 2"),
    "order": (lambda graph: graph["nodes"].reverse(), ModelError, "before it is made"),
    "bodies": (_node(0, "bodies", [{}]), ModelError, "expected an object"),
    "kind": (_attribute({"text": "1"}), ModelError, "attribute 'axis'"),
    "real": (_attribute({"float": "1.x"}), ModelError, "hexadecimal"),
    "large": (_attribute({"int": 1 << 63}), ModelError, "whole number"),
    "boolean": (_attribute({"int": True}), ModelError, "whole number"),
    "unknown": (_attribute({"pickle": "x"}), ModelError, "expected one of"),
    "forest": (_attribute({"forest": {}}), ModelError, "expected an object"),
    "axis": (_attribute({"int": 9}), ModelError, "Gather"),
    "mention": (lambda graph: graph["constants"].update(more="nothing"), ModelError, "no tensor"),
    "twice": (lambda graph: graph["inputs"].append(graph["inputs"][0]), ModelError, "defined twice"),
    "rows": (lambda graph: graph["infos"]["user"].update(rows=-1), ModelError, "along the axis of the batch"),
    "opaque": (lambda graph: graph["infos"]["user"].update(rows=-2), ModelError, "expected rows"),
    "static": (lambda graph: graph.update(static_rows=1), ModelError, "along the axis of the batch"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_graphs_are_refused(name: str, tmp_path: Path) -> None:
    change, error, words = HOSTILE[name]
    save_model(import_model(ranker().SerializeToString()), tmp_path / "model.pyrec")
    header, body = taken_apart((tmp_path / "model.pyrec").read_bytes())
    change(header["__metadata__"]["content"]["graph"])
    with pytest.raises(error, match=words):
        pi.load(put_together(header, body))


def test_nodes_of_another_runtime_are_held_against_the_same_rules(tmp_path: Path) -> None:
    save_model(import_model(foreign_model()), tmp_path / "model.pyrec")
    data = (tmp_path / "model.pyrec").read_bytes()
    for change, words in (
        (lambda foreign: foreign.update(name="Other"), "no meaning here"),
        (lambda foreign: foreign.update(domain="pyrec"), "no meaning here"),
        (lambda foreign: foreign["kinds"].update(number="STRINGS"), "another kind"),
        (lambda foreign: foreign["kinds"].update(number="GRAPH"), "another kind"),
        (lambda foreign: foreign["kinds"].update(number="UNDEFINED"), "another kind"),
        (lambda foreign: foreign["kinds"].update(number="no kind"), "another kind"),
        (lambda foreign: foreign["kinds"].pop("number"), "kind of each attribute"),
        (lambda foreign: foreign["versions"].pop(FOREIGN_DOMAIN), "version of operator set"),
        (lambda foreign: foreign["versions"].update({"ai.onnx": 1 << 20}), "opset"),
    ):
        header, body = taken_apart(data)
        change(header["__metadata__"]["content"]["graph"]["nodes"][0]["foreign"])  # type: ignore[no-untyped-call]
        with pytest.raises(ModelError, match=words):
            pi.load(put_together(header, body))


def run_on_zeros(model: pi.Model) -> None:
    """What a model of changed contents gives is its own affair, as long as it gives something or refuses."""
    given: dict[str, Any] = {}
    for item in model.inputs:
        shape = [size if isinstance(size, int) and size < 100 else 2 for size in item.shape]
        given[item.name] = np.zeros(shape, object if item.dtype == np.dtype(str) else item.dtype)
        if given[item.name].dtype.hasobject:
            given[item.name][...] = ""
    model.run(given)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ranker", "bodies", "categories"])
def test_damaged_files_are_refused_or_run(name: str, tmp_path: Path) -> None:
    save_model(import_model(SOURCES[name]()), tmp_path / "model.pyrec")
    data, random, kept = (tmp_path / "model.pyrec").read_bytes(), Random(name), 0
    for _ in range(150):
        header, body = taken_apart(data)
        for _ in range(random.choice((1, 1, 2))):
            damage(header["__metadata__"]["content"], random)
        changed = bytearray(put_together(header, body))
        if random.random() < 0.2:
            changed[random.randrange(len(data) - len(body), len(changed))] = random.randrange(256)
        try:
            run_on_zeros(pi.load(bytes(changed), max_bytes=1 << 24))
            kept += 1
        except PyrecError:
            continue
    assert 0 < kept < 150


@pytest.mark.once
def test_what_no_reader_makes_is_not_saved(tmp_path: Path) -> None:
    imported = import_model(ranker().SerializeToString())
    graph: Graph = imported.graph
    (first, *others) = graph.nodes
    strange = dataclasses.replace(first, attributes={"axis": (1, "a")})
    changed = dataclasses.replace(imported, graph=graph.with_(nodes=(strange, *others)))
    with pytest.raises(UnsupportedModelError, match="cannot be saved"):
        save_model(changed, tmp_path / "model.pyrec")
    assert not [*tmp_path.iterdir()]
