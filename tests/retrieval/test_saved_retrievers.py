"""Saved retrievers: the same items in the same order with the same results, and hostile files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from support.saved import damage, put_together, taken_apart

import pyrec_infer as pi
from pyrec_infer.bundled import MODEL, items
from pyrec_infer.errors import ModelError, PyrecError, SaveError, UnsupportedModelError

COUNT, WIDTH = 300, 12
METRICS = ("ip", "cosine", "l2")


def vectors(count: int = COUNT, seed: int = 1) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    made[::7] *= 1000
    made[3] = 0
    made[5] = made[8]
    return made


def attributes(count: int = COUNT) -> dict[str, Any]:
    places = range(count)
    return {
        "colour": [None if place % 5 == 0 else ("red", "blau", "grün")[place % 3] for place in places],
        "price": [float("nan") if place % 4 == 0 else place / 3 for place in places],
        "small": np.arange(count, dtype=np.float32),
        "age": [None if place % 6 == 0 else place - 9 for place in places],
        "new": [None if place % 8 == 0 else place % 2 == 0 for place in places],
    }


IDS: dict[str, Any] = {
    "whole": np.arange(COUNT) * 3 - 50,
    "unsigned": np.arange(COUNT, dtype=np.uint64) + np.uint64(2**63),
    "strings": [f"straße {place}" for place in range(COUNT)],
}


def found(retriever: pi.Retriever, **more: Any) -> list[Any]:
    queries = np.random.default_rng(2).normal(size=(9, WIDTH)).astype(np.float32)
    best = retriever.top_k(queries, 25, **more)
    return [best.ids.tolist(), best.scores.tobytes(), best.refined]


def everything(retriever: pi.Retriever) -> list[Any]:
    made = [retriever.ids.tolist(), str(retriever.ids.dtype), retriever.vectors().tobytes(), found(retriever)]
    filters: list[Callable[[], pi.Filter]] = [
        lambda: retriever.where("colour", in_=["red", "grün"]),
        lambda: retriever.where("colour", missing=True),
        lambda: retriever.where("price", min=20.0),
        lambda: retriever.where("small", max=100),
        lambda: retriever.where("age", missing=True) | retriever.where("age", min=3, max=40),
        lambda: retriever.where("new", True),
        lambda: retriever.where("new", missing=True),
    ]
    return made + [found(retriever, where=make()) for make in filters]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_loaded_retriever_gives_the_same_results(metric: Any, precision: Any, tmp_path: Path) -> None:
    kind = {"ip": "whole", "cosine": "unsigned", "l2": "strings"}[metric]
    retriever = pi.Retriever(vectors(), IDS[kind], metric, precision, attributes=attributes())
    path = tmp_path / "items.pyrec"
    retriever.save(path)
    again = pi.Retriever.load(path)
    assert everything(again) == everything(retriever)
    assert again.explain().as_dict() == retriever.explain().as_dict()
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    pi.verify(path)


def test_changes_before_and_after_are_the_same(tmp_path: Path) -> None:
    def change(retriever: pi.Retriever, seed: int, first: int) -> None:
        own = {name: values[:40] for name, values in attributes().items()}
        own["colour"] = [f"colour {seed}"] * 40
        retriever.upsert(vectors(40, seed), np.arange(first, first + 40), own)
        retriever.remove(np.arange(first + 10, first + 20))

    retriever = pi.Retriever(vectors(), None, "cosine", attributes=attributes())
    change(retriever, 3, 280)
    retriever.save(tmp_path / "items.pyrec")
    again = pi.Retriever.load(tmp_path / "items.pyrec", threads=2)
    assert everything(again) == everything(retriever)
    for each in (again, retriever):
        change(each, 4, 150)
    assert everything(again) == everything(retriever)
    kept = again.where("colour", "colour 4")
    assert found(again, where=kept) == found(retriever, where=retriever.where("colour", "colour 4"))


def test_few_items_or_none_and_no_attributes(tmp_path: Path) -> None:
    for ids, count in ((np.empty(0, "U1"), 0), (np.empty(0, np.int64), 0), (["a"], 1)):
        retriever = pi.Retriever(vectors()[:count], ids)
        retriever.save(tmp_path / "items")
        again = pi.Retriever.load(tmp_path / "items")
        assert (len(again), again.ids.dtype.kind) == (count, retriever.ids.dtype.kind)
        again.upsert(vectors()[:2], ["b", "c"] if again.ids.dtype.kind == "U" else [1, 2])
        assert len(again) == count + 2


def test_the_vectors_of_a_catalogue_are_saved_alone(tmp_path: Path) -> None:
    catalog = pi.load(MODEL).catalog(items(COUNT), candidates=["affinity"], vectors=vectors())
    catalog.retriever.save(tmp_path / "items")
    assert found(pi.Retriever.load(tmp_path / "items")) == found(catalog.retriever)


def test_what_others_change_meanwhile_is_in_the_file_whole_or_not_at_all(tmp_path: Path) -> None:
    retriever = pi.Retriever(np.zeros((50_000, 8), np.float32))
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            retriever.upsert(np.full((50_000, 8), number, np.float32), np.arange(50_000))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(4):
            retriever.save(tmp_path / "items")
            assert len(np.unique(pi.Retriever.load(tmp_path / "items").vectors())) == 1
    finally:
        stop.set()
        thread.join()


def test_what_cannot_be_saved_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaveError):
        pi.Retriever(vectors()).save(tmp_path / "nowhere" / "items")
    for ids in (["a\0"], ["\ud800"]):
        with pytest.raises(UnsupportedModelError, match="ids"):
            pi.Retriever(vectors()[:1], np.asarray(ids, object)).save(tmp_path / "items")
    with pytest.raises(UnsupportedModelError, match="colour"):
        pi.Retriever(vectors()[:1], attributes={"colour": ["\ud800"]}).save(tmp_path / "items")
    assert not [*tmp_path.iterdir()]


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    pi.Retriever(vectors(), None, "cosine", attributes=attributes()).save(tmp_path / "items")
    return (tmp_path / "items").read_bytes()


def load(data: bytes, tmp_path: Path) -> pi.Retriever:
    (tmp_path / "changed").write_bytes(data)
    return pi.Retriever.load(tmp_path / "changed")


def put(body: bytes, entry: dict[str, Any], place: int, value: Any) -> bytes:
    begin = entry["data_offsets"][0] + place * value.nbytes
    return body[:begin] + value.tobytes() + body[begin + value.nbytes :]


@pytest.mark.parametrize(
    ("tensor", "place", "value", "words"),
    [
        ("vectors", 13, np.float32(np.nan), "finite numbers .row 1"),
        ("vectors", 13, np.float32(3), "length of 1 or 0 .row 1"),
        ("ids", 7, np.int64(8), "different"),
        ("attributes/colour/values", 4, np.uint32(4), "a word for each number"),
        ("attributes/new", 4, np.int8(2), "booleans"),
        ("attributes/new", 4, np.int8(-2), "booleans"),
    ],
)
def test_hostile_numbers_are_refused(
    data: bytes, tmp_path: Path, tensor: str, place: int, value: Any, words: str
) -> None:
    header, body = taken_apart(data)
    with pytest.raises(ModelError, match=words):
        load(put_together(header, put(body, header[tensor], place, value)), tmp_path)
    with pytest.raises(ModelError, match=f"'{tensor}'"):
        pi.verify(tmp_path / "changed")


def test_a_file_of_something_else_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a model, it holds a retriever"):
        pi.load(data)
    pi.load(MODEL).save(tmp_path / "model")
    with pytest.raises(ModelError, match="expected a retriever, it holds a model"):
        pi.Retriever.load(tmp_path / "model")
    header, body = taken_apart(data)
    header["__metadata__"]["content"]["metric"] = "l1"
    with pytest.raises(ModelError, match="metric: expected one of"):
        load(put_together(header, body), tmp_path)


def test_damaged_files_are_refused_or_searched(data: bytes, tmp_path: Path) -> None:
    random, kept = Random(4), 0
    for _ in range(400):
        header, body = taken_apart(data)
        for _ in range(random.choice((0, 1, 1, 2))):
            damage(header["__metadata__"]["content"], random)
        changed = bytearray(put_together(header, body))
        for _ in range(random.randrange(3)):
            changed[random.randrange(len(changed) - len(body), len(changed))] = random.randrange(256)
        try:
            retriever = load(bytes(changed), tmp_path)
        except PyrecError:
            continue
        kept += 1
        assert len(found(retriever)[0]) == 9
    assert 0 < kept < 400
