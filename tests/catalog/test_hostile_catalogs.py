"""Files of catalogues that someone has meddled with are refused, or read within their bounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from fuzz.saved import meddled
from onnx import helper
from support.models import FLOAT, INT64, make_model
from support.saved import put_together, taken_apart

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError, ModelError, PyrecError, UnsupportedModelError

BOOL, COUNT, LENGTH = 9, 30, 6


def model(scale: float = 1.0) -> bytes:
    """A score that reads a request's own table by an item's id, where an item's flag says so."""
    nodes = [
        helper.make_node("Gather", ["table", "id"], ["row"]),
        helper.make_node("Mul", ["row", "scale"], ["scaled"]),
        helper.make_node("Exp", ["scaled"], ["known"]),
        helper.make_node("GatherElements", ["own", "place"], ["taken"], axis=1),
        helper.make_node("Squeeze", ["taken", "axis"], ["one"]),
        helper.make_node("Where", ["flag", "one", "known"], ["y"]),
    ]
    inputs: dict[str, Any] = {
        "own": (FLOAT, ["N", LENGTH]),
        "id": (INT64, ["N"]),
        "place": (INT64, ["N", 1]),
        "flag": (BOOL, ["N"]),
    }
    constants = {
        "table": np.linspace(-1, 1, 50, dtype=np.float32),
        "scale": np.float32(scale),
        "axis": np.asarray([1]),
    }
    return make_model(nodes, inputs, {"y": (FLOAT, ["N"])}, constants).SerializeToString()


def shop(source: bytes) -> pi.Catalog:
    rng = np.random.default_rng(1)
    given = {
        "id": rng.integers(0, 50, COUNT),
        "place": rng.integers(0, LENGTH, (COUNT, 1)),
        "flag": rng.random(COUNT) < 0.5,
    }
    colours = {"colour": [f"c{place % 3}" for place in range(COUNT)], "new": rng.random(COUNT) < 0.5}
    own = pi.Vectors(rng.standard_normal((COUNT, 5)), "cosine")
    return pi.load(source).catalog(given, attributes=colours, vectors=own)


REQUEST = {"own": np.linspace(0, 1, LENGTH, dtype=np.float32)[None]}


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    shop(model()).save(tmp_path / "shop")
    return (tmp_path / "shop").read_bytes()


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes], pi.Catalog]:
    def loaded(data: bytes) -> pi.Catalog:
        (tmp_path / "changed").write_bytes(data)
        return pi.load_catalog(tmp_path / "changed")

    return loaded


def put(data: bytes, tensor: str, begin: int, value: bytes) -> bytes:
    header, body = taken_apart(data)
    at = header[f"items/{tensor}"]["data_offsets"][0] + begin
    return put_together(header, body[:at] + value + body[at + len(value) :])


def field(data: bytes, tmp_path: Path, dtype: str) -> int:
    """Where the first field of a type stands in the first record."""
    (tmp_path / "fields").write_bytes(data)
    record = pi.load_catalog(tmp_path / "fields").explain().as_dict()["catalog"]["record"]
    return next(int(each["offset"]) for each in record if each["dtype"] == dtype)


def test_numbers_of_records_are_held_against_their_bounds(
    data: bytes, load: Callable[[bytes], pi.Catalog], tmp_path: Path
) -> None:
    flag, place = (field(data, tmp_path, dtype) for dtype in ("bool", "int64"))
    with pytest.raises(ModelError, match="expected booleans"):
        load(put(data, "records", flag, b"\2"))
    for number in (LENGTH, -1, 1 << 40, -(1 << 63)):
        catalog = load(put(data, "records", place, number.to_bytes(8, "little", signed=True)))
        with pytest.raises(IdRangeError):
            catalog.score(REQUEST)
        with pytest.raises(IdRangeError):
            catalog.top_k(REQUEST, 3)


