"""The best of all items of a catalogue beside runtimes that score all and select.

``python -m benchmarks.screening --rulers r1`` takes turns in one process, on one thread, and prints median
milliseconds and how many times as fast as the fastest runtime each is, but for a graph split by hand.
Runtimes get the request's row already repeated, in parts that stay in their caches, and NumPy selects.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pyrec_infer as pi
from benchmarks.rulers.compare import ABSOLUTE, RELATIVE
from benchmarks.rulers.contestants import PEERS, Call, Unavailable, Work
from benchmarks.rulers.inputs import RULERS, Arrays, Case, items, requests
from benchmarks.rulers.make import ensure
from benchmarks.turns import take_turns

PART = 1000
"""Items that a runtime scores at once."""

Run = Callable[[], Any]


def _select(calls: Sequence[Call], k: int) -> Any:
    # A runtime may write its next scores where the last ones lie.
    scores = np.concatenate([np.ravel(call()).copy() for call in calls])
    part = np.argpartition(-scores, k)[:k]
    return np.sort(scores[part])[::-1]


def _peers(work: Work, k: int, names: Sequence[str]) -> dict[str, Run]:
    runs: dict[str, Run] = {}
    for peer in PEERS:
        if peer.precision == "fp32" and (not names or peer.name in names):
            try:
                runs[peer.name] = partial(_select, peer.make(work), k)
            except Unavailable as error:
                print(f"{peer.name}: {error}")
    return runs


def _catalogues(path: Path, shop: Arrays, request: Arrays, k: int) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for name, precision in (("fp32", "fp32"), ("fp32, all scored", "fp32"), ("int8", "int8")):
        catalog = pi.load(path, threads=1, precision=precision).catalog(shop, precision=precision)
        if name == "fp32, all scored":
            catalog._scorer.__dict__["screening"] = (None, "left out here")
        elif name == "fp32":
            print(catalog.explain().as_dict()["catalog"]["search"])
        found[name] = partial(catalog.top_k, request, k)
    return found


def measure(ruler: str, folder: Path, count: int, k: int, turns: int, names: Sequence[str]) -> None:
    """Print what each takes for the best k of so many items."""
    rng = np.random.default_rng(count)
    shop, request = items(ruler, rng, count), requests(ruler, rng, 1)
    parts = [np.arange(begin, min(begin + PART, count)) for begin in range(0, count, PART)]
    cases = tuple(Case(request, {name: value[rows] for name, value in shop.items()}, rows) for rows in parts)
    peers = _peers(Work(ruler, folder, 1, cases), k, names)
    ours = _catalogues(folder / f"{ruler}.onnx", shop, request, k)
    exact, scored = ours["fp32"](), ours["fp32, all scored"]()
    assert exact.ids.tolist() == scored.ids.tolist()
    assert exact.scores.tobytes() == scored.scores.tobytes()
    for run in peers.values():
        assert np.allclose(run(), exact.scores, RELATIVE, ABSOLUTE)
    taken = take_turns({**peers, **ours}, turns)
    whole = [taken[peer.name] for peer in PEERS if peer.name in peers and peer.mode == "batch"]
    fastest = min(whole, default=float("nan"))
    print(f"{ruler}, {count} items")
    for name, seconds in taken.items():
        print(f"  {name:28} {seconds * 1e3:9.2f} ms  {fastest / seconds:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, help="where the rulers' models are kept")
    parser.add_argument("--rulers", nargs="+", choices=tuple(RULERS), default=("r1", "r2", "r3", "r4"))
    parser.add_argument("--items", type=int, nargs="+", default=(10_000, 100_000))
    parser.add_argument("--peers", nargs="*", default=(), help="all by default")
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    folder = ensure(arguments.models, tuple(arguments.rulers))
    for ruler in arguments.rulers:
        for count in arguments.items:
            measure(ruler, folder, count, 100, arguments.turns, arguments.peers)


if __name__ == "__main__":
    main()
