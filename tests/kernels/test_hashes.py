"""Hashes of strings: published vectors, the packages that others hash with, and both of our sides."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyrec_infer import extension
from pyrec_infer.hashing import CROSSES, SCHEMES, Scheme, Seed
from pyrec_infer.hashing.digests import LONGEST_KEY
from pyrec_infer.strings import of_objects

pytestmark = pytest.mark.once

EVERY = list({**SCHEMES, **CROSSES}.values())

TEXTS = st.lists(st.one_of(st.binary(max_size=40), st.binary(min_size=41, max_size=200)), max_size=8)
NUMBERS = st.integers(0, 2**64 - 1)

EDGES = [
    bytes(range(size))
    for size in (0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 55, 56, 63, 64, 65, 127, 128, 129)
]
"""Lengths where an algorithm goes another way."""


def native_hashes(
    scheme: Scheme, texts: list[bytes], seed: Seed, prefix: bytes = b"", seeds: Any = None
) -> list[int]:
    native = extension.native
    if native is None:
        pytest.skip("no native code in this build")
    column = of_objects(texts, 1, False)
    made = native.hash_texts(
        scheme.algorithm, column.offsets, column.data, (seed.first, seed.second), seed.key, prefix, seeds
    )
    return [int(number) for number in made.tolist()]


@pytest.mark.parametrize("scheme", EVERY, ids=lambda scheme: scheme.name)
@settings(max_examples=15)
@given(TEXTS, NUMBERS, NUMBERS, st.binary(max_size=LONGEST_KEY), st.binary(max_size=9))
@example(EDGES, 1, 2, b"", b"")
@example(EDGES, 2**64 - 1, 3, bytes(LONGEST_KEY), b"x=")
@example([b"12", b" 7 ", b"18446744073709551616", b"-5", b"\xa012"], 77, 0, b"", b"")
def test_native_code_and_python_agree(
    scheme: Scheme, texts: list[bytes], first: int, second: int, key: bytes, prefix: bytes
) -> None:
    seed = Seed(first, second, key)
    made = native_hashes(scheme, texts, seed, prefix)
    assert made == [scheme.digest(prefix + text, seed) for text in texts]
    seeds = np.arange(len(texts), dtype=np.uint64) + np.uint64(first % 2**63)
    made = native_hashes(scheme, texts, seed, b"", seeds)
    starts = [Seed(int(start), second, key) for start in seeds]
    assert made == [scheme.digest(text, start) for text, start in zip(texts, starts, strict=True)]


def test_the_extension_has_the_algorithms_of_the_schemes() -> None:
    native = extension.native
    if native is None:
        pytest.skip("no native code in this build")
    assert {scheme.algorithm for scheme in EVERY} == set(native.hash_names())
    column = of_objects([b"a"], 1, False)
    with pytest.raises(ValueError, match="unknown hash"):
        native.hash_texts("md4", column.offsets, column.data, (0, 0), b"", b"")


def digest(name: str, text: bytes, *seed: int, key: bytes = b"") -> int:
    return SCHEMES[name].digest(text, Seed(*seed, key=key))


def siphash(text: bytes, key: bytes) -> int:
    siphash24 = pytest.importorskip("siphash24", reason="oracle of SipHash")
    made: bytes = siphash24.siphash24(text, key=key).digest()
    return int.from_bytes(made, "little")


def of_package(name: str, reason: str, run: Callable[[Any, bytes, int], int]) -> Callable[[bytes, int], int]:
    def oracle(text: bytes, seed: int) -> int:
        return run(pytest.importorskip(name, reason=reason), text, seed)

    return oracle


ORACLES: dict[str, Callable[[bytes, int], int]] = {
    "mmh3_32": of_package("mmh3", "oracle of MurmurHash3", lambda m, x, s: m.hash(x, s, signed=False)),
    "mmh3_64": of_package("mmh3", "oracle of MurmurHash3", lambda m, x, s: m.hash64(x, s, signed=False)[0]),
    "xxh32": of_package("xxhash", "oracle of xxHash", lambda m, x, s: m.xxh32_intdigest(x, s)),
    "xxh64": of_package("xxhash", "oracle of xxHash", lambda m, x, s: m.xxh64_intdigest(x, s)),
    "cityhash64": of_package("cityhash", "oracle of CityHash", lambda m, x, s: m.CityHash64(x)),
    "crc32": lambda text, seed: zlib.crc32(text, seed),
    "md5": lambda text, seed: int(hashlib.md5(text).hexdigest()[:16], 16),
    "blake2b": lambda text, seed: int(hashlib.blake2b(text, digest_size=8).hexdigest(), 16),
}


@pytest.mark.parametrize("name", ORACLES)
@settings(max_examples=25)
@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_hashes_are_those_of_the_packages(name: str, text: bytes, seed: int) -> None:
    assert digest(name, text, seed) == ORACLES[name](text, seed)


@settings(max_examples=25)
@given(st.text(max_size=80))
@example("x" * 33)
@example("x" * 200)
def test_farmhash_is_that_of_its_package(text: str) -> None:
    farmhash = pytest.importorskip("farmhash", reason="oracle of FarmHash")
    assert digest("farmhash64", text.encode()) == farmhash.Fingerprint64(text)


@settings(max_examples=25)
@given(st.binary(max_size=80), st.binary(min_size=16, max_size=16))
def test_siphash_is_that_of_its_package(text: bytes, key: bytes) -> None:
    pair = (int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little"))
    assert digest("siphash24", text, *pair) == siphash(text, key)


@settings(max_examples=25)
@given(st.binary(min_size=1, max_size=300), st.binary(max_size=LONGEST_KEY))
def test_keys_of_blake2b_are_those_of_hashlib(text: bytes, key: bytes) -> None:
    expected = int(hashlib.blake2b(text, digest_size=8, key=key).hexdigest(), 16)
    assert native_hashes(SCHEMES["blake2b"], [text, b""], Seed(key=key))[0] == expected


def test_published_vectors() -> None:
    """xxHash's specification, MurmurHash3's verification values, SipHash's and RFC 1321's appendices."""
    assert digest("xxh64", b"abc") == 0x44BC2CF5AD770999
    assert digest("xxh32", b"abc") == 0x32D153FF
    assert digest("mmh3_32", b"hello, world", 0) == 0x149BBB7F
    assert digest("mmh3_32", b"", 1) == 0x514E28B7
    assert digest("siphash24", b"", 0x0706050403020100, 0x0F0E0D0C0B0A0908) == 0x726FDB47DD0E0E31
    assert digest("md5", b"abc") == 0x900150983CD24FB0
    assert digest("crc32", b"The quick brown fox jumps over the lazy dog") == 0x414FA339
