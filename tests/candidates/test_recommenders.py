"""Recommenders of factors, vectors and counts, against implicit, gensim and plain formulas."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.candidate_models import STORED, Csr, ask, clicks, interactions, trained

import pyrec_infer as pi
from pyrec_infer.candidates.sources.word2vec import _CHUNK
from pyrec_infer.errors import DTypeError, IdRangeError, InputError, ModelError, PyrecError, ShapeError

DATA: dict[str, Any] = json.loads(STORED.read_text())


def stored_model(**parts: Any) -> pi.FactorRecommender:
    names = ("user_factors", "item_factors", "regularization", "alpha")
    model = {name: DATA[name] for name in names}
    return pi.from_implicit(SimpleNamespace(**{**model, **parts}))


def compare(found: Any, expected: Any) -> None:
    """The same ids and scores; what lies behind the last result is the smallest float32 there."""
    ids, scores = found
    values = np.asarray(expected[1], np.float64)
    beyond = values < -3e38
    np.testing.assert_array_equal(ids, np.where(beyond, -1, expected[0]) if beyond.any() else expected[0])
    np.testing.assert_allclose(scores, np.where(beyond, -np.inf, values), rtol=1e-5, atol=1e-5)


def test_stored_answers_of_implicit() -> None:
    rows = Csr(np.asarray(DATA["dense"]))
    model = stored_model()
    for name, answer in ask(model, rows, len(DATA["dense"])).items():
        compare(answer, DATA["answers"][name])
    users = np.arange(len(DATA["dense"]))
    compare(model.recommend(users, rows, 4, recalculate_user=True), DATA["answers"]["recalculated"])


def test_factors_of_new_items() -> None:
    """By their users, as those of new users by their items; nothing else is known of them."""
    model, dense = stored_model(), np.asarray(DATA["dense"], np.float64)
    users, items = (np.asarray(DATA[name], np.float64) for name in ("user_factors", "item_factors"))
    made = []
    for column in dense.T[:3]:
        confidence = np.where(column > 0, DATA["alpha"] * column, 1)
        matrix = (users.T * confidence) @ users + DATA["regularization"] * np.eye(users.shape[1])
        made.append(np.linalg.solve(matrix, users.T @ (confidence * (column > 0))))
    units = items / np.linalg.norm(items, axis=1, keepdims=True)
    cosines = np.asarray(made) / np.linalg.norm(made, axis=1, keepdims=True) @ units.T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :4]
    found = model.similar_items([90, 91, 92], 4, recalculate_item=True, item_users=Csr(dense.T[:3]))
    compare(found, (order, np.take_along_axis(cosines, order, axis=1)))
    with pytest.raises(ShapeError, match="item_users: expected 2 rows, one for each item, got 3"):
        model.similar_items([0, 1], 4, True, Csr(dense.T[:3]))
    with pytest.raises(ShapeError, match=r"item_users: expected \d+ columns, one for each user"):
        model.similar_items(0, 4, True, Csr(dense[:1]))
    with pytest.raises(InputError, match="item_users: expected a row of users for each item"):
        model.similar_items(0, 4, True)
    plain = pi.FactorRecommender(users, items)
    with pytest.raises(InputError, match="recalculate_item"):
        plain.similar_items(0, 4, True, Csr(dense.T[:1]))
    with pytest.raises(InputError, match="recalculate_item"):
        pi.ItemItemRecommender.fit(Csr(dense)).similar_items(0, 4, True, Csr(dense.T[:1]))


def test_users_that_alone_are_ranked() -> None:
    model = stored_model()
    every = model.similar_users(2, 100)
    kept = [user for user in every.ids.tolist() if user in (1, 5, 6)]
    assert model.similar_users(2, 100, users=[6, 1, 5]).ids.tolist() == kept
    others = [user for user in every.ids.tolist() if user not in (2, 5)]
    assert model.similar_users(2, 100, filter_users=[2, 5, 999]).ids.tolist() == others
    with pytest.raises(IdRangeError):
        model.similar_users(2, users=[999])
    with pytest.raises(InputError, match="filter_users"):
        model.similar_users(2, filter_users=[1], users=[2])


def test_stored_answers_of_implicit_trained_by_rank() -> None:
    stored, rows = DATA["bpr"], Csr(np.asarray(DATA["dense"]))
    factors = {name: np.asarray(stored[name], np.float32) for name in ("user_factors", "item_factors")}
    model = pi.from_implicit(SimpleNamespace(**factors))
    for name, answer in ask(model, rows, len(DATA["dense"])).items():
        compare(answer, stored["answers"][name])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["als", "bpr", "lmf"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_answers_of_implicit(kind: str, precision: Any, tmp_path: Path) -> None:
    pytest.importorskip("implicit", reason="answers are compared with implicit's where it is installed")
    sparse = pytest.importorskip("scipy.sparse")
    dense = interactions(60, 40, seed=5)
    theirs = trained(kind, dense)
    theirs.save(str(tmp_path / "model.npz"))
    rows = sparse.csr_matrix(dense)
    for source in (theirs, tmp_path / "model.npz"):
        ours = pi.from_implicit(source, precision=precision)
        expected = ask(theirs, rows, 60)
        for name, answer in ask(ours, rows, 60).items():
            compare(answer, expected[name])
        compare(ours.recommend(7, rows[7], 5), theirs.recommend(7, rows[7], 5))
        compare(ours.similar_users(3, 5), theirs.similar_users(3, 5))
        compare(ours.similar_users([3, 4], 5, filter_users=[0, 3]), theirs.similar_users([3, 4], 5, [0, 3]))
        few = np.arange(0, 60, 4)
        compare(ours.similar_users(3, 5, users=few), theirs.similar_users(3, 5, users=few))
    if kind == "als":
        met = rows.T.tocsr()
        compare(ours.similar_items(4, 5, True, met[4]), theirs.similar_items(4, 5, True, met[4]))
        compare(
            ours.similar_items([1, 2], 5, True, met[1:3], [3]),
            theirs.similar_items([1, 2], 5, True, met[1:3], [3]),
        )
        compare(
            ours.recommend([1, 2], rows[1:3], 5, recalculate_user=True),
            theirs.recommend([1, 2], rows[1:3], 5, recalculate_user=True),
        )
    else:
        with pytest.raises(InputError, match="recalculate_user"):
            ours.recommend(1, rows[1], 5, recalculate_user=True)


@pytest.mark.filterwarnings("ignore")
def test_answers_of_implicit_on_real_clicks(shared: Path) -> None:
    pytest.importorskip("implicit", reason="answers are compared with implicit's where it is installed")
    sparse = pytest.importorskip("scipy.sparse")
    dense = clicks(shared, 1000)
    # What nobody clicked, or who clicked nothing, has only equal scores.
    dense = dense[dense.any(axis=1)][:, dense.any(axis=0)]
    theirs, rows = trained("als", dense), sparse.csr_matrix(dense)
    expected = ask(theirs, rows, len(dense))
    for name, answer in ask(pi.from_implicit(theirs), rows, len(dense)).items():
        compare(answer, expected[name])


def test_stored_answers_of_gensim() -> None:
    songs = pi.from_gensim(SimpleNamespace(vectors=np.asarray(DATA["vectors"]), index_to_key=DATA["keys"]))
    keys = DATA["keys"]
    found = songs.most_similar(keys[:2], keys[2], N=4)
    compare(found, list(zip(*DATA["nearest"], strict=True)))
    np.testing.assert_allclose(songs.session_vectors(keys[3:6]), DATA["mean"], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("binary", [False, True])
def test_files_and_answers_of_gensim(binary: bool, tmp_path: Path) -> None:
    gensim = pytest.importorskip("gensim", reason="files are compared with gensim's where it is installed")
    rng = np.random.default_rng(2)
    sessions = [[f"i{item}" for item in rng.zipf(1.5, 8) % 30] for _ in range(80)]
    theirs = gensim.models.Word2Vec(sessions, vector_size=12, min_count=1, epochs=3, seed=1, workers=1)
    theirs.wv.save_word2vec_format(str(tmp_path / "vectors"), binary=binary)
    keys = theirs.wv.index_to_key
    for ours in (pi.from_gensim(theirs), pi.read_word2vec(tmp_path / "vectors", binary)):
        assert ours.ids.tolist() == keys
        for key in keys[:5]:
            nearest = theirs.wv.most_similar(key, topn=6)
            compare(ours.most_similar(key, N=6), list(zip(*nearest, strict=True)))
        mean = theirs.wv.get_mean_vector(keys[:4])
        np.testing.assert_allclose(ours.session_vectors(keys[:4]), mean, rtol=1e-5, atol=1e-6)


class FittedLightFM:
    """The parts of a fitted model that its predictions are made of."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.user_embeddings = rng.standard_normal((7, 4)).astype(np.float32)
        self.user_biases = rng.standard_normal(7).astype(np.float32)
        self.item_embeddings = rng.standard_normal((9, 4)).astype(np.float32)
        self.item_biases = rng.standard_normal(9).astype(np.float32)


