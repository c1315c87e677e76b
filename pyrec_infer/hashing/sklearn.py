"""FeatureHasher of scikit-learn: the column is the hash's size modulo, its sign that of the count."""

from __future__ import annotations

from pyrec_infer.hashing.murmur3 import murmur3_32
from pyrec_infer.hashing.scheme import Scheme

SCHEMES = (
    Scheme(
        "sklearn",
        "mmh3_32",
        murmur3_32,
        32,
        signed=True,
        modulo="abs",
        numbers="refused",
        names="prefix",
    ),
)
