"""Items with attributes while threads change and read them and signals interrupt: all is whole or nothing."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import numpy as np
import pytest
from support.rules import product_model
from support.signals import handler, swallowed

import pyrec_infer as pi
from pyrec_infer.store import items as store_items

pytestmark = swallowed

SECONDS = 0.15
OWN = 5
"""Items of each writer, which have one version at any time, or are not there."""

WRITERS = 3


class Interruption(BaseException):
    """What a signal's handler raises."""


class Shop:
    """A version is an item's score, its number and its word."""

    def __init__(self, kind: str) -> None:
        every = np.arange(WRITERS * OWN)
        zeros = np.zeros(len(every), np.float32)
        attributes = {"word": ["version 0"] * len(every), "number": np.zeros(len(every), np.int64)}
        if kind == "catalog":
            self.items: Any = product_model().catalog({"i": zeros}, every, attributes=attributes)
        else:
            self.items = pi.Retriever(zeros[:, np.newaxis], every, attributes=attributes)
        self.request: Any = {"u": 1.0} if kind == "catalog" else [1.0]

    def put(self, writer: int, version: int) -> None:
        ids = np.arange(writer * OWN, (writer + 1) * OWN)
        scores = np.full(OWN, version, np.float32)
        attributes = {"word": [f"version {version}"] * OWN, "number": [version] * OWN}
        given = scores[:, np.newaxis] if isinstance(self.items, pi.Retriever) else {"i": scores}
        self.items.upsert(given, ids, attributes)

    def remove(self, writer: int) -> None:
        self.items.remove(np.arange(writer * OWN, (writer + 1) * OWN))

    def versions(self, **rules: Any) -> dict[int, list[float]]:
        """By writer the scores that are found."""
        found = self.items.top_k(self.request, 99, **rules)
        scores: dict[int, list[float]] = {}
        for item, score in zip(np.ravel(found.ids).tolist(), np.ravel(found.scores).tolist(), strict=True):
            scores.setdefault(item // OWN, []).append(score)
        return scores

    def check(self, version: int) -> None:
        for scores in self.versions().values():
            assert len(scores) == OWN
            assert len(set(scores)) == 1
        allowed = np.arange(0, WRITERS * OWN, 2)
        for scores in self.versions(allow=allowed).values():
            assert len(scores) in (OWN // 2, OWN // 2 + 1)
            assert len(set(scores)) == 1
        word, number = f"version {version}", float(version)
        where = self.items.where("word", word) & self.items.where("number", version)
        for found in (self.versions(where=where), self.versions(where=self.items.where("word", word))):
            assert all(scores == [number] * OWN for scores in found.values())
        for scores in self.versions(where=~self.items.where("word", word)).values():
            assert len(scores) == OWN
            assert number not in scores
        for scores in self.versions(max_per={"word": 1}).values():
            assert len(scores) == 1


def until(stop: threading.Event, failures: list[str], work: Callable[[int], None]) -> threading.Thread:
    """A thread that works again and again."""

    def run() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                work(number)
        except BaseException as error:
            failures.append(repr(error))

    return threading.Thread(target=run)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize("kind", ["catalog", "retriever"])
def test_changes_and_searches_of_threads_in_a_storm_of_signals(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_items, "_FEW_WORDS", 4)
    shop, stop, failures = Shop(kind), threading.Event(), []
    generator = np.random.default_rng(0)
    # What is imported when it is first needed: Python's own locks there stand no interruption.
    shop.check(0)

    def fire(number: int, frame: FrameType | None) -> None:
        raise Interruption

    def change(number: int) -> None:
        shop.put(1, number)
        if number % 3 == 0:
            shop.remove(1)

    def one_at_a_time(number: int) -> None:
        shop.put(2, -(number % 7))

    threads = [until(stop, failures, change), until(stop, failures, one_at_a_time)]
    threads += [until(stop, failures, lambda number: shop.check(number % 9 - 4))]
    written, version, end = 0, 0, time.monotonic() + SECONDS
    try:
        for thread in threads:
            thread.start()
        while time.monotonic() < end and not failures:
            version += 1
            with handler(signal.SIGALRM, fire), suppress(Interruption):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 1e-6 + generator.random() * 3e-3)
                    shop.put(0, version)
                    shop.check(version)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            (found,) = {*shop.versions()[0]}
            assert found in (written, version)
            written = int(found)
            shop.put(0, version)
            written = version
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    shop.check(version)
