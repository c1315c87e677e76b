"""Searches with rules beside the same searches without: filters, exclusions, caps, diversity.

``OPENBLAS_NUM_THREADS=1 python -m benchmarks.rules`` takes turns in one process and prints a table: median
milliseconds, and the share of the search without rules. NumPy's product, mask and partition stand beside.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pyrec_infer as pi
from benchmarks.turns import take_turns
from pyrec_infer.bundled import MODEL, items, users

Array = NDArray[Any]
Runs = dict[str, Callable[[], object]]

SHARES = (0.001, 0.01, 0.1, 0.5)


def _attributes(rng: np.random.Generator, count: int) -> dict[str, Array]:
    return {
        "rank": rng.permutation(count),
        "seller": rng.integers(0, count // 100, count),
        "country": rng.choice(["SE", "NO", "FI", "DK"], count),
    }


def _numpy(vectors: Array, query: Array, mask: Array, k: int) -> Array:
    scores = vectors @ query
    kept = np.flatnonzero(mask)
    part = np.argpartition(scores[kept], len(kept) - k)[len(kept) - k :]
    return kept[part[np.argsort(-scores[kept][part])]]


def of_retriever(count: int, width: int, k: int, precision: Any, queries: int) -> Runs:
    """Searches of one retriever; the first is without rules."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, width), np.float32)
    given, attributes = rng.standard_normal((queries, width), np.float32), _attributes(rng, count)
    shop = pi.Retriever(vectors, precision=precision, attributes=attributes)
    seen = [rng.choice(count, 500, replace=False) for _ in range(queries)]
    best = [row[:500] for row in shop.top_k(given, 500).ids]
    runs: Runs = {"no rules": lambda: shop.top_k(given, k)}
    for share in SHARES:
        where = shop.where("rank", max=int(share * count) - 1)
        runs[f"prepared filter of {share:.1%}"] = lambda where=where: shop.top_k(given, k, where=where)
        mask = attributes["rank"] < int(share * count)
        runs[f"mask of {share:.1%}"] = lambda mask=mask: shop.top_k(given, k, allow=mask)
        if queries == 1 and precision == "fp32":
            runs[f"NumPy, mask of {share:.1%}"] = lambda mask=mask: _numpy(vectors, given[0], mask, k)
    runs["500 ids excluded"] = lambda: shop.top_k(given, k, exclude=seen)
    runs["the best 500 excluded"] = lambda: shop.top_k(given, k, exclude=best)
    runs["3 a seller"] = lambda: shop.top_k(given, k, max_per={"seller": 3})
    runs["MMR of 1,000"] = lambda: shop.top_k(given, k, diversity=pi.MMR())
    return runs


def of_catalog(count: int, k: int) -> Runs:
    """The same for a catalogue of the bundled model."""
    rng = np.random.default_rng(0)
    (user,) = users(1, count)
    attributes = _attributes(rng, count)
    shop = pi.load(MODEL).catalog({**items(count), "affinity": user.affinity}, attributes=attributes)
    seen = rng.choice(count, 500, replace=False)
    runs: Runs = {"no rules": lambda: shop.top_k(user.request, k)}
    for share in SHARES:
        where = shop.where("rank", max=int(share * count) - 1)
        runs[f"prepared filter of {share:.1%}"] = lambda where=where: shop.top_k(user.request, k, where=where)
    runs["500 ids excluded"] = lambda: shop.top_k(user.request, k, exclude=seen)
    runs["3 a seller"] = lambda: shop.top_k(user.request, k, max_per={"seller": 3})
    return runs


def show(title: str, runs: Runs, turns: int) -> None:
    """Take turns and print a table."""
    for run in runs.values():
        run()
    taken = take_turns(runs, turns)
    print(f"\n{title}\n\n| search | ms | of that without |\n|---|---|---|")
    for name, seconds in taken.items():
        print(f"| {name} | {1e3 * seconds:.3f} | {seconds / taken['no rules']:.1%} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--turns", type=int, default=9)
    given = parser.parse_args()
    for precision in ("fp32", "int8"):
        for queries in (1, 64):
            runs = of_retriever(given.count, given.width, given.k, precision, queries)
            show(f"{given.count} x {given.width}, {precision}, queries: {queries}", runs, given.turns)
    show(f"catalogue of {given.count} items", of_catalog(given.count, given.k), given.turns)


if __name__ == "__main__":
    main()
