"""Raw rows in: fields, and what is done to them on the way into a model."""

from pyrec_infer.features.fields import Combination, Field, ListField
from pyrec_infer.features.golden import Golden
from pyrec_infer.features.json_schema import json_schema
from pyrec_infer.features.transforms.combine import Join, Since
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

__all__ = [
    "Bucketise",
    "Clip",
    "Combination",
    "Counts",
    "Cross",
    "DatePart",
    "Field",
    "Golden",
    "Hash",
    "Join",
    "ListField",
    "Log1p",
    "Lookup",
    "MinMax",
    "Modulo",
    "OneHot",
    "Prefix",
    "Pseudonym",
    "Shift",
    "Sign",
    "Since",
    "Standardise",
    "Text",
    "Vocabulary",
    "YeoJohnson",
    "json_schema",
]
