"""Threads that score and change one catalogue: ``python -m tests.fuzz.threads``.

Under ThreadSanitizer, in a build with ``-DPYREC_INFER_SANITIZE=thread`` and with races in other libraries
functions counted too::

    export TSAN_OPTIONS="ignore_noninstrumented_modules=0 exitcode=66"
    LD_PRELOAD=$(gcc -print-file-name=libtsan.so) python -m tests.fuzz.threads
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

import pyrec_infer as pi

ITEMS = 20_000
"""More than one change may touch without a copy of the ids."""

VERSIONS = 3
"""Of every item; a score is that of one of them, or something is torn."""


class Shop:
    """A catalogue whose items change, and the scores that they may have."""

    def __init__(self, model: bytes, table: int) -> None:
        self.model = pi.load(model, threads=2)
        generator = np.random.default_rng(3)
        item = np.arange(ITEMS) % table
        self.versions = [
            {"item": item, "dense": generator.standard_normal((ITEMS, 3), np.float32)}
            for _ in range(VERSIONS)
        ]
        self.request = {"user": np.asarray([2])}
        self.scores = np.stack([self.model.score(self.request, version) for version in self.versions])
        self.catalog = self.model.catalog(self.versions[0], np.arange(ITEMS))
        self.faults: list[str] = []

    def _check(self, ids: Any, scores: Any) -> None:
        known = np.isclose(self.scores[:, ids], scores, rtol=1e-5, atol=1e-6).any(axis=0)
        if not known.all():
            self.faults.append(f"{(~known).sum()} of {len(known)} scores are of no version")

    def score_some(self, generator: np.random.Generator) -> None:
        """The first half of the items is never removed."""
        ids = generator.integers(0, ITEMS // 2, generator.integers(1, 300))
        self._check(ids, self.catalog.score(self.request, ids))

    def score_best(self, generator: np.random.Generator) -> None:
        best = self.catalog.top_k(self.request, 50)
        self._check(best.ids, best.scores)
        if len(set(best.ids.tolist())) != 50:
            self.faults.append("an item twice")

    def score_allowed(self, generator: np.random.Generator) -> None:
        best = self.catalog.top_k(self.request, 20, allow=generator.integers(0, ITEMS, 500))
        self._check(best.ids, best.scores)

    def change(self, generator: np.random.Generator) -> None:
        count = int(generator.choice([1, 20, 8000]))
        ids = generator.choice(ITEMS, count, replace=False)
        version = self.versions[generator.integers(VERSIONS)]
        self.catalog.upsert({name: values[ids] for name, values in version.items()}, ids)

    def remove(self, generator: np.random.Generator) -> None:
        self.catalog.remove(generator.integers(ITEMS // 2, ITEMS, int(generator.choice([1, 50, 5000]))))
        if len(self.catalog) < ITEMS // 2 or len(self.catalog.ids) < ITEMS // 2:
            self.faults.append("items are lost")


def run(shop: Shop, seconds: float) -> int:
    """Eight threads for some time; how many calls they made."""
    end = monotonic() + seconds
    calls = [0] * 8

    def work(place: int, call: Callable[[np.random.Generator], None]) -> None:
        generator = np.random.default_rng(place)
        while monotonic() < end and not shop.faults:
            try:
                call(generator)
            except Exception as error:
                shop.faults.append(f"{type(error).__name__}: {error}")
            calls[place] += 1

    work_of = [shop.score_some, shop.score_some, shop.score_some, shop.score_best, shop.score_allowed]
    work_of += [shop.change, shop.change, shop.remove]
    threads = [threading.Thread(target=work, args=item) for item in enumerate(work_of)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(calls)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from support.models import ITEMS as TABLE
    from support.models import ranker

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.threads", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    shop = Shop(ranker().SerializeToString(), TABLE)
    made = run(shop, parser.parse_args().seconds)
    print(f"{made} calls by 8 threads", *shop.faults, sep="\n")
    sys.exit(bool(shop.faults))
