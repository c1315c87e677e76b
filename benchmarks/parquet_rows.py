"""Score raw rows of a Parquet file through polars' batches: memory, and time beside tensors made beforehand.

``python -m benchmarks.parquet_rows --rows 5000000`` (Linux) writes rows of the bundled model, scores them
batch by batch with its schema, and scores as many rows again whose tensors were made before that.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import pyrec_infer as pi
from benchmarks.obd.features import ITEM_FIELDS, bucket
from pyrec_infer.bundled import MODEL, SCHEMA, raw_items, raw_user, users

BATCH = 100_000
ITEMS = 1000


def write(path: Path, rows: int, chosen: np.ndarray[Any, Any], shop: list[dict[str, Any]]) -> None:
    """Rows drawn from a thousand invented items."""
    table = pl.DataFrame(shop)
    parts = [table[chosen[first : first + BATCH]] for first in range(0, rows, BATCH)]
    pl.concat(parts).write_parquet(path, row_group_size=BATCH)


def batches(path: Path, rows: int) -> Iterator[Any]:
    for first in range(0, rows, BATCH):
        yield pl.scan_parquet(path).slice(first, BATCH).collect(engine="streaming")


def encoded(shop: list[dict[str, Any]]) -> dict[str, Any]:
    """The tensors of the items, made without a schema."""
    made: dict[str, Any] = {
        name: np.asarray([bucket(name, row[name], buckets) for row in shop])
        for name, buckets in ITEM_FIELDS.items()
    }
    made["item_feature_0"] = np.asarray([[row["item_feature_0"]] for row in shop], np.float32)
    made["affinity"] = np.log1p(np.asarray([[row["affinity"]] for row in shop], np.float32))
    return made


def resident_mb(name: str) -> float:
    """Memory in use (VmRSS), or the most that was (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    rows = parser.parse_args().rows
    raw, plain = pi.load(MODEL, schema=pi.Schema.load(SCHEMA)), pi.load(MODEL)
    shop, chosen = raw_items(ITEMS), np.random.default_rng(0).integers(0, ITEMS, rows)
    tensors, user = encoded(shop), raw_user()
    items: Any = shop
    request = users(1, 1)[0].request
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write(path, rows, chosen, shop)
        known = raw.score(user, items)
        # The file is made by now: the most memory in use is counted anew.
        Path("/proc/self/clear_refs").write_text("5")
        before, start, place = resident_mb("VmRSS"), time.perf_counter(), 0
        for batch in batches(path, rows):
            scores = raw.score(user, batch)
            if not np.allclose(scores, known[chosen[place : place + len(scores)]], rtol=1e-5):
                raise SystemExit("the scores of a batch are others than those of its items")
            place += len(scores)
        seconds, extra = time.perf_counter() - start, resident_mb("VmHWM") - before
    made = 0.0
    for first in range(0, rows, BATCH):
        part = chosen[first : first + BATCH]
        ready = {name: values[part] for name, values in tensors.items()}
        start = time.perf_counter()
        plain.score(request, ready)
        made += time.perf_counter() - start
    print(f"{rows} rows from Parquet: {seconds:.2f} s, {1e9 * seconds / rows:.0f} ns a row")
    print(f"tensors made beforehand: {made:.2f} s, ratio {seconds / made:.2f}")
    print(f"peak extra memory {extra:.0f} MB")


if __name__ == "__main__":
    main()
