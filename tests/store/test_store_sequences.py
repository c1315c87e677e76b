"""Random changes of items, given in every form, beside a dictionary that is searched by brute force."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from onnx import helper
from support.models import FLOAT, make_model
from support.signals import interrupt_at

import pyrec_infer as pi

WIDTH = 4
WORDS = ["red", "blue", "gr\0en", ""]
STEPS = 14

Item = tuple[NDArray[np.float32], str]


@pytest.fixture(scope="module")
def model() -> pi.Model:
    """The score is the product of both sides' vectors: of whole numbers, so that it is exact."""
    nodes = [
        helper.make_node("Mul", ["u", "i"], ["m"]),
        helper.make_node("ReduceSum", ["m", "one"], ["score"], keepdims=0),
    ]
    inputs = {"u": (FLOAT, ["N", WIDTH]), "i": (FLOAT, ["N", WIDTH])}
    made = make_model(nodes, inputs, {"score": (FLOAT, ["N"])}, {"one": np.asarray([1])})
    return pi.load(made.SerializeToString())


class Side:
    """The same items twice: in what is tested, and in a dictionary."""

    def __init__(self, model: pi.Model, kind: str, ids: str, seed: int) -> None:
        self.kind, self.ids = kind, ids
        self.chance, self.rng = random.Random(seed), np.random.default_rng(seed)
        self.expected: dict[Any, Item] = {}
        names, vectors, words = self.some(6)
        self.keep(names, vectors, words)
        given: dict[str, Any] = {"ids": self.form(names), "attributes": {"word": words}}
        if kind in ("fp32", "int8"):
            precision: Any = kind
            self.items: Any = pi.Retriever(vectors, precision=precision, **given)
        else:
            self.items = model.catalog({"i": vectors}, vectors=vectors if kind == "both" else None, **given)
        # Kept while items change.
        red = self.items.where("word", "red")
        self.filters = {"all": None, "red": red, "not red": ~red}

    def id(self) -> Any:
        pick, number = self.chance.choice, self.chance.randint
        if self.ids == "signed":
            return pick([number(-5, 30), number(-5, 30), -(2**63), 2**63 - 1, number(-(2**63), 2**63 - 1)])
        if self.ids == "unsigned":
            return pick([number(0, 30), number(0, 30), 2**64 - 1, 2**63, number(0, 2**64 - 1)])
        return pick(["a", "", "a\0b", "größe", "x" * 300, *(f"sku-{number(0, 20)}" for _ in range(5))])

    def some(self, count: int) -> tuple[list[Any], NDArray[np.float32], list[str]]:
        names = [self.id() for _ in range(count)]
        vectors = self.rng.integers(-8, 9, (count, WIDTH)).astype(np.float32)
        return names, vectors, [self.chance.choice(WORDS) for _ in names]

    def form(self, names: list[Any]) -> Any:
        """Ids as a caller may have them."""
        if self.ids == "text":
            column = pa.array(names, pa.string())
            forms = [names, np.asarray(names, object), column, column.dictionary_encode()]
            return self.chance.choice([*forms, column.cast(pa.large_string())])
        array = np.asarray(names, np.int64 if self.ids == "signed" else np.uint64)
        frozen = array.copy()
        frozen.flags.writeable = False
        return self.chance.choice([frozen, np.repeat(array, 2)[::2], array[::-1][::-1], pa.array(array)])

    def layout(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        frozen = np.asfortranarray(vectors)
        frozen.flags.writeable = False
        return self.chance.choice(
            [vectors, frozen, np.repeat(vectors, 2, 0)[::2], vectors.astype(np.float64)]
        )

    def keep(self, names: list[Any], vectors: NDArray[np.float32], words: list[str]) -> None:
        """Of equal ids the last counts, and gives the place of a new one."""
        for row in sorted({name: row for row, name in enumerate(names)}.values()):
            self.expected[names[row]] = vectors[row], words[row]

    def upsert(self, count: int) -> None:
        names, vectors, words = self.some(count)
        given: Any = self.layout(vectors)
        more = {"vectors": self.layout(vectors)} if self.kind == "both" else {}
        own = given if self.kind in ("fp32", "int8") else {"i": given}
        self.items.upsert(own, self.form(names), {"word": words}, **more)
        self.keep(names, vectors, words)

    def remove(self) -> None:
        there = self.chance.sample(list(self.expected), min(len(self.expected), self.chance.randint(0, 6)))
        names = [*there, *(self.id() for _ in range(3))]
        assert self.items.remove(self.form(names)) == len({name for name in names if name in self.expected})
        for name in names:
            self.expected.pop(name, None)

    def check(self) -> None:
        assert self.items.ids.tolist() == list(self.expected)
        query = self.rng.integers(-4, 5, WIDTH).astype(np.float32)
        asked = [self.id() for _ in range(5)]
        places = list(self.expected)
        wanted_places = [places.index(name) if name in self.expected else -1 for name in asked]
        assert self.items.places(self.form(asked)).tolist() == wanted_places
        k = self.chance.choice([1, 3, 1000])
        for name, where in self.filters.items():
            ranked = [
                (id, float(vector @ query))
                for id, (vector, word) in self.expected.items()
                if where is None or (word == "red") == (name == "red")
            ]
            ranked.sort(key=lambda pair: -pair[1])
            for found in self.found(query, k, where):
                pairs = zip(np.ravel(found.ids).tolist(), np.ravel(found.scores).tolist(), strict=True)
                assert list(pairs) == ranked[:k], name
        if self.kind in ("catalog", "both"):
            scores = self.items.score({"u": query[np.newaxis]}, self.form(asked), missing="nan")
            wanted = [self.expected[id][0] @ query if id in self.expected else np.nan for id in asked]
            np.testing.assert_array_equal(scores, wanted)

    def found(self, query: NDArray[np.float32], k: int, where: Any) -> list[Any]:
        if self.kind in ("fp32", "int8"):
            return [self.items.top_k(query, k, where=where)]
        found = [self.items.top_k({"u": query[np.newaxis]}, k, where=where)]
        return [*found, self.items.retriever.top_k(query, k, where=where)] if self.kind == "both" else found


@pytest.mark.parametrize("ids", ["signed", "unsigned", "text"])
@pytest.mark.parametrize("kind", ["catalog", "fp32", "int8", "both"])
def test_items_are_those_of_a_dictionary(model: pi.Model, kind: str, ids: str) -> None:
    side = Side(model, kind, ids, seed=len(kind) + 10 * len(ids))
    side.check()
    for _ in range(STEPS):
        step = side.chance.choice(["few", "one", "many", "none", "remove", "remove"])
        if step == "remove":
            side.remove()
        else:
            side.upsert({"few": side.chance.randint(2, 12), "one": 1, "many": 300, "none": 0}[step])
        side.check()
    assert side.items.remove(side.items.ids) == len(side.expected)
    side.expected.clear()
    side.check()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_vectors_that_are_interrupted_enter_whole_or_not_at_all(precision: Any) -> None:
    """Every seventh step of the interpreter, from another one on for each precision."""
    vectors, query = np.arange(40, dtype=np.float32).reshape(10, WIDTH), np.ones(WIDTH, np.float32)
    changed = np.full((3, WIDTH), 7, np.float32)

    def make() -> pi.Retriever:
        return pi.Retriever(vectors, precision=precision, attributes={"word": ["old"] * 10})

    def change(items: pi.Retriever) -> None:
        items.upsert(changed, [5, 90, 7], {"word": ["new"] * 3})

    def state(items: pi.Retriever) -> list[Any]:
        found = [items.top_k(query, 99), items.top_k(query, 99, where=items.where("word", "new"))]
        return [items.ids.tolist(), *((each.ids.tolist(), each.scores.tolist()) for each in found)]

    items = make()
    before = state(items)
    change(items)
    after = state(items)
    assert before != after
    number, interrupted = 2 * (precision == "int8"), True
    while interrupted:
        items = make()
        interrupted = interrupt_at(number, lambda items=items: change(items))  # type: ignore[misc]
        assert state(items) in (before, after)
        change(items)
        assert state(items) == after
        number += 7
    assert number > 200