@pytest.mark.parametrize(
    ("tensor", "begin", "value", "words"),
    [
        ("ids", 8, b"\0", "different"),
        ("attributes/colour/values", 4, b"\7", "a word for each number"),
        ("attributes/new", 4, b"\2", "booleans"),
        ("vectors", 4, b"\0\0\x80\x7f", "finite numbers .row 0"),
        ("vectors", 4, b"\0\0\x80\x40", "length of 1 or 0 .row 0"),
        # A signaling NaN, infinity, and a number that is too far away to be subtracted.
        ("probes", 0, b"\1\0\0\0\0\0\xf0\x7f", "another release"),
        ("probes", 0, b"\0\0\0\0\0\0\xf0\x7f", "another release"),
        ("probes", 0, b"\xff\xff\xff\xff\xff\xff\xef\x7f", "another release"),
    ],
)
def test_hostile_numbers_are_refused(
    data: bytes, load: Callable[[bytes], pi.Catalog], tensor: str, begin: int, value: bytes, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        load(put(data, tensor, begin, value))


def _records(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda items: items["records"].__setitem__(key, value)


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], None], type[ModelError], str]] = {
    "digest": (_records("digest", "0" * 64), UnsupportedModelError, "another release"),
    "no precision": (_records("precision", "fp8"), ModelError, "precision"),
    "no input": (_records("items", ["nothing"]), ModelError, "'nothing'"),
    "both": (_records("candidates", ["id"]), ModelError, "'id'"),
    "fewer": (_records("items", ["id", "place"]), UnsupportedModelError, "another release"),
    "output": (_records("outputs", [["z"]]), ModelError, "no such output"),
    "outputs": (_records("outputs", [["y"], ["y"]]), ModelError, "one output, or several"),
    "column": (_records("outputs", [["y", "0"]]), ModelError, "whole number"),
    "expression": (_records("by", "y +"), ModelError, "by"),
    "no expression": (_records("by", 1), ModelError, "expression"),
    "sizes": (_records("sizes", {"K": -1}), ModelError, "whole number"),
    "sample": (lambda items: items["records"]["sample"].update(own="items/ids"), ModelError, "ids of items"),
    "its shape": (
        lambda items: items["records"]["sample"].update(place="items/ids"),
        ModelError,
        "belongs to",
    ),
    "width": (lambda items: items.update(values="items/vectors"), ModelError, "expected rows of"),
    "nothing": (lambda items: items.update(values="items/nothing"), ModelError, "no tensor"),
    "metric": (lambda items: items["vectors"].update(metric="l1"), ModelError, "metric"),
    "no vectors": (lambda items: items.update(vectors=None), ModelError, "belongs to nothing"),
    "count": (lambda items: items["items"].update(ids="items/sample/place"), ModelError, "ids: expected 30"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_plain_data_are_refused(name: str, data: bytes, load: Callable[[bytes], pi.Catalog]) -> None:
    change, error, words = HOSTILE[name]
    header, body = taken_apart(data)
    change(header["__metadata__"]["content"]["items"])
    with pytest.raises(error, match=words):
        load(put_together(header, body))


def test_records_of_another_model_are_refused(
    data: bytes, load: Callable[[bytes], pi.Catalog], tmp_path: Path
) -> None:
    """The items of one file beside a model of the same form with other numbers."""
    shop(model(1.5)).save(tmp_path / "other")
    header, body = taken_apart((tmp_path / "other").read_bytes())
    own, numbers = taken_apart(data)
    for name, entry in header.items():
        if name.startswith("items/"):
            begin, end = entry["data_offsets"]
            first = own[name]["data_offsets"][0]
            body = body[:begin] + numbers[first : first + end - begin] + body[end:]
    with pytest.raises(UnsupportedModelError, match="another release"):
        load(put_together(header, body))


def test_a_file_that_is_replaced_while_it_is_opened_is_refused(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / "shop", pi.api.Model

    def replacing(*arguments: Any) -> pi.Model:
        (tmp_path / "new").write_bytes(data)
        (tmp_path / "new").replace(path)
        return real(*arguments)

    monkeypatch.setattr(pi.api, "Model", replacing)
    with pytest.raises(ModelError, match="has changed"):
        pi.load_catalog(path)


def test_damaged_files_are_refused_or_read(data: bytes, load: Callable[[bytes], pi.Catalog]) -> None:
    random, kept = Random(5), 0
    for _ in range(80):
        try:
            catalog = load(meddled(data, random))
            kept += 1
            catalog.score(REQUEST)
            catalog.retriever.top_k(np.ones(5), 3, where=catalog.where("colour", "c1"))
            catalog.top_k(REQUEST, 3)
        except PyrecError:
            continue
    assert 0 < kept < 80
