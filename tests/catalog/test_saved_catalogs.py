"""Saved catalogues: opened again they say the same to the last bit, and go on as the one that was saved."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from fuzz.exercise import Calls
from fuzz.saved import bits, try_saved
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from support.models import FLOAT, make_model, matrix_ranker, matrix_rows
from support.random_graphs import inputs_of, random_model

import pyrec_infer as pi
from pyrec_infer import cli
from pyrec_infer.backends.select import VARIABLE, available_backends
from pyrec_infer.bundled import MODEL, SCHEMA, items, raw_items, raw_user, users
from pyrec_infer.errors import ModelError, SaveError, UnsupportedModelError

COUNT = 120
USER = users(1, COUNT)[0]
TREES = Path(__file__).parents[1] / "formats" / "trees" / "models"


def vectors(count: int = COUNT, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)


def attributes(count: int = COUNT) -> dict[str, Any]:
    places = range(count)
    return {
        "colour": [None if place % 5 == 0 else ("red", "blau", "grün", "")[place % 4] for place in places],
        "price": [float("nan") if place % 4 == 0 else place / 3 for place in places],
        "age": [None if place % 6 == 0 else place - 9 for place in places],
        "new": [None if place % 8 == 0 else place % 2 == 0 for place in places],
    }


def part(values: dict[str, Any], begin: int, end: int) -> dict[str, Any]:
    return {name: value[begin:end] for name, value in values.items()}


def everything(catalog: pi.Catalog) -> list[Any]:
    """What a catalogue of the bundled model says."""
    late = {"affinity": np.resize(USER.affinity, len(catalog))}
    filters = [
        None,
        catalog.where("colour", in_=["red", "grün"]),
        catalog.where("colour", missing=True),
        catalog.where("price", min=20.0) | catalog.where("age", max=3),
        catalog.where("new", True) & ~catalog.where("colour", "blau"),
    ]
    best = [catalog.top_k(USER.request, 9, candidates=late, where=where) for where in filters]
    best.append(catalog.top_k(USER.request, 9, candidates=late, max_per={"colour": 2}))
    found = [catalog.retriever.top_k(vectors(3, 5), 7, where=where) for where in filters]
    return [
        bits(catalog.ids),
        bits(catalog.score(USER.request, None, late)),
        *([bits(each.ids), bits(each.scores)] for each in best),
        # How many products a search refines depends on where records lie.
        *([bits(each.ids), bits(each.scores)] for each in found),
    ]


def change(catalog: pi.Catalog, names: Any) -> None:
    """Change, add and take out items."""
    catalog.upsert(part(items(COUNT), 20, 60), names[50:90], part(attributes(), 0, 40), vectors(40, 7))
    catalog.upsert(
        part(items(COUNT), 5, 6), names[-1:], {**part(attributes(), 3, 4), "colour": ["lila"]}, vectors(1, 8)
    )
    catalog.remove(names[30:45])


NAMES: dict[str, Any] = {
    "whole": np.arange(COUNT) * 3 - 50,
    "unsigned": np.arange(COUNT, dtype=np.uint64) + np.uint64(2**63),
    "strings": np.asarray([f"straße {place}" for place in range(COUNT)]),
}


@pytest.mark.parametrize(
    ("precision", "kind", "metric", "codes"),
    [
        ("fp32", "whole", "ip", "fp32"),
        ("bf16", "strings", "cosine", "int8"),
        ("int8", "unsigned", "l2", "int8"),
        ("fp16", "strings", "cosine", "fp32"),
    ],
)
def test_an_opened_catalogue_is_the_one_that_was_saved(
    precision: Any, kind: str, metric: Any, codes: Any, tmp_path: Path
) -> None:
    names, own = NAMES[kind], pi.Vectors(vectors(), metric, codes)
    catalog = pi.load(MODEL, precision=precision).catalog(
        items(COUNT), names, candidates=["affinity"], attributes=attributes(), vectors=own
    )
    path = tmp_path / "shop"
    for place in range(2):
        catalog.save(path)
        pi.verify(path)
        again = pi.load_catalog(path, threads=2, mmap=place == 0, verify=place == 1)
        assert everything(again) == everything(catalog)
        again.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == path.read_bytes()
        for each in (again, catalog):
            change(each, names)
        assert everything(again) == everything(catalog)
    told, expected = again.explain().as_dict(), catalog.explain().as_dict()
    assert told["catalog"]["record"] == expected["catalog"]["record"]
    assert told["phases"] == expected["phases"]


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_catalogues_of_random_models(random: Random) -> None:
    call, inputs = Calls(), inputs_of(9)
    model = pi.load(random_model(random).proto.SerializeToString())
    known = [info.name for info in model.inputs]
    own = [name for name in known if random.random() < 0.6]
    late = [name for name in own[1:] if random.random() < 0.2]
    shop = {name: inputs[name] for name in own if name not in late}
    catalog = call("catalog", lambda: model.catalog(shop, candidates=late)) if shop else None
    if catalog is None:
        return
    request = {name: inputs[name][:1] for name in known if name not in own}
    asked = request, np.arange(9), {name: inputs[name] for name in late} or None
    assert not try_saved(call, random, catalog, asked, lambda each: each.upsert(shop, np.arange(9) + 4))


@pytest.mark.parametrize(
    "name", ["lightgbm_binary.txt", "lightgbm_multiclass.txt", "xgboost_logistic_3.2.0.json"]
)
def test_forests_that_requests_prune(name: str, tmp_path: Path) -> None:
    model = pi.load(TREES / name)
    rows = np.random.default_rng(3).normal(size=(60, len(model.inputs)))
    given_rows = {info.name: rows[:, place] for place, info in enumerate(model.inputs)}
    own = part(given_rows, 0, 60)
    request = {key: own.pop(key)[:1] for key in [*own][: len(own) // 2]}
    output = [(model.outputs[-1].name, 1)] if "multi" in name else None
    catalog = model.catalog(own, output=output)
    catalog.save(tmp_path / "shop")
    again = pi.load_catalog(tmp_path / "shop")
    assert bits(again.score(request)) == bits(catalog.score(request))
    for each in (again, catalog):
        each.upsert(part(own, 0, 7), np.arange(7) + 55)
    assert bits(again.score(request)) == bits(catalog.score(request))


def test_what_a_score_is_of_is_kept(tmp_path: Path) -> None:
    model = pi.load(MODEL)
    price = np.linspace(1, 2, COUNT, dtype=np.float32)
    ways: list[dict[str, Any]] = [
        {"by": "click * price ** 0.5", "candidates": ["affinity"]},
        {"output": "logit"},
        {"output": "click"},
        {"output": ("click", 0)},
        {"output": ["click", "logit"]},
    ]
    for way in ways:
        shop = items(COUNT) | ({"price": price} if "by" in way else {"affinity": USER.affinity})
        late = {"affinity": USER.affinity} if "by" in way else None
        catalog = model.catalog(shop, **way)
        catalog.save(tmp_path / "shop")
        again = pi.load_catalog(tmp_path / "shop")
        assert bits(again.score(USER.request, None, late)) == bits(catalog.score(USER.request, None, late))


def test_columns_and_raw_rows_are_kept(tmp_path: Path) -> None:
    rows = matrix_rows(COUNT)
    source = matrix_ranker().SerializeToString()
    (only,) = pi.load(source).inputs
    names = [f"column {place}" for place in range(rows.shape[1])]
    shop = dict(zip(names, rows.T, strict=True))
    request = {name: shop.pop(name)[:1] for name in names[:3]}
    catalog = pi.load(source, columns={only.name: names}).catalog(shop)
    catalog.save(tmp_path / "shop")
    assert bits(pi.load_catalog(tmp_path / "shop").score(request)) == bits(catalog.score(request))
    raw = raw_items(COUNT)
    late = {"affinity": [row.pop("affinity") for row in raw]}
    shop_of_rows = pi.load(MODEL, schema=pi.Schema.load(SCHEMA)).catalog(raw)
    shop_of_rows.save(tmp_path / "shop")
    again = pi.load_catalog(tmp_path / "shop")
    for each in (again, shop_of_rows):
        each.upsert(raw[:3], [COUNT, 4, 5])
        each.remove([COUNT])
    assert bits(again.score(raw_user(), None, late)) == bits(shop_of_rows.score(raw_user(), None, late))


def test_an_empty_catalogue_fills_as_the_other(tmp_path: Path) -> None:
    for names in (np.empty(0, np.int64), np.empty(0, "U1")):
        nothing = {name: values[:0] for name, values in attributes().items()} | {
            "colour": np.empty(0, "U1"),
            "age": np.empty(0, np.int64),
            "new": np.empty(0, np.bool_),
            "price": np.empty(0, np.float64),
        }
        catalog = pi.load(MODEL).catalog(
            part(items(COUNT), 0, 0), names, candidates=["affinity"], attributes=nothing, vectors=vectors(0)
        )
        catalog.save(tmp_path / "shop")
        again = pi.load_catalog(tmp_path / "shop")
        assert len(again) == 0
        own = NAMES["whole" if names.dtype.kind == "i" else "strings"]
        for each in (again, catalog):
            each.upsert(items(COUNT), own, attributes(), vectors())
        assert everything(again) == everything(catalog)


def adding() -> bytes:
    """A score that is the item's number and the request's."""
    node = helper.make_node("Add", ["u", "i"], ["y"])
    inputs = {"u": (FLOAT, ["N"]), "i": (FLOAT, ["N"])}
    return make_model([node], inputs, {"y": (FLOAT, ["N"])}).SerializeToString()


def test_what_others_change_meanwhile_is_in_the_file_whole_or_not_at_all(tmp_path: Path) -> None:
    count = 20_000
    zeros = np.zeros((count, 4), np.float32)
    catalog = pi.load(adding()).catalog({"i": zeros[:, 0]}, attributes={"a": zeros[:, 0]}, vectors=zeros)
    stop = threading.Event()

    def keep_changing() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            own = np.full((count, 4), number, np.float32)
            catalog.upsert({"i": own[:, 0]}, np.arange(count), {"a": own[:, 0]}, own)

    thread = threading.Thread(target=keep_changing)
    thread.start()
    try:
        for _ in range(3):
            catalog.save(tmp_path / "shop")
            again = pi.load_catalog(tmp_path / "shop")
            (number,) = np.unique(again.score({"u": 0}))
            assert np.unique(again.retriever.vectors()).tolist() == [number]
            assert again.top_k({"u": 0}, count, where=again.where("a", min=number, max=number)).count == count
    finally:
        stop.set()
        thread.join()


def test_backends_read_each_others_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if VARIABLE in os.environ:
        pytest.skip("once for all backends")
    found, late = [], {"affinity": USER.affinity}
    for backend in available_backends():
        monkeypatch.setenv(VARIABLE, backend)
        catalog = pi.load(MODEL, precision="bf16").catalog(items(COUNT), candidates=["affinity"])
        catalog.save(tmp_path / backend)
    for place, backend in enumerate(available_backends()):
        monkeypatch.setenv(VARIABLE, backend)
        again = pi.load_catalog(tmp_path / available_backends()[place - 1])
        again.upsert(part(items(COUNT), 0, 9), np.arange(9))
        found.append(again.score(USER.request, None, late))
    assert np.abs(np.asarray(found) - found[0]).max() < 0.01


_SAVE = """
import sys
import pyrec_infer as pi
from pyrec_infer.bundled import MODEL, items
pi.load(MODEL).catalog(items(50), candidates=["affinity"]).save(sys.argv[1])
"""


@pytest.mark.once
def test_equal_catalogues_give_equal_bytes_in_every_process(tmp_path: Path) -> None:
    for seed in "12":
        own = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", _SAVE, str(tmp_path / seed)], env=own, check=True)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_the_model_alone_can_be_loaded_of_it(tmp_path: Path) -> None:
    model = pi.load(MODEL, precision="bf16")
    path = tmp_path / "shop"
    model.catalog(items(COUNT), candidates=["affinity"]).save(path)
    shop = {**items(COUNT), "affinity": USER.affinity}
    for source in (path, path.read_bytes()):
        again = pi.load(source)
        assert again.precision.precision == "bf16"
        assert bits(again.score(USER.request, shop)) == bits(model.score(USER.request, shop))
    pi.load(path, mmap=True).save(tmp_path / "model")
    model.save(tmp_path / "other")
    assert (tmp_path / "model").read_bytes() == (tmp_path / "other").read_bytes()
    with pytest.raises(ModelError, match="expected a catalogue, it holds a model"):
        pi.load_catalog(tmp_path / "model")
    with pytest.raises(ModelError, match="expected a retriever, it holds a catalogue"):
        pi.Retriever.load(path)


def test_the_command_line_verifies_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "shop"
    pi.load(MODEL).catalog(items(COUNT), candidates=["affinity"]).save(path)
    assert cli.main(["verify", str(path)]) == 0
    assert capsys.readouterr().out == "a catalogue, as it was written\n"
    data = bytearray(path.read_bytes())
    data[-70_000] ^= 1
    path.write_bytes(data)
    assert cli.main(["verify", str(path)]) == 1
    with pytest.raises(ModelError, match="is damaged: the checksum of tensor"):
        pi.load_catalog(path, verify=True)


def test_what_cannot_be_saved_leaves_what_was_there(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(adding())
    catalog = pi.load(source).catalog({"i": np.zeros(3, np.float32)}, ["a", "b", "c"])
    catalog.save(tmp_path / "shop")
    before = (tmp_path / "shop").read_bytes()
    catalog.upsert({"i": np.ones(1, np.float32)}, np.asarray(["d\0"], object))
    with pytest.raises(UnsupportedModelError, match="ids"):
        catalog.save(tmp_path / "shop")
    catalog.remove(np.asarray(["d\0"], object))
    with pytest.raises(SaveError):
        catalog.save(tmp_path / "nowhere" / "shop")
    os.utime(source, ns=(0, 0))
    with pytest.raises(ModelError, match="has changed since it was loaded"):
        catalog.save(tmp_path / "shop")
    assert (tmp_path / "shop").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "shop"}
