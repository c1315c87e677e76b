"""Random lists without padding, for models with embedding bags."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from support.bag_models import SPELLINGS, TABLE

import pyrec_infer as pi
from pyrec_infer import features as f
from pyrec_infer.features.fields import ListField

from . import oracle, schemas

FORMS: dict[str, dict[str, Any]] = {
    "scripted-sum-first": {"offsets_to": "offsets"},
    "scripted-mean-last": {"offsets_to": "offsets", "ends": True},
    "sequenced-weighted": {"offsets_to": "offsets", "weights": "by", "weights_to": "weights"},
    "lengths-repeated": {"lengths_to": "lengths"},
}
COUNT = len(TABLE)


def bag_field(random: Random) -> tuple[bytes, ListField]:
    """A model, and the field of its lists."""
    name = random.choice([*FORMS])
    kind: Any = random.choice(("string", "integer"))
    known: Any = schemas.WORDS if kind == "string" else schemas.WHOLE
    steps = random.choice(
        (
            [f.Vocabulary(known, 0)],
            [f.Vocabulary(known[:4], 3)],
            [f.Hash(COUNT, mask=known[1])],
            [f.Hash(1000), f.Modulo(COUNT)],
        )
    )
    own = dict(FORMS[name])
    if "offsets_to" in own:
        own["length"] = random.choice((0, 0, 2))
    missing = random.choice(("error", "default", "zero"))
    rules = {"missing": missing, "default": known[0] if missing == "default" else None}
    own |= {"keep": random.choice(("first", "last")), "most": random.choice((0, 4)), **rules}
    side: Any = random.choice(("item", "candidate"))
    return SPELLINGS[name](), ListField("tags", side, "ids", kind, steps, **own)


def expected(
    model: pi.Model, item: ListField, rows: list[dict[str, Any]], x: Any
) -> tuple[Any, list[tuple[str, int]]]:
    """The scores of the tensors that plain Python makes of the rows; or the rows that are refused."""
    parts: list[dict[str, Any]] = []
    refused: list[tuple[str, int]] = []
    for place, row in enumerate(rows):
        try:
            parts.append(oracle.several(item, row["tags"], row.get("by")))
        except oracle.Refused:
            refused.append(("tags", place))
    if refused:
        return None, refused
    sizes = np.asarray([part["length"] for part in parts], np.int64)
    ends = np.cumsum(sizes)
    made = {"ids": np.asarray([one for part in parts for one in part["value"]], np.int64), "x": x}
    if item.lengths_to:
        made["lengths"] = sizes
    else:
        made["offsets"] = np.concatenate(([0], ends)) if item.ends else ends - sizes
    if item.weights:
        made["weights"] = np.asarray([one for part in parts for one in part["weight"]], np.float32)
    return model.score({}, made), refused
