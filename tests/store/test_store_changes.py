"""Changes of a catalogue happen whole or not at all: interrupted anywhere, and while others read."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from onnx import helper
from support.models import FLOAT, make_model
from support.signals import Interruption, handler, interrupt_at, swallowed

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError, InputError


@pytest.fixture(scope="module")
def model() -> pi.Model:
    """The score is the item's number."""
    made = make_model(
        [helper.make_node("Mul", ["u", "i"], ["score"])],
        {"u": (FLOAT, ["N"]), "i": (FLOAT, ["N"])},
        {"score": (FLOAT, ["N"])},
    )
    return pi.load(made.SerializeToString())


USER = {"u": 1.0}


def names_of(kind: str, numbers: Any) -> Any:
    return [f"sku-{number}" for number in numbers] if kind == "str" else np.asarray(numbers)


def state(catalog: pi.Catalog) -> dict[Any, float]:
    """All items and their scores; asserts that every way to ask for them tells the same."""
    ids = catalog.ids.tolist()
    scores = catalog.score(USER).tolist()
    assert len(catalog) == len(ids) == len(set(ids)) == len(scores)
    if ids:
        assert catalog.score(USER, catalog.ids).tolist() == scores
        best = catalog.top_k(USER, len(ids), allow=catalog.ids)
        assert dict(zip(best.ids.tolist(), best.scores.tolist(), strict=True)) == dict(
            zip(ids, scores, strict=True)
        )
    return dict(zip(ids, scores, strict=True))


def restore(catalog: pi.Catalog, kind: str) -> None:
    """Make it what it was at first: items 0 to 9."""
    catalog.remove(catalog.ids)
    catalog.upsert({"i": np.arange(10, dtype=np.float32)}, names_of(kind, range(10)))


CHANGES: dict[str, Callable[[pi.Catalog, str], object]] = {
    "replace and add": lambda catalog, kind: catalog.upsert(
        {"i": np.asarray([50, 51, 52], np.float32)}, names_of(kind, [5, 90, 7])
    ),
    "the last of equal ids": lambda catalog, kind: catalog.upsert(
        {"i": np.asarray([50, 51, 52], np.float32)}, names_of(kind, [5, 90, 5])
    ),
    "remove": lambda catalog, kind: catalog.remove(names_of(kind, [5, 3, 1000])),
    "remove one": lambda catalog, kind: catalog.remove(names_of(kind, [6])),
}


@pytest.mark.parametrize("kind", ["int", "str"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_interrupted_at_any_step_is_whole_or_nothing(
    model: pi.Model, kind: str, change: str
) -> None:
    catalog = model.catalog({"i": np.arange(10, dtype=np.float32)}, names_of(kind, range(10)))
    before = state(catalog)
    CHANGES[change](catalog, kind)
    after = state(catalog)
    assert before != after
    number, interrupted = 0, True
    while interrupted:
        restore(catalog, kind)
        interrupted = interrupt_at(number, lambda: CHANGES[change](catalog, kind))
        assert state(catalog) in (before, after)
        CHANGES[change](catalog, kind)
        assert state(catalog) == after
        number += 1
    assert number > 20


@swallowed
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize("kind", ["int", "str"])
def test_changes_in_a_storm_of_signals(model: pi.Model, kind: str) -> None:
    """Each item's score tells when it was written; a change writes all of its items or none."""

    def fire(number: int, frame: FrameType | None) -> None:
        raise Interruption

    catalog = model.catalog({"i": np.zeros(60, np.float32)}, names_of(kind, range(60)))
    generator, before = np.random.default_rng(0), state(catalog)
    interruptions = 0
    with handler(signal.SIGALRM, fire):
        for version in range(1, 300):
            ids = generator.choice(100, 20, replace=False)
            names = names_of(kind, ids)
            after = dict(before)
            if version % 3:
                after.update(dict.fromkeys(np.asarray(names).tolist(), float(version)))
            else:
                for name in np.asarray(names).tolist():
                    after.pop(name, None)
            with suppress(Interruption):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 1e-6 + generator.random() * 2e-4)
                    if version % 3:
                        catalog.upsert({"i": np.full(20, version, np.float32)}, names)
                    else:
                        catalog.remove(names)
                except Interruption:
                    interruptions += 1
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            found = state(catalog)
            assert found in (before, after)
            before = found
    assert interruptions > 5


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
@pytest.mark.parametrize("kind", ["int", "str"])
def test_a_change_without_memory_is_whole_or_nothing(model: pi.Model, kind: str) -> None:
    """The process may have a little more addresses each time, so that another allocation is refused."""
    count = 60_000
    names = names_of(kind, np.random.default_rng(0).permutation(count) * 7919)
    catalog = model.catalog({"i": np.arange(10, dtype=np.float32)}, names_of(kind, range(10)))
    before = state(catalog)
    limit = resource.getrlimit(resource.RLIMIT_AS)
    failures = 0
    for room in range(0, 1 << 26, 1 << 18):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        done = False
        try:
            resource.setrlimit(resource.RLIMIT_AS, (used + room, limit[1]))
            catalog.upsert({"i": np.ones(count, np.float32)}, names)
            done = True
        except MemoryError:
            failures += 1
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limit)
        if done:
            break
        assert len(catalog) == len(before)
    if not failures:
        pytest.skip("the C library has kept enough memory of earlier tests")
    assert failures > 3
    assert catalog.remove(names[:20_000]) >= 19_999
    assert catalog.remove(names) >= 39_999
    assert state(catalog).items() <= before.items()


