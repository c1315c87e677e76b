"""What changes of items cost, and what they cost those who read meanwhile: one thread each.

``OPENBLAS_NUM_THREADS=1 python -m benchmarks.changes`` prints how fast retrievers of a million vectors are
built beside faiss' indexes, upserts of 1, 100 and 10,000 items into catalogues and retrievers of a million,
calls of a reader alone and beside a writer, and how long a model takes from its file to its first score.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import pyrec_infer as pi
from benchmarks.rulers import inputs
from benchmarks.rulers.make import ensure
from benchmarks.turns import take_turns

WIDTH = 64
FEW = 1000
"""Items of a reader's call."""

Change = Callable[[int, int], object]
"""Puts items in the place of so many, from a number on."""


def builds(vectors: Any) -> dict[str, Callable[[], object]]:
    """What makes an index of vectors; faiss' where it is installed."""
    made: dict[str, Callable[[], object]] = {
        "Retriever fp32": lambda: pi.Retriever(vectors),
        "Retriever int8": lambda: pi.Retriever(vectors, precision="int8"),
    }
    try:
        import faiss
    except ImportError:
        return made
    faiss.omp_set_num_threads(1)

    def flat() -> object:
        index = faiss.IndexFlatIP(WIDTH)
        index.add(vectors)
        return index

    def quantised() -> object:
        kind = faiss.ScalarQuantizer.QT_8bit
        index = faiss.IndexScalarQuantizer(WIDTH, kind, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
        index.add(vectors)
        return index

    return {**made, "faiss Flat": flat, "faiss SQ8": quantised}


def upserts(change: Change, count: int) -> dict[int, float]:
    """Median microseconds of changes of 1, 100 and 10,000 items."""
    found, rng = {}, np.random.default_rng(1)
    for size, times in ((1, 300), (100, 100), (10_000, 10)):
        taken = []
        for begin in rng.integers(0, count - size, times).tolist():
            start = time.perf_counter()
            change(begin, size)
            taken.append(time.perf_counter() - start)
        found[size] = median(taken) * 1e6
    return found


@contextmanager
def writing(change: Change, count: int, size: int, pause: float) -> Iterator[list[int]]:
    """Another thread changes so many items again and again; how often is counted."""
    stop, done = threading.Event(), [0]
    begins = np.random.default_rng(2).integers(0, count - size, 4096).tolist()

    def run() -> None:
        while not stop.is_set():
            change(begins[done[0] % len(begins)], size)
            done[0] += 1
            time.sleep(pause)

    writer = threading.Thread(target=run)
    writer.start()
    try:
        yield done
    finally:
        stop.set()
        writer.join()


def calls(run: Callable[[], object], seconds: float) -> str:
    """The 50th and 99th percentile of calls for so long."""
    taken, end = [], time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        run()
        taken.append(time.perf_counter() - begin)
    p50, p99 = np.percentile(taken, [50, 99]) * 1e6
    return f"p50 {p50:,.0f} us, p99 {p99:,.0f} us"


def report_readers(reads: Mapping[str, Callable[[], object]], change: Change, count: int) -> None:
    for name, run in reads.items():
        run()
        print(f"{name}, nothing changes: {calls(run, 1.0)}")
        for size, pause in ((1, 1e-3), (100, 1e-3), (10_000, 1e-2)):
            with writing(change, count, size, pause) as done:
                begin = time.perf_counter()
                found = calls(run, 1.5)
                rate = done[0] / (time.perf_counter() - begin)
            print(f"{name}, {rate:,.0f} upserts of {size:,} a second: {found}")


def report_builds(vectors: Any, turns: int) -> None:
    for name, taken in take_turns(builds(vectors), turns).items():
        print(f"{name}: {len(vectors) / taken / 1e6:.2f} M vectors/s")


def report_retrievers(vectors: Any) -> None:
    count = len(vectors)
    query = np.random.default_rng(3).standard_normal(WIDTH, np.float32)
    for precision in ("fp32", "int8"):
        retriever = pi.Retriever(vectors, precision=precision)

        def change(begin: int, size: int, retriever: pi.Retriever = retriever) -> object:
            return retriever.upsert(vectors[begin : begin + size], np.arange(begin, begin + size))

        for size, taken in upserts(change, count).items():
            print(f"Retriever {precision}, upsert of {size:,}: {taken:,.1f} us, {taken / size:.2f} an item")
        report_readers({f"Retriever {precision}, best 100": partial(retriever.top_k, query)}, change, count)


def report_catalog(model: pi.Model, count: int) -> None:
    rng = np.random.default_rng(0)
    shop, user = inputs.items("r1", rng, count), inputs.requests("r1", rng, 1)
    catalog = model.catalog(shop)

    def change(begin: int, size: int) -> object:
        some = {name: value[begin : begin + size] for name, value in shop.items()}
        return catalog.upsert(some, np.arange(begin, begin + size))

    for size, taken in upserts(change, count).items():
        print(f"catalogue, upsert of {size:,}: {taken:,.1f} us, {taken / size:.2f} an item")
    ids = rng.choice(count, FEW, replace=False)
    reads = {
        "catalogue, scores of 1,000": partial(catalog.score, user, ids),
        "catalogue, best 100 of 1,000": partial(catalog.top_k, user, 100, ids=ids),
    }
    report_readers(reads, change, count)


def report_loads(path: Path) -> None:
    rng = np.random.default_rng(0)
    few, user = inputs.items("r1", rng, FEW), inputs.requests("r1", rng, 1)

    def first(mmap: bool) -> object:
        return pi.load(path, mmap=mmap).score(user, few)

    for name, taken in take_turns(
        {"copied": partial(first, False), "mapped": partial(first, True)}, 5
    ).items():
        print(f"from R1's file to the first 1,000 scores, tables {name}: {taken * 1e3:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", choices=("builds", "retrievers", "catalog", "loads"))
    options = parser.parse_args()
    vectors = np.random.default_rng(0).standard_normal((options.items, WIDTH), np.float32)
    path = ensure(options.folder, ("r1",)) / "r1.onnx"
    parts: dict[str, Callable[[], None]] = {
        "builds": lambda: report_builds(vectors, options.turns),
        "retrievers": lambda: report_retrievers(vectors),
        "catalog": lambda: report_catalog(pi.load(path), options.items),
        "loads": lambda: report_loads(path),
    }
    for name, report in parts.items():
        if options.only in (None, name):
            report()


if __name__ == "__main__":
    main()
