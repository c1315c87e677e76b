"""Building a catalogue and changing its items: R1, one core.

``python -m benchmarks.catalog_build`` prints items a second of a build, of an overwrite of all items at once
and of one in portions, the median of single upserts in a fresh catalogue, an overwritten one and one that has
lost most of its items, and what memory the process holds after ten overwrites. Beside them is what no program
can do without, in the same turns: the first touch of as much memory as the records take, which the system
clears and the host of a virtual machine may have to find first, and nothing but the products that an item
needs, in NumPy.
"""

from __future__ import annotations

import argparse
import mmap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

import pyrec_infer as pi
from benchmarks.rulers.inputs import ITEM_NUMBERS, ITEM_VOCABULARIES, WIDTH, Arrays, items
from benchmarks.rulers.make import ensure
from benchmarks.turns import take_turns

LAYER = 256
"""Numbers of R1's first layer, which all of an item's fields are multiplied into."""

PORTION = 20
"""An overwrite in portions changes one in so many items at once: replaced records are used again."""


def resident() -> int:
    """Bytes of memory that the process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def products(count: int, block: int = 4096) -> Callable[[], object]:
    """The products of all of an item's fields with the first layer, for so many items."""
    rng = np.random.default_rng(0)
    fields = len(ITEM_VOCABULARIES) * WIDTH + ITEM_NUMBERS
    rows, weights = (rng.random(shape, np.float32) for shape in ((block, fields), (fields, LAYER)))
    made = np.empty((block, LAYER), np.float32)

    def run() -> object:
        for _ in range(count // block):
            np.matmul(rows, weights, out=made)
        return made

    return run


def first_touch(size: int) -> None:
    """Take so many bytes from the system, in huge pages, write each page once, and give them back."""
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        np.frombuffer(memory, np.uint8)[::4096] = 1


def single_upserts(catalog: pi.Catalog, one: Arrays, ids: Sequence[int]) -> float:
    """Median microseconds of upserts of one item."""
    taken = []
    for number in ids:
        begin = time.perf_counter()
        catalog.upsert(one, [number])
        taken.append(time.perf_counter() - begin)
    return median(taken) * 1e6


def in_portions(catalog: pi.Catalog, shop: Arrays, size: int) -> None:
    """Overwrite all items, so many at once."""
    for begin in range(0, len(catalog), size):
        some = {name: value[begin : begin + size] for name, value in shop.items()}
        catalog.upsert(some, np.arange(begin, begin + len(next(iter(some.values())))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=300_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    count: int = options.items
    model = pi.load(ensure(options.folder, ("r1",)) / "r1.onnx")
    shop, ids = items("r1", np.random.default_rng(0), count), np.arange(count)
    first = {name: value[:1] for name, value in shop.items()}
    catalog = model.catalog(first)
    before = resident()
    catalog.upsert(shop, ids)
    data = resident() - before
    for _ in range(10):
        catalog.upsert(shop, ids)
    print(f"memory after ten overwrites {(resident() - before) / data:.2f}x")

    def build() -> object:
        # An empty catalogue of a compiled model: what is measured is the items.
        made = model.catalog(first, [-1])
        begin = time.perf_counter()
        made.upsert(shop, ids)
        built.append(time.perf_counter() - begin)
        return made

    built: list[float] = []
    runs = {
        "build": build,
        "overwrite": lambda: catalog.upsert(shop, ids),
        "overwrite in portions": lambda: in_portions(catalog, shop, count // PORTION),
        "first touch of as many bytes": lambda: first_touch(data),
        "nothing but products": products(count),
    }
    taken = take_turns(runs, options.turns)
    taken["build"] = median(built)
    touch = taken["first touch of as many bytes"]
    taken["build less the first touch"] = taken["build"] - touch
    taken["overwrite less the first touch"] = taken["overwrite"] - touch
    for name, seconds in taken.items():
        print(f"{name}: {count / seconds / 1e6:.2f} M items/s, {seconds / count * 1e9:.0f} ns an item")
    changed = (np.arange(600) * 7919 % count).tolist()
    print(f"single upsert, fresh {single_upserts(model.catalog(shop), first, changed):.1f} us")
    print(f"single upsert, overwritten {single_upserts(catalog, first, changed):.1f} us")
    catalog.remove(ids[1000:])
    print(f"single upsert, after removals {single_upserts(catalog, first, list(range(600))):.1f} us")


if __name__ == "__main__":
    main()
