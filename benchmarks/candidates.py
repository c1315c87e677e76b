"""Item-based recommendations beside scipy's sparse product with argpartition, and implicit: one thread.

``OPENBLAS_NUM_THREADS=1 python -m benchmarks.candidates`` compares the answers, then takes turns and prints
medians.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

import pyrec_infer as pi
from benchmarks.turns import take_turns


def interactions(users: int, items: int, each: int, seed: int = 0) -> Any:
    """Users with about as many items each; few items are met by many."""
    rng = np.random.default_rng(seed)
    columns = (rng.random(users * each) ** 2.5 * items).astype(np.int32)
    rows = np.repeat(np.arange(users), each)
    matrix = scipy.sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (users, items))
    matrix.data[:] = 1 + np.arange(len(matrix.data)) % 5
    return matrix


def by_scipy(rows: Any, similarity: Any, k: int) -> Any:
    """The best k of each row, best first, without the row's own items."""
    products = (rows @ similarity).tocsr()
    found = []
    for number in range(rows.shape[0]):
        part = slice(products.indptr[number], products.indptr[number + 1])
        columns, scores = products.indices[part], products.data[part].copy()
        own = rows.indices[rows.indptr[number] : rows.indptr[number + 1]]
        scores[np.isin(columns, own)] = -np.inf
        best = np.argpartition(-scores, k)[:k] if len(scores) > k else np.arange(len(scores))
        order = best[np.argsort(-scores[best])]
        found.append((columns[order], scores[order]))
    return found


def main() -> None:
    warnings.simplefilter("ignore")  # implicit warns of its own conversions
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("users", 20_000), ("items", 20_000), ("each", 30), ("turns", 5), ("batch", 500)):
        parser.add_argument(f"--{name}", type=int, default=value)
    chosen = parser.parse_args()
    log = interactions(chosen.users, chosen.items, chosen.each)
    model = pi.ItemItemRecommender.fit(log, 100)
    kept = model.similar_items(np.arange(chosen.items), 100)
    real = kept.ids >= 0
    bounds = np.concatenate([[0], np.cumsum(real.sum(axis=1))])
    similarity = scipy.sparse.csr_matrix(
        (kept.scores[real], kept.ids[real], bounds), (chosen.items, chosen.items)
    )
    users, k = np.arange(chosen.batch), 100
    rows = log[: chosen.batch]
    runs: dict[str, Callable[[], object]] = {
        "pyrec_infer": lambda: model.recommend(users, rows, k),
        "scipy": lambda: by_scipy(rows, similarity, k),
    }
    ours = model.recommend(users, rows, k)
    for number, (_, scores) in enumerate(by_scipy(rows, similarity, k)):
        positive = scores > -np.inf
        np.testing.assert_allclose(ours.scores[number, : positive.sum()], scores[positive], rtol=1e-4)
    fits: dict[str, Callable[[], object]] = {
        "pyrec_infer": lambda: pi.ItemItemRecommender.fit(log, 100),
    }
    try:
        from implicit.nearest_neighbours import CosineRecommender
    except ImportError:
        pass
    else:
        theirs = CosineRecommender(K=100, num_threads=1)
        theirs.fit(log, show_progress=False)
        runs["implicit"] = lambda: theirs.recommend(users, rows, N=k)
        fits["implicit"] = lambda: CosineRecommender(K=100, num_threads=1).fit(log, show_progress=False)
    for title, contestants in (("recommend", runs), ("fit", fits)):
        times = take_turns(contestants, chosen.turns)
        best = (
            min(seconds for name, seconds in times.items() if name != "pyrec_infer") if len(times) > 1 else 0
        )
        for name, seconds in times.items():
            print(f"{title:<10} {name:<12} {1e3 * seconds:10.1f} ms")
        print(f"{title:<10} ratio to the best of the others {best / times['pyrec_infer']:.1f}")


if __name__ == "__main__":
    main()
