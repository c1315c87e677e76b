"""The logs' own strings, and the schema that makes of them what `benchmarks.obd.features` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import pyrec_infer as pi
from benchmarks.obd import features
from pyrec_infer import features as f
from pyrec_infer.bundled import raw_items, raw_user


def schema(cross: bool) -> pi.Schema:
    """The fields of a model, with the crossed one or without."""

    def hashed(name: str, buckets: int) -> list[Any]:
        return [f.Prefix(f"{name}="), f.Hash(buckets, "crc32", mask=f"{name}=")]

    days = {"hour": f.DatePart("hour"), "weekday": f.DatePart("weekday")}
    made: list[Any] = [f.Field("time", "request", dtype="integer")]
    for name, buckets in features.FIELDS.items():
        if name in days:
            transforms = [days[name], *hashed(name, buckets)]
            made.append(f.Combination(name, ["time"], None, name, transforms))
        else:
            side: Any = "request" if name in features.REQUEST_FIELDS else "item"
            made.append(f.Field(name, side, to=name, transforms=hashed(name, buckets)))
    sides: Any = {"item_feature_0": "item", "affinity": "candidate", "affinity_sum": "request"}
    for name in features.DENSE:
        transforms = [] if name == "item_feature_0" else [f.Log1p()]
        made.append(f.Field(name, sides[name], to=name, dtype="number", transforms=transforms))
    if cross:
        of = ["user_feature_2", "item_id"]
        hashing = hashed(features.CROSS, features.CROSS_BUCKETS)
        made.append(f.Combination(features.CROSS, of, f.Join(["&"]), features.CROSS, hashing))
    return pi.Schema(made)


def encode(rows: Sequence[Mapping[str, Any]]) -> features.Arrays:
    """The inputs of the model without the crossed field, as training makes them of raw rows."""
    moments = [datetime.fromtimestamp(row["time"], UTC) for row in rows]
    texts = {name: [row[name] for row in rows] for name in features.FIELDS if name in rows[0]}
    texts["hour"] = [str(moment.hour) for moment in moments]
    texts["weekday"] = [str(moment.weekday()) for moment in moments]
    numbers = {name: np.asarray([[row[name]] for row in rows], np.float32) for name in features.DENSE}
    return {
        **{
            name: np.asarray([features.bucket(name, text, buckets) for text in texts[name]], np.int64)
            for name, buckets in features.FIELDS.items()
        },
        **{name: x if name == "item_feature_0" else np.log1p(x) for name, x in numbers.items()},
    }


def covered(model: Path) -> pi.Schema:
    """The schema of the model without the crossed field, with golden rows of invented users and items."""
    invented = [{**raw_user(seed), **item} for seed, item in enumerate(raw_items(200))]
    return pi.record_golden(schema(cross=False), invented, model, encode)


def rows(logs: features.Logs, impressions: Sequence[features.Impression]) -> dict[str, list[Any]]:
    """A list of raw values for each field."""
    tables = [logs.items[row.policy, row.campaign][row.item] for row in impressions]
    return {
        **{f"user_feature_{i}": [row.user[i] for row in impressions] for i in range(4)},
        "position": [row.position for row in impressions],
        "time": [int(row.time.timestamp()) for row in impressions],
        "campaign": [row.campaign for row in impressions],
        "item_id": [f"{row.campaign}/{row.item}" for row in impressions],
        **{f"item_feature_{i}": [table[f"item_feature_{i}"] for table in tables] for i in (1, 2, 3)},
        "item_feature_0": [float(table["item_feature_0"]) for table in tables],
        "affinity": [row.affinities[int(row.item)] for row in impressions],
        "affinity_sum": [sum(row.affinities) for row in impressions],
    }


def values(logs: features.Logs) -> dict[str, dict[str, list[str]]]:
    """The strings of each field, each field apart from the others as in the encoded vocabulary."""
    found = rows(logs, logs.training())
    return {
        side: {name: sorted(set(found[name]) - {""}) for name in names if name in found}
        for side, names in (("request", features.REQUEST_FIELDS), ("item", features.ITEM_FIELDS))
    }
