"""The layer Hashing of Keras 3: TensorFlow's fingerprints, keyed where it has a salt."""

from __future__ import annotations

from pyrec_infer.hashing.farmhash64 import farmhash64
from pyrec_infer.hashing.scheme import Scheme
from pyrec_infer.hashing.siphash24 import siphash24

SCHEMES = (
    Scheme("keras", "farmhash64", farmhash64, numbers="keras"),
    Scheme("keras_salted", "siphash24", siphash24, seeds="pair", numbers="keras"),
)
