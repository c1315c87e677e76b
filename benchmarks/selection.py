"""The best k of many scores, beside NumPy and PyTorch: one thread, scores in several orders.

``python -m benchmarks.selection`` compares the answers, then takes turns and prints a table. Our rows come in
the order of their scores, as PyTorch's do; NumPy's ``argpartition`` leaves them in no order.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.turns import take_turns
from pyrec_infer.top_k import best_rows

Array = NDArray[Any]

ORDERS: dict[str, Callable[[Array], Array]] = {
    "random": lambda scores: scores,
    "rising": np.sort,
    "falling": lambda scores: np.sort(scores)[::-1].copy(),
}


def contestants(scores: Array, k: int) -> dict[str, Callable[[], Array]]:
    """Each gives the best k scores, in its own order."""
    import torch

    torch.set_num_threads(1)
    tensor = torch.from_numpy(scores)
    return {
        "pyrec_infer": lambda: best_rows(scores, k, None, None)[1],
        "NumPy": lambda: scores[np.argpartition(scores, len(scores) - k)[len(scores) - k :]],
        "PyTorch": lambda: np.asarray(torch.topk(tensor, k).values),
    }


def measure(runs: dict[str, Callable[[], Array]], turns: int) -> dict[str, float]:
    """Median seconds of each, taking turns, after a check that all find the same scores."""
    answers = [np.sort(run()) for run in runs.values()]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])
    return take_turns(runs, turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    print("| scores | k | order | pyrec_infer, ms | NumPy | PyTorch |\n|---|---|---|---|---|---|")
    for count in (1_000, 100_000, 1_000_000, 10_000_000):
        scores = np.random.default_rng(0).normal(size=count).astype(np.float32)
        for k in (1, 100, 1_000):
            for order, put in ORDERS.items():
                if k == count:
                    continue
                own, numpy, torch = measure(contestants(put(scores), k), options.turns).values()
                peers = " | ".join(f"{peer * 1e3:.3f} ({peer / own:.1f}x)" for peer in (numpy, torch))
                print(f"| {count} | {k} | {order} | {own * 1e3:.3f} | {peers} |", flush=True)


if __name__ == "__main__":
    main()
