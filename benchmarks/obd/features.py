"""From the raw click logs to the arrays the models take. NumPy only.

Every categorical field is hashed on its own: missing or empty is id 0, any other value is
``1 + crc32("field=value") % (buckets - 1)``. Counts go through ``log(1 + x)``.

The inputs by the side they belong to:

- request: `REQUEST_FIELDS` and ``affinity_sum``, the user's past clicks on all items;
- item: `ITEM_FIELDS` and ``item_feature_0``, a number;
- pair: ``affinity``, the user's past clicks on this item, and for the Wide & Deep model
  ``user_feature_2_x_item_id``, a crossed field.
"""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

REQUEST_FIELDS: Mapping[str, int] = {
    "user_feature_0": 32,
    "user_feature_1": 64,
    "user_feature_2": 64,
    "user_feature_3": 64,
    "position": 16,
    "hour": 256,
    "weekday": 64,
    "campaign": 8,
}
ITEM_FIELDS: Mapping[str, int] = {
    "item_id": 512,
    "item_feature_1": 256,
    "item_feature_2": 256,
    "item_feature_3": 128,
}
FIELDS: Mapping[str, int] = {**REQUEST_FIELDS, **ITEM_FIELDS}
CROSS = "user_feature_2_x_item_id"
CROSS_BUCKETS = 4096
REQUEST_DENSE = ("affinity_sum",)
ITEM_DENSE = ("item_feature_0",)
PAIR_DENSE = ("affinity",)
DENSE = REQUEST_DENSE + ITEM_DENSE + PAIR_DENSE

POLICIES = ("random", "bts")
CAMPAIGNS = ("men", "women")

HELD_OUT_FROM = datetime.fromisoformat("2019-11-30T00:00:00+00:00")
"""Six days are for training, the seventh is held out."""


def bucket(field: str, value: str, buckets: int) -> int:
    """Id of a value of a categorical field; 0 for a missing one.

    >>> bucket("weekday", "6", 64), bucket("weekday", "", 64)
    (4, 0)
    """
    return 1 + zlib.crc32(f"{field}={value}".encode()) % (buckets - 1) if value else 0


def shared_folder() -> Path:
    """Where the data sets are: ``PYREC_INFER_SHARED``, or ``shared`` beside the repository."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("PYREC_INFER_SHARED", beside))


@dataclass(frozen=True)
class Impression:
    """One row of a log, not yet encoded."""

    policy: str
    campaign: str
    time: datetime
    item: str
    position: str
    click: int
    user: tuple[str, ...]
    affinities: tuple[float, ...]


@dataclass(frozen=True)
class Logs:
    """All impressions in time order, and the items of each policy and campaign by their id."""

    impressions: Sequence[Impression]
    items: Mapping[tuple[str, str], Mapping[str, Mapping[str, str]]]

    def training(self) -> list[Impression]:
        return [row for row in self.impressions if row.time < HELD_OUT_FROM]

    def held_out(self) -> list[Impression]:
        return [row for row in self.impressions if row.time >= HELD_OUT_FROM]


def read(folder: Path) -> Logs:
    """Read the eight files of ``shared/data/obd``."""
    impressions: list[Impression] = []
    items: dict[tuple[str, str], dict[str, Mapping[str, str]]] = {}
    for policy in POLICIES:
        for campaign in CAMPAIGNS:
            with (folder / f"{policy}_{campaign}_items.csv").open(newline="") as file:
                table = {row["item_id"]: row for row in csv.DictReader(file)}
            items[policy, campaign] = table
            with gzip.open(folder / f"{policy}_{campaign}.csv.gz", "rt", newline="") as file:
                impressions.extend(
                    Impression(
                        policy=policy,
                        campaign=campaign,
                        time=datetime.fromisoformat(row["timestamp"]),
                        item=row["item_id"],
                        position=row["position"],
                        click=int(row["click"]),
                        user=tuple(row[f"user_feature_{i}"] for i in range(4)),
                        affinities=tuple(float(row[f"user-item_affinity_{i}"]) for i in range(len(table))),
                    )
                    for row in csv.DictReader(file)
                )
    impressions.sort(key=lambda row: row.time)
    return Logs(impressions, items)


def _ids(field: str, values: Sequence[str], buckets: int) -> NDArray[np.int64]:
    return np.array([bucket(field, value, buckets) for value in values], np.int64)


def _column(values: Sequence[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(-1, 1)


def requests(rows: Sequence[Impression]) -> Arrays:
    """The request side, a row for each impression."""
    raw = {
        **{f"user_feature_{i}": [row.user[i] for row in rows] for i in range(4)},
        "position": [row.position for row in rows],
        "hour": [str(row.time.hour) for row in rows],
        "weekday": [str(row.time.weekday()) for row in rows],
        "campaign": [row.campaign for row in rows],
    }
    encoded: Arrays = {field: _ids(field, raw[field], buckets) for field, buckets in REQUEST_FIELDS.items()}
    encoded["affinity_sum"] = np.log1p(_column([sum(row.affinities) for row in rows]))
    return encoded


def items(logs: Logs, keys: Sequence[tuple[str, str, str]]) -> Arrays:
    """The item side for (policy, campaign, item) triples."""
    tables = [logs.items[policy, campaign][item] for policy, campaign, item in keys]
    encoded: Arrays = {
        field: _ids(field, [row[field] for row in tables], buckets)
        for field, buckets in ITEM_FIELDS.items()
        if field != "item_id"
    }
    names = [f"{campaign}/{item}" for _, campaign, item in keys]
    encoded["item_id"] = _ids("item_id", names, ITEM_FIELDS["item_id"])
    encoded["item_feature_0"] = _column([float(row["item_feature_0"]) for row in tables])
    return encoded


def pairs(rows: Sequence[Impression], shown: Sequence[str], *, cross: bool) -> Arrays:
    """The pair side for one item of each impression's campaign."""
    encoded: Arrays = {
        "affinity": np.log1p(
            _column([row.affinities[int(item)] for row, item in zip(rows, shown, strict=True)])
        )
    }
    if cross:
        crossed = [f"{row.user[2]}&{row.campaign}/{item}" for row, item in zip(rows, shown, strict=True)]
        encoded[CROSS] = _ids(CROSS, crossed, CROSS_BUCKETS)
    return encoded


def encode(logs: Logs, rows: Sequence[Impression], *, cross: bool) -> Arrays:
    """Every input of a model for the impressions as they were logged."""
    shown = [row.item for row in rows]
    keys = [(row.policy, row.campaign, row.item) for row in rows]
    return {**requests(rows), **items(logs, keys), **pairs(rows, shown, cross=cross)}


def ranking(logs: Logs, row: Impression, *, cross: bool) -> tuple[Arrays, Arrays]:
    """The request of one impression's user, and all items of its campaign as candidates."""
    shown = list(logs.items[row.policy, row.campaign])
    keys = [(row.policy, row.campaign, item) for item in shown]
    return requests([row]), {**items(logs, keys), **pairs([row] * len(shown), shown, cross=cross)}


def area_under_curve(clicks: NDArray[Any], scores: NDArray[Any]) -> float:
    """Probability that a clicked impression scores above one that was not; ties count half.

    >>> area_under_curve(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    positive = clicks == 1
    wins = ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return float(wins / (positive.sum() * (~positive).sum()))
