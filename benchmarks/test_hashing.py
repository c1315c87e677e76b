"""What ``benchmarks.hashing`` times gives one answer."""

from __future__ import annotations

import pytest

from benchmarks import hashing


def test_contestants_give_the_same_answers() -> None:
    pytest.importorskip("mmh3", reason="a contestant")
    pytest.importorskip("sklearn", reason="a contestant")
    strings = hashing.make_strings(200)
    kept = hashing.forms(strings)
    contestants = {"mmh3": hashing.loop_over_mmh3(strings)}
    contestants |= {form: hashing.ours(values) for form, values in kept.items()}
    assert hashing.measure(contestants, 1).keys() == contestants.keys()
    signed = {"peer": hashing.feature_hasher(strings), "ours": hashing.ours_with_signs(strings)}
    assert hashing.measure(signed, 1).keys() == signed.keys()
