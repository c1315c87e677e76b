"""A small trained model, and invented users and items to try it with.

`MODEL` is a DeepFM trained on real click logs of a fashion shop (the small Open Bandit Dataset, data
CC BY 4.0 by ZOZO, Inc.). Its users and items are not in this package: `items` and `users` draw each
field on its own from the encoded values seen in training, so what they make is plausible, not real.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MODEL", "User", "items", "users"]

Array = NDArray[Any]

MODEL: Path = Path(__file__).with_name("deepfm_obd.onnx")
"""The trained DeepFM: 9 inputs that describe the request, 5 the item, 1 the pair of both."""


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
def _vocabulary() -> dict[str, Any]:
    text = MODEL.with_name("vocabulary.json").read_text(encoding="utf-8")
    vocabulary: dict[str, Any] = json.loads(text)
    return vocabulary


def items(count: int, seed: int = 0) -> dict[str, Array]:
    """Invented items: the inputs of the item side, `count` rows each.

    >>> {name: array.shape for name, array in items(1000).items() if name.endswith("0")}
    {'item_feature_0': (1000, 1)}
    """
    generator = np.random.default_rng([seed, 1])
    made: dict[str, Array] = {
        name: generator.choice(np.array(ids, np.int64), count) for name, ids in _vocabulary()["item"].items()
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
        for name, field in _vocabulary()["request"].items():
            shares = np.array(field["shares"]) + 1e-3
            chosen = generator.choice(np.array(field["ids"], np.int64), 1, p=shares / shares.sum())
            request[name] = chosen
        clicks = np.zeros((item_count, 1), np.float32)
        if item_count:
            np.add.at(clicks[:, 0], generator.integers(0, item_count, generator.poisson(2)), 1)
        request["affinity_sum"] = np.log1p(clicks.sum(axis=0, keepdims=True))
        made.append(User(request, np.log1p(clicks)))
    return made