def test_sums_of_features() -> None:
    rng = np.random.default_rng(1)
    model = FittedLightFM(rng)
    users, items = interactions(5, 7, 0.4), interactions(20, 9, 0.4, seed=1)
    ours = pi.from_lightfm(model, Csr(users), Csr(items))
    scores = (users @ model.user_embeddings) @ (items @ model.item_embeddings).T
    scores += (users @ model.user_biases)[:, np.newaxis] + items @ model.item_biases
    order = np.argsort(-scores, axis=1, kind="stable")[:, :6]
    found = ours.recommend(np.arange(5), None, 6, filter_already_liked_items=False)
    compare(found, (order, np.take_along_axis(scores, order, axis=1)))
    factors = items @ model.item_embeddings
    units = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    assert ours.similar_items(3, 1).ids[0] == 3
    np.testing.assert_allclose(
        ours.similar_items(3, 20).scores, np.sort(units @ units[3])[::-1], rtol=1e-5, atol=1e-6
    )
    plain = pi.from_lightfm(model)
    assert len(plain.ids) == 9


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 14), st.integers(0, 15), st.booleans())
def test_factors_are_ranked_as_all_products_are(seed: int, items: int, n: int, filtered: bool) -> None:
    rng = np.random.default_rng(seed)
    users, factors = rng.integers(-3, 4, (4, 3)), rng.integers(-3, 4, (items, 3))
    dense = interactions(4, items, 0.4, seed)
    names = rng.permutation(100)[:items]
    model = pi.FactorRecommender(users, factors, ids=names)
    others = names[: items // 3]
    found = model.recommend(
        [3, 0], Csr(dense[[3, 0]]), n, filter_already_liked_items=filtered, filter_items=others
    )
    for row, user in enumerate([3, 0]):
        scores = (users[user] @ factors.T).astype(float)
        taken = ~np.isin(names, others) & (~(dense[user] > 0) | (not filtered))
        best = [place for place in np.argsort(-scores, kind="stable") if taken[place]][:n]
        count = len(best)
        assert found.ids[row, :count].tolist() == names[best].tolist()
        assert found.scores[row, :count].tolist() == scores[best].tolist()
        assert (found.ids[row, count:] == -1).all()
        assert np.isneginf(found.scores[row, count:]).all()


def test_keys_that_count_more() -> None:
    vectors = np.random.default_rng(5).standard_normal((12, 4))
    songs = pi.KeyedVectors(vectors, np.arange(12) + 50)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    query = 2 * units[1] - 0.5 * units[3] - 3 * units[4]
    left = np.setdiff1d(np.arange(12), [1, 3, 4])
    cosines = units[left] @ query / np.linalg.norm(query)
    order = np.argsort(-cosines)
    found = songs.most_similar([(51, 2), (53, -0.5)], [(54, 3.0)], N=20)
    compare(found, (left[order] + 50, cosines[order]))
    same = songs.most_similar([51], [51], N=1)
    assert same.scores.tolist() == [0]
    for keys, expected in (
        ([[51], [52]], ShapeError),
        ([(51, np.inf)], InputError),
        ([(51, "2")], PyrecError),
        ({51}, DTypeError),
        ([], InputError),
        (None, InputError),
        ("song", DTypeError),
    ):
        with pytest.raises(expected):
            songs.most_similar(keys)  # type: ignore[arg-type]
    with pytest.raises(IdRangeError, match=r"negative: .*row 1"):
        songs.most_similar(51, [52, 99])


def test_sessions() -> None:
    vectors = np.random.default_rng(4).standard_normal((10, 3))
    songs = pi.KeyedVectors(vectors, np.arange(10) + 5, metric="ip")
    found = songs.recommend_session([[5, 6], [9], [99, 7]], N=3, pooling="sum", missing="skip", items=[8, 10])
    for row, own in enumerate([[0, 1], [4], [2]]):
        products = vectors[own].sum(axis=0) @ vectors[[3, 5]].T
        assert found.ids[row].tolist() == (np.asarray([8, 10])[np.argsort(-products)]).tolist()
    alone = songs.recommend_session([5, 6], N=20)
    assert len(alone.ids) == 8
    assert not set(alone.ids.tolist()) & {5, 6}
    several = songs.recommend_session(np.asarray([[5, 6], [9, 8]]), N=3)
    listed = songs.recommend_session([[5, 6], [9, 8]], N=3)
    assert several.ids.tolist() == listed.ids.tolist()
    viewed = songs.recommend_session(memoryview(np.asarray([5, 6], ">i8")), N=20)
    assert viewed.ids.tolist() == alone.ids.tolist()
    assert songs.recommend_session([99], missing="skip").ids.tolist() == []
    gone = songs.recommend_session([[99], [5]], N=2, missing="skip")
    assert gone.ids[0].tolist() == [-1, -1]
    assert songs.similar_items(7, 1).ids.shape == (1,)
    for sessions in ([99], [[5], [5, 99]]):
        with pytest.raises(IdRangeError, match="sessions"):
            songs.recommend_session(sessions)
    with pytest.raises(IdRangeError):
        songs.most_similar([99])
    with pytest.raises(IdRangeError, match="items"):
        songs.similar_items(5, items=[99])
    with pytest.raises(InputError, match="pooling"):
        songs.session_vectors([5], pooling="max")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least one id"):
        songs.most_similar([])
    with pytest.raises(InputError, match="ids"):
        pi.KeyedVectors(vectors, [1] * 10)


@pytest.mark.once
def test_popular_items() -> None:
    counts = [2**24 + 1, 2**24, 5, 2**24 + 1]
    popular = pi.PopularItems(counts, ["a", "b", "c", "d"])
    assert popular.recommend(0, None).ids.tolist() == ["a", "d", "b", "c"]
    met = Csr(np.asarray([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]))
    found = popular.recommend([0, 1, 2], met, 3)
    assert found.ids.tolist() == [["d", "b", "c"], ["", "", ""], ["a", "d", "b"]]
    assert popular.recommend([0, 1], None, 2, items=["c", "b"]).ids.tolist() == [["b", "c"]] * 2
    assert popular.recommend(0, None, 0).ids.shape == (0,)
    assert popular.recommend([], None).ids.shape == (0, 0)
    for arguments, expected in (
        ({"items": ["z"]}, IdRangeError),
        ({"items": ["a"], "filter_items": ["a"]}, InputError),
        ({"N": -1}, InputError),
    ):
        with pytest.raises(expected):
            popular.recommend(0, None, **arguments)  # type: ignore[arg-type]
    for scores, ids in (([1, np.nan], None), ([1, 2], ["a"]), ([1, 2], ["a", "a"]), ([[1]], None)):
        with pytest.raises(PyrecError):
            pi.PopularItems(scores, ids)
    assert pi.PopularItems([]).recommend([0], None).ids.shape == (1, 0)


def test_calls_that_do_not_fit() -> None:
    model = stored_model()
    rows = Csr(np.asarray(DATA["dense"]))
    users = np.arange(len(DATA["dense"]))
    for userid in (-1, 8, [0, 2**62]):
        with pytest.raises(IdRangeError, match="userid"):
            model.recommend(userid, None, filter_already_liked_items=False)
    with pytest.raises(DTypeError, match="userid"):
        model.recommend(0.5, None, filter_already_liked_items=False)
    with pytest.raises(ShapeError, match="expected 1 rows"):
        model.recommend(0, rows)
    with pytest.raises(ShapeError, match="expected 14 columns"):
        model.recommend(users, Csr(np.ones((8, 11))))
    with pytest.raises(InputError, match="user_items"):
        model.recommend(0, None)
    with pytest.raises(IdRangeError, match="items"):
        model.recommend(users, rows, items=[1, 14])
    with pytest.raises(InputError, match="both"):
        model.recommend(users, rows, items=[1], filter_items=[2])
    with pytest.raises(DTypeError):
        model.recommend(0, np.zeros((1, 14)))
    for similar in (14, -1, [0, 99]):
        with pytest.raises(IdRangeError):
            model.similar_items(similar)


@pytest.mark.parametrize(
    ("users", "items", "more"),
    [
        (np.ones((2, 3)), np.ones((4, 2)), {}),
        (np.ones(3), np.ones((4, 3)), {}),
        (np.ones((2, 3)), np.ones((4, 0)), {}),
        (np.full((2, 3), np.nan), np.ones((4, 3)), {}),
        (np.ones((2, 3)), np.full((4, 3), np.inf), {}),
        (np.full((2, 3), 1e300), np.ones((4, 3)), {}),
        (np.ones((2, 3)), np.ones((4, 3)), {"item_biases": [1, 2, 3]}),
        (np.ones((2, 3)), np.ones((4, 3)), {"user_biases": [1, np.nan]}),
        (np.ones((2, 3)), np.ones((4, 3)), {"ids": [1, 2, 3, 3]}),
        (np.ones((2, 3)), np.ones((4, 3)), {"ids": [1, 2, 3]}),
    ],
)
def test_factors_that_do_not_fit(users: Any, items: Any, more: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        pi.FactorRecommender(users, items, **more)


def test_models_without_items_or_users() -> None:
    model = pi.FactorRecommender(np.ones((1, 2)), np.ones((0, 2)))
    assert model.recommend(0, Csr(np.zeros((1, 0)))).ids.shape == (0,)
    nobody = pi.FactorRecommender(np.ones((0, 2)), np.ones((3, 2)))
    assert nobody.recommend([], Csr(np.zeros((0, 3)))).ids.shape[0] == 0
    with pytest.raises(ModelError, match="fitted"):
        pi.from_implicit(SimpleNamespace(user_factors=None, item_factors=None))
    with pytest.raises(ModelError, match="fitted"):
        pi.from_lightfm(SimpleNamespace(user_embeddings=None))
    with pytest.raises(ModelError, match="gensim"):
        pi.from_gensim(SimpleNamespace())
    with pytest.raises(InputError, match="regularization"):
        stored_model(regularization=np.nan)


def lying(**parts: Any) -> SimpleNamespace:
    """Rows of which one part is not what it says."""
    true = Csr(np.asarray([[1, 0, 2.0], [0, 3, 0]]))
    own = {name: getattr(true, name) for name in ("indptr", "indices", "data", "shape")}
    return SimpleNamespace(**{**own, **parts})


@pytest.mark.once
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"indptr": [0, 3, 2]}, ShapeError),
        ({"indptr": [0, 2, 4]}, ShapeError),
        ({"indptr": [0, 2, 2**62]}, ShapeError),
        ({"indptr": np.asarray([0, 2**63, 3], np.uint64)}, ShapeError),
        ({"indptr": [1, 2, 3]}, ShapeError),
        ({"indptr": [0, 3]}, ShapeError),
        ({"indptr": [0.0, 2.0, 3.0]}, DTypeError),
        ({"indices": [0, 3, 1]}, IdRangeError),
        ({"indices": [0, -1, 1]}, IdRangeError),
        ({"indices": np.asarray([0, 2**63, 1], np.uint64)}, IdRangeError),
        ({"indices": [0, 2**40, 1]}, IdRangeError),
        ({"indices": [0, 2]}, ShapeError),
        ({"indices": [[0, 2, 1]]}, ShapeError),
        ({"data": [1, np.nan, 2]}, InputError),
        ({"data": [1, 1e300, 2]}, InputError),
        ({"data": ["a", "b", "c"]}, DTypeError),
        ({"shape": (2, -3)}, ShapeError),
        ({"shape": (2,)}, ShapeError),
        ({"shape": (2, 2**40)}, ShapeError),
        ({"shape": (2**62, 3)}, ShapeError),
        ({"shape": None}, DTypeError),
        ({"format": "csc"}, DTypeError),
    ],
)
def test_rows_that_lie(parts: dict[str, Any], expected: type[Exception]) -> None:
    with pytest.raises(expected, match="user_items"):
        pi.PopularItems([1, 2, 3]).recommend([0, 1], lying(**parts))


