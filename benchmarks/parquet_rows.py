"""Score raw rows of a Parquet file through polars' batches: memory, and time beside tensors made beforehand.

``python -m benchmarks.parquet_rows --rows 5000000`` (Linux) writes rows of the bundled model, scores them
batch by batch with its schema, and in turns with that as many rows whose tensors were made before: from a
Parquet file of their own, read in the same way, and from memory.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import pyrec_infer as pi
from benchmarks.obd.features import ITEM_FIELDS, REQUEST_FIELDS, bucket
from pyrec_infer.bundled import MODEL, SCHEMA, raw_items, raw_user

BATCH = 100_000
ITEMS = 1000


def write(path: Path, rows: int, chosen: NDArray[np.int64], table: pl.DataFrame) -> None:
    """Rows drawn from a thousand invented items."""
    parts = [table[chosen[first : first + BATCH]] for first in range(0, rows, BATCH)]
    pl.concat(parts).write_parquet(path, row_group_size=BATCH)


def batch_of(path: Path, first: int) -> pl.DataFrame:
    return pl.scan_parquet(path).slice(first, BATCH).collect(engine="streaming")


def encoded_user(user: dict[str, Any]) -> dict[str, Any]:
    """The tensors of a request, made without a schema."""
    when = datetime.fromtimestamp(user["time"], UTC)
    texts = {**user, "hour": str(when.hour), "weekday": str(when.weekday())}
    made: dict[str, Any] = {
        name: np.asarray([bucket(name, texts[name], buckets)]) for name, buckets in REQUEST_FIELDS.items()
    }
    made["affinity_sum"] = np.log1p(np.asarray([[user["affinity_sum"]]], np.float32))
    return made


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


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    made = run()
    return time.perf_counter() - start, made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    rows = parser.parse_args().rows
    raw, plain = pi.load(MODEL, schema=pi.Schema.load(SCHEMA)), pi.load(MODEL)
    shop, chosen = raw_items(ITEMS), np.random.default_rng(0).integers(0, ITEMS, rows)
    tensors, user = encoded(shop), raw_user()
    items: Any = shop
    request, known = encoded_user(user), raw.score(user, items)
    taken: dict[str, float] = dict.fromkeys(("raw", "encoded", "memory"), 0.0)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.parquet" for name in ("raw", "encoded")}
        write(paths["raw"], rows, chosen, pl.DataFrame(shop))
        write(paths["encoded"], rows, chosen, pl.DataFrame({k: v.reshape(-1) for k, v in tensors.items()}))
        # The files are made by now: the most memory in use is counted anew.
        Path("/proc/self/clear_refs").write_text("5")
        before = resident_mb("VmRSS")
        for first in range(0, rows, BATCH):
            part = chosen[first : first + BATCH]
            ready = {name: values[part] for name, values in tensors.items()}
            calls = {
                "raw": lambda first=first: raw.score(user, batch_of(paths["raw"], first)),
                "encoded": lambda first=first: plain.score(request, batch_of(paths["encoded"], first)),
                "memory": lambda ready=ready: plain.score(request, ready),
            }
            for name, call in calls.items():
                seconds, scores = timed(call)
                taken[name] += seconds
                if not np.allclose(scores, known[part], rtol=1e-5):
                    raise SystemExit("the scores of a batch are others than those of its items")
        extra = resident_mb("VmHWM") - before
    print(f"{rows} rows from Parquet: {taken['raw']:.2f} s, {1e9 * taken['raw'] / rows:.0f} ns a row")
    print(f"tensors from Parquet: {taken['encoded']:.2f} s, ratio {taken['raw'] / taken['encoded']:.2f}")
    print(f"tensors from memory: {taken['memory']:.2f} s, ratio {taken['raw'] / taken['memory']:.2f}")
    print(f"peak extra memory {extra:.0f} MB")


if __name__ == "__main__":
    main()
