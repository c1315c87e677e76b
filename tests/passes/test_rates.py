"""Rates form a lattice: a request and an item lie side by side, only their pair is after both."""

from __future__ import annotations

from itertools import product

from pyrec_infer.ir import Rate


def test_join_is_the_least_rate_that_knows_both() -> None:
    for a, b in product(Rate, Rate):
        joined = a.join(b)
        assert joined is b.join(a)
        assert a.known_by(joined)
        assert b.known_by(joined)
        for other in Rate:
            if a.known_by(other) and b.known_by(other):
                assert joined.known_by(other)


def test_join_of_many_is_the_join_of_pairs() -> None:
    for a, b, c in product(Rate, Rate, Rate):
        assert a.join(b, c) is a.join(b).join(c) is a.join(b.join(c))


def test_neither_of_request_and_item_is_before_the_other() -> None:
    assert not Rate.REQUEST.known_by(Rate.ITEM)
    assert not Rate.ITEM.known_by(Rate.REQUEST)
    assert Rate.REQUEST.join(Rate.ITEM) is Rate.PAIR


def test_order_grows_along_the_lattice() -> None:
    for a, b in product(Rate, Rate):
        if a is not b and a.known_by(b):
            assert a.order < b.order
