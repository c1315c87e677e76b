"""Caps, quotas, boosts, exclusions and diversity, against their definitions."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.rules import product_model

import pyrec_infer as pi
from pyrec_infer.errors import DTypeError, InputError, ShapeError
from pyrec_infer.selection import diversity, excluded
from pyrec_infer.top_k import Ranked

Array = NDArray[Any]


@pytest.fixture(scope="module")
def model() -> pi.Model:
    return product_model()


def best_of_all(model: pi.Model, scores: Array, attributes: Any, k: int, **rules: Any) -> list[list[int]]:
    """What a catalogue, a retriever and the model itself give."""
    items = {"i": np.asarray(scores, np.float32)}
    catalog = model.catalog(items, attributes=attributes)
    retriever = pi.Retriever(items["i"][:, np.newaxis], attributes=attributes)
    return [
        catalog.top_k({"u": 1.0}, k, **rules).ids.tolist(),
        retriever.top_k([1.0], k, **rules).ids[0].tolist(),
        model.top_k({"u": 1.0}, items, k, attributes=attributes, **rules).ids.tolist(),
    ]


@settings(max_examples=2, deadline=None)
@given(st.data())
def test_caps_are_those_of_a_walk(model: pi.Model, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count = data.draw(st.sampled_from([5, 90, 600]))
    # Few sellers have most of the best items, so walks have to go far.
    seller = [None if s == 0 else f"s{s}" for s in np.minimum(rng.geometric(0.4, count) - 1, 6)]
    scores = np.sort(rng.integers(0, 40, count))[::-1] if data.draw(st.booleans()) else rng.random(count)
    country = rng.integers(0, 3, count)
    k = data.draw(st.sampled_from([0, 1, 7, 30]))
    most = data.draw(st.integers(0, 3))
    expected: list[int] = []
    taken: dict[Any, int] = {}
    for item in np.argsort(-np.asarray(scores, np.float32), kind="stable").tolist():
        own = [("seller", seller[item], most), ("country", country[item], 9 if country[item] == 1 else None)]
        capped = [(key, value, limit) for key, value, limit in own if not (value is None or limit is None)]
        if len(expected) < k and all(taken.get((key, value), 0) < limit for key, value, limit in capped):
            expected.append(item)
            for key, value, _ in capped:
                taken[key, value] = taken.get((key, value), 0) + 1
    rules = {"max_per": {"seller": most, "country": {1: 9, 77: 0}}}
    attributes = {"seller": seller, "country": country}
    if all(value is None for value in seller):
        return
    assert best_of_all(model, scores, attributes, k, **rules) == [expected] * 3


@settings(max_examples=4, deadline=None)
@given(st.data())
def test_quotas_give_the_largest_sum(model: pi.Model, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count, k = 9, data.draw(st.integers(1, 5))
    scores = rng.permutation(np.float32(2) ** np.arange(count))
    color = rng.integers(0, 3, count)
    least = {int(value): data.draw(st.integers(0, 2)) for value in (0, 2)}
    most = data.draw(st.sampled_from([None, 2, 3]))

    def meets(chosen: tuple[int, ...]) -> bool:
        counts = np.bincount(color[list(chosen)], minlength=3)
        enough = all(counts[value] >= number for value, number in least.items())
        return enough and (most is None or counts.max(initial=0) <= most)

    there = np.bincount(color, minlength=3)
    rules: dict[str, Any] = {"min_per": {"color": least}}
    if most is not None:
        rules["max_per"] = {"color": most}
    if sum(least.values()) > k or any(there[value] < number for value, number in least.items()):
        with pytest.raises(InputError, match="min_per"):
            best_of_all(model, scores, {"color": color}, k, **rules)
        return
    lists: list[tuple[int, ...]] = []
    size = k
    while not lists:
        lists = [chosen for chosen in combinations(range(count), size) if meets(chosen)]
        size -= 1
    expected = max(lists, key=lambda chosen: scores[list(chosen)].sum())
    order = sorted(expected, key=lambda item: -scores[item])
    assert best_of_all(model, scores, {"color": color}, k, **rules) == [order] * 3


def brute_mmr(scores: Array, alike: Array, k: int, diversity: float) -> list[int]:
    chosen: list[int] = [int(np.argmax(scores))]
    while len(chosen) < min(k, len(scores)):
        values = (1 - diversity) * scores - diversity * np.maximum(alike[chosen], 0).max(axis=0)
        values[chosen] = -np.inf
        chosen.append(int(np.argmax(values)))
    return chosen


def brute_dpp(scores: Array, alike: Array, k: int, diversity: float) -> list[int]:
    weights = np.exp((1 - diversity) * (scores - scores.max()))
    kernel = weights[:, np.newaxis] * alike * weights
    chosen: list[int] = []
    for _ in range(k):
        gains = [
            -1.0 if item in chosen else np.linalg.det(kernel[np.ix_([*chosen, item], [*chosen, item])])
            for item in range(len(scores))
        ]
        chosen.append(int(np.argmax(gains)))
    return chosen


@pytest.mark.parametrize("kind", [pi.MMR, pi.DPP])
@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_diversity_is_that_of_its_definition(model: pi.Model, kind: Any, seed: int, diversity: float) -> None:
    rng = np.random.default_rng(seed)
    vectors, query = rng.standard_normal((40, 6)).astype(np.float32), rng.standard_normal(6)
    retriever = pi.Retriever(vectors, ids=np.arange(40) + 100)
    everything = retriever.top_k(query, 40)
    order, scores = everything.ids[0] - 100, everything.scores[0].astype(np.float64)
    units = vectors[order].astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    brute = brute_mmr if kind is pi.MMR else brute_dpp
    chosen = brute(scores, units @ units.T, 5, diversity)
    found = retriever.top_k(query, 5, diversity=kind(diversity=diversity))
    assert found.ids[0].tolist() == (order[chosen] + 100).tolist()
    np.testing.assert_array_equal(found.scores[0], everything.scores[0][chosen])
    small = retriever.top_k(query, 3, diversity=kind(diversity=diversity, pool=3))
    assert sorted(small.ids[0]) == sorted(everything.ids[0, :3])
    # The same by vectors that come with the call, and by what gives them for ids.
    catalog = model.catalog({"i": scores.astype(np.float32)}, order + 100)
    own = retriever.vectors(order + 100)
    for by in (own, retriever.vectors):
        same = catalog.top_k({"u": 1.0}, 5, diversity=kind(by, diversity))
        assert same.ids.tolist() == found.ids[0].tolist()


@settings(max_examples=2, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_diversity_of_attributes(model: pi.Model, seed: int, diversity: float) -> None:
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.random(30).astype(np.float32))[::-1]
    a = [None if value == 0 else str(value) for value in rng.integers(0, 4, 30)]
    b = rng.integers(0, 3, 30)
    equal = np.asarray([[float(one == other and one is not None) for other in a] for one in a])
    alike = (equal + (b[:, np.newaxis] == b)) / 2
    np.fill_diagonal(alike, 1)
    chosen = brute_mmr(scores.astype(np.float64), alike, 8, diversity)
    rules = {"diversity": pi.MMR(["a", "b"], diversity)}
    assert best_of_all(model, scores, {"a": a, "b": b}, 8, **rules) == [chosen] * 3


def test_diversity_is_that_of_another_package() -> None:
    pyversity = pytest.importorskip("pyversity", reason="an oracle of diversity")
    rng = np.random.default_rng(5)
    for _ in range(5):
        vectors, query = rng.standard_normal((50, 8)).astype(np.float32), rng.standard_normal(8)
        retriever = pi.Retriever(vectors)
        everything = retriever.top_k(query, 50)
        scores, order = everything.scores[0], everything.ids[0]
        made = pyversity.diversify(vectors[order], scores, 10, strategy=pyversity.Strategy.MMR, diversity=0.6)
        found = retriever.top_k(query, 10, diversity=pi.MMR(diversity=0.6))
        assert found.ids[0].tolist() == order[made.indices].tolist()
        # Its weights are those of scores without their mean, in deviations.
        made = pyversity.diversify(vectors[order], scores, 8, strategy=pyversity.Strategy.DPP, diversity=0.6)
        beta = 0.4 / float(scores.std())
        found = retriever.top_k(query * beta / 0.4, 8, diversity=pi.DPP(diversity=0.6))
        assert found.ids[0].tolist() == order[made.indices].tolist()


def test_quotas_are_met_wherever_their_items_are(model: pi.Model) -> None:
    for count in (500, 5000):
        scores = np.arange(count, 0, -1).astype(np.float32)
        group = np.where(np.arange(count) >= count - 3, "late", "early")
        found = best_of_all(model, scores, {"group": group}, 4, min_per={"group": {"late": 2}})
        assert found == [[0, 1, count - 3, count - 2]] * 3


def test_caps_and_quotas_of_different_strings_stand_beside_each_other(model: pi.Model) -> None:
    rules: Any = {"max_per": {"s": {"a": 1}}, "min_per": {"s": {"c": 2}}}
    assert best_of_all(model, np.arange(6, 0, -1), {"s": [*"aabbcc"]}, 4, **rules) == [[0, 2, 4, 5]] * 3


@pytest.mark.parametrize("by", ["attributes", "vectors"])
def test_diversity_is_the_same_without_the_extension(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    count = 200
    values: Any = {
        "f": rng.choice(np.asarray([0.0, -0.0, 1.5, np.nan, np.inf], np.float32), count),
        "i": rng.integers(0, 4, count) * 2**61,
        "b": [None if value == 2 else bool(value) for value in rng.integers(0, 3, count)],
    }
    shop = pi.Retriever(rng.standard_normal((count, 6)).astype(np.float32), attributes=values)
    boost = rng.choice(np.asarray([0, 0, 0, np.inf, -np.inf], np.float32), count)
    found = []
    for native in (diversity.native, None):
        monkeypatch.setattr(diversity, "native", native)
        for amount in (0, 0.4, 1):
            how = pi.MMR(["f", "i", "b"] if by == "attributes" else None, amount, pool=150)
            found.append(shop.top_k(np.ones(6), 80, boost=boost, diversity=how).ids.tolist())
        for share in (0.1, 0.5, 0.9):
            # More than there are directions, or kinds of items: the rest are in order.
            other = pi.DPP(["f", "i", "b"] if by == "attributes" else None, share, pool=150)
            found.append(shop.top_k(np.ones(6), 80, diversity=other).ids.tolist())
    assert found[:6] == found[6:]


@pytest.mark.parametrize("each", [False, True])
def test_exclusions_are_the_same_without_the_extension(each: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    places = np.asarray([rng.permutation(40)[:30] for _ in range(5)])
    scores = rng.random((5, 30)).astype(np.float32)
    ranked = Ranked(places, scores, np.asarray([30, 0, 1, 20, 30]))
    gone = excluded.ExcludedRows(rng.integers(0, 60, 70), rng.integers(0, 5, 70) if each else None)
    for k in (0, 1, 8, 50):
        found = excluded.without(ranked, gone, np.arange(40) + 10, k)
        with monkeypatch.context() as patch:
            patch.setattr(excluded, "native", None)
            same = excluded.without(ranked, gone, np.arange(40) + 10, k)
        for one, other in zip(found, same, strict=True):
            np.testing.assert_array_equal(one, other)


def test_vectors_of_any_length_have_cosines(model: pi.Model) -> None:
    scores = np.asarray([4, 3, 2, 1], np.float32)
    sides = np.asarray([[1, 1], [1, 1], [1, 0], [1, -1]], np.float64)
    for lengths in ([1, 1, 1, 1], [1e200, 1e300, 1e-200, 1e-300]):
        vectors = sides * np.asarray(lengths)[:, np.newaxis]
        found = best_of_all(model, scores, {}, 4, diversity=pi.MMR(lambda ids, own=vectors: own[ids], 0.9))
        assert found == [[0, 3, 2, 1]] * 3


def test_diversity_under_caps_and_without_numbers(model: pi.Model) -> None:
    scores = np.asarray([5, 4, 3, np.nan, 2, 1], np.float32)
    catalog = model.catalog({"i": scores}, attributes={"a": list("xxxyyz")})
    found = catalog.top_k({"u": 1.0}, 6, diversity=pi.MMR("a", 0.9), max_per={"a": 2})
    assert found.ids.tolist() == [0, 4, 5, 1, 3]
    alone = catalog.top_k({"u": 1.0}, 9, [3], diversity=pi.DPP("a"))
    assert alone.ids.tolist() == [3]
    assert catalog.top_k({"u": 1.0}, 9, [], diversity=pi.DPP("a")).count == 0
    zeros = pi.Retriever(np.zeros((3, 2)))
    assert zeros.top_k([1.0, 1.0], 2, diversity=pi.DPP()).ids.tolist() == [[0, 1]]


def test_scale_and_boost(model: pi.Model) -> None:
    scores, rng = np.asarray([3, 1, 4, 1, 5], np.float32), np.random.default_rng(0)
    scale, boost = rng.random(5, np.float32), rng.random(5, np.float32)
    catalog = model.catalog({"i": scores}, attributes={"a": [1, 2, 1, 2, 1]})
    expected = np.argsort(-(scores * scale + boost), kind="stable")
    found = catalog.top_k({"u": 1.0}, 5, scale=scale, boost=boost)
    assert found.ids.tolist() == expected.tolist()
    np.testing.assert_array_equal(found.scores, (scores * scale + boost)[expected])
    some = catalog.top_k({"u": 1.0}, 5, scale=scale, boost=boost, where=catalog.where("a", 1), exclude=[4])
    assert some.ids.tolist() == [item for item in expected if item in (0, 2)]
    given_ids = catalog.top_k({"u": 1.0}, 1, [3, 1], boost=[0, 9], allow=[True, True])
    assert given_ids.ids.tolist() == [1]
    own = model.top_k({"u": 1.0}, {"i": scores}, 5, scale=scale, boost=boost)
    assert own.ids.tolist() == expected.tolist()


def test_several_requests_have_lists_of_their_own(model: pi.Model) -> None:
    scores = np.arange(50, dtype=np.float32)
    catalog = model.catalog({"i": scores}, attributes={"a": np.arange(50) % 5})
    requests = {"u": np.asarray([1, -1, 2], np.float32)}
    exclude = [[49, 48, 7], [], [0, 49]]
    found = catalog.top_k(requests, 3, exclude=exclude)
    assert found.ids.tolist() == [[47, 46, 45], [0, 1, 2], [48, 47, 46]]
    where = catalog.where("a", in_=[0, 4])
    capped = catalog.top_k(requests, 3, exclude=exclude, max_per={"a": 1}, where=where)
    assert capped.ids.tolist() == [[45, 44], [0, 4], [45, 44]]
    assert capped.counts.tolist() == [2, 2, 2]
    each = catalog.top_k(requests, 1, boost=np.eye(3, 50, 1, dtype=np.float32) * 1000)
    assert each.ids.tolist() == [[1], [2], [3]]
    few = catalog.top_k(requests, 3, exclude=[range(49), [], []])
    assert few.counts.tolist() == [1, 3, 3]
    assert few.ids[0].tolist() == [49, 0, 0]
    everything = catalog.top_k(requests, 3, exclude=range(2000))
    assert everything.counts.tolist() == [0, 0, 0]


def test_ids_that_are_given_several_times_are_excluded_as_often(model: pi.Model) -> None:
    catalog = model.catalog({"i": np.arange(6, dtype=np.float32)})
    several = [5] * 20 + [1, 4, 1]
    for exclude in ([5], [[5], [5, 4]]):
        found = catalog.top_k({"u": np.ones(len(exclude), np.float32)}, 3, ids=several, exclude=exclude)
        rows = found.ids if len(exclude) > 1 else found.ids[np.newaxis]
        assert [row.tolist() for row in rows] == [[4, 1, 1], [1, 1, 0]][: len(exclude)]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@settings(max_examples=4, deadline=None)
@given(st.data())
def test_searches_among_some_items(precision: Any, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count = data.draw(st.sampled_from([1, 63, 64, 65, 700]))
    share = data.draw(st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]))
    # Small whole numbers: products are exact, and many are equal.
    vectors = rng.integers(-2, 3, (count, 5)).astype(np.float32)
    queries = rng.integers(-2, 3, (3, 5)).astype(np.float32)
    threads = data.draw(st.sampled_from([1, 2]))
    retriever = pi.Retriever(vectors[: count // 2], precision=precision, threads=threads)
    retriever.upsert(vectors[count // 2 :], range(count // 2, count))
    flags = rng.random(count) < share
    each = [rng.choice(count, rng.integers(0, count), replace=False) for _ in queries]
    k = data.draw(st.sampled_from([0, 1, 10, 800]))
    products = queries @ vectors.T
    for exclude in (None, each[0], each):
        lists = [[]] * 3 if exclude is None else [each[0]] * 3 if exclude is not each else each
        found = retriever.top_k(queries, k, where=retriever.filter(flags), exclude=exclude)
        for query in range(3):
            order = np.argsort(-products[query], kind="stable")
            expected = [item for item in order.tolist() if flags[item] and item not in set(lists[query])][:k]
            assert found.counts[query] == len(expected)
            assert found.ids[query, : len(expected)].tolist() == expected
            np.testing.assert_array_equal(found.scores[query, : len(expected)], products[query, expected])


def shop() -> pi.Retriever:
    attributes: Any = {"s": ["x", "y", "x"], "n": [1, 2, 2], "f": [0.5, 1.5, 2.5]}
    return pi.Retriever([[1.0], [2.0], [3.0]], attributes=attributes)


def asked(k: int = 2, **rules: Any) -> Callable[[], Any]:
    return lambda: shop().top_k([1.0], k, **rules)


def of_catalog(**rules: Any) -> Callable[[], Any]:
    items, attributes = {"i": np.asarray([1, 2], np.float32)}, {"s": ["x", "y"]}
    return lambda: product_model().catalog(items, attributes=attributes).top_k({"u": 1.0}, 2, **rules)


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (asked(max_per={"t": 1}), InputError, "attributes: expected the name of one of them"),
    (asked(max_per=3), DTypeError, "max_per: expected numbers by the attributes' names, got int"),
    (asked(max_per={"f": 1}), DTypeError, "max_per: expected strings, whole numbers or booleans"),
    (asked(max_per={"s": -1}), InputError, "max_per, attribute 's': expected at least 0, got -1"),
    (asked(max_per={"s": 1.5}), DTypeError, "max_per, attribute 's': expected a whole number"),
    (asked(max_per={"s": {3: 1}}), DTypeError, "attribute 's': expected strings, got int"),
    (asked(min_per={"s": 2}), DTypeError, "expected numbers by value, got int"),
    (asked(min_per={"s": {"x": 1}, "n": {2: 1}}), InputError, "min_per: expected one attribute"),
    (asked(min_per={"s": {"x": 3}}), InputError, "min_per: expected no more than k items, 2, got 3"),
    (
        asked(3, min_per={"s": {"x": 3}}),
        InputError,
        r"min_per, attribute 's' \(quota 0\): expected 3 items of its value",
    ),
    (asked(3, min_per={"s": {"later": 1}}), InputError, "expected 1 items of its value, there are 0"),
    (asked(min_per={"s": {"x": 2}}, max_per={"s": 1}), InputError, "than max_per has, 1, got 2"),
    (asked(min_per={"s": {"x": 1}}, max_per={"n": 1}), InputError, "min_per: expected no cap of another"),
    (asked(min_per={"s": {"x": 1}}, diversity=pi.MMR()), InputError, "diversity: expected no min_per"),
    (asked(diversity=0.5), DTypeError, "diversity: expected MMR or DPP, got float"),
    (lambda: pi.MMR(diversity=1.5), InputError, "diversity: expected a number from 0 to 1"),
    (lambda: pi.DPP(diversity="a"), DTypeError, "diversity: expected a number from 0 to 1, got str"),  # type: ignore[arg-type]
    (lambda: pi.MMR(pool=0), InputError, "pool: expected at least 1, got 0"),
    (asked(diversity=pi.MMR("t")), InputError, "attributes: expected the name of one of them"),
    (asked(diversity=pi.MMR(np.ones((2, 2)))), ShapeError, r"diversity: expected vectors of shape \[3, \*\]"),
    (asked(diversity=pi.MMR(np.full((3, 2), np.nan))), InputError, "diversity: expected vectors of finite"),
    (asked(diversity=pi.MMR(lambda ids: ids)), ShapeError, r"diversity: expected vectors of shape \[3, \*\]"),
    (asked(min_per={"n": {2**64: 1}}), InputError, "expected 1 items of its value, there are 0"),
    (asked(min_per={"n": {0.5: 1}}), InputError, "expected 1 items of its value, there are 0"),
    (asked(min_per={"s": {"x": 1, b"x": 1}}), InputError, "min_per, attribute 's': expected each value once"),
    (asked(max_per={"s": {"x": 1, b"x": 2}}), InputError, "max_per, attribute 's': expected each value once"),
    (asked(exclude=[[1, [2]]]), ShapeError, r"exclude \(request 0\): expected one array, got rows of diff"),
    (
        asked(exclude=[1, 2**64]),
        DTypeError,
        r"exclude: expected whole numbers that int64 .* \(row 1\)",
    ),
    (asked(exclude=[0, True]), DTypeError, r"exclude: expected whole .*, got a boolean \(row 1\)"),
    (asked(allow=[np.int64(0), np.True_]), DTypeError, r"allow: expected whole .*, got a boolean \(row 1\)"),
    (asked(allow=[-1, 2**63]), DTypeError, r"allow: expected whole numbers that int64 holds, .* \(row 1\)"),
    (of_catalog(diversity=pi.MMR()), InputError, "diversity: expected `by`"),
    (of_catalog(boost=[1, np.nan]), InputError, r"boost: expected numbers, not NaN \(row 1\)"),
    (of_catalog(scale=[np.inf, 1]), InputError, r"scale: expected finite numbers \(row 0\)"),
    (of_catalog(scale=[1]), ShapeError, r"scale: expected shape \[2\], got \[1\]"),
    (of_catalog(exclude=[[1], [2]]), ShapeError, "exclude: expected a list of ids for each of 1 requests"),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_rules_are_refused(number: int) -> None:
    call, kind, text = BAD[number]
    with pytest.raises(kind, match=text):
        call()


def test_the_example_of_the_documentation_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
    code, expected = (
        re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[0]
        for kind in ("python", "text")
    )
    exec(compile(code, "docs/rules.md", "exec"), {})
    assert capsys.readouterr().out == expected
