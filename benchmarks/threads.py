"""Two threads beside one for the same call: R1 to R5, in fresh processes, on idle cores or beside other work.

``python -m benchmarks.threads`` prints for each ruler the ratio of one thread's time to two threads' in the
slowest, the median and the fastest of 20 processes; beside it what the machine gives in the same turns: how
many times as much two processes of one thread, each bound to a CPU, score together as one of them alone. Two
CPUs may be one core, or a host's other guests may slow them down. ``--busy`` lets another process use one
core meanwhile.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np

import pyrec_infer as pi
from benchmarks.rulers.inputs import RULERS, make_cases
from benchmarks.rulers.make import DEFAULT_FOLDER, ensure

WAYS = ("score", "catalogue")
CALLS = 8
"""Calls of a turn."""


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


def taken(run: Callable[[], object]) -> float:
    """Seconds of one turn."""
    begin = time.perf_counter()
    for _ in range(CALLS):
        run()
    return time.perf_counter() - begin


class Partner:
    """Another process that scores with one thread, on a CPU of its own."""

    def __init__(self, path: Path, ruler: str, count: int, way: str) -> None:
        self.cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        ours, theirs = multiprocessing.Pipe()
        self.told: Connection = ours
        arguments = (theirs, path, ruler, count, way, self.cpus[-1:])
        self.process = multiprocessing.get_context("spawn").Process(
            target=self.serve, args=arguments, daemon=True
        )
        self.process.start()

    @staticmethod
    def serve(told: Connection, path: Path, ruler: str, count: int, way: str, cpus: list[int]) -> None:
        """Says when it is ready, then how long each turn has taken that it is asked for."""
        if cpus:
            os.sched_setaffinity(0, cpus)
        run = calls(pi.load(path, threads=1), ruler, count, way)
        run()
        told.send(None)
        while told.recv():
            told.send(taken(run))

    def together(self, run: Callable[[], object]) -> float:
        """Calls a second of both processes at the same time."""
        if self.cpus:
            os.sched_setaffinity(0, self.cpus[:1])
        self.told.send(True)
        own = taken(run)
        other = self.told.recv()
        if self.cpus:
            os.sched_setaffinity(0, self.cpus)
        return CALLS / own + CALLS / other


def ratios(path: Path, ruler: str, count: int, way: str, turns: int) -> tuple[float, float]:
    """How many times as much two threads score as one, and two processes, in turns of some milliseconds."""
    partner = Partner(path, ruler, count, way)
    one, two = (calls(pi.load(path, threads=threads), ruler, count, way) for threads in (1, 2))
    np.testing.assert_array_equal(np.asarray(one()), np.asarray(two()))
    partner.told.recv()
    alone, shared, both = [], [], []
    for run in (one, two):
        taken(run)
    # Whoever comes after one thread alone finds a CPU that was idle, and for some calls is slower.
    measures = [lambda: shared.append(taken(two)), lambda: both.append(partner.together(one))]
    for turn in range(turns):
        alone.append(taken(one))
        for measured in measures[:: -1 if turn % 2 else 1]:
            measured()
    partner.told.send(False)
    return median(alone) / median(shared), median(both) * median(alone) / CALLS


def measure(options: argparse.Namespace) -> None:
    """What one fresh process finds."""
    folder = ensure(options.folder, (options.one[0],))
    ruler, way = options.one
    print(json.dumps(ratios(folder / f"{ruler}.onnx", ruler, options.count, way, options.turns)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--rulers", nargs="+", default=list(RULERS))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
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
    print("| ruler | way | two threads | two processes | threads by processes |\n|---|---|---|---|---|")
    for ruler in options.rulers:
        for way in options.ways:
            command = [sys.executable, "-m", "benchmarks.threads", *map(str, same), "--one", ruler, way]
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if options.busy else None
            try:
                found = [
                    json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                    for _ in range(options.processes)
                ]
            finally:
                if other is not None:
                    other.kill()
            columns = [*zip(*found, strict=True), [threads / processes for threads, processes in found]]
            cells = [" / ".join(f"{pick(column):.2f}" for pick in (min, median, max)) for column in columns]
            print(f"| {ruler} | {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
