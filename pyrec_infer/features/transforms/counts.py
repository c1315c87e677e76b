"""A row's ids as a number for each id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pyrec_infer.features.transforms.ids import finite, whole
from pyrec_infer.features.transforms.transform import INTEGER, Kind, Transform, in_order
from pyrec_infer.passes.common.writer import Writer

NOWHERE = -1
"""An id that is counted at no place."""


@dataclass(frozen=True)
class Counts(Transform):
    """How often each id is among a row's values, or whether it is; the last transform of a field or a list.

    Parameters
    ----------
    size : int
        Ids are counted from 0 up to it; no other id is counted.
    weights : sequence of float
        What each id counts, one for each; nothing where all count 1.
    once : bool
        Whether an id counts once however often it is there.
    """

    size: int
    weights: Sequence[float] = ()
    once: bool = False
    name = "counts"
    takes = INTEGER

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", in_order("weights", self.weights))

    @property
    def width(self) -> int:
        return self.size

    def gives(self, kind: Kind) -> Kind:
        return "number"

    def mistakes(self) -> Iterator[str]:
        yield from whole("size", self.size, 1)
        yield from finite("weights", *self.weights)
        if self.weights and len(self.weights) != self.size:
            yield f"weights: expected {self.size}, one for each id, got {len(self.weights)}"

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        return self.of_lists(writer, writer.node("Unsqueeze", value, writer.constant([1], np.int64)))

    def of_lists(self, writer: Writer, ids: str) -> str:
        """The nodes that count the ids of padded lists."""
        every = tuple(range(self.size))
        mode = "IDF" if self.once else "TFIDF" if self.weights else "TF"
        counts = writer.node(
            "TfIdfVectorizer",
            ids,
            mode=mode,
            min_gram_length=1,
            max_gram_length=1,
            max_skip_count=0,
            ngram_counts=(0,),
            ngram_indexes=every,
            pool_int64s=every,
            **({"weights": self.weights} if self.weights else {}),
        )
        return writer.node("CastLike", counts, writer.constant(0, np.float64))


__all__ = ["NOWHERE", "Counts"]
