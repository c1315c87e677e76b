"""Strings of attributes that no item has any more take no memory, and are never mistaken for others."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support.rules import product_model

import pyrec_infer as pi
from pyrec_infer.store import items as store_items
from pyrec_infer.store.turns import Shared

FEW = 4


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_items, "_FEW_WORDS", FEW)


def make(kind: str, words: list[Any]) -> Any:
    """Items 0, 1, ... with a word each, whose scores are their ids."""
    numbers = np.arange(len(words), dtype=np.float32)
    attributes = {"word": np.asarray(words, "U")}
    if kind == "catalog":
        return product_model().catalog({"i": numbers}, attributes=attributes)
    return pi.Retriever(numbers[:, np.newaxis], attributes=attributes)


def upsert(shop: Any, ids: list[int], words: list[Any]) -> None:
    numbers = np.asarray(ids, np.float32)
    if isinstance(shop, pi.Retriever):
        shop.upsert(numbers[:, np.newaxis], ids, {"word": words})
    else:
        shop.upsert({"i": numbers}, ids, {"word": words})


def found(shop: Any, **rules: Any) -> list[int]:
    request: Any = [1.0] if isinstance(shop, pi.Retriever) else {"u": 1.0}
    return sorted(np.ravel(shop.top_k(request, 99, **rules).ids).tolist())


@pytest.mark.parametrize("kind", ["catalog", "retriever"])
def test_words_that_no_item_has_are_forgotten(kind: str) -> None:
    shop = make(kind, ["kept", "old", "old"])
    kept, old, again = (shop.where("word", word) for word in ("kept", "old", "again"))
    most = 0
    for number in range(60):
        upsert(shop, [1, 2], [f"word {number}", "again" if number % 20 == 0 else None])
        assert found(shop, where=shop.where("word", f"word {number}")) == [1]
        assert found(shop, where=shop.where("word", f"word {number - 1}")) == []
        assert (found(shop, where=kept), found(shop, where=old)) == ([0], [])
        assert found(shop, where=again) == ([2] if number % 20 == 0 else [])
        assert found(shop, max_per={"word": {"kept": 0}}) == [1, 2]
        most = max(most, shop._attributes.words)
    assert most <= 3 * FEW + 4
    shop.remove([0, 1, 2])
    assert found(shop, where=kept) == []
    upsert(shop, [5, 6], ["kept", "other"])
    assert found(shop, where=kept) == [5]


def test_removed_items_take_their_words_along() -> None:
    count = 200
    shop = make("retriever", [f"word {i}" for i in range(count)])
    assert shop._attributes.words == count
    shop.remove(np.arange(3, count))
    assert shop._attributes.words == 3
    assert found(shop, where=shop.where("word", "word 2")) == [2]


@pytest.mark.parametrize("kind", ["catalog", "retriever"])
def test_who_reads_keeps_the_words_of_its_state(kind: str) -> None:
    shop = make(kind, ["a", "b", "c"])
    where = shop.where("word", in_=["a", "c"])
    state, _ = shop._read()
    for number in range(40):
        upsert(shop, [0, 1, 2], [f"{number} {i}" for i in range(3)])
    upsert(shop, [1], ["a"])
    assert found(shop, where=where) == [1]
    scope = shop._scope_of(state.view, state.attributes, [], [])
    assert state.of_items(where.node.test(scope)).tolist() == [True, False, True]


def test_nothing_is_replaced_while_another_change_is_on_its_way() -> None:
    shared = Shared("many")
    turn, other = shared.begin(), shared.begin()
    assert not shared.replace(turn, lambda: "few")
    del turn, other
    turn = shared.begin()

    def meanwhile() -> str:
        assert shared.begin().value == "many"
        return "few"

    assert not shared.replace(turn, meanwhile)
    assert shared.value == "many"
    turn = shared.begin()
    assert shared.replace(turn, lambda: "few")
    assert (shared.value, turn.value) == ("few", "many")


def test_a_turn_that_is_interrupted_at_any_step_stops_no_other_thread() -> None:
    """Interruptions come between any two instructions, also where a lock would just have been taken."""
    for step in range(400):
        shared = Shared(["many"])
        left = step

        def trace(frame: Any, event: str, argument: object) -> Any:
            nonlocal left
            frame.f_trace_opcodes = True
            left -= event == "opcode"
            if left < 0:
                raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            turn = shared.begin()
            shared.replace(turn, lambda: ["few"])
            finished = True
        except KeyboardInterrupt:
            finished = False
        finally:
            sys.settrace(before)
        turn = None
        assert shared.value in (["many"], ["few"])
        with ThreadPoolExecutor(1) as other:
            done = other.submit(lambda: shared.replace(shared.begin(), lambda: ["new"]))  # noqa: B023
            assert done.result(10)
        assert shared.value == ["new"]
        if finished:
            return
    pytest.fail("the steps have no end")


@pytest.fixture
def fast_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("fast_switches")
def test_words_of_threads_that_change_items_at_once() -> None:
    """Each item has the word of its id, or another one of its own for a moment."""
    shop = make("catalog", [f"word {i}" for i in range(8)])
    failures: list[str] = []
    stop = threading.Event()

    def change(first: int) -> None:
        for number in range(40):
            upsert(shop, [first, first + 1], [f"{first} {number}", f"word {first + 1}"])
            upsert(shop, [first], [f"word {first}"])

    def read() -> None:
        odd = shop.where("word", in_=[f"word {i}" for i in range(1, 8, 2)])
        while not stop.is_set():
            if (ids := found(shop, where=odd)) != [1, 3, 5, 7]:
                failures.append(f"found {ids}")
                return

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=change, args=(first,)) for first in (0, 2, 4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert failures == []
    assert [found(shop, where=shop.where("word", f"word {i}")) for i in range(8)] == [[i] for i in range(8)]
