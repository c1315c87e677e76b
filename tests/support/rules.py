"""Items with attributes, and what filters and rules over them mean by their definition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

import pyrec_infer as pi
from support.models import FLOAT, make_model

Array = NDArray[Any]

COUNTRIES = ["SE", "NO", "FI", "DÉ", ""]


def product_model() -> pi.Model:
    """Its score is the product of one number of the request and one of the item."""
    made = make_model(
        [helper.make_node("Mul", ["u", "i"], ["score"])],
        {"u": (FLOAT, ["N"]), "i": (FLOAT, ["N"])},
        {"score": (FLOAT, ["N"])},
    )
    return pi.load(made.SerializeToString())


def some_attributes(rng: np.random.Generator, count: int) -> dict[str, list[Any]]:
    """Values of which some are missing."""

    def gaps(values: list[Any]) -> list[Any]:
        return [None if gone else value for gone, value in zip(rng.random(count) < 0.2, values, strict=True)]

    return {
        "country": gaps([COUNTRIES[i] for i in rng.integers(0, len(COUNTRIES), count)]),
        "year": gaps(rng.integers(2000, 2005, count).tolist()),
        "price": gaps((rng.integers(0, 8, count) / 4).tolist()),
        "new": gaps((rng.random(count) < 0.5).tolist()),
    }


TYPED = {
    "country": np.asarray(["SE"]),
    "year": np.asarray([0]),
    "price": np.asarray([0.0]),
    "new": np.asarray([True]),
}
"""One item, whose values tell the types."""


@dataclass
class Known:
    """What items there are, in order: the score and the attributes of each id."""

    items: dict[Any, tuple[float, dict[str, Any]]] = field(default_factory=dict)

    def upsert(self, ids: list[Any], scores: list[float], attributes: dict[str, list[Any]]) -> None:
        for row, item in enumerate(ids):
            values = {name: column[row] for name, column in attributes.items()}
            self.items[item] = scores[row], values

    def remove(self, ids: list[Any]) -> None:
        for item in ids:
            self.items.pop(item, None)

    def ranked(self, keep: Any) -> list[Any]:
        """The ids that are kept, best first, equal ones in order."""
        kept = [item for item in self.items if keep(item, self.items[item][1])]
        return sorted(kept, key=lambda item: -self.items[item][0])
