"""A small trained model, and invented users and items to try it with.

`MODEL` is a DeepFM trained on real click logs of a fashion shop (the small Open Bandit Dataset, data
CC BY 4.0 by ZOZO, Inc.). Its users and items are not in this package: `items` and `users` draw each
field on its own from the encoded values seen in training, so what they make is plausible, not real;
`raw_items` and `raw_user` do the same with the values as they were logged, which `SCHEMA` turns into
those that the model takes.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MODEL", "SCHEMA", "User", "items", "raw_items", "raw_user", "users"]

Array = NDArray[Any]

MODEL: Path = Path(__file__).with_name("deepfm_obd.onnx")
"""The trained DeepFM: 9 inputs that describe the request, 5 the item, 1 the pair of both."""


SCHEMA: Path = MODEL.with_name("schema.json")
"""The schema of the shop's raw rows; `Schema.load` reads it."""


class User(NamedTuple):
    """One user in a context.

    Attributes
    ----------
    request : dict of str to ndarray
        One row for each input of the request side.
    affinity : ndarray of shape (items, 1)
        The pair side: ``log(1 + past clicks of this user on the item)``.
    """

    request: dict[str, Array]
    affinity: Array


@cache
def _stored(name: str) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(MODEL.with_name(name).read_text(encoding="utf-8"))
    return stored


def items(count: int, seed: int = 0) -> dict[str, Array]:
    """Invented items: the inputs of the item side, `count` rows each.

    >>> {name: array.shape for name, array in items(1000).items() if name.endswith("0")}
    {'item_feature_0': (1000, 1)}
    """
    generator = np.random.default_rng([seed, 1])
    made: dict[str, Array] = {
        name: generator.choice(np.array(ids, np.int64), count)
        for name, ids in _stored("vocabulary.json")["item"].items()
    }
    made["item_feature_0"] = generator.standard_normal((count, 1), np.float32)
    return made


def users(count: int, item_count: int, seed: int = 0) -> list[User]:
    """Invented users, with a few past clicks on items of a shop of `item_count`.

    >>> user, = users(1, item_count=1000)
    >>> user.request["hour"].shape, user.affinity.shape
    ((1,), (1000, 1))
    """
    generator = np.random.default_rng([seed, 2])
    made = []
    for _ in range(count):
        request: dict[str, Array] = {}
        for name, field in _stored("vocabulary.json")["request"].items():
            shares = np.array(field["shares"]) + 1e-3
            chosen = generator.choice(np.array(field["ids"], np.int64), 1, p=shares / shares.sum())
            request[name] = chosen
        clicks = np.zeros((item_count, 1), np.float32)
        if item_count:
            np.add.at(clicks[:, 0], generator.integers(0, item_count, generator.poisson(2)), 1)
        request["affinity_sum"] = np.log1p(clicks.sum(axis=0, keepdims=True))
        made.append(User(request, np.log1p(clicks)))
    return made


def _drawn(side: str, generator: np.random.Generator) -> dict[str, Any]:
    return {name: str(generator.choice(values)) for name, values in _stored("raw.json")[side].items()}


def raw_items(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Invented items as a shop knows them, with how often the user clicked each.

    >>> sorted(raw_items(2)[0])
    ['affinity', 'item_feature_0', 'item_feature_1', 'item_feature_2', 'item_feature_3', 'item_id']
    """
    generator = np.random.default_rng([seed, 3])
    numbers, clicks = generator.standard_normal(count), generator.poisson(0.05, count)
    return [
        {**_drawn("item", generator), "item_feature_0": float(number), "affinity": int(clicked)}
        for number, clicked in zip(numbers, clicks, strict=True)
    ]


def raw_user(seed: int = 0) -> dict[str, Any]:
    """An invented user at a moment, as a service knows them.

    >>> raw_user()["campaign"] in ("men", "women")
    True
    """
    generator = np.random.default_rng([seed, 4])
    moment = 1_574_000_000 + int(generator.integers(0, 600_000))
    return {**_drawn("request", generator), "time": moment, "affinity_sum": int(generator.poisson(2))}
