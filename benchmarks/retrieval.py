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


_TOGETHER = 1 << 16
"""Items whose float64 products are held at once."""

_MOST_PRODUCTS = 1 << 26
"""That are held at once; PyTorch and NumPy hold all of them."""

_EQUAL = 1e-14
"""What float64 sums in another order may differ by."""


def _numpy(items: Array, queries: Array, k: int) -> Array:
    products = queries @ items.T
    part = np.argpartition(products, len(items) - k, axis=1)[:, len(items) - k :]
    order = np.argsort(-np.take_along_axis(products, part, axis=1), axis=1)
    return np.take_along_axis(part, order, axis=1)


def _own(retriever: pi.Retriever, queries: Array, k: int) -> Array:
    return retriever.top_k(queries, k).ids


def contestants(items: Array) -> dict[str, Callable[[Array, int], Array]]:
    """Each gives the best k items of some queries, best first."""
    import torch

    torch.set_num_threads(1)
    tensor = torch.from_numpy(items)
    made: dict[str, Callable[[Array, int], Array]] = {}
    for precision in ("fp32", "int8"):
        retriever = pi.Retriever(items, precision=precision)  # type: ignore[arg-type]
        made[precision] = partial(_own, retriever)
    made["PyTorch"] = lambda queries, k: torch.topk(torch.from_numpy(queries) @ tensor.T, k).indices.numpy()
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


def best_products(items: Array, queries: Array, k: int) -> Array:
    """The k largest float64 products of each query, falling."""
    best = np.full((len(queries), k), -np.inf)
    for begin in range(0, len(items), _TOGETHER):
        own = queries.astype(np.float64) @ items[begin : begin + _TOGETHER].astype(np.float64).T
        best = np.partition(np.concatenate([best, own], axis=1), own.shape[1], axis=1)[:, own.shape[1] :]
    return -np.sort(-best, axis=1)


def recall(items: Array, queries: Array, found: Array, best: Array) -> float:
    """The share of results whose float64 products are among the largest."""
    products = np.einsum("qkd,qd->qk", items[found].astype(np.float64), queries.astype(np.float64))
    least = best[:, found.shape[1] - 1 : found.shape[1]]
    return float(np.mean(products >= least - _EQUAL * np.abs(least)))


def measure(runs: Mapping[str, Run], turns: int) -> dict[str, float]:
    """Median seconds of each, taking turns, after a check that both of ours find the same."""
    np.testing.assert_array_equal(runs["int8"](), runs["fp32"]())
    return take_turns(runs, turns)


def _row(label: str, k: int, taken: dict[str, float], share: float) -> str:
    coded, plain = taken.pop("int8"), taken.pop("fp32")
    peer = min(taken, key=taken.__getitem__)
    ours = (f"{1e3 * own:.1f} ({taken[peer] / own:.1f}x)" for own in (coded, plain))
    return f"| {label} | {k} | {' | '.join(ours)} | {peer} {1e3 * taken[peer]:.1f} | {share:.4f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 32, 128, 256])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--ks", type=int, nargs="+", default=[10, 100, 1000])
    options = parser.parse_args()
    print("| items | D | B | k | int8, ms | fp32, ms | best peer, ms | recall |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in options.kinds:
        for width in options.widths if kind == options.kinds[0] else options.widths[:1]:
            rng = np.random.default_rng(0)
            items = KINDS[kind](rng, options.items, width)
            searches = contestants(items)
            for count in options.queries:
                queries = rng.standard_normal((count, width), np.float32)
                best = best_products(items, queries, max(options.ks))
                for k in options.ks:
                    runs = {name: partial(search, queries, k) for name, search in searches.items()}
                    if count * len(items) > _MOST_PRODUCTS:
                        runs = {name: run for name, run in runs.items() if name not in ("NumPy", "PyTorch")}
                    share = recall(items, queries, runs["int8"](), best)
                    taken = measure(runs, options.turns)
                    print(_row(f"{kind} | {width} | {count}", k, taken, share), flush=True)


if __name__ == "__main__":
    main()
