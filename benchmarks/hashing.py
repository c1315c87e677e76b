"""Hashing a column of short strings, beside a Python loop over ``mmh3`` and scikit-learn's FeatureHasher.

``python -m benchmarks.hashing`` compares the answers, then takes turns on one thread and prints a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pyrec_infer as pi
from benchmarks.turns import take_turns

BUCKETS = 1 << 20

Buckets = Callable[[], NDArray[Any]]


def make_strings(count: int) -> list[str]:
    """Names of 6 to 14 letters, as ids of items and words are."""
    random = np.random.default_rng(0)
    numbers = random.integers(0, 10**8, count).tolist()
    widths = random.integers(1, 9, count).tolist()
    return [f"item_{number % 10**width}" for number, width in zip(numbers, widths, strict=True)]


def forms(strings: list[str]) -> dict[str, Any]:
    """The same strings as people keep them."""
    import polars as pl
    import pyarrow as pa

    objects = np.asarray(strings, object)
    return {
        "Arrow": pa.array(strings),
        "Arrow dictionary": pa.array(strings).dictionary_encode(),
        "Arrow string_view": pa.array(strings, pa.string_view()),
        "polars": pl.Series(strings),
        "NumPy U": np.asarray(strings),
        "NumPy S": np.asarray(strings).astype("S"),
        "StringDType": np.asarray(strings, np.dtypes.StringDType()),
        "NumPy object": objects,
        "list of str": strings,
    }


def ours(values: Any) -> Buckets:
    return partial(pi.hash_to_bucket, values, buckets=BUCKETS, scheme="mmh3_32")


def loop_over_mmh3(strings: list[str]) -> Buckets:
    import mmh3

    def run() -> NDArray[np.int64]:
        count = len(strings)
        return np.fromiter((mmh3.hash(text) % BUCKETS for text in strings), np.int64, count)

    return run


def feature_hasher(strings: list[str]) -> Buckets:
    """Columns with the sign of their entries."""
    from sklearn.feature_extraction import FeatureHasher

    hasher = FeatureHasher(BUCKETS, input_type="string")

    def run() -> NDArray[np.int64]:
        rows = hasher.transform([text] for text in strings)
        return np.asarray(rows.indices.astype(np.int64) * rows.data.astype(np.int64))

    return run


def ours_with_signs(values: Any) -> Buckets:
    def run() -> NDArray[np.int64]:
        hashes = pi.fingerprint(values, scheme="sklearn").view(np.int64)
        return np.asarray(np.abs(hashes) % BUCKETS * np.where(hashes < 0, -1, 1))

    return run


def measure(contestants: Mapping[str, Buckets], turns: int) -> dict[str, float]:
    """Median seconds of each, after a check that all give the same answers."""
    answers = [run() for run in contestants.values()]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])
    return take_turns(contestants, turns)


def show(peer: str, taken: Mapping[str, float], count: int) -> None:
    print(f"\n| {peer} {taken[peer] / count * 1e9:.0f} ns a string | ns a string | ratio |\n|---|---|---|")
    for name, seconds in taken.items():
        if name != peer:
            print(f"| {name} | {seconds / count * 1e9:.1f} | {taken[peer] / seconds:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strings", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    strings = make_strings(options.strings)
    kept = forms(strings)
    contestants = {"mmh3 in a loop": loop_over_mmh3(strings)}
    contestants |= {form: ours(values) for form, values in kept.items()}
    show("mmh3 in a loop", measure(contestants, options.turns), len(strings))
    contestants = {"FeatureHasher": feature_hasher(strings)}
    contestants |= {form: ours_with_signs(kept[form]) for form in ("Arrow", "NumPy U", "list of str")}
    show("FeatureHasher", measure(contestants, min(options.turns, 3)), len(strings))


if __name__ == "__main__":
    main()
