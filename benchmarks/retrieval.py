"""Exact retrieval beside faiss, PyTorch and NumPy: one thread, inner products.

``OPENBLAS_NUM_THREADS=1 python -m benchmarks.retrieval`` compares the answers with float64, then takes turns
and prints a table. Faiss is its Flat index. A ratio is that of the fastest of the others to ours.
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

Array = NDArray[Any]
Run = Callable[[], Array]

KINDS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "Gaussian": lambda rng, n, d: rng.standard_normal((n, d), np.float32),
    "clustered": lambda rng, n, d: (
        rng.standard_normal((1000, d), np.float32)[rng.integers(0, 1000, n)]
        + np.float32(0.2) * rng.standard_normal((n, d), np.float32)
    ),
    "heavy-tailed": lambda rng, n, d: (
        rng.standard_normal((n, d), np.float32) * rng.pareto(2.0, (n, 1)).astype(np.float32)
    ),
}


def _numpy(items: Array, queries: Array, k: int) -> Array:
    products = queries @ items.T
    part = np.argpartition(products, len(items) - k, axis=1)[:, len(items) - k :]
    order = np.argsort(-np.take_along_axis(products, part, axis=1), axis=1)
    return np.take_along_axis(part, order, axis=1)


def _own(retriever: pi.Retriever, queries: Array, k: int) -> Array:
    return retriever.top_k(queries, k).ids


def contestants(items: Array, count: int) -> dict[str, Callable[[Array, int], Array]]:
    """Each gives the best k items of some queries, best first."""
    import torch

    torch.set_num_threads(1)
    tensor = torch.from_numpy(items)
    made: dict[str, Callable[[Array, int], Array]] = {}
    for precision in ("fp32", "int8"):
        retriever = pi.Retriever(items, precision=precision)  # type: ignore[arg-type]
        made[precision] = partial(_own, retriever)
    made["PyTorch"] = lambda queries, k: torch.topk(torch.from_numpy(queries) @ tensor.T, k).indices.numpy()
    if count * len(items) <= 1 << 26:
        made["NumPy"] = lambda queries, k: _numpy(items, queries, k)
    try:
        import faiss
    except ImportError:
        return made
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    made["faiss"] = lambda queries, k: index.search(queries, k)[1]
    return made


def recall(items: Array, query: Array, found: Array) -> float:
    """The share of a query's results whose float64 product is among the largest."""
    products = items.astype(np.float64) @ query.astype(np.float64)
    least = np.partition(products, len(items) - len(found))[len(items) - len(found)]
    return float(np.mean(products[found] >= least))


def measure(runs: Mapping[str, Run], turns: int) -> dict[str, float]:
    """Median seconds of each, taking turns, after a check that both of ours find the same."""
    np.testing.assert_array_equal(runs["int8"](), runs["fp32"]())
    return take_turns(runs, turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 32, 128, 256])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    print("| items | D | B | k | int8, ms | fp32, ms | best peer, ms | ratio | recall |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind in options.kinds:
        for width in options.widths if kind == options.kinds[0] else options.widths[:1]:
            rng = np.random.default_rng(0)
            items = KINDS[kind](rng, options.items, width)
            for count in (1, 64):
                searches = contestants(items, count)
                queries = rng.standard_normal((count, width), np.float32)
                for k in (10, 100, 1000) if width == options.widths[0] else (100,):
                    runs = {name: partial(search, queries, k) for name, search in searches.items()}
                    share = recall(items, queries[0], runs["int8"]()[0])
                    taken = measure(runs, options.turns)
                    coded, plain = taken.pop("int8"), taken.pop("fp32")
                    peer = min(taken, key=taken.__getitem__)
                    print(
                        f"| {kind} | {width} | {count} | {k} | {coded * 1e3:.1f} | {plain * 1e3:.1f} "
                        f"| {peer} {taken[peer] * 1e3:.1f} | {taken[peer] / coded:.1f}x | {share:.3f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
