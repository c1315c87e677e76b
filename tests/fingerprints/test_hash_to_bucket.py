"""Buckets equal to those of other systems: their answers, their layouts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyrec_infer as pi
from pyrec_infer.hashing import SCHEMES

ANSWERS = json.loads((Path(__file__).parents[1] / "data" / "hashing_tensorflow.json").read_text())
"""What TensorFlow's operators and Keras's layers give."""

TEXTS, INTS, FLOATS = ANSWERS["texts"], np.asarray(ANSWERS["ints"]), np.asarray(ANSWERS["floats"])


def buckets(values: Any, count: int, scheme: str = "farmhash64", **options: Any) -> list[int]:
    made: list[int] = pi.hash_to_bucket(values, buckets=count, scheme=scheme, **options).tolist()
    return made


@pytest.mark.parametrize(
    ("key", "count", "options"),
    [
        ("fast_10", 10, {}),
        ("fast_1000003", 1000003, {}),
        ("fast_2_63_1", 2**63 - 1, {}),
        ("strong", 2**63 - 1, {"scheme": "siphash24", "seed": (123, 456)}),
        ("strong_1000", 1000, {"scheme": "siphash24", "seed": (2**63 - 1, 17)}),
    ],
)
def test_tensorflow(key: str, count: int, options: dict[str, Any]) -> None:
    assert buckets(TEXTS, count, **options) == ANSWERS[key]


@pytest.mark.parametrize(
    ("key", "values", "count", "options"),
    [
        ("texts", TEXTS, 1000, {}),
        ("ints", INTS, 1000, {}),
        ("floats", FLOATS, 1000, {}),
        ("bools", [True, False], 1000, {}),
        ("salted", TEXTS, 1000, {"seed": 9}),
        ("salted_pair", INTS, 1000, {"seed": (9, 10)}),
        ("masked", TEXTS, 1000, {"mask_value": "abc"}),
        ("masked_ints", INTS, 1000, {"mask_value": 7}),
        ("masked_floats", FLOATS, 1000, {"mask_value": 1}),
        ("masked_salted", TEXTS, 50, {"mask_value": "", "seed": 3}),
        ("one_bin_masked", TEXTS, 1, {"mask_value": "abc"}),
    ],
)
def test_keras(key: str, values: Any, count: int, options: dict[str, Any]) -> None:
    assert buckets(values, count, "keras", **options) == ANSWERS["keras"][key]


def test_crosses_of_tensorflow() -> None:
    cross = ANSWERS["cross"]
    a, b, ints = cross["a"], cross["b"], np.asarray(cross["ints"])
    whole = np.uint64(2**63 - 1)
    first = pi.cross_fingerprint([a, b, ints], scheme="tf_cross_v1")
    assert (first % whole).tolist() == cross["cross_hashed"]
    assert pi.cross_to_bucket([a, b, ints], buckets=997).tolist() == cross["cross_hashed_buckets"]
    assert pi.cross_to_bucket([a, ints], buckets=997, seed=31337).tolist() == cross["cross_hashed_key"]
    assert pi.cross_to_bucket([a, ints], buckets=997).tolist() == cross["keras"]
    second = pi.cross_fingerprint([a, b, ints], scheme="tf_cross_v2")
    assert (second % whole).tolist() == cross["v2"]
    made = pi.cross_to_bucket([ints, b, a], buckets=997, scheme="tf_cross_v2")
    assert made.tolist() == cross["v2_buckets"]


def test_published_crosses_of_tensorflow() -> None:
    """The golden numbers of its tests of the two crossers."""
    columns = [["batch1-FC1-F1"], ["batch1-FC2-F1"], ["batch1-FC3-F1"]]
    whole = np.uint64(2**63 - 1)
    assert (pi.cross_fingerprint(columns) % whole).tolist() == [1971693436396284976]
    made = pi.cross_fingerprint(columns, scheme="tf_cross_v2")
    assert (made % whole).tolist() == [9186962005966787372]


@settings(max_examples=20)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=6), st.integers(1, 2**20))
def test_feature_hasher_of_scikit_learn(texts: list[str], count: int) -> None:
    hashers = pytest.importorskip("sklearn.feature_extraction", reason="oracle of FeatureHasher")
    rows = hashers.FeatureHasher(count, input_type="string").transform([[text] for text in texts])
    signs = np.where(pi.fingerprint(texts, scheme="sklearn") >= 0, 1, -1)
    assert buckets(texts, count, "sklearn") == rows.indices.tolist()
    assert signs.tolist() == rows.data.tolist()
    named = hashers.FeatureHasher(count).transform([{"city": text} for text in texts])
    assert buckets(texts, count, "sklearn", name="city") == named.indices.tolist()


def test_the_smallest_hash_of_scikit_learn() -> None:
    """-2**31, of which 32 bits have no size; found by running MurmurHash3 backwards."""
    text = smallest_of_murmur3()
    assert pi.fingerprint([text], scheme="sklearn").tolist() == [-(2**31)]
    hashers = pytest.importorskip("sklearn.feature_extraction", reason="oracle of FeatureHasher")
    for count in (7, 1000, 2**20):
        rows = hashers.FeatureHasher(count, input_type="string").transform([[text]])
        assert buckets([text], count, "sklearn") == rows.indices.tolist()


def smallest_of_murmur3() -> bytes:
    """4 bytes that the algorithm, started from 0, makes 2**31 of."""
    whole = 2**32

    def unshifted(value: int, by: int) -> int:
        found = value
        for _ in range(32 // by + 1):
            found = value ^ found >> by
        return found

    def back(value: int, factor: int) -> int:
        return value * pow(factor, -1, whole) % whole

    state = unshifted(back(unshifted(back(unshifted(2**31, 16), 0xC2B2AE35), 13), 0x85EBCA6B), 16) ^ 4
    state = back((state - 0xE6546B64) % whole, 5)
    word = back((state >> 13 | state << 19) % whole, 0x1B873593)
    return back((word >> 15 | word << 17) % whole, 0xCC9E2D51).to_bytes(4, "little")


@settings(max_examples=15)
@given(
    st.lists(st.text(st.characters(exclude_characters="|: \n\t\r\0", codec="utf-8"), max_size=9), max_size=5),
    st.sampled_from(["", "user", "12"]),
)
def test_vowpal_wabbit(vw: Any, texts: list[str], namespace: str) -> None:
    for scheme, workspace in vw.items():
        start = workspace.hash_space(namespace)
        expected = [workspace.hash_feature(text, start) for text in texts]
        assert buckets(texts, 2**18, scheme, name=namespace) == expected


@pytest.fixture(scope="module")
def vw() -> dict[str, Any]:
    package = pytest.importorskip("vowpalwabbit", reason="oracle of Vowpal Wabbit")
    return {
        scheme: package.Workspace(f"--quiet -b 18 --hash {mode}")
        for scheme, mode in (("vw", "strings"), ("vw_all", "all"))
    }


def test_spark() -> None:
    """The examples of Spark's documentation of ``hash`` and ``xxhash64``, and of HashingTF's tests."""
    columns = [["Spark"], np.asarray([123], np.int32), np.asarray([2], np.int32)]
    assert pi.cross_fingerprint(columns, scheme="spark_hash").tolist() == [-1321691492]
    assert pi.cross_fingerprint(columns, scheme="spark_xxhash64").tolist() == [5602566077635097486]
    assert pi.fingerprint(["Spark"], scheme="spark_xxhash64").dtype == np.int64
    bits = pi.fingerprint(np.asarray([1], np.int64), scheme="spark_xxhash64")
    assert bits.view(np.uint64).tolist() == [SCHEMES["xxh64"].digest((1).to_bytes(8, "little"), _seed(42))]
    short = pi.fingerprint(np.asarray([-7], np.int16), scheme="spark_xxhash64")
    expected = SCHEMES["xxh64"].digest((-7 % 2**32).to_bytes(4, "little"), _seed(42))
    assert short.view(np.uint64).tolist() == [expected]


def _seed(number: int) -> Any:
    from pyrec_infer.hashing import Seed

    return Seed(number)


@pytest.mark.parametrize("scheme", ["spark_hash", "spark_xxhash64"])
def test_nulls_leave_sparks_hash_as_it_is(scheme: str) -> None:
    columns = [["a", None, "b"], [None, None, "c"]]
    made = pi.cross_fingerprint(columns, scheme=scheme)
    assert made[0] == pi.fingerprint(["a"], scheme=scheme)[0]
    assert made[1] == 42
    step = int(pi.fingerprint(["b"], scheme=scheme)[0])
    assert made[2] == pi.fingerprint(["c"], scheme=scheme, seed=step)[0]
    assert pi.fingerprint([None], scheme=scheme).tolist() == [42]


def test_numbers_of_spark_are_one_zero_and_one_nan() -> None:
    zeros = np.asarray([0.0, -0.0])
    made = pi.fingerprint(zeros, scheme="spark_hash")
    assert made[0] == made[1]
    assert len(set(pi.fingerprint(zeros, scheme="spark_hashing_tf").tolist())) == 2
    nans = np.asarray([0x7FC00000, 0xFFC00001, 0x7F800001], np.uint32).view(np.float32)
    assert len(set(pi.fingerprint(nans, scheme="spark_hash").tolist())) == 1
    assert pi.fingerprint([True], scheme="spark_hash") == pi.fingerprint(np.int32([1]), scheme="spark_hash")
    with pytest.raises(pi.DTypeError, match="uint32"):
        pi.fingerprint(np.uint32([1]), scheme="spark_hash")


@settings(max_examples=30)
@given(
    st.sampled_from(["farmhash64", "mmh3_32", "mmh3_64", "crc32"]),
    st.lists(st.text(max_size=9), min_size=1, max_size=5),
    st.integers(1, 2**63 - 1),
    st.sampled_from(["unsigned", "floor", "abs"]),
)
def test_modulo(scheme: str, texts: list[str], count: int, modulo: Any) -> None:
    bits = SCHEMES[scheme].bits
    for text, bucket in zip(texts, buckets(texts, count, scheme, modulo=modulo), strict=True):
        number = SCHEMES[scheme].digest(text.encode())
        signed = number - 2**bits if number >= 2 ** (bits - 1) else number
        assert bucket == {"unsigned": number, "floor": signed, "abs": abs(signed)}[modulo] % count


def test_modulo_of_packages_and_of_bigquery() -> None:
    assert buckets(["Hello"], 3) == [0]
    assert buckets(["Hello"], 3, modulo="abs") == [1]
    made = pi.fingerprint(["Hello", "world"], scheme="mmh3_32")
    assert buckets(["Hello", "world"], 1000, "mmh3_32") == (made % 1000).tolist()


@settings(max_examples=20)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8))
def test_whole_numbers_are_their_digits(numbers: list[int]) -> None:
    for scheme, scheme_ in SCHEMES.items():
        if scheme_.numbers == "decimal" and scheme_.seeds != "pair":
            made = pi.fingerprint(np.asarray(numbers), scheme=scheme)
            assert (
                made.tolist() == pi.fingerprint([str(number) for number in numbers], scheme=scheme).tolist()
            )
    assert buckets(np.asarray([2**64 - 1], np.uint64), 10) == buckets([str(2**64 - 1)], 10)


def test_masks_and_nulls_share_a_bucket() -> None:
    texts = ["a", None, "", "b"]
    made = buckets(texts, 100, null="mask", mask_value="")
    assert made[1] == made[2] == 0
    assert made[::3] == [1 + bucket for bucket in buckets(["a", "b"], 99)]
    assert buckets(["a"], 100, null="mask") == [1 + buckets(["a"], 99)[0]]


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        (
            ["a", None],
            {},
            pi.InputError,
            r"^values: .*, got a missing one \(row 1\)$",
        ),
        ([["a", "b"], ["c", None]], {}, pi.InputError, r"missing one \(row 1\)$"),
        (["a", 1], {}, pi.DTypeError, r"^values: expected strings, got int \(row 1\)$"),
        ([["a"], ["b", "c"]], {}, pi.ShapeError, "rows of different lengths"),
        (["\ud800"], {}, pi.DTypeError, r"^values: expected strings in UTF-8 \(row 0\)$"),
        (np.asarray(["a", "\udfff"]), {}, pi.DTypeError, r"UTF-8 \(row 1\)$"),
        ([1.5], {}, pi.DTypeError, "^values: scheme 'farmhash64' does not take float64"),
        ([True], {"scheme": "crc32"}, pi.DTypeError, "does not take bool"),
        ([1], {"scheme": "sklearn"}, pi.DTypeError, "does not take int64"),
        ([np.nan], {"scheme": "keras"}, pi.IdRangeError, r"\(row 0\)$"),
        ([0.0, 2.0**63], {"scheme": "keras"}, pi.IdRangeError, r"\(row 1\)$"),
        (["a"], {"scheme": "md4"}, pi.InputError, "^scheme: expected one of farmhash64"),
        (["a"], {"seed": 1}, pi.InputError, "^seed: scheme 'farmhash64' has none$"),
        (["a"], {"scheme": "siphash24"}, pi.InputError, "^seed: expected the key"),
        (["a"], {"scheme": "xxh32", "seed": 2**32}, pi.InputError, "32 bits"),
        (["a"], {"scheme": "xxh32", "seed": "secret"}, pi.DTypeError, "got str$"),
        (["a"], {"scheme": "blake2b", "seed": bytes(65)}, pi.InputError, "at most 64 bytes"),
        (["a"], {"name": "x"}, pi.InputError, "^name: scheme 'farmhash64' has none$"),
        (["a"], {"scheme": "spark_feature_hasher"}, pi.InputError, "^name: expected"),
        (["a"], {"scheme": "vw"}, pi.InputError, "power of two"),
        (["a"], {"mask_value": 1}, pi.DTypeError, "^mask_value: expected a string"),
        ([1], {"mask_value": "1"}, pi.DTypeError, "^mask_value: expected a number"),
        (["a"], {"null": "seed"}, pi.InputError, "^null: "),
        (["a"], {"modulo": "java"}, pi.InputError, "^modulo: "),
        (["a"], {"buckets": 0}, pi.InputError, "^buckets: expected at least 1, got 0$"),
        (["a"], {"buckets": 1.5}, pi.DTypeError, "^buckets: "),
    ],
)
def test_refused(values: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        pi.hash_to_bucket(values, **{"buckets": 10, **options})
    assert "secret" not in str(caught.value)


def test_refused_crosses() -> None:
    with pytest.raises(pi.RowCountError, match=r"^column 1: "):
        pi.cross_to_bucket([["a", "b"], ["c"]], buckets=3)
    with pytest.raises(pi.DTypeError, match=r"^column 1: .*float64"):
        pi.cross_to_bucket([["a"], [1.0]], buckets=3)
    with pytest.raises(pi.InputError, match=r"^column 0: .*\(row 0\)"):
        pi.cross_to_bucket([[None], ["a"]], buckets=3)
    for columns in ([], "ab"):
        with pytest.raises(pi.InputError, match=r"^columns: expected at least one"):
            pi.cross_to_bucket(columns, buckets=3)
    with pytest.raises(pi.InputError, match=r"^scheme: expected one of tf_cross_v1"):
        pi.cross_to_bucket([["a"]], buckets=3, scheme="keras")
