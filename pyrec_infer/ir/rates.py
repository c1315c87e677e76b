"""When a value can be known."""

from __future__ import annotations

from enum import Enum


class Rate(Enum):
    """The earliest time at which a value can be known: a lattice in which a request and an item lie side
    by side, so that neither is before the other and only their pair is after both.
    """

    MODEL = "model"
    REQUEST = "request"
    ITEM = "item"
    PAIR = "pair"

    def join(self, *others: Rate) -> Rate:
        """The earliest rate at which all are known.

        >>> Rate.REQUEST.join(Rate.ITEM).name, Rate.MODEL.join(Rate.ITEM, Rate.MODEL).name
        ('PAIR', 'ITEM')
        """
        latest = self
        for rate in others:
            if latest is Rate.MODEL:
                latest = rate
            elif rate is not latest and rate is not Rate.MODEL:
                return Rate.PAIR
        return latest

    def known_by(self, other: Rate) -> bool:
        """Whether what has this rate is known at the other.

        >>> Rate.MODEL.known_by(Rate.ITEM), Rate.REQUEST.known_by(Rate.ITEM)
        (True, False)
        """
        return self.join(other) is other

    @property
    def in_call(self) -> Rate:
        """The rate in a call, where constants are at hand with the request."""
        return Rate.REQUEST if self is Rate.MODEL else self

    @property
    def order(self) -> int:
        """A number that grows along the lattice, to put values of several rates in a fixed order."""
        return _RATE_ORDER[self]


_RATE_ORDER = {rate: place for place, rate in enumerate(Rate)}
