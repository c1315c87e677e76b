"""Sums of rows of a big table, beside PyTorch's ``embedding_bag``: one thread, bags of 1, 20 and 100 ids.

``python -m benchmarks.bags`` compares the answers, then takes turns and prints a table. ``--rows`` makes the
table smaller than the 10 million rows of 16 numbers (640 MB) that are the default.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.turns import take_turns
from pyrec_infer import _native
from pyrec_infer.backends.native import NativeExecutor
from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node
from pyrec_infer.limits import default_max_bytes
from pyrec_infer.memory import allocate
from pyrec_infer.plan.planner import build_plan

Array = NDArray[Any]
Sums = Callable[[Array, Array], Array]

WIDTH = 16
LENGTHS = (1, 20, 100)


def make_table(rows: int) -> NDArray[np.float32]:
    """Numbers from -1 to 1, in the memory in which models keep their tables."""
    table = allocate(4 * rows * WIDTH).view(np.float32).reshape(rows, WIDTH)
    random = np.random.default_rng(0)
    for begin in range(0, rows, 1 << 20):
        part = table[begin : begin + (1 << 20)]
        part[...] = random.random(part.shape, np.float32) * 2 - 1
    return table


def ours(table: NDArray[np.float32]) -> Sums:
    """A plan of one bag whose offsets are the rows."""
    integers = np.dtype(np.int64)
    infos = {
        "ids": Info(integers, (Dim.symbol("ids"),)),
        "offsets": Info(integers, (Dim.symbol(BATCH),), rows=0),
    }
    nodes = (
        Node("pyrec.BagBounds", ("offsets", "ids"), ("bounds",), {}),
        Node("pyrec.EmbeddingBag", ("table", "ids", "bounds"), ("sums",), {"mode": "sum"}),
    )
    graph = Graph(("ids", "offsets"), ("sums",), nodes, {"table": table}, infos)
    isa = _native.kernel_backends()[0]
    plan = NativeExecutor(build_plan(graph, frozenset()), isa, _native.ThreadPool(1), {}, default_max_bytes())
    return lambda ids, offsets: plan.run([ids, offsets], [])[0]


def torch_sums(table: NDArray[np.float32]) -> Sums:
    """PyTorch on the same memory."""
    import torch

    torch.set_num_threads(1)
    weight = torch.from_numpy(table)

    def run(ids: Array, offsets: Array) -> Array:
        with torch.inference_mode():
            made = torch.nn.functional.embedding_bag(
                torch.from_numpy(ids), weight, torch.from_numpy(offsets), mode="sum"
            )
        return np.asarray(made)

    return run


def measure(contestants: dict[str, Sums], ids: Array, offsets: Array, turns: int) -> dict[str, float]:
    """Median seconds of each, taking turns, after a check that all give the same sums."""
    answers = [run(ids, offsets) for run in contestants.values()]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-5, atol=1e-4)
    return take_turns({name: partial(run, ids, offsets) for name, run in contestants.items()}, turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--ids", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    table = make_table(options.rows)
    contestants = {"pyrec_infer": ours(table), "torch": torch_sums(table)}
    ids = np.random.default_rng(1).integers(0, options.rows, options.ids)
    print("| ids a bag | pyrec_infer, M rows/s | torch | ratio |\n|---|---|---|---|")
    for length in LENGTHS:
        offsets = np.arange(0, options.ids - length + 1, length)
        taken = measure(contestants, ids[: len(offsets) * length], offsets, options.turns)
        own, peer = (len(offsets) * length / taken[name] / 1e6 for name in contestants)
        print(f"| {length} | {own:.1f} | {peer:.1f} | {own / peer:.2f} |", flush=True)


if __name__ == "__main__":
    main()
