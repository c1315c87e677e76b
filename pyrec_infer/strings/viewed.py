"""A column of strings in Arrow's views, read where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.strings.texts import Bytes, Flags, Texts, of_views


@dataclass(frozen=True, eq=False)
class Viewed:
    """Strings, each a view of 16 bytes that says where it is; borrowed.

    Parameters
    ----------
    views : ndarray of uint8, shape (16 N,)
    buffers : sequence of ndarray of uint8
        They were looked at: no view of an element that is there leaves them.
    missing : ndarray of bool, optional
        Which elements are null; None if all are there.
    """

    views: Bytes
    buffers: Sequence[Bytes]
    missing: Flags | None = None

    def __len__(self) -> int:
        return len(self.views) // 16

    def gone(self) -> Flags:
        """Which elements are missing."""
        return np.zeros(len(self), np.bool_) if self.missing is None else self.missing

    def words(self) -> list[bytes]:
        """All elements; a missing one is empty."""
        return self._texts.words()

    elements = words

    def spread(self, of_words: NDArray[Any]) -> NDArray[Any]:
        """What was found for each word, for each element."""
        return of_words

    def plain(self) -> Texts:
        """Copies one after another."""
        return self._texts

    def equal(self, text: bytes) -> Flags:
        """Which elements are equal to a text."""
        return self._texts.equal(text)

    @cached_property
    def _texts(self) -> Texts:
        made = of_views(self.views, self.buffers, self.missing)
        assert made is not None
        return made


__all__ = ["Viewed"]
