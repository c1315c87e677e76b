"""Files of models whose bytes are changed."""

from __future__ import annotations

import numpy as np

import pyrec_infer as pi
from pyrec_infer.errors import PyrecError


def refused_or_another_model(data: bytes, seed: int, words: bytes, features: int) -> None:
    """Load a file some of whose bytes behind the first are others: a typed error, or a model that runs."""
    random = np.random.default_rng(seed)
    changed = bytearray(data)
    for place in random.integers(20, len(changed), random.integers(1, 4)):
        changed[place] = random.choice([*words])
    try:
        model = pi.load(bytes(changed))
    except PyrecError:
        return
    names = [item.name for item in model.inputs]
    model.run({name: np.zeros((2, features) if len(names) == 1 else 2) for name in names})
