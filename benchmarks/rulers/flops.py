"""What is left to compute for each candidate once the request's and the items' work is moved away.

A multiply-add counts as two, biases and activations as nothing. ``catalogue=True`` leaves out what
depends on the item alone. The ideal split is assumed: a matrix that only meets the request's values
(DLRM's user vectors, DIN's ``diag(k) W``) is folded into the next layer once for each request. Padded
positions of DIN's history, whose weights are 0, are left out: the mean number of items counts.
"""

from __future__ import annotations

from itertools import pairwise

from benchmarks.rulers.inputs import (
    HISTORY,
    ITEM_NUMBERS,
    ITEM_VOCABULARIES,
    SHORTEST_HISTORY,
    USER_NUMBERS,
    USER_VOCABULARIES,
    WIDTH,
)

_ITEM_FEATURES = len(ITEM_VOCABULARIES) * WIDTH + ITEM_NUMBERS
_MEAN_HISTORY = (SHORTEST_HISTORY + HISTORY) // 2
_FEATURES = len(USER_VOCABULARIES) * WIDTH + USER_NUMBERS + _ITEM_FEATURES


def layers(*sizes: int) -> int:
    """FLOPs of linear layers of these sizes, one after another.

    Examples
    --------
    >>> layers(10, 4, 1)
    88
    """
    return sum(2 * inputs * outputs for inputs, outputs in pairwise(sizes))


def _wide_deep(catalogue: bool) -> int:
    own = layers(_ITEM_FEATURES, 256) + len(ITEM_VOCABULARIES) + layers(ITEM_NUMBERS, 1)
    return layers(256, 128, 64, 1) + (0 if catalogue else own)


def _deepfm(catalogue: bool) -> int:
    fields = len(ITEM_VOCABULARIES)
    # The vectors' sum, the sum of their squares, the square of the sum; then the dot product with the user's.
    pairs = fields * WIDTH + 2 * fields * WIDTH + 2 * WIDTH
    own = layers(_ITEM_FEATURES, 400) + pairs + fields + layers(ITEM_NUMBERS, 1)
    return layers(400, 400, 400, 1) + layers(WIDTH, 1) + (0 if catalogue else own)


def _dlrm(catalogue: bool) -> int:
    fields = len(ITEM_VOCABULARIES)
    item_pairs = fields * (fields - 1) // 2
    own = layers(WIDTH, item_pairs) + layers(item_pairs, 512)
    # The pairs of a user's and an item's vector are one matrix that the request makes.
    return layers(fields * WIDTH, 512, 256, 1) + (0 if catalogue else own)


def _dcnv2(catalogue: bool) -> int:
    own = layers(_ITEM_FEATURES, _FEATURES) + layers(_ITEM_FEATURES, 256)
    # Two more cross layers, each with a product and an addition for every feature; the first has them too.
    crosses = 2 * layers(_FEATURES, _FEATURES) + 3 * 2 * _FEATURES
    return crosses + layers(256, 128, 64) + layers(_FEATURES + 64, 1) + (0 if catalogue else own)


def din_attention() -> int:
    """The part of DIN that is done for every item of the history, of which a request has 30 on average."""
    return _MEAN_HISTORY * layers(2 * WIDTH, 80, 40, 1)


def _din(catalogue: bool) -> int:
    own = layers(2 * WIDTH, 80) + layers(2 * WIDTH, 200)
    pooled = layers(_MEAN_HISTORY, 2 * WIDTH)
    return din_attention() + pooled + layers(2 * WIDTH, 200, 80, 1) + (0 if catalogue else own)


_FORMULAS = {"r1": _wide_deep, "r2": _deepfm, "r3": _dlrm, "r4": _dcnv2, "r5": _din}


def flops(ruler: str, catalogue: bool) -> int:
    """FLOPs for each candidate after an ideal split."""
    return _FORMULAS[ruler](catalogue)
