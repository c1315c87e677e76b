"""Two threads beside one for the same call: R1 to R5, in fresh processes, on idle cores or beside other work.

``python -m benchmarks.threads`` prints for each ruler the ratio of one thread's time to two threads' in the
slowest, the median and the fastest of 20 processes; beside it what the machine gives in the same turns: how
many times as much two processes of one thread, each bound to a CPU, score together as one of them alone. Two
CPUs may be one core, or a host's other guests may slow them down, or it may move them to cores that share no
cache: processes in which a line of memory took longer than 100 ns from one to the other have a line of their
own. ``--busy`` lets another process use one core meanwhile.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np

import pyrec_infer as pi
from benchmarks.handover import handover
from benchmarks.rulers.inputs import RULERS, make_cases
from benchmarks.rulers.make import DEFAULT_FOLDER, ensure

WAYS = ("score", "catalogue")
CALLS = 8
"""Calls of a turn."""

APART = 100
"""Nanoseconds that CPUs without a cache in common take longer than to hand a line over."""


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


def found_by(command: list[str]) -> tuple[float, float, float]:
    """What a fresh process finds, and how long a line took to be handed over before it or after."""
    before = handover()
    threads, processes = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return threads, processes, max(before, handover())


def lines(found: list[tuple[float, float, float]]) -> Iterator[str]:
    """The slowest, median and fastest, of processes on CPUs with a cache in common and of the others."""
    for apart in (False, True):
        some = [one for one in found if (one[2] > APART) == apart]
        if not some:
            continue
        columns = [*zip(*some, strict=True)]
        columns.insert(2, tuple(threads / processes for threads, processes, _ in some))
        digits = (2, 2, 2, 0)
        cells = [
            " / ".join(f"{pick(column):.{digit}f}" for pick in (min, median, max))
            for column, digit in zip(columns, digits, strict=True)
        ]
        yield " | ".join([str(len(some)), *cells])


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
    print("| ruler | way | processes | two threads | two processes | threads by processes | a line, ns |")
    print("|---|---|---|---|---|---|---|")
    for ruler in options.rulers:
        for way in options.ways:
            command = [sys.executable, "-m", "benchmarks.threads", *map(str, same), "--one", ruler, way]
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if options.busy else None
            try:
                found = [found_by(command) for _ in range(options.processes)]
            finally:
                if other is not None:
                    other.kill()
            for line in lines(found):
                print(f"| {ruler} | {way} | {line} |", flush=True)


if __name__ == "__main__":
    main()