TEXT = b"2 3\nfirst 1 2 3\nsecond 4 5 6e0\n"
BINARY = b"2 1\na " + np.float32(1.5).tobytes() + b"\nb " + np.float32(-2).tobytes() + b"\n"


def read(tmp_path: Path, data: bytes, binary: bool = False) -> pi.KeyedVectors:
    path = tmp_path / "vectors"
    path.write_bytes(data)
    return pi.read_word2vec(path, binary, metric="ip")


def test_files_of_vectors(tmp_path: Path) -> None:
    found = read(tmp_path, TEXT)
    assert found.ids.tolist() == ["first", "second"]
    assert found.retriever.vectors(["second"]).tolist() == [[4, 5, 6]]
    assert read(tmp_path, BINARY, True).retriever.vectors().tolist() == [[1.5], [-2]]
    assert len(read(tmp_path, b"0 3\n")) == 0
    long = b"3 1\n" + b"".join(b"%d " % row + np.float32(row).tobytes() for row in range(3))
    assert read(tmp_path, long, True).retriever.vectors(["2"]).tolist() == [[2]]
    with pytest.warns(RuntimeWarning, match="1 words occur again"):
        twice = read(tmp_path, b"2 1\na 1\na 2\n")
    assert twice.retriever.vectors().tolist() == [[1]]
    wide = b"40 9999\n" + b"".join(b"%d " % row + bytes(4 * 9999) for row in range(40))
    assert len(wide) > _CHUNK
    assert len(read(tmp_path, wide, True)) == 40


