"""Two threads beside one for the same call: R1 to R5, in fresh processes, on idle cores or beside other work.

``python -m benchmarks.threads`` prints for each ruler the ratio of one thread's time to two threads' in the
slowest, the median and the fastest of 20 processes. ``--busy`` lets another process use one core meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median

import numpy as np

import pyrec_infer as pi
from benchmarks.rulers.inputs import RULERS, make_cases
from benchmarks.rulers.make import DEFAULT_FOLDER, ensure

WAYS = ("score", "catalogue")


def calls(model: pi.Model, ruler: str, count: int, way: str) -> Callable[[], object]:
    """Scores one request after another."""
    cases = make_cases(ruler, count, 4)
    if way == "catalogue":
        names = cases[0].candidates
        catalog = model.catalog(
            {name: np.concatenate([case.candidates[name] for case in cases]) for name in names}
        )
        ids = np.arange(len(cases) * count).reshape(len(cases), count)
        runs = [partial(catalog.score, case.request, own) for case, own in zip(cases, ids, strict=True)]
    else:
        runs = [partial(model.score, case.request, case.candidates) for case in cases]
    turn = cycle(runs)
    return lambda: next(turn)()


def ratio(path: Path, ruler: str, count: int, way: str, turns: int) -> float:
    """One thread's median time by two threads'; the same scores, in turns of some milliseconds."""
    one, two = (calls(pi.load(path, threads=threads), ruler, count, way) for threads in (1, 2))
    np.testing.assert_array_equal(np.asarray(one()), np.asarray(two()))
    times: tuple[list[float], list[float]] = [], []
    for run in (one, two):
        run()
    for _ in range(turns):
        for run, taken in zip((one, two), times, strict=True):
            begin = time.perf_counter()
            for _ in range(8):
                run()
            taken.append(time.perf_counter() - begin)
    return median(times[0]) / median(times[1])


def measure(options: argparse.Namespace) -> None:
    """What one fresh process finds."""
    folder = ensure(options.folder, (options.one[0],))
    ruler, way = options.one
    print(json.dumps(ratio(folder / f"{ruler}.onnx", ruler, options.count, way, options.turns)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--rulers", nargs="+", default=list(RULERS))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options)
        return
    ensure(options.folder, tuple(options.rulers))
    same = ["--folder", options.folder, "--count", options.count, "--turns", options.turns]
    print("| ruler | way | slowest | median | fastest |\n|---|---|---|---|---|")
    for ruler in options.rulers:
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.threads", *map(str, same), "--one", ruler, way]
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if options.busy else None
            try:
                found = sorted(
                    json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                    for _ in range(options.processes)
                )
            finally:
                if other is not None:
                    other.kill()
            print(f"| {ruler} | {way} | {found[0]:.2f} | {median(found):.2f} | {found[-1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
