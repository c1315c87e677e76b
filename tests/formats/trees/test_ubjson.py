"""Universal Binary JSON: what XGBoost writes is read, what breaks a rule is refused."""

from __future__ import annotations

import numpy as np
import pytest

from pyrec_infer.errors import ModelError
from pyrec_infer.formats.trees.ubjson import parse_ubjson

pytestmark = pytest.mark.once


def test_values_of_every_kind() -> None:
    data = b"{U\x01aTU\x01bFU\x01cZU\x01dSI\x00\x02hiU\x01ei\xffU\x01fD\x3f\xe0\0\0\0\0\0\0"
    data += b"U\x01g[U\x01[]]U\x01h{#U\x01U\x01xl\0\0\0\x02U\x01i[#U\x02TFU\x01j[$S#U\x01U\x01kU\x01k{}}"
    assert parse_ubjson(data, "it") == {
        "a": True,
        "b": False,
        "c": None,
        "d": "hi",
        "e": -1,
        "f": 0.5,
        "g": [1, []],
        "h": {"x": 2},
        "i": [True, False],
        "j": ["k"],
        "k": {},
    }


def test_arrays_of_one_type_are_numpys() -> None:
    found = parse_ubjson(b"[$d#L\0\0\0\0\0\0\0\x02\x3f\x80\0\0\xbf\0\0\0", "it")
    assert found.dtype == np.float32
    assert found.tolist() == [1, -0.5]


BROKEN = {
    "nothing": (b"", "expected 1 more bytes at byte 0"),
    "marker": (b"q", "an unknown marker"),
    "rest": (b"TT", "expected the end"),
    "short number": (b"L\0\0", "expected 8 more bytes"),
    "short array": (b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff", "more bytes"),
    "negative length": (b"[$d#i\xff", "expected a length"),
    "negative count": (b"[#i\xfe", "expected a length"),
    "length": (b"Sd\0\0\0\0", "expected a length"),
    "type without length": (b"[$d\0", "expected a length behind a type"),
    "array of nothing": (b"[$T#L\x7f\xff\xff\xff\xff\xff\xff\xff", "an array of a type without bytes"),
    "typed object": (b"{$U#U\x01U\x01a\x01}", "an object of one type"),
    "key twice": (b"{U\x01aTU\x01aT}", "a key occurs twice"),
    "letters": (b"SU\x01\xff", "expected UTF-8"),
    "depth": (b"[" * 100, "more than 64 deep"),
    "deep type": (b"[$[#U\x01" + b"$[#U\x01" * 100, "more than 64 deep"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_breaks_a_rule_is_refused(case: str) -> None:
    data, message = BROKEN[case]
    with pytest.raises(ModelError, match=message):
        parse_ubjson(data, "it")
