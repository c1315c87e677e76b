"""The list of published models by name."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.published import layers, products, retrieval, sequences, tasks
from benchmarks.published.parts import FIELDS, HISTORY, OWN, VOCABULARY, Sequence

Arrays = dict[str, NDArray[np.int64]]

MODELS: dict[str, Callable[[], nn.Module]] = {
    **products.MODELS,
    **layers.MODELS,
    **tasks.MODELS,
    **sequences.MODELS,
    **retrieval.MODELS,
}


def build(name: str) -> nn.Module:
    """A model with random weights, which are the same in every process."""
    torch.manual_seed(zlib.crc32(name.encode()))
    return MODELS[name]().eval().requires_grad_(False)


def inputs(module: nn.Module, count: int) -> tuple[Arrays, Arrays]:
    """One request and candidates for it."""
    rng = np.random.default_rng(0)
    request = {"user": rng.integers(0, VOCABULARY, (1, OWN))}
    if isinstance(module, Sequence | retrieval.EASE | retrieval.MultVAE):
        request["history"] = rng.integers(1, VOCABULARY, (1, HISTORY))
        request["history"][:, 40:] = 0
    return request, {"item": rng.integers(1, VOCABULARY, (count, FIELDS - OWN))}