def test_the_allowed_items_of_a_growing_catalogue(model: pi.Model) -> None:
    catalog = model.catalog({"i": np.arange(100, dtype=np.float32)})
    stop, failures = threading.Event(), []

    def read() -> None:
        allow = np.arange(0, 20_000, 7)
        while not stop.is_set():
            try:
                best = catalog.top_k(USER, 10, allow=allow)
                assert (best.scores == best.ids).all()
                assert np.isin(best.ids, allow).all()
            except Exception as error:
                failures.append(repr(error))
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for begin in range(0, 20_000, 50):
        part = np.arange(begin, begin + 50)
        catalog.upsert({"i": part.astype(np.float32)}, part)
        catalog.remove(part[::5])
        catalog.upsert({"i": part[::5].astype(np.float32)}, part[::5])
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []


@pytest.mark.parametrize("kind", ["int", "uint", "str"])
def test_items_that_are_gone(model: pi.Model, kind: str) -> None:
    names = np.arange(6, dtype=np.uint64) if kind == "uint" else names_of(kind, range(6))
    catalog = model.catalog({"i": np.arange(6, dtype=np.float32)}, names)
    catalog.remove(names[1:3])
    with pytest.raises(IdRangeError, match=r"row 1\)"):
        catalog.score(USER, names)
    scores = catalog.score(USER, names, missing="nan")
    np.testing.assert_array_equal(scores, [0, np.nan, np.nan, 3, 4, 5])
    np.testing.assert_array_equal(catalog.score(USER, names[1:3], missing="nan"), [np.nan, np.nan])
    assert catalog.score(USER, missing="nan").tolist() == [0, 3, 4, 5]
    with pytest.raises(IdRangeError, match=r"row 1\)"):
        catalog.top_k(USER, 3, ids=names)
    boost = np.asarray([0, 100, 100, 10, 0, 0], np.float32)
    best = catalog.top_k(USER, 3, ids=names, boost=boost, exclude=names[5:], missing="skip")
    assert best.ids.tolist() == np.asarray(names)[[3, 4, 0]].tolist()
    assert best.scores.tolist() == [13, 4, 0]
    assert catalog.top_k(USER, 3, ids=names[1:3], missing="skip").count == 0
    with pytest.raises(InputError, match="missing"):
        catalog.score(USER, names, missing="skip")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="missing"):
        catalog.top_k(USER, 3, missing="nan")  # type: ignore[arg-type]


def test_items_that_are_gone_with_inputs_of_each_call(model: pi.Model) -> None:
    made = make_model(
        [helper.make_node("Mul", ["u", "i"], ["p"]), helper.make_node("Add", ["p", "c"], ["score"])],
        {name: (FLOAT, ["N"]) for name in "uic"},
        {"score": (FLOAT, ["N"])},
    )
    catalog = pi.load(made.SerializeToString()).catalog({"i": np.arange(4.0)}, candidates=["c"])
    catalog.remove([2])
    late = {"c": np.asarray([10, 20, 30, 40], np.float32)}
    np.testing.assert_array_equal(catalog.score(USER, range(4), late, missing="nan"), [10, 21, np.nan, 43])
    best = catalog.top_k(USER, 9, ids=range(4), candidates=late, missing="skip")
    assert best.ids.tolist() == [3, 1, 0]
    assert np.isnan(catalog.score(USER, [2, 9], {"c": [1.0, 2.0]}, missing="nan")).all()
    with pytest.raises(InputError):
        catalog.score(USER, [2, 9], missing="nan")
