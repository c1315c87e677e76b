"""Saving a catalogue and opening it: R1, one core.

``python -m benchmarks.catalog_saving`` prints the seconds in which a catalogue is made, saved, and opened in
a process that has done nothing before, with its first ten best items, beside the first touch of as much
memory as the records take; and those of a `Retriever` of as many vectors of 64 numbers with codes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

import pyrec_infer as pi
from benchmarks.catalog_build import first_touch, resident
from benchmarks.rulers.inputs import items, requests
from benchmarks.rulers.make import ensure


def timed(name: str, run: Callable[[], object]) -> None:
    """Print how long something takes."""
    begin = time.perf_counter()
    run()
    print(f"{name}: {time.perf_counter() - begin:.3f} s")


def open_all(folder: Path, verify: bool) -> None:
    """What a process does that serves: open both, and ask once."""
    user = requests("r1", np.random.default_rng(1), 1)
    before, begin = resident(), time.perf_counter()
    shop = pi.load_catalog(folder / "shop", mmap=True, verify=verify)
    print(f"open: {time.perf_counter() - begin:.3f} s")
    size = resident() - before
    print(f"memory / records: {size / shop.explain().as_dict()['catalog']['bytes']:.2f}")
    timed("first top_k", lambda: shop.top_k(user, 10))
    timed("second top_k", lambda: shop.top_k(user, 10))
    timed("first touch of as many bytes", lambda: first_touch(size))
    timed("open vectors", lambda: pi.Retriever.load(folder / "vectors", verify=verify))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--open", type=Path, help="a folder of saved files, to be opened in this process")
    options = parser.parse_args()
    if options.open is not None:
        open_all(options.open, options.verify)
        return
    count: int = options.items
    model = pi.load(ensure(options.folder, ("r1",)) / "r1.onnx")
    shop, rng = items("r1", np.random.default_rng(0), count), np.random.default_rng(2)
    vectors = rng.standard_normal((count, 64), np.float32)
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Callable[[], object]] = {
            "make": lambda: model.catalog(shop),
            "make vectors": lambda: pi.Retriever(vectors, precision="int8"),
        }
        for name, run in runs.items():
            begin = time.perf_counter()
            made = run()
            taken[name] = [time.perf_counter() - begin]
            path = Path(folder, "shop" if isinstance(made, pi.Catalog) else "vectors")
            assert isinstance(made, (pi.Catalog, pi.Retriever))
            begin = time.perf_counter()
            made.save(path)
            taken[f"save, {path.name}: {path.stat().st_size / 1e6:.0f} MB"] = [time.perf_counter() - begin]
            del made
        again = [sys.executable, "-m", "benchmarks.catalog_saving", "--open", folder]
        again += ["--verify"] if options.verify else []
        for _ in range(options.turns):
            said = subprocess.run(again, capture_output=True, text=True, check=True).stdout
            for line in said.splitlines():
                name, value = line.split(": ")
                taken.setdefault(name, []).append(float(value.split()[0]))
    for name, figures in taken.items():
        print(f"{name}: {median(figures):.3f}")


if __name__ == "__main__":
    main()
