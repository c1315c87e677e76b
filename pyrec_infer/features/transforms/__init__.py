"""What is done to raw values, a family a module; each transform writes nodes of the model's graph."""

from __future__ import annotations

from collections.abc import Mapping

from pyrec_infer.features.transforms.combine import Combine, Join, Since
from pyrec_infer.features.transforms.counts import Counts
from pyrec_infer.features.transforms.dates import DatePart
from pyrec_infer.features.transforms.hashes import Cross, Hash
from pyrec_infer.features.transforms.ids import Lookup, Modulo, OneHot, Shift, Vocabulary
from pyrec_infer.features.transforms.numbers import (
    Bucketise,
    Clip,
    Log1p,
    MinMax,
    Sign,
    Standardise,
    YeoJohnson,
)
from pyrec_infer.features.transforms.pseudonyms import Pseudonym
from pyrec_infer.features.transforms.text import Prefix, Text
from pyrec_infer.features.transforms.transform import Transform

TRANSFORMS: Mapping[str, type[Transform]] = {
    kind.name: kind
    for kind in (
        Hash,
        Vocabulary,
        Modulo,
        Shift,
        OneHot,
        Counts,
        Lookup,
        Bucketise,
        Log1p,
        YeoJohnson,
        Standardise,
        MinMax,
        Clip,
        Sign,
        DatePart,
        Text,
        Prefix,
        Pseudonym,
    )
}

COMBINES: Mapping[str, type[Combine]] = {kind.name: kind for kind in (Cross, Join, Since)}

__all__ = ["COMBINES", "TRANSFORMS", "Combine", "Transform"]
