"""The demonstration: rank invented items for invented users, and time it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.api import load
from pyrec_infer.bundled import MODEL, SCHEMA, User, items, raw_items, raw_user, users
from pyrec_infer.model import Model
from pyrec_infer.schema import Schema

K = 10
RUNS = 9
ONNXRUNTIME_BATCH = 1000

Arrays = dict[str, NDArray[Any]]


def median_seconds(call: Callable[[], object], runs: int = RUNS) -> float:
    """Median time of a call, after one that is not timed."""
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def print_ranking(model: Model, number: int, user: User, shop: Arrays) -> None:
    """The ten best items of the shop for one user."""
    request = user.request
    best = model.top_k(request, {**shop, "affinity": user.affinity}, k=K)
    clicked = np.flatnonzero(user.affinity)
    history = ", ".join(f"#{item}" for item in clicked[:6]) or "none"
    print(f"\nUser {number}   items clicked before: {history}")
    print("  rank  item      chance of a click")
    for rank, (item, score) in enumerate(zip(best.ids, best.scores, strict=True), 1):
        print(f"  {rank:>4}  {f'#{item}':<8}  {100 * score:6.3f} %")


def print_raw_ranking(count: int) -> None:
    """The best of raw rows, as a service holds them: strings and numbers that no one has encoded."""
    model = load(MODEL, schema=Schema.load(SCHEMA))
    shop: Any = raw_items(count)
    best = model.top_k(raw_user(), shop, k=3)
    shown = zip(best.ids, best.scores, strict=True)
    chosen = ", ".join(f"{shop[item]['item_id']} {100 * score:.3f} %" for item, score in shown)
    print(f"\nThe same model from raw rows, with a schema: the best of {count:,} items are {chosen}.")


def figure(label: str, seconds: float, candidates: int) -> None:
    """One line of the table of speeds."""
    print(f"  {label:<40} {1e3 * seconds:9.2f} ms {candidates / seconds / 1e6:9.2f} M candidates/s")


def onnxruntime_calls(
    user: User, shop: Arrays, expected: NDArray[np.float32]
) -> dict[str, Callable[[], object]] | None:
    """The same work in onnxruntime by label, its scores checked; None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
    count = len(expected)
    repeated = {name: np.repeat(value, count, axis=0) for name, value in user.request.items()}
    batch = {**repeated, **shop, "affinity": user.affinity}
    slices = [
        {name: value[start : start + ONNXRUNTIME_BATCH] for name, value in batch.items()}
        for start in range(0, count, ONNXRUNTIME_BATCH)
    ]

    def best(scores: NDArray[np.float32]) -> NDArray[np.intp]:
        chosen = np.argpartition(scores, count - min(K, count))[-K:]
        return chosen[np.argsort(-scores[chosen], kind="stable")]

    def whole() -> NDArray[np.intp]:
        return best(session.run(None, batch)[0])

    def sliced() -> NDArray[np.intp]:
        return best(np.concatenate([session.run(None, part)[0] for part in slices]))

    np.testing.assert_allclose(expected, session.run(None, batch)[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(expected[sliced()], np.sort(expected)[::-1][:K], rtol=1e-4, atol=1e-6)
    version = onnxruntime.__version__
    return {
        f"onnxruntime {version}, one batch": whole,
        f"onnxruntime {version}, batches of {ONNXRUNTIME_BATCH}": sliced,
    }


def main(user_count: int = 3, candidates: int = 100_000) -> None:
    """Print the ten best items for a few users, then candidates per second.

    Parameters
    ----------
    user_count : int
        How many users to rank for.
    candidates : int
        Number of items in the shop.
    """
    model = load(MODEL, threads=1)
    shop = items(candidates)
    people = users(max(user_count, 1), candidates)
    print(
        "The model: a DeepFM that predicts whether a visitor of a fashion shop clicks on an item, trained\n"
        "on real click logs (Open Bandit Dataset, CC BY 4.0 by ZOZO, Inc.); users and items are invented.\n"
        f"For each user it scores all {candidates:,} items of the shop and keeps the {K} best."
    )
    for number, user in enumerate(people[:user_count], 1):
        print_ranking(model, number, user, shop)
    print_raw_ranking(min(candidates, 1000))

    request = people[0].request
    batch = {**shop, "affinity": people[0].affinity}
    expected = model.score(request, batch)
    print(
        f"\nSpeed: the {K} best of {candidates:,} candidates for one user, one thread, median of {RUNS} runs"
    )
    ours = median_seconds(lambda: model.top_k(request, batch, k=K))
    figure("pyrec_infer", ours, candidates)
    peers = onnxruntime_calls(people[0], shop, expected)
    if peers is None:
        print("  (onnxruntime is not installed; with it, its figure for the same work would stand here)")
        return
    seconds = {label: median_seconds(call) for label, call in peers.items()}
    for label, value in seconds.items():
        figure(label, value, candidates)
    ratio = min(seconds.values()) / ours
    print(
        f"  onnxruntime's better time: {ratio:.2f} times pyrec_infer's. The scores were compared: equal.\n"
        "  onnxruntime gets the user's values already repeated for every candidate, outside its time."
    )
