"""Small models of implicit and gensim, and what these libraries give for them.

``python -m tests.support.candidate_models > tests/data/candidates.json`` writes what tests read where the
libraries are not installed.
"""

from __future__ import annotations

import copy
import csv
import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STORED = Path(__file__).resolve().parents[1] / "data" / "candidates.json"


class Csr:
    """Sparse rows without scipy, as it calls their parts."""

    def __init__(self, dense: Array) -> None:
        rows, self.indices = np.nonzero(dense)
        self.data = np.asarray(dense, np.float32)[rows, self.indices]
        self.indptr = np.searchsorted(rows, np.arange(len(dense) + 1))
        self.shape = dense.shape


def interactions(users: int, items: int, share: float = 0.2, seed: int = 0) -> Array:
    """Counts of what users met; most are zero, and popular items are met more."""
    rng = np.random.default_rng(seed)
    liked = rng.random((users, items)) < share * 2 * np.linspace(1, 0.1, items)
    # Without anything in common all scores are equal, and their order is open there.
    liked[np.arange(users), rng.integers(0, items, users)] = True
    liked[rng.integers(0, users, items), np.arange(items)] = True
    return (liked * rng.integers(1, 6, (users, items))).astype(np.float32)


def clicks(shared: Path, rows: int) -> Array:
    """Past clicks of real users on 46 items."""
    with gzip.open(shared / "data" / "obd" / "bts_women.csv.gz", "rt", newline="") as file:
        reader = csv.DictReader(file)
        names = [name for name in reader.fieldnames or () if name.startswith("user-item_affinity_")]
        found = [
            [float(row[name] or 0) for name in names] for row, _ in zip(reader, range(rows), strict=False)
        ]
    return np.asarray(found, np.float32)


def trained(kind: str, dense: Array) -> Any:
    """A fitted model of implicit."""
    import implicit
    import scipy.sparse

    made: dict[str, Any] = {
        "als": lambda: implicit.als.AlternatingLeastSquares(
            factors=4, iterations=4, regularization=0.1, alpha=2.0, random_state=1, num_threads=1
        ),
        "bpr": lambda: implicit.bpr.BayesianPersonalizedRanking(
            factors=7, iterations=20, random_state=1, num_threads=1
        ),
        "lmf": lambda: implicit.lmf.LogisticMatrixFactorization(
            factors=6, iterations=5, random_state=1, num_threads=1
        ),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = made[kind]()
        model.fit(scipy.sparse.csr_matrix(dense), show_progress=False)
    return model


def neighbours(kind: str, dense: Array, count: int) -> Any:
    """A fitted item-item model of implicit."""
    import implicit.nearest_neighbours
    import scipy.sparse

    model = getattr(implicit.nearest_neighbours, NEIGHBOURS[kind])(K=count, num_threads=1)
    model.fit(scipy.sparse.csr_matrix(dense), show_progress=False)
    return model


NEIGHBOURS = {"cosine": "CosineRecommender", "tfidf": "TFIDFRecommender", "bm25": "BM25Recommender"}


def uneven(users: int, items: int) -> Array:
    """Interactions whose values all differ, so that no scores are equal."""
    values = np.random.default_rng(1).uniform(0.5, 1.5, (users, items)).round(3)
    return (interactions(users, items, 0.4) * values).astype(np.float32)


def ask(model: Any, rows: Any, count: int) -> dict[str, Any]:
    """What a model answers, its own or ours."""
    rows = copy.deepcopy(rows)  # implicit changes them where items are chosen
    users = np.arange(count)
    asked = {
        "liked_out": model.recommend(users, rows, N=4),
        "filtered": model.recommend(users, rows, N=3, filter_items=[0, 2]),
        "chosen": model.recommend(users, rows, N=2, items=[1, 3, 5, 6, 7, 8, 9]),
        "similar": model.similar_items(np.arange(4), N=3),
    }
    return {name: [np.asarray(part).tolist() for part in found] for name, found in asked.items()}


def reference() -> dict[str, Any]:
    """Factors and answers of implicit, and of gensim."""
    import scipy.sparse
    from gensim.models import KeyedVectors

    dense = interactions(8, 14)
    model = trained("als", dense)
    rows = scipy.sparse.csr_matrix(dense)
    made = ask(model, rows, 8)
    made["recalculated"] = [
        part.tolist() for part in model.recommend(np.arange(8), rows, N=4, recalculate_user=True)
    ]
    ranked = trained("bpr", dense)
    alike = {}
    met = uneven(12, 14)
    for kind in NEIGHBOURS:
        found = neighbours(kind, met, 5)
        answers = found.recommend(np.arange(12), scipy.sparse.csr_matrix(met), N=4), found.similar_items(2, 4)
        alike[kind] = [[part.tolist() for part in answer] for answer in answers]
    vectors = np.random.default_rng(3).standard_normal((9, 5)).round(3).astype(np.float32)
    keys = [f"item{number}" for number in range(9)]
    kept = KeyedVectors(5)
    kept.add_vectors(keys, vectors)
    return {
        "dense": dense.tolist(),
        "user_factors": model.user_factors.tolist(),
        "item_factors": model.item_factors.tolist(),
        "regularization": model.regularization,
        "alpha": model.alpha,
        "answers": made,
        "bpr": {
            "user_factors": ranked.user_factors.tolist(),
            "item_factors": ranked.item_factors.tolist(),
            "answers": ask(ranked, rows, 8),
        },
        "neighbours": alike,
        "keys": keys,
        "vectors": vectors.tolist(),
        "nearest": kept.most_similar(positive=keys[:2], negative=keys[2:3], topn=4),
        "mean": kept.get_mean_vector(keys[3:6]).tolist(),
    }


if __name__ == "__main__":
    print(json.dumps(reference(), separators=(",", ":")))
