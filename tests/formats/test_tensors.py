"""Files of tensors: what is in them, what is refused, and that they are written whole or not at all."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from support.saved import checked, put_together, taken_apart
from support.signals import Interruption, interrupt_at

from pyrec_infer import cli
from pyrec_infer.errors import (
    ModelError,
    PyrecError,
    ResourceLimitError,
    SaveError,
    UnsupportedModelError,
)
from pyrec_infer.formats import tensors
from pyrec_infer.formats.tensors import (
    Packed,
    Portions,
    layout,
    open_tensors,
    reader,
    unpacked,
    verify_file,
    write_tensors,
)

pytestmark = pytest.mark.once

TEXTS = np.asarray([["a", ""], ["straße", "\0b"]], object)
ARRAYS: dict[str, np.ndarray] = {
    "numbers": np.arange(6, dtype=np.float32).reshape(2, 3),
    "flags": np.asarray([True, False, True]),
    "nothing": np.empty((0, 4), np.int64),
    "one": np.asarray(7, np.uint16),
    "turned": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "straße": np.asarray([1, -1], np.int8),
}
CONTENT = {"a": [1, 0.5, None], "b": "straße\ud800"}


def written(path: Path, content: Any = CONTENT, **more: np.ndarray) -> bytes:
    write_tensors(path, "thing", content, {**ARRAYS, **more})
    return path.read_bytes()


def read(data: bytes) -> dict[str, np.ndarray]:
    with open_tensors(data, "the file") as file:
        return {name: file.array(name, name) for name in file.entries}


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    return written(tmp_path / "file")


@pytest.mark.parametrize("mapped", [False, True])
def test_what_is_written_is_read(tmp_path: Path, mapped: bool) -> None:
    path = tmp_path / "file"
    data = written(path)
    with open_tensors(path, "the file", mapped) as file:
        assert (file.kind, file.content) == ("thing", CONTENT)
        found = {name: file.array(name, name) for name in file.entries}
        file.require_used()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
        assert not array.size or found[name].ctypes.data % 64 == 0
        assert not found[name].flags.writeable
    assert written(tmp_path / "again") == data
    verify_file(path)


def test_other_software_reads_it(data: bytes, tmp_path: Path) -> None:
    oracle = pytest.importorskip("safetensors.numpy")
    found = oracle.load(data)
    assert {name for name in found if not name.startswith(layout.PADDING)} == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def test_strings_are_two_tensors(tmp_path: Path) -> None:
    packed = Packed()
    mention = packed.put("texts", TEXTS)
    assert packed.put("other", TEXTS) is mention, "written once"
    write_tensors(tmp_path / "file", "thing", mention, packed.tensors)
    with open_tensors(tmp_path / "file", "the file") as file:
        assert unpacked(file, file.content, "texts").tolist() == TEXTS.tolist()
    for wrong in ("a\0", "\ud800"):
        with pytest.raises(UnsupportedModelError, match="cannot be saved"):
            packed.put("texts", np.asarray([wrong], object))


@pytest.mark.parametrize(
    ("ends", "letters", "shape"),
    [
        ([0, 2, 1], b"ab", [2]),
        ([0, 3], b"ab", [1]),
        ([1, 2], b"ab", [1]),
        ([-1, 2], b"ab", [1]),
        ([0, 1], b"\xff", [1]),
        ([0, 2], b"a\0", [1]),
        ([0, 2], b"ab", [2]),
        ([0], b"", [1 << 62, 1 << 62]),
        ([0, 1], b"a", [1] * 9),
    ],
)
def test_damaged_strings_are_refused(
    tmp_path: Path, ends: list[int], letters: bytes, shape: list[int]
) -> None:
    arrays = {"letters": np.frombuffer(letters, np.uint8), "ends": np.asarray(ends, np.int64)}
    mention = {"letters": "letters", "ends": "ends", "shape": shape}
    write_tensors(tmp_path / "file", "thing", mention, arrays)
    with open_tensors(tmp_path / "file", "the file") as file, pytest.raises(ModelError):
        unpacked(file, file.content, "texts")


def _set(name: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header[name].__setitem__(key, value)


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "dtype": (_set("numbers", "dtype", "F8"), "unknown element type"),
    "shape": (_set("numbers", "shape", [2, 4]), "expected 32 bytes"),
    "product": (_set("numbers", "shape", [1 << 33, 1 << 33]), "no tensor can have"),
    "overflow": (_set("nothing", "shape", [0, 1 << 61, 1 << 61]), "no tensor can have"),
    "negative": (_set("numbers", "shape", [-2, -3]), "whole number"),
    "boolean": (_set("numbers", "shape", [True, 6]), "whole number"),
    "rank": (_set("numbers", "shape", [1] * 8 + [6]), "axes"),
    "offsets": (_set("numbers", "data_offsets", [0]), "two offsets"),
    "overlap": (_set("flags", "data_offsets", [63, 66]), "begin at"),
    "backwards": (_set("numbers", "data_offsets", [24, 0]), "bytes for its shape"),
    "unknown": (_set("numbers", "more", 1), "expected an object"),
    "metadata": (_set("__metadata__", "more", ""), "expected an object"),
    "number": (_set("__metadata__", "kind", 1), "expected str"),
    "checksums": (_set("__metadata__", "crc32", "{}"), "a checksum of each"),
    "hole": (lambda header: header.pop("padding/1"), "begin at"),
    "end": (lambda header: header.pop("padding/6"), "bytes, the header and all"),
    "lines": (
        lambda header: header.update(
            {"padding/1": {"dtype": "U8", "shape": [40], "data_offsets": [0, 40]}},
            numbers={"dtype": "F32", "shape": [2, 3], "data_offsets": [40, 64]},
        ),
        "cache line",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_header_that_breaks_a_rule_is_refused(data: bytes, name: str) -> None:
    change, words = WRONG[name]
    header, body = taken_apart(data)
    change(header)
    with pytest.raises(ModelError, match=words):
        read(put_together(header, body))


def test_names_that_are_given_twice_are_refused(data: bytes) -> None:
    length = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + length].rstrip()
    twice = text[:-1] + b',"one":' + json.dumps(json.loads(text)["one"]).encode() + b"}"
    whole = checked(twice + b" " * (-(8 + len(twice)) % 64)) + data[8 + length :]
    with pytest.raises(ModelError, match="twice"):
        read(whole)


def test_other_versions_and_damaged_headers_are_refused(data: bytes) -> None:
    place = data.index(layout.PREFIX) + len(layout.PREFIX)
    with pytest.raises(UnsupportedModelError, match=r"version '2'.*reads '1'"):
        read(data[:place] + b"2" + data[place + 1 :])
    with pytest.raises(ModelError, match="checksum of its header"):
        read(data.replace(b'"kind":"thing"', b'"kind":"thong"'))
    for length in (0, 1, 1 << 40, 2**64 - 1):
        with pytest.raises(ModelError, match="no such length"):
            read(length.to_bytes(8, "little") + data[8:])


def test_changed_bytes_are_found(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    assert cli.main(["verify", str(path)]) == 0
    header, body = taken_apart(data)
    begin = len(data) - len(body)
    for name, entry in header.items():
        if name == "__metadata__" or entry["data_offsets"][0] == entry["data_offsets"][1]:
            continue
        place = begin + entry["data_offsets"][1] - 1
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ModelError, match="not zero" if name.startswith("padding") else f"'{name}'"):
            verify_file(path)
    capsys.readouterr()
    assert cli.main(["verify", str(path)]) == 1
    assert "damaged" in capsys.readouterr().err


def test_damaged_files_are_refused_or_of_the_same_shapes(data: bytes) -> None:
    random = Random(5)
    expected = {name: (array.dtype, array.shape) for name, array in ARRAYS.items()}
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(random.randrange(1, 4)):
            changed[random.randrange(len(data))] = random.randrange(256)
        if random.random() < 0.3:
            del changed[random.randrange(len(data)) :]
        length = int.from_bytes(changed[:8], "little")
        if random.random() < 0.8 and length < len(changed):
            changed[: 8 + length] = checked(bytes(changed[8 : 8 + length]))
        try:
            found = read(bytes(changed))
        except PyrecError:
            continue
        assert all(found[name].shape == shape for name, (_, shape) in expected.items() if name in found)


def test_booleans_are_zero_or_one(data: bytes) -> None:
    header, body = taken_apart(data)
    place = header["flags"]["data_offsets"][0]
    changed = body[:place] + b"\2" + body[place + 1 :]
    with pytest.raises(ModelError, match="neither 0 nor 1"):
        read(put_together(header, changed))


def test_tensors_that_nothing_mentions_are_refused(data: bytes) -> None:
    with open_tensors(data, "the file") as file:
        file.array("one", "one")
        with pytest.raises(ModelError, match="'flags' belongs to nothing"):
            file.require_used()
        with pytest.raises(ModelError, match="there is no tensor 'two'"):
            file.array("two", "two")
        with pytest.raises(ModelError, match="expected a model, it holds a thing"):
            file.require_kind("model")


def test_more_than_half_of_the_memory_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "file")
    monkeypatch.setattr(reader, "machine_memory", lambda: 100)
    for mapped in (False, True):
        with open_tensors(tmp_path / "file", "the file", mapped) as file:
            if mapped:
                file.require_room()
                continue
            with pytest.raises(ResourceLimitError, match="are copied, so map it"):
                file.require_room(instead=", so map it")
            file.require_room(lambda name: name == "nothing of it")


def test_portions_are_one_tensor(tmp_path: Path) -> None:
    array = np.arange(35).reshape(5, 7)
    parts = Portions(array.dtype, array.shape, lambda: iter([array[:3], array[3:]]))
    write_tensors(tmp_path / "a", "thing", None, {"x": parts})
    write_tensors(tmp_path / "b", "thing", None, {"x": array})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def broken() -> Iterator[np.ndarray]:
    yield np.zeros(1 << 20)
    raise KeyboardInterrupt


def test_what_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = written(path)
    parts = Portions(np.dtype(np.float64), (2 << 20,), broken)
    with pytest.raises(KeyboardInterrupt):
        write_tensors(path, "thing", None, {"x": parts})
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == before


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_every_step_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    new = written(tmp_path / "other", 2)
    (tmp_path / "other").unlink()
    old = written(path, 1)
    folder = str(Path(tensors.__file__).parent)
    number = 0
    while interrupt_at(number, lambda: written(path, 2), (folder,)):
        assert [*tmp_path.iterdir()] == [path]
        assert path.read_bytes() in (old, new)
        path.write_bytes(old)
        number += 11
    assert number > 700
    assert path.read_bytes() == new


def test_a_signal_passes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(number: int, frame: Any) -> None:
        raise Interruption

    def sync(descriptor: int) -> None:
        signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    monkeypatch.setattr(os, "fsync", sync)
    try:
        with pytest.raises(Interruption):
            written(tmp_path / "file")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not [*tmp_path.iterdir()]


def test_what_the_system_refuses_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    before = sorted(tmp_path.iterdir())
    for path, words in (
        (tmp_path / "folder", "no regular file"),
        (tmp_path / "fifo", "no regular file"),
        (tmp_path / "nowhere" / "file", "No such file"),
        (tmp_path / "fifo" / "file", "Not a directory"),
        (tmp_path / "a\0b", "null"),
    ):
        with pytest.raises(SaveError, match=words):
            written(path)
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = written(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(SaveError, match="'file' cannot be written: File too large"):
            written(path, more=np.zeros(1 << 16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == before


def test_a_link_keeps_leading_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    written(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").is_file()