@pytest.mark.once
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("count", [2**60, 10**18, 10**30, 3])
def test_headers_that_lie(count: int, binary: bool, tmp_path: Path) -> None:
    for header in (b"%d 3\n" % count, b"2 %d\n" % count if count > 3 else b"3 3\n"):
        for data in (TEXT, BINARY):
            with pytest.raises(ModelError):
                read(tmp_path, header + data.partition(b"\n")[2], binary)


@pytest.mark.once
@pytest.mark.parametrize("data", [TEXT, BINARY])
def test_truncated_files_of_vectors(data: bytes, tmp_path: Path) -> None:
    """Also where the last number has lost digits alone."""
    for length in range(len(data) - 1 if data is BINARY else len(data)):
        with pytest.raises(ModelError):
            read(tmp_path, data[:length], data is BINARY)


@pytest.mark.once
@pytest.mark.parametrize(
    "data",
    [
        b"1 1\na b\n",
        b"1 1\na nan\n",
        b"1 1\na 1e60\n",
        b"1 1\n\xff 1\n",
        b"1 1\na 1\nb 2\n",
        b"-1 1\n",
        b"1 0\na\n",
        b"1\n",
        b"1 1 1\na 1\n",
        b"1 2\na 1  2\n",
        b"\x80\x04\x95pickle",
        b"1 1\n" + b"a" * 200_000 + b" 1\n",
    ],
)
def test_damaged_files_of_vectors(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        read(tmp_path, data)
    with pytest.raises(ModelError, match="folder"):
        pi.read_word2vec(tmp_path)


def archive(tmp_path: Path, **members: bytes) -> Path:
    path = tmp_path / "model.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def npy(array: Any, allow_pickle: bool = False) -> bytes:
    made = io.BytesIO()
    np.save(made, array, allow_pickle=allow_pickle)
    return made.getvalue()


ONES = npy(np.ones((3, 2), np.float32))


@pytest.mark.once
@pytest.mark.parametrize(
    "member",
    [
        npy(np.asarray([[{}]], object), allow_pickle=True),
        ONES.replace(b"(3, 2)", b"(9, 2)"),
        ONES.replace(b"(3, 2), }" + b" " * 20, b"(1152921504606846976, 2), }  "),
        ONES.replace(b"(3, 2)", b"(-3,2)"),
        ONES[:-4],
        ONES + b"more",
        ONES[:20],
        b"",
        b"\x93NUMPY\x07\x00" + ONES[8:],
        npy(np.zeros(2, "M8[s]")),
    ],
)
def test_archives_that_lie(member: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        pi.from_implicit(archive(tmp_path, user_factors=ONES, item_factors=member))


@pytest.mark.once
def test_files_that_are_no_archives(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with pytest.raises(ModelError, match="cannot be read"):
        pi.from_implicit(path)
    whole = archive(tmp_path, user_factors=ONES, item_factors=ONES).read_bytes()
    for data in (b"", b"no archive", whole[: len(whole) // 2], whole[:40] + b"\xff" * 9 + whole[49:]):
        path.write_bytes(data)
        with pytest.raises(ModelError):
            pi.from_implicit(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelError, match="fitted"):
            pi.from_implicit(archive(tmp_path, user_factors=ONES))
